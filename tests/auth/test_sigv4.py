from __future__ import annotations

import pytest

from patchwire.auth import sigv4
from patchwire.auth.aws_canonical import UNSIGNED_PAYLOAD, canonical_request
from patchwire.auth.aws_credentials import AwsCredentials
from patchwire.auth.aws_signing import Scope, Terms
from patchwire.auth.sigv4 import credential_scope, presign, sign, signature, signer, signing_key, string_to_sign
from patchwire.errors import LocalProtocolError
from patchwire.http.message import Headers, Origin, Request
from tests.support.sigv4_vectors import EMPTY_HASH, OlderCase, SigningCase, older_cases, signing_cases
from tests.support.vectors import needs_vectors

EXAMPLE = AwsCredentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
IAM = Scope("us-east-1", "iam")
NOW = 1440938160.0
"""2015-08-30T12:36:00Z"""


def proof(headers: Headers) -> bytes:
    """The signature in an Authorization field, which is the last."""
    name, value = headers[-1]
    assert name == b"Authorization"
    return value.rpartition(b"Signature=")[2]


def patch(target: bytes = b"/", headers: Headers = (), body: bytes = b"") -> Request:
    return Request("PATCH", Origin("https", "example.amazonaws.com", 443), target, headers, body)


# --- the example of AWS's general documentation: ListUsers of IAM

LIST_USERS = Request(
    "GET", Origin("https", "iam.amazonaws.com", 443), b"/?Action=ListUsers&Version=2010-05-08",
    ((b"Content-Type", b"application/x-www-form-urlencoded; charset=utf-8"),),
)  # fmt: skip


def test_the_canonical_request_of_list_users_is_met() -> None:
    lines = [*LIST_USERS.headers, (b"Host", b"iam.amazonaws.com"), (b"X-Amz-Date", b"20150830T123600Z")]
    found = canonical_request("GET", LIST_USERS.target, lines, EMPTY_HASH)
    assert found.text == (
        b"GET\n/\nAction=ListUsers&Version=2010-05-08\n"
        b"content-type:application/x-www-form-urlencoded; charset=utf-8\nhost:iam.amazonaws.com\n"
        b"x-amz-date:20150830T123600Z\n\ncontent-type;host;x-amz-date\n" + EMPTY_HASH.encode()
    )
    assert string_to_sign(found.text, IAM, NOW) == (
        b"AWS4-HMAC-SHA256\n20150830T123600Z\n20150830/us-east-1/iam/aws4_request\n"
        b"f536975d06c0309214f805bb90ccff089219ecd68b2577efef23edd43b7e1a59"
    )


def test_the_signing_key_of_list_users_is_met() -> None:
    key = signing_key(EXAMPLE.secret_key, "20150830", IAM)
    assert key.hex() == "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9"
    text = (
        b"AWS4-HMAC-SHA256\n20150830T123600Z\n20150830/us-east-1/iam/aws4_request\n"
        b"f536975d06c0309214f805bb90ccff089219ecd68b2577efef23edd43b7e1a59"
    )
    assert signature(key, text) == "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"


def test_the_fields_of_list_users_are_met() -> None:
    assert sign(LIST_USERS, EXAMPLE, IAM, NOW) == (
        (b"X-Amz-Date", b"20150830T123600Z"),
        (
            b"Authorization",
            b"AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, "
            b"SignedHeaders=content-type;host;x-amz-date, "
            b"Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7",
        ),
    )


# --- the examples of the documentation of S3

