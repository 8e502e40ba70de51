from __future__ import annotations

from hashlib import sha256

import pytest

from patchwire.auth.aws_canonical import GENERIC, S3, UNSIGNED_PAYLOAD, PathRules
from patchwire.auth.aws_frame import Signed, sign_with
from patchwire.auth.aws_signing import (
    GENERIC_TERMS,
    LONGEST_EXPIRY,
    Scope,
    Terms,
    is_of_signature,
    payload_hash_of,
    presigned,
    string_to_sign,
    terms_of,
    timestamp,
)
from patchwire.errors import LocalProtocolError
from patchwire.http.message import Headers, Origin, Request
from tests.support.sigv4_vectors import EMPTY_HASH, OlderCase, SigningCase, older_cases, signing_cases
from tests.support.vectors import needs_vectors

DATE = "20150830T123600Z"
TOKEN = b"canary/token=="
ORIGIN = Origin("https", "example.amazonaws.com", 443)
JSON = (b"Content-Type", b"application/json")


class Plain:
    """A signer that needs no key."""

    algorithm = b"ALGORITHM"

    def __init__(self, date: str, fields: Headers = (), token: bytes | None = None) -> None:
        self.scope = date.encode() + b"/region/service/aws4_request"
        self.credential = b"AKIDEXAMPLE/" + self.scope
        self.fields = fields
        self.token = token

    def signature(self, text: bytes) -> bytes:
        return b"5160" + sha256(text).hexdigest()[:8].encode()


def patch(target: bytes = b"/", headers: Headers = (), body: bytes = b"", origin: Origin = ORIGIN) -> Request:
    return Request("PATCH", origin, target, headers, body)


def signed(
    request: Request,
    terms: Terms = GENERIC_TERMS,
    *,
    token: bytes | None = None,
    fields: Headers = (),
    payload_hash: str | None = None,
) -> Signed:
    return sign_with(Plain("20150830", fields, token), request, DATE, terms, payload_hash)


def presigned_target(
    request: Request,
    terms: Terms = GENERIC_TERMS,
    *,
    token: bytes | None = None,
    fields: Headers = (),
    expires: int = 3600,
) -> bytes:
    return presigned(Plain("20150830", fields, token), request, DATE, expires, terms).target


def fields_of(found: Signed) -> dict[str, str]:
    """The field lines of the canonical request."""
    lines = found.canonical.decode().split("\n")[3:-3]
    return dict(line.split(":", 1) for line in lines)


def payload_of(found: Signed) -> str:
    return found.canonical.decode().rpartition("\n")[2]


# --- scope and terms


@pytest.mark.parametrize("region", ["us-east-1", "*", "us-*", "us-east-1,eu-west-1", "*,us_gov.1", "a,b,c"])
def test_a_scope_takes_a_region_or_a_set_of_them(region: str) -> None:
    assert Scope(region, "s3").region == region


@pytest.mark.parametrize(
    "region",
    ["", " ", "us east", "us-east-1,", ",us-east-1", "a,,b", "a, b", "a/b", "a\n", "\u00e4", "a;b", "a=b", "%"],
)
def test_a_scope_refuses_what_is_no_region(region: str) -> None:
    with pytest.raises(LocalProtocolError, match="is no region"):
        Scope(region, "s3")


@pytest.mark.parametrize("service", ["", "s 3", "s3/x", "s3,x", "*", "s3\n", "\u00e4", "s3;x", "s3=", "a\r\nb"])
def test_a_scope_refuses_what_is_no_service(service: str) -> None:
    with pytest.raises(LocalProtocolError, match="is no service"):
        Scope("us-east-1", service)


def test_what_is_refused_is_shown_in_part_only() -> None:
    with pytest.raises(LocalProtocolError) as caught:
        Scope("x y" * 100, "s3")
    assert len(str(caught.value)) < 120


@pytest.mark.parametrize("service", ["s3", "s3express", "s3-object-lambda", "s3-outposts"])
def test_s3_and_its_kin_send_the_hash_and_leave_the_path_alone(service: str) -> None:
    assert terms_of(service) == Terms(path=S3, sends_payload_hash=True, takes_unsigned=True)


@pytest.mark.parametrize("service", ["execute-api", "iam", "S3", "s3tables", "dynamodb"])
def test_other_services_have_general_terms(service: str) -> None:
    assert terms_of(service) == Terms(path=GENERIC) == GENERIC_TERMS


