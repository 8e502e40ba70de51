from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec

from patchwire.auth import sigv4a
from patchwire.auth.aws_canonical import UNSIGNED_PAYLOAD, canonical_request
from patchwire.auth.aws_credentials import AwsCredentials
from patchwire.auth.aws_signing import Scope, Terms
from patchwire.auth.sigv4a import (
    credential_scope,
    presign,
    private_key,
    sign,
    signature,
    signer,
    string_to_sign,
    verify,
)
from patchwire.errors import LocalProtocolError
from patchwire.http.message import Headers, Origin, Request
from tests.support.sigv4_vectors import EMPTY_HASH, SigningCase, signing_cases
from tests.support.vectors import load, needs_vectors

KEYS = AwsCredentials("AKISORANDOMAASORANDOM", "q+jcrXGc+0zWN6uzclKVhvMmUsIfRPa4rlRandom")
PUBLIC_X = "15d242ceebf8d8169fd6a8b5a746c41140414c3b07579038da06af89190fffcb"
PUBLIC_Y = "0515242cedd82e94799482e4c0514b505afccf2c0c98d6a553bf539f424c5ec0"
PRIVATE = "7fd3bd010c0d9c292141c2b77bfbde1042c92e6836fff749d1269ec890fca1bd"
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
NOW = 1440938160.0
"""2015-08-30T12:36:00Z"""
SCOPE = Scope("*", "service")


def patch(target: bytes = b"/", headers: Headers = (), body: bytes = b"") -> Request:
    return Request("PATCH", Origin("https", "example.amazonaws.com", 443), target, headers, body)


def proof(headers: Headers) -> str:
    """The signature in an Authorization field, which is the last."""
    name, value = headers[-1]
    assert name == b"Authorization"
    return value.decode().rpartition("Signature=")[2]


def secret_number(key: ec.EllipticCurvePrivateKey) -> int:
    return key.private_numbers().private_value


# --- the key


def test_the_key_of_aws_example_is_derived() -> None:
    key = private_key(KEYS.access_key, KEYS.secret_key)
    public = key.public_key().public_numbers()
    assert f"{secret_number(key):064x}" == PRIVATE
    assert (f"{public.x:064x}", f"{public.y:064x}") == (PUBLIC_X, PUBLIC_Y)
    assert isinstance(public.curve, ec.SECP256R1)


def test_access_keys_of_any_length_make_one() -> None:
    numbers = {secret_number(private_key("A" * length, "secret")) for length in (1, 16, 64, 128, 1000)}
    assert len(numbers) == 5


def test_another_secret_or_access_key_makes_another() -> None:
    pairs = [("AKIDONE", "one"), ("AKIDONE", "two"), ("AKIDTWO", "one"), ("AKIDON", "Eone")]
    assert len({secret_number(private_key(*pair)) for pair in pairs}) == 4


@pytest.fixture
def candidates(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[int, int]]:
    """What each counter makes, the order of the curve where nothing else is said; the counters asked are the keys."""
    made: dict[int, int] = {}

    def candidate(access_key: str, secret_key: str, counter: int) -> int:
        return made.setdefault(counter, ORDER)

    monkeypatch.setattr(sigv4a, "_candidate", candidate)
    private_key.cache_clear()
    yield made
    private_key.cache_clear()


@pytest.mark.parametrize("number", [0, 1, ORDER - 3, ORDER - 2])
def test_a_candidate_below_the_order_is_the_key_less_one(candidates: dict[int, int], number: int) -> None:
    candidates[1] = number
    assert secret_number(private_key("AKID", "secret")) == number + 1
    assert list(candidates) == [1]


@pytest.mark.parametrize("number", [ORDER - 1, ORDER, 2**256 - 1])
def test_the_next_counter_is_taken_after_a_candidate_beyond_it(candidates: dict[int, int], number: int) -> None:
    candidates[1] = candidates[2] = number
    candidates[3] = 41
    assert secret_number(private_key("AKID", "secret")) == 42


def test_no_key_is_made_after_254_candidates(candidates: dict[int, int]) -> None:
    candidates[255] = 1
    with pytest.raises(LocalProtocolError, match="make no SigV4A key") as caught:
        private_key("AKIDEXAMPLE", "canary")
    assert "canary" not in str(caught.value)
    assert sorted(candidates) == list(range(1, 256))
    assert candidates[254] == ORDER


# --- the signature