S3_KEYS = AwsCredentials("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
S3 = Scope("us-east-1", "s3")
S3_NOW = 1369353600.0
"""2013-05-24T00:00:00Z"""
BUCKET = Origin("https", "examplebucket.s3.amazonaws.com", 443)


@pytest.mark.parametrize(
    ("request_", "names", "expected"),
    [
        (
            Request("GET", BUCKET, b"/test.txt", ((b"Range", b"bytes=0-9"),)),
            b"host;range;x-amz-content-sha256;x-amz-date",
            b"f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
        ),
        (
            Request(
                "PUT", BUCKET, b"/test%24file.text",
                ((b"Date", b"Fri, 24 May 2013 00:00:00 GMT"), (b"x-amz-storage-class", b"REDUCED_REDUNDANCY")),
                b"Welcome to Amazon S3.",
            ),
            b"date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
            b"98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
        ),
        (
            Request("GET", BUCKET, b"/?lifecycle"),
            b"host;x-amz-content-sha256;x-amz-date",
            b"fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
        ),
        (
            Request("GET", BUCKET, b"/?max-keys=2&prefix=J"),
            b"host;x-amz-content-sha256;x-amz-date",
            b"34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
        ),
    ],
    ids=["get-object", "put-object", "get-bucket-lifecycle", "list-objects"],
)  # fmt: skip
def test_the_examples_of_s3_are_met(request_: Request, names: bytes, expected: bytes) -> None:
    headers = sign(request_, S3_KEYS, S3, S3_NOW)
    assert headers[-1][1] == (
        b"AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, SignedHeaders="
        + names + b", Signature=" + expected
    )  # fmt: skip


def test_the_example_of_s3_for_a_presigned_url_is_met() -> None:
    assert presign(Request("GET", BUCKET, b"/test.txt"), S3_KEYS, S3, S3_NOW, 86_400).target == (
        b"/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256"
        b"&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request"
        b"&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host"
        b"&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
    )


# --- the stages


def test_the_scope_is_date_region_and_service() -> None:
    assert credential_scope(Scope("eu-central-1", "execute-api"), "20260227") == (
        "20260227/eu-central-1/execute-api/aws4_request"
    )


@pytest.mark.parametrize("region", ["*", "us-*", "us-east-1,us-west-1"])
def test_a_set_of_regions_is_refused_wherever_it_would_be_used(region: str) -> None:
    scope = Scope(region, "s3")
    for attempt in (
        lambda: credential_scope(scope, "20150830"),
        lambda: string_to_sign(b"", scope, NOW),
        lambda: sign(patch(), EXAMPLE, scope, NOW),
        lambda: presign(patch(), EXAMPLE, scope, NOW, 60),
    ):
        with pytest.raises(LocalProtocolError, match="is a set of regions, which needs SigV4A"):
            attempt()


@pytest.mark.parametrize(
    ("now", "lines"),
    [
        (1440979199.9, b"20150830T235959Z\n20150830/us-east-1/iam/"),
        (1440979200.0, b"20150831T000000Z\n20150831/us-east-1/iam/"),
    ],
)
def test_time_and_scope_of_the_string_to_sign_are_of_one_instant(now: float, lines: bytes) -> None:
    assert string_to_sign(b"", IAM, now).startswith(b"AWS4-HMAC-SHA256\n" + lines)


@pytest.mark.parametrize(
    ("now", "date"),
    [
        (1440979199.0, b"20150830T235959Z"),
        (1440979199.999, b"20150830T235959Z"),
        (1440979200.0, b"20150831T000000Z"),
    ],
)
def test_date_and_scope_of_a_signed_request_are_of_one_instant_at_midnight_too(now: float, date: bytes) -> None:
    headers = sign(patch(), EXAMPLE, IAM, now)
    assert headers[0] == (b"X-Amz-Date", date)
    assert b"Credential=AKIDEXAMPLE/" + date[:8] + b"/" in headers[-1][1]
    target = presign(patch(), EXAMPLE, IAM, now, 60).target
    assert b"%2F".join((b"Credential=AKIDEXAMPLE", date[:8], b"")) in target
    assert b"&X-Amz-Date=" + date in target


def test_sign_is_its_stages() -> None:
    request = patch(b"/a%20b?c=%7e", ((b"Content-Type", b"text/plain"),), b"body")
    scope = Scope("eu-west-1", "execute-api")
    *added, _ = headers = sign(request, EXAMPLE, scope, NOW, payload_hash="ab" * 32)
    lines = [*request.headers, (b"Host", b"example.amazonaws.com"), *added]
    text = string_to_sign(canonical_request("PATCH", request.target, lines, "ab" * 32).text, scope, NOW)
    assert proof(headers).decode() == signature(signing_key(EXAMPLE.secret_key, "20150830", scope), text)


def test_the_terms_are_those_of_the_service_unless_they_are_given() -> None:
    names = [[name for name, _ in sign(patch(), EXAMPLE, Scope("r", service), NOW)] for service in ("s3", "iam")]
    assert names == [[b"X-Amz-Date", b"X-Amz-Content-Sha256", b"Authorization"], [b"X-Amz-Date", b"Authorization"]]
    given = sign(patch(b"//"), EXAMPLE, Scope("r", "s3"), NOW, terms=Terms())
    assert [name for name, _ in given] == [b"X-Amz-Date", b"Authorization"]
    of_service = presign(patch(b"//a"), EXAMPLE, Scope("r", "s3"), NOW, 1)
    assert of_service != presign(patch(b"//a"), EXAMPLE, Scope("r", "s3"), NOW, 1, terms=Terms())


def test_an_unsigned_payload_is_said_in_a_field() -> None:
    headers = sign(patch(body=b"x"), EXAMPLE, IAM, NOW, payload_hash=UNSIGNED_PAYLOAD)
    assert headers[1] == (b"X-Amz-Content-Sha256", b"UNSIGNED-PAYLOAD")
    other = sign(patch(body=b"y"), EXAMPLE, IAM, NOW, payload_hash=UNSIGNED_PAYLOAD)
    assert proof(headers) == proof(other)


# Both proofs are those that botocore makes.
def test_a_path_that_is_encoded_already_is_encoded_twice_but_for_s3() -> None:
    twice = sign(patch(b"/restapis/a%2Fb%20c/x%3Dy"), EXAMPLE, Scope("us-east-1", "apigateway"), NOW)
    assert proof(twice) == b"18b1e08f55ebe1d5e5a0d7cdaef88afad611485511a76093bf6c1d28f07393e1"
    once = sign(patch(b"/restapis/a%2Fb%20c/x%3Dy"), EXAMPLE, S3, NOW)
    assert proof(once) == b"1a0c6a36f7680812899457ad0fe5ee221728a26a7d05cb15d8e845e249b19168"


# --- the keys that are kept


def test_a_key_is_never_that_of_another_secret_region_service_or_day() -> None:
    keys = {
        signer(credentials, Scope(region, service), date).signature(b"")
        for credentials in (EXAMPLE, AwsCredentials("AKIDEXAMPLE", "other"))
        for region in ("us-east-1", "us-east-2")
        for service in ("iam", "s3")
        for date in ("20150830", "20150831")
    }
    assert len(keys) == 16


def test_keys_of_one_secret_are_named_by_their_own_access_key_and_token() -> None:
    one = signer(AwsCredentials("AKIDONE", "secret", "token"), IAM, "20150830")
    two = signer(AwsCredentials("AKIDTWO", "secret", "token"), IAM, "20150830")
    assert (one.credential, two.credential) == (
        b"AKIDONE/20150830/us-east-1/iam/aws4_request", b"AKIDTWO/20150830/us-east-1/iam/aws4_request",
    )  # fmt: skip


def test_the_same_request_is_signed_the_same_after_keys_of_others() -> None:
    first = sign(LIST_USERS, EXAMPLE, IAM, NOW)
    for number in range(sigv4.KEYS_KEPT + 1):
        sign(LIST_USERS, AwsCredentials("AKIDEXAMPLE", f"secret{number}"), IAM, NOW)
    assert sign(LIST_USERS, EXAMPLE, IAM, NOW) == first


def test_a_bounded_number_of_keys_is_kept() -> None:
    for number in range(sigv4.KEYS_KEPT + 10):
        sigv4.remembered_signer(EXAMPLE, IAM, f"2015{number:04}")
    assert sigv4.remembered_signer.cache_info().currsize == sigv4.KEYS_KEPT == 16


def test_a_day_needs_one_key() -> None:
    sigv4.remembered_signer.cache_clear()
    for second in range(3):
        sign(LIST_USERS, EXAMPLE, IAM, NOW + second)
    assert sigv4.remembered_signer.cache_info().misses == 1


def test_a_signer_prints_neither_key_nor_secret() -> None:
    found = signer(AwsCredentials("AKIDEXAMPLE", "canary", "canary-token"), IAM, "20150830")
    assert repr(found) == str(found) == "<signing key>"


# --- AWS's own cases

CASES = signing_cases("v4")
REQUESTS = [case for case in CASES if case.raw.request is not None]
OLDER = older_cases()
OLDER_REQUESTS = [case for case in OLDER if case.raw.request is not None]


def lines_of(headers: Headers) -> list[tuple[bytes, bytes]]:
    """Field lines in an order that is the same however they were sent."""
    return sorted((name.lower(), value.strip()) for name, value in headers)


def parameters_of(target: bytes) -> tuple[bytes, list[bytes]]:
    """The path, and the parameters in an order that is the same however they were sent."""
    path, _, query = target.partition(b"?")
    return path, sorted(query.split(b"&"))


@needs_vectors
def test_all_cases_but_seven_and_older_ones_but_four_are_requests_that_can_be_sent() -> None:
    assert (len(CASES), len(OLDER)) == (38, 34)
    assert {str(case) for case in CASES if case not in REQUESTS} == {
        "get-header-value-multiline",  # a fold
        "get-space-normalized", "get-space-unnormalized",  # a blank in the target
        "get-utf8", "get-vanilla-utf8-query",  # octets beyond ASCII in it
        "post-x-www-form-urlencoded", "post-x-www-form-urlencoded-parameters",  # Content-Length, which is signed there
    }  # fmt: skip
    assert {str(case) for case in OLDER if case not in OLDER_REQUESTS} == {
        "get-header-value-multiline", "get-space", "get-utf8", "get-vanilla-utf8-query",
    }  # fmt: skip


@needs_vectors
@pytest.mark.parametrize("form", ["header", "query"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_signature_of_every_case_is_met(case: SigningCase, form: str) -> None:
    text = string_to_sign(case.text(f"{form}-canonical-request.txt"), case.scope, case.now)
    assert text == case.text(f"{form}-string-to-sign.txt")
    key = signing_key(case.credentials.secret_key, "20150830", case.scope)
    assert signature(key, text).encode() == case.text(f"{form}-signature.txt")


@needs_vectors
@pytest.mark.parametrize("case", REQUESTS, ids=str)
def test_the_signed_request_of_every_case_that_can_be_sent_is_met(case: SigningCase) -> None:
    request = case.request
    headers = sign(request, case.credentials, case.scope, case.now, terms=case.terms)
    assert lines_of(request.headers + headers) == lines_of(case.signed("header").headers)
    assert proof(headers) == case.text("header-signature.txt")


@needs_vectors
@pytest.mark.parametrize("case", REQUESTS, ids=str)
def test_the_presigned_request_of_every_case_that_can_be_sent_is_met(case: SigningCase) -> None:
    request = case.request
    seconds = case.context["expiration_in_seconds"]
    found = presign(request, case.credentials, case.scope, case.now, seconds, terms=case.terms)
    expected = case.signed("query")
    assert parameters_of(found.target) == parameters_of(expected.target)
    assert lines_of(found.headers) == lines_of(expected.headers)
    assert found.target.endswith(b"&X-Amz-Signature=" + case.text("query-signature.txt"))


@needs_vectors
@pytest.mark.parametrize("case", OLDER, ids=str)
def test_the_signature_of_every_older_case_is_met(case: OlderCase) -> None:
    scope = Scope("us-east-1", "service")
    key = signing_key(EXAMPLE.secret_key, "20150830", scope)
    expected = case.text("authz")
    assert signature(key, string_to_sign(case.text("creq"), scope, NOW)).encode() == expected.rpartition(b"=")[2]


@needs_vectors
@pytest.mark.parametrize("case", OLDER_REQUESTS, ids=str)
def test_the_authorization_of_every_older_case_that_can_be_sent_is_met(case: OlderCase) -> None:
    raw = case.request
    own = tuple([line for line in raw.headers if not line[0].startswith(b"X-Amz-")])
    request = Request(raw.method, raw.origin, raw.target, own, raw.body)
    token = dict(case.signed_fields).get(b"X-Amz-Security-Token")
    keys = AwsCredentials(EXAMPLE.access_key, EXAMPLE.secret_key, None if token is None else token.decode())
    headers = sign(request, keys, Scope("us-east-1", "service"), NOW)
    assert headers[-1] == (b"Authorization", case.text("authz"))