# --- stages


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "19700101T000000Z"), (1440938160, "20150830T123600Z"), (1440979199, "20150830T235959Z"),
     (1440979200, "20150831T000000Z"), (1709164800, "20240229T000000Z"), (4102444799, "20991231T235959Z")],
)  # fmt: skip
def test_a_timestamp_is_in_utc(seconds: int, text: str) -> None:
    assert timestamp(seconds) == text


def test_the_string_to_sign_binds_the_hash_to_algorithm_time_and_scope() -> None:
    assert string_to_sign(b"A", b"", b"20150830/r/s/aws4_request", "20150830T123600Z") == (
        b"A\n20150830T123600Z\n20150830/r/s/aws4_request\n" + EMPTY_HASH.encode()
    )


def test_the_payload_hash_is_lower_case_hexadecimal() -> None:
    assert payload_hash_of(b"Welcome to Amazon S3.") == (
        "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072"
    )


@pytest.mark.parametrize("name", ["Authorization", "x-amz-date", "X-AMZ-SECURITY-TOKEN", "X-Amz-Region-Set"])
def test_fields_of_the_signature_are_known_in_any_case(name: str) -> None:
    assert is_of_signature(name)


@pytest.mark.parametrize("name", ["Host", "X-Amz-Meta-A", "X-Amz-Signature", "", "\u00e4"])
def test_and_no_others(name: str) -> None:
    assert not is_of_signature(name)


# --- what is added in fields


def test_a_request_gets_a_date_and_an_authorization() -> None:
    found = signed(patch(b"/a", (JSON,), b"{}"))
    proof = b"5160" + sha256(found.text).hexdigest()[:8].encode()
    assert found.headers == (
        (b"X-Amz-Date", b"20150830T123600Z"),
        (
            b"Authorization",
            b"ALGORITHM Credential=AKIDEXAMPLE/20150830/region/service/aws4_request, "
            b"SignedHeaders=content-type;host;x-amz-date, Signature=" + proof,
        ),
    )
    assert found.canonical.decode() == (
        "PATCH\n/a\n\ncontent-type:application/json\nhost:example.amazonaws.com\nx-amz-date:20150830T123600Z\n\n"
        "content-type;host;x-amz-date\n44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
    )
    assert found.text == (
        b"ALGORITHM\n20150830T123600Z\n20150830/region/service/aws4_request\n"
        + sha256(found.canonical).hexdigest().encode()
    )


def test_the_fields_of_the_signer_are_signed() -> None:
    found = signed(patch(), fields=((b"X-Amz-Region-Set", b"*"),))
    assert found.headers[1] == (b"X-Amz-Region-Set", b"*")
    assert fields_of(found)["x-amz-region-set"] == "*"


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        (Origin("https", "h.example", 443), "h.example"),
        (Origin("http", "h.example", 80), "h.example"),
        (Origin("https", "h.example", 80), "h.example:80"),
        (Origin("http", "h.example", 443), "h.example:443"),
        (Origin("http", "h.example", 8080), "h.example:8080"),
        (Origin("http", "127.0.0.1", 5000), "127.0.0.1:5000"),
        (Origin("http", "::1", 80), "[::1]"),
        (Origin("https", "2001:db8::1", 8443), "[2001:db8::1]:8443"),
    ],
)
def test_the_host_that_will_be_sent_is_signed(origin: Origin, host: str) -> None:
    assert fields_of(signed(patch(origin=origin)))["host"] == host


def test_a_host_of_the_requests_own_is_signed_in_place_of_the_origins() -> None:
    found = signed(patch(headers=((b"HOST", b"other.example:81"),)))
    assert fields_of(found)["host"] == "other.example:81"
    assert b"SignedHeaders=host;x-amz-date," in found.headers[-1][1]


def test_the_host_of_the_terms_comes_before_both() -> None:
    terms = Terms(host=b"behind.example")
    assert fields_of(signed(patch(), terms))["host"] == "behind.example"
    assert fields_of(signed(patch(headers=((b"Host", b"other.example"),)), terms))["host"] == "behind.example"


@pytest.mark.parametrize(
    "name",
    [b"Baggage", b"Connection", b"Expect", b"Keep-Alive", b"Proxy-Authenticate", b"Proxy-Authorization",
     b"Proxy-Connection", b"TE", b"Traceparent", b"Tracestate", b"Trailer", b"Upgrade", b"User-Agent",
     b"X-Amzn-Trace-Id"],
)  # fmt: skip
def test_what_may_change_on_the_way_is_not_signed(name: bytes) -> None:
    found = signed(
        patch(headers=((name, b"x"), JSON)), Terms(signed_fields=frozenset({name.lower(), b"content-type"}))
    )
    assert set(fields_of(found)) == {"content-type", "host", "x-amz-date"}