def test_the_same_text_has_the_same_signature() -> None:
    key = private_key(KEYS.access_key, KEYS.secret_key)
    same = ec.derive_private_key(int(PRIVATE, 16), ec.SECP256R1())
    assert signature(key, b"text") == signature(key, b"text") == signature(same, b"text")


def test_the_example_of_rfc_6979_is_met() -> None:
    # Appendix A.2.5, SHA-256, message "sample", as DER.
    key = ec.derive_private_key(0xC9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721, ec.SECP256R1())
    assert signature(key, b"sample") == (
        "3046022100efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716"
        "022100f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8"
    )


def test_a_signature_verifies_with_the_public_key_and_for_its_own_text() -> None:
    key = private_key(KEYS.access_key, KEYS.secret_key)
    found = signature(key, b"text")
    assert verify(key.public_key(), found, b"text")
    assert verify(key.public_key(), found.upper(), b"text")
    assert not verify(key.public_key(), found, b"text ")
    assert not verify(private_key("AKIDOTHER", KEYS.secret_key).public_key(), found, b"text")


@pytest.mark.parametrize(
    "junk", ["", "zz", "0", "00", "3045", "\u00e4", "30060201000201 00", "ff" * 70, "3006020101020101"]
)
def test_what_is_no_signature_does_not_verify(junk: str) -> None:
    assert not verify(private_key(KEYS.access_key, KEYS.secret_key).public_key(), junk, b"text")


def test_a_signature_with_one_bit_changed_does_not_verify() -> None:
    key = private_key(KEYS.access_key, KEYS.secret_key)
    octets = bytes.fromhex(signature(key, b"text"))
    for index in range(len(octets)):
        changed = octets[:index] + bytes([octets[index] ^ 1]) + octets[index + 1 :]
        assert not verify(key.public_key(), changed.hex(), b"text"), index


def test_an_openssl_that_cannot_sign_without_chance_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def ecdsa(algorithm: object, *, deterministic_signing: bool = False) -> Any:
        raise UnsupportedAlgorithm("not by this one")

    key = private_key(KEYS.access_key, KEYS.secret_key)
    sigv4a._deterministic.cache_clear()
    with monkeypatch.context() as patched:
        patched.setattr(ec, "ECDSA", ecdsa)
        with pytest.raises(LocalProtocolError, match="needs a cryptography that is built with OpenSSL 3.2 or later"):
            signature(key, b"text")
    assert signature(key, b"text")


# --- the stages


@pytest.mark.parametrize("region", ["us-east-1", "*", "us-*,eu-west-1"])
def test_the_scope_has_no_region(region: str) -> None:
    assert credential_scope(Scope(region, "s3"), "20150830") == "20150830/s3/aws4_request"


@pytest.mark.parametrize(
    ("now", "lines"),
    [(1440979199.9, b"20150830T235959Z\n20150830/service/"), (1440979200.0, b"20150831T000000Z\n20150831/service/")],
)
def test_time_and_scope_of_the_string_to_sign_are_of_one_instant(now: float, lines: bytes) -> None:
    assert string_to_sign(b"", SCOPE, now).startswith(b"AWS4-ECDSA-P256-SHA256\n" + lines)


@pytest.mark.parametrize("region", ["us-east-1", "*", "us-east-1,us-west-*"])
def test_the_regions_go_into_a_field_that_is_signed(region: str) -> None:
    headers = sign(patch(), KEYS, Scope(region, "service"), NOW)
    assert headers[:2] == ((b"X-Amz-Date", b"20150830T123600Z"), (b"X-Amz-Region-Set", region.encode()))
    assert headers[2][1].startswith(
        b"AWS4-ECDSA-P256-SHA256 Credential=AKISORANDOMAASORANDOM/20150830/service/aws4_request, "
        b"SignedHeaders=host;x-amz-date;x-amz-region-set, Signature=30"
    )


@pytest.mark.parametrize(
    ("now", "date"),
    [
        (1440979199.0, b"20150830T235959Z"),
        (1440979199.999, b"20150830T235959Z"),
        (1440979200.0, b"20150831T000000Z"),
    ],
)
def test_date_and_scope_of_a_signed_request_are_of_one_instant_at_midnight_too(now: float, date: bytes) -> None:
    headers = sign(patch(), KEYS, SCOPE, now)
    assert headers[0] == (b"X-Amz-Date", date)
    assert b"Credential=AKISORANDOMAASORANDOM/" + date[:8] + b"/" in headers[-1][1]
    target = presign(patch(), KEYS, SCOPE, now, 60).target
    assert b"%2F".join((b"Credential=AKISORANDOMAASORANDOM", date[:8], b"")) in target
    assert b"&X-Amz-Date=" + date in target


def test_sign_is_its_stages() -> None:
    request = patch(b"/a%20b?c=%7e", ((b"Content-Type", b"text/plain"),), b"body")
    *added, _ = headers = sign(request, KEYS, SCOPE, NOW, payload_hash="ab" * 32)
    lines = [*request.headers, (b"Host", b"example.amazonaws.com"), *added]
    text = string_to_sign(canonical_request("PATCH", request.target, lines, "ab" * 32).text, SCOPE, NOW)
    assert proof(headers) == signature(private_key(KEYS.access_key, KEYS.secret_key), text)
    assert headers == sign(request, KEYS, SCOPE, NOW, payload_hash="ab" * 32)


def test_presign_has_the_regions_in_the_query() -> None:
    found = presign(patch(b"/a?b"), KEYS, Scope("us-east-1,eu-*", "service"), NOW, 60)
    unsigned, _, given = found.target.partition(b"&X-Amz-Signature=")
    assert unsigned == (
        b"/a?b&X-Amz-Algorithm=AWS4-ECDSA-P256-SHA256"
        b"&X-Amz-Credential=AKISORANDOMAASORANDOM%2F20150830%2Fservice%2Faws4_request&X-Amz-Date=20150830T123600Z"
        b"&X-Amz-Expires=60&X-Amz-SignedHeaders=host&X-Amz-Region-Set=us-east-1%2Ceu-%2A"
    )
    canonical = canonical_request("PATCH", unsigned, [(b"Host", b"example.amazonaws.com")], EMPTY_HASH)
    text = string_to_sign(canonical.text, SCOPE, NOW)
    assert verify(private_key(KEYS.access_key, KEYS.secret_key).public_key(), given.decode(), text)


def test_the_terms_are_those_of_the_service_unless_they_are_given() -> None:
    s3 = Scope("*", "s3")
    assert b"X-Amz-Content-Sha256" in dict(sign(patch(), KEYS, s3, NOW))
    assert b"X-Amz-Content-Sha256" not in dict(sign(patch(), KEYS, s3, NOW, terms=Terms()))
    assert presign(patch(b"//a"), KEYS, s3, NOW, 1) != presign(patch(b"//a"), KEYS, s3, NOW, 1, terms=Terms())


def test_an_unsigned_payload_is_said_in_a_field() -> None:
    headers = dict(sign(patch(body=b"x"), KEYS, SCOPE, NOW, payload_hash=UNSIGNED_PAYLOAD))
    assert headers[b"X-Amz-Content-Sha256"] == b"UNSIGNED-PAYLOAD"


# --- the keys that are kept


def test_a_signer_is_never_that_of_other_credentials_regions_services_or_days() -> None:
    found = {
        (each.credential, each.fields, each.signature(b""))
        for keys in (KEYS, AwsCredentials(KEYS.access_key, "other"))
        for region in ("us-east-1", "us-east-2")
        for service in ("iam", "s3")
        for date in ("20150830", "20150831")
        for each in [signer(keys, Scope(region, service), date)]
    }
    assert len(found) == 16
    assert len({proof for _, _, proof in found}) == 2


def test_bounded_numbers_of_keys_and_signers_are_kept() -> None:
    for number in range(sigv4a.KEYS_KEPT + 5):
        sigv4a.remembered_signer(AwsCredentials(f"AKID{number}", "secret"), SCOPE, "20150830")
    assert (
        sigv4a.remembered_signer.cache_info().currsize == private_key.cache_info().currsize == sigv4a.KEYS_KEPT == 16
    )


def test_a_key_is_derived_once_for_all_days_and_services() -> None:
    private_key.cache_clear()
    sigv4a.remembered_signer.cache_clear()
    for service, now in (("iam", NOW), ("s3", NOW), ("s3", NOW + 86_400)):
        sign(patch(), KEYS, Scope("*", service), now)
    assert (private_key.cache_info().misses, sigv4a.remembered_signer.cache_info().misses) == (1, 3)