def test_every_other_field_is_signed() -> None:
    found = signed(
        patch(headers=((b"If-Match", b'"a  b"'), (b"X-Two", b"2"), (b"Date", b"d"), (b"x-two", b"1"), (b"Empty", b"")))
    )
    assert fields_of(found) == {
        "date": "d", "empty": "", "host": "example.amazonaws.com", "if-match": '"a b"',
        "x-amz-date": "20150830T123600Z", "x-two": "2,1",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("allowed", "names"),
    [
        (frozenset(), "host;x-amz-date;x-amz-meta-a"),
        (frozenset({b"content-type"}), "content-type;host;x-amz-date;x-amz-meta-a"),
        (frozenset({b"content-type", b"if-match", b"absent"}), "content-type;host;if-match;x-amz-date;x-amz-meta-a"),
    ],
)
def test_with_a_list_only_its_fields_and_amazons_are_signed(allowed: frozenset[bytes], names: str) -> None:
    headers = (JSON, (b"If-Match", b"*"), (b"X-Amz-Meta-A", b"1"), (b"X-Other", b"1"), (b"Host", b"h"))
    assert ";".join(fields_of(signed(patch(headers=headers), Terms(signed_fields=allowed)))) == names


def test_a_session_token_is_signed() -> None:
    found = signed(patch(), token=TOKEN)
    assert [name for name, _ in found.headers] == [b"X-Amz-Date", b"X-Amz-Security-Token", b"Authorization"]
    assert fields_of(found)["x-amz-security-token"] == "canary/token=="


def test_or_added_behind_the_signature_where_the_service_wants_that() -> None:
    found = signed(patch(), Terms(signs_token=False), token=TOKEN)
    assert (b"X-Amz-Security-Token", b"canary/token==") in found.headers
    assert b"token" not in found.canonical
    assert found.canonical == signed(patch()).canonical
    assert found.headers[-1] == signed(patch()).headers[-1]


@pytest.mark.parametrize(
    ("terms", "given", "payload", "sent"),
    [
        (Terms(), None, payload_hash_of(b"body"), False),
        (Terms(), "ab" * 32, "ab" * 32, False),
        (Terms(), UNSIGNED_PAYLOAD, UNSIGNED_PAYLOAD, True),
        (Terms(signs_payload=False), None, UNSIGNED_PAYLOAD, True),
        (Terms(signs_payload=False), "ab" * 32, "ab" * 32, True),
        (terms_of("s3"), None, payload_hash_of(b"body"), True),
        (terms_of("s3"), "ab" * 32, "ab" * 32, True),
        (terms_of("s3"), UNSIGNED_PAYLOAD, UNSIGNED_PAYLOAD, True),
        (Terms(sends_payload_hash=True, signs_payload=False), None, UNSIGNED_PAYLOAD, True),
    ],
)
def test_the_last_line_is_the_payload_hash_and_equals_its_field_where_that_is_sent(
    terms: Terms, given: str | None, payload: str, sent: bool
) -> None:
    found = signed(patch(body=b"body"), terms, payload_hash=given)
    assert payload_of(found) == payload
    assert fields_of(found).get("x-amz-content-sha256") == (payload if sent else None)
    assert dict(found.headers).get(b"X-Amz-Content-Sha256") == (payload.encode() if sent else None)


def test_the_hash_of_no_body_is_that_of_nothing() -> None:
    assert payload_of(signed(patch())) == EMPTY_HASH


@pytest.mark.parametrize(
    ("rules", "path"), [(GENERIC, "/b%2520c/"), (S3, "/a/..//b%20c/"), (PathRules(normalize=False), "/a/..//b%2520c/")]
)
def test_the_path_is_made_canonical_as_the_terms_say(rules: PathRules, path: str) -> None:
    assert signed(patch(b"/a/..//b%20c/"), Terms(path=rules)).canonical.decode().split("\n")[1] == path


@pytest.mark.parametrize(
    "name",
    ["Authorization", "authorization", "X-Amz-Content-Sha256", "X-Amz-Date", "x-AMZ-date", "X-Amz-Region-Set",
     "X-Amz-Security-Token"],
)  # fmt: skip
def test_a_request_with_a_field_of_a_signature_is_refused_in_both_forms(name: str) -> None:
    request = patch(headers=(JSON, (name.encode(), b"canary")))
    for sign in (signed, presigned_target):
        with pytest.raises(LocalProtocolError, match=f"field '{name}' is the signature's own: leave it out") as caught:
            sign(request)
        assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    "name",
    ["X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires", "X-Amz-Region-Set", "X-Amz-Security-Token",
     "X-Amz-Signature", "X-Amz-SignedHeaders", "x-amz-signature", "X-AMZ-DATE", "X-Amz%2DDate", "%78-amz-expires"],
)  # fmt: skip
@pytest.mark.parametrize("target", ["/?{}=canary", "/?{}", "/a?b=c&{}=canary&d", "/?&{}="])
def test_a_request_with_a_parameter_of_a_signature_is_refused_in_both_forms(name: str, target: str) -> None:
    request = patch(target.format(name).encode())
    for sign in (signed, presigned_target):
        with pytest.raises(LocalProtocolError, match=f"query: {name} is the signature's own: leave it out") as caught:
            sign(request)
        assert "canary" not in str(caught.value)


@pytest.mark.parametrize("target", [b"/X-Amz-Signature=1", b"/?a=X-Amz-Signature", b"/?X-Amz-Signatures=1", b"/?a"])
def test_what_only_looks_like_one_is_signed(target: bytes) -> None:
    assert signed(patch(target)).headers[-1][0] == b"Authorization"
    assert b"&X-Amz-Signature=5160" in presigned_target(patch(target))


def test_no_secret_and_no_token_is_in_what_a_signed_request_prints() -> None:
    found = signed(patch(), token=TOKEN)
    assert repr(found) == str(found) == "<Signed, 3 fields>"


# --- what is added to the query


def test_a_presigned_request_has_its_signature_at_the_end_of_the_query() -> None:
    request = patch(b"/a", (JSON, (b"X-B", b"1"), (b"x-b", b"2")), b"{}")
    found = presigned(Plain("20150830"), request, DATE, 3600, GENERIC_TERMS)
    unsigned = (
        b"X-Amz-Algorithm=ALGORITHM&X-Amz-Credential=AKIDEXAMPLE%2F20150830%2Fregion%2Fservice%2Faws4_request"
        b"&X-Amz-Date=20150830T123600Z&X-Amz-Expires=3600&X-Amz-SignedHeaders=content-type%3Bhost%3Bx-b"
    )
    canonical = (
        b"PATCH\n/a\n" + unsigned + b"\ncontent-type:application/json\nhost:example.amazonaws.com\nx-b:1,2\n\n"
        b"content-type;host;x-b\n44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
    )
    text = string_to_sign(b"ALGORITHM", canonical, b"20150830/region/service/aws4_request", "20150830T123600Z")
    assert found.target == b"/a?" + unsigned + b"&X-Amz-Signature=" + Plain("20150830").signature(text)
    assert (found.method, found.origin, found.headers, found.body) == ("PATCH", ORIGIN, request.headers, b"{}")


@pytest.mark.parametrize(
    ("target", "start"),
    [
        (b"/", b"/?X-Amz-Algorithm="),
        (b"/a/b", b"/a/b?X-Amz-Algorithm="),
        (b"/?", b"/?X-Amz-Algorithm="),
        (b"/?a", b"/?a&X-Amz-Algorithm="),
        (b"/?z=%7e&a=", b"/?z=%7e&a=&X-Amz-Algorithm="),
        (b"/?a&", b"/?a&X-Amz-Algorithm="),
        (b"/?a=b?", b"/?a=b?&X-Amz-Algorithm="),
        (b"/??", b"/??&X-Amz-Algorithm="),
    ],
)
def test_what_the_query_had_before_stays_as_it_is(target: bytes, start: bytes) -> None:
    assert presigned_target(patch(target)).startswith(start)


@pytest.mark.parametrize("expires", [1, 604_800])
def test_it_is_good_for_a_second_to_seven_days(expires: int) -> None:
    assert b"&X-Amz-Expires=%d&" % expires in presigned_target(patch(), expires=expires)


@pytest.mark.parametrize("expires", [-1, 0, LONGEST_EXPIRY + 1])
def test_and_for_no_other_time(expires: int) -> None:
    with pytest.raises(LocalProtocolError, match=f"good for 1 to 604800 seconds, not {expires}"):
        presigned_target(patch(), expires=expires)