def test_a_signer_prints_neither_key_nor_secret() -> None:
    found = signer(AwsCredentials("AKIDEXAMPLE", "canary", "canary-token"), SCOPE, "20150830")
    assert repr(found) == str(found) == "<signing key>"


# --- AWS's own cases

CASES = signing_cases("v4a")
REQUESTS = [case for case in CASES if case.raw.request is not None]


def public_key(case: SigningCase) -> ec.EllipticCurvePublicKey:
    """That of the case's folder."""
    numbers = json.loads((case.folder / "public-key.json").read_text("utf-8"))
    return ec.EllipticCurvePublicNumbers(int(numbers["X"], 16), int(numbers["Y"], 16), ec.SECP256R1()).public_key()


def without_proof(headers: Headers) -> list[tuple[bytes, bytes]]:
    """Field lines, without the signature, in an order that is the same however they were sent."""
    return sorted((name.lower(), value.strip().partition(b", Signature=")[0]) for name, value in headers)


def parameters_of(target: bytes) -> tuple[bytes, list[bytes]]:
    """Path and parameters, without the signature, in an order that is the same however they were sent."""
    path, _, query = target.partition(b"?")
    return path, sorted(each for each in query.split(b"&") if not each.startswith(b"X-Amz-Signature="))


def proof_in_query(target: bytes) -> str:
    return target.decode().partition("&X-Amz-Signature=")[2].partition("&")[0]


@needs_vectors
def test_the_key_of_the_vectors_is_derived() -> None:
    given = load("sigv4/sigv4a_key_derivation.json")
    key = private_key(given["access_key_id"], given["secret_access_key"])
    public = key.public_key().public_numbers()
    assert f"{secret_number(key):064x}" == given["private_key"]
    assert (f"{public.x:064x}", f"{public.y:064x}") == (given["public_x"], given["public_y"])


@needs_vectors
def test_all_cases_but_seven_are_requests_that_can_be_sent() -> None:
    assert len(CASES) == 38
    assert {str(case) for case in CASES if case not in REQUESTS} == {
        "get-header-value-multiline",  # a fold
        "get-space-normalized", "get-space-unnormalized",  # a blank in the target
        "get-utf8", "get-vanilla-utf8-query",  # octets beyond ASCII in it
        "post-x-www-form-urlencoded", "post-x-www-form-urlencoded-parameters",  # Content-Length, which is signed there
    }  # fmt: skip


@needs_vectors
@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_key_of_every_case_is_derived(case: SigningCase) -> None:
    key = private_key(case.credentials.access_key, case.credentials.secret_key)
    assert key.public_key().public_numbers() == public_key(case).public_numbers()


@needs_vectors
@pytest.mark.parametrize("form", ["header", "query"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_both_given_signatures_of_every_case_and_our_own_verify(case: SigningCase, form: str) -> None:
    text = string_to_sign(case.text(f"{form}-canonical-request.txt"), case.scope, case.now)
    assert text == case.text(f"{form}-string-to-sign.txt")
    request = case.signed(form)
    in_request = proof(request.headers) if form == "header" else proof_in_query(request.target)
    own = signature(private_key(case.credentials.access_key, case.credentials.secret_key), text)
    for each in (case.text(f"{form}-signature.txt").decode(), in_request, own):
        assert verify(public_key(case), each, text)
        assert not verify(public_key(case), each, text + b"\n")


@needs_vectors
@pytest.mark.parametrize("case", REQUESTS, ids=str)
def test_the_signed_request_of_every_case_that_can_be_sent_is_met(case: SigningCase) -> None:
    request = case.request
    headers = sign(request, case.credentials, case.scope, case.now, terms=case.terms)
    assert without_proof(request.headers + headers) == without_proof(case.signed("header").headers)
    assert verify(public_key(case), proof(headers), case.text("header-string-to-sign.txt"))


@needs_vectors
@pytest.mark.parametrize("case", REQUESTS, ids=str)
def test_the_presigned_request_of_every_case_that_can_be_sent_is_met(case: SigningCase) -> None:
    seconds = case.context["expiration_in_seconds"]
    found = presign(case.request, case.credentials, case.scope, case.now, seconds, terms=case.terms)
    expected = case.signed("query")
    assert parameters_of(found.target) == parameters_of(expected.target)
    assert without_proof(found.headers) == without_proof(expected.headers)
    assert verify(public_key(case), proof_in_query(found.target), case.text("query-string-to-sign.txt"))