def test_the_token_of_a_presigned_request_is_signed() -> None:
    found = presigned_target(patch(), token=TOKEN)
    assert b"&X-Amz-Security-Token=canary%2Ftoken%3D%3D&X-Amz-Signature=" in found
    assert found.rpartition(b"=")[2] != presigned_target(patch()).rpartition(b"=")[2]


def test_or_added_between_parameters_and_signature_where_the_service_wants_that() -> None:
    found = presigned_target(patch(), Terms(signs_token=False), token=TOKEN)
    plain = presigned_target(patch())
    assert found == plain.replace(b"&X-Amz-Signature", b"&X-Amz-Security-Token=canary%2Ftoken%3D%3D&X-Amz-Signature")


def test_the_fields_of_the_signer_go_into_the_query() -> None:
    found = presigned_target(patch(), fields=((b"X-Amz-Region-Set", b"a,b-*"),))
    assert b"&X-Amz-Region-Set=a%2Cb-%2A&X-Amz-Signature=" in found
    assert b"SignedHeaders=host&" in found


def test_the_body_of_a_presigned_request_is_signed_but_for_s3() -> None:
    def proof(body: bytes, terms: Terms) -> bytes:
        return presigned_target(patch(body=body), terms).rpartition(b"=")[2]

    assert proof(b"a", GENERIC_TERMS) != proof(b"b", GENERIC_TERMS)
    assert proof(b"a", terms_of("s3")) == proof(b"b", terms_of("s3"))
    assert proof(b"a", Terms(signs_payload=False)) == proof(b"b", Terms(signs_payload=False))


# --- AWS's own cases

CASES = signing_cases("v4") + signing_cases("v4a")
OLDER = older_cases()
ALGORITHMS = {"v4": b"AWS4-HMAC-SHA256", "v4a": b"AWS4-ECDSA-P256-SHA256"}
SCOPES = {"v4": b"20150830/us-east-1/service/aws4_request", "v4a": b"20150830/service/aws4_request"}


@needs_vectors
@pytest.mark.parametrize("form", ["header", "query"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.folder.parent.name}-{case}")
def test_the_string_to_sign_of_every_case_is_met(case: SigningCase, form: str) -> None:
    version = case.folder.parent.name
    canonical = case.text(f"{form}-canonical-request.txt")
    found = string_to_sign(ALGORITHMS[version], canonical, SCOPES[version], timestamp(int(case.now)))
    assert found == case.text(f"{form}-string-to-sign.txt")


@needs_vectors
@pytest.mark.parametrize("case", OLDER, ids=str)
def test_the_string_to_sign_of_every_older_case_is_met(case: OlderCase) -> None:
    found = string_to_sign(ALGORITHMS["v4"], case.text("creq"), SCOPES["v4"], "20150830T123600Z")
    assert found == case.text("sts")


@pytest.mark.parametrize(
    ("target", "read"),
    [(b"http://h/a%20b?c=d", "/a%2520b|c=d"), (b"https://[::1]:8443?c=d", "/|c=d"), (b"http://h", "/|")],
)
def test_a_target_in_absolute_form_is_signed_as_the_service_reads_it(target: bytes, read: str) -> None:
    found = signed(patch(target)).canonical.decode().split("\n")
    path, _, query = read.partition("|")
    assert found[1:3] == [path, query]


@pytest.mark.parametrize("method", ["OPTIONS", "CONNECT"])
def test_what_has_no_path_is_not_signed(method: str) -> None:
    target = b"*" if method == "OPTIONS" else b"h:443"
    with pytest.raises(LocalProtocolError, match="cannot be signed"):
        signed(Request(method, ORIGIN, target))


@pytest.mark.parametrize("given", ["", "AB" * 32, "ab" * 31, "unsigned-payload", "\u00e9" * 64])
def test_what_is_no_payload_hash_is_refused(given: str) -> None:
    with pytest.raises(LocalProtocolError, match="64 hexadecimal digits in lower case, or UNSIGNED-PAYLOAD"):
        signed(patch(), payload_hash=given)


@pytest.mark.parametrize(
    ("service", "field"), [("aoss", payload_hash_of(b"")), ("vpc-lattice-svcs", UNSIGNED_PAYLOAD)]
)
def test_services_with_demands_of_their_own_get_them(service: str, field: str) -> None:
    assert fields_of(signed(patch(), terms_of(service)))["x-amz-content-sha256"] == field


def test_the_names_of_fields_to_sign_are_in_lower_case() -> None:
    with pytest.raises(LocalProtocolError, match="'X-Meta': names of signed fields are in lower case"):
        Terms(signed_fields=frozenset({b"X-Meta"}))
