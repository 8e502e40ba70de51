from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from msgspec.structs import replace

from patchwire.auth import sigv4, sigv4a
from patchwire.auth.aws_canonical import canonical_query, canonical_request
from patchwire.auth.aws_credentials import AwsCredentials
from patchwire.auth.aws_errors import error_in
from patchwire.auth.aws_signing import Scope, Terms, payload_hash_of, string_to_sign
from patchwire.auth.verify import aws
from patchwire.auth.verify.aws import AwsVerifier
from patchwire.auth.verify.verdict import Admitted, Refused
from patchwire.http.message import Headers, Origin, Request, Response, request_to

NOW = 1_440_938_160.0
DATE = "20150830T123600Z"
CREDENTIALS = AwsCredentials("AKIDEXAMPLE", "canary-secret")
TEMPORARY = AwsCredentials("ASIATEMPORARY", "canary-second", "canary-token/+=")
SCOPE = Scope("us-east-1", "service")
VERIFIER = AwsVerifier(SCOPE, [CREDENTIALS, TEMPORARY])
INCOMPLETE = "IncompleteSignatureException"
INVALID = "InvalidSignatureException"
UNKNOWN = "UnrecognizedClientException"

by_both = pytest.mark.parametrize("by", [sigv4, sigv4a], ids=["v4", "v4a"])
in_both = pytest.mark.parametrize("where", ["field", "query"])


def patch(target: str = "/a/b?y=1&x=2", body: bytes = b'{"a": 1}', *, scheme: str = "http", **fields: str) -> Request:
    """As it comes in: with Host, and without what frames the body."""
    given_fields = [(name.replace("_", "-"), value) for name, value in fields.items()]
    return request_to("PATCH", f"{scheme}://h{target}", [("Host", "h"), *given_fields], body)


def signed(
    request: Request | None = None,
    *,
    by: ModuleType = sigv4,
    where: str = "field",
    of: AwsCredentials = CREDENTIALS,
    scope: Scope = SCOPE,
    now: float = NOW,
    expires: int = 60,
    **options: Any,
) -> Request:
    request = patch() if request is None else request
    if where == "query":
        made: Request = by.presign(request, of, scope, now, expires, **options)
        return made
    return request.with_valid_fields(by.sign(request, of, scope, now, **options))


def told(
    request: Request, now: float = NOW, verifier: AwsVerifier = VERIFIER, *, has_body: bool = True
) -> tuple[str, str]:
    """Code and message of the refusal; "" where it is let in."""
    verdict = verifier.judge(request, now, has_body=has_body)
    if isinstance(verdict, Admitted):
        return "", verdict.user
    assert verdict.content is not None
    error = error_in(Response(verdict.status, verdict.headers, verdict.content[1]))
    assert error.code
    assert error.message
    return error.code, error.message


def code(request: Request, now: float = NOW, verifier: AwsVerifier = VERIFIER, *, has_body: bool = True) -> str:
    return told(request, now, verifier, has_body=has_body)[0]


def with_line(request: Request, name: bytes, value: bytes) -> Request:
    return request.with_valid_fields(((name, value),))


def edited(request: Request, old: str, new: str) -> Request:
    """The signed request with a part of its Authorization, or of its query, changed by hand."""
    value = request.header(b"authorization")
    if value is None:
        assert old.encode() in request.target
        return replace(request, target=request.target.replace(old.encode(), new.encode()))
    assert old.encode() in value
    return request.with_header(b"Authorization", value.replace(old.encode(), new.encode("latin-1")))


def by_hand(request: Request, names: str, also: Headers = (), payload_hash: str | None = None) -> Request:
    """The request with a signature over exactly these fields, by one who follows no rule."""
    request = with_line(request, b"X-Amz-Date", DATE.encode())
    lines = [*request.headers, *also]
    kept = [line for line in lines if line[0].lower() in names.encode().split(b";")]
    canonical = canonical_request(
        request.method, request.target, kept, payload_hash or payload_hash_of(request.body)
    ).text
    where = "20150830/us-east-1/service/aws4_request"
    key = sigv4.signing_key(CREDENTIALS.secret_key, "20150830", SCOPE)
    proof = sigv4.signature(key, string_to_sign(b"AWS4-HMAC-SHA256", canonical, where.encode(), DATE))
    value = f"AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/{where}, SignedHeaders={names}, Signature={proof}"
    return with_line(request, b"Authorization", value.encode())


# --- who is let in


@by_both
@in_both
@pytest.mark.parametrize("of", [CREDENTIALS, TEMPORARY], ids=["lasting", "temporary"])
@pytest.mark.parametrize("service", ["service", "s3"])
@pytest.mark.parametrize("target", ["/", "/a%20b/c?y=1&x=2", "/a/../b//c/?x", "/%E4?q=%2F+%20&q=&"])
def test_what_our_client_signs_is_let_in(
    by: ModuleType, where: str, of: AwsCredentials, service: str, target: str
) -> None:
    scope = Scope("us-east-1", service)
    request = signed(patch(target, X="1", Content_Type="a/b"), by=by, where=where, of=of, scope=scope)
    verifier = AwsVerifier(scope, [CREDENTIALS, TEMPORARY])
    assert verifier.judge(request, NOW) == Admitted(of.access_key)


def test_the_signature_of_the_documentation_is_let_in() -> None:
    credentials = AwsCredentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
    proof = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"
    fields = [
        ("Host", "example.amazonaws.com"),
        ("X-Amz-Date", "20150830T123600Z"),
        ("Authorization", "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
         f"SignedHeaders=host;x-amz-date, Signature={proof}"),
    ]  # fmt: skip
    request = request_to("GET", "http://example.amazonaws.com/", fields)
    assert AwsVerifier(SCOPE, [credentials]).judge(request, NOW) == Admitted("AKIDEXAMPLE")


@pytest.mark.parametrize(
    ("old", "new"), [(", ", ","), (", ", " , "), (", ", "  ,   "), ("SHA256 ", "SHA256   ")], ids=repr
)
def test_blanks_between_the_parts_of_authorization_do_not_matter(old: str, new: str) -> None:
    assert code(edited(signed(), old, new)) == ""


# --- who is not: keys, tokens, sessions


@by_both
@in_both
def test_another_secret_is_refused(by: ModuleType, where: str) -> None:
    request = signed(by=by, where=where, of=AwsCredentials("AKIDEXAMPLE", "canary-secreT"))
    assert code(request) == INVALID


@by_both
@in_both
def test_an_unknown_access_key_is_refused(by: ModuleType, where: str) -> None:
    request = signed(by=by, where=where, of=AwsCredentials("AKIDEXAMPLF", "canary-secret"))
    assert told(request) == (UNKNOWN, "The security token included in the request is invalid.")


@in_both
@pytest.mark.parametrize(
    ("held", "sent", "expected"),
    [("right", "right", ""), (None, None, ""), ("right", "wrong", UNKNOWN), ("right", "righ", UNKNOWN),
     ("right", None, UNKNOWN), (None, "right", UNKNOWN)],
)  # fmt: skip
def test_the_token_of_the_session_must_be_there_where_there_is_one_and_only_there(
    held: str | None, sent: str | None, expected: str, where: str
) -> None:
    verifier = AwsVerifier(SCOPE, [AwsCredentials("AKID", "canary-secret", held)])
    request = signed(where=where, of=AwsCredentials("AKID", "canary-secret", sent))
    assert code(request, NOW, verifier) == expected


def test_a_token_beyond_ascii_is_refused() -> None:
    request = with_line(signed(), b"X-Amz-Security-Token", b"\xff\xfe")
    assert code(request) == UNKNOWN
    assert code(edited(signed(where="query"), "X-Amz-Date", "X-Amz-Security-Token=%FF&X-Amz-Date")) == UNKNOWN


@pytest.mark.parametrize(
    ("ends", "expected"), [(None, ""), (0.5, ""), (0.0, "ExpiredTokenException"), (-1.0, "ExpiredTokenException")]
)
def test_a_session_that_has_ended_is_refused(ends: float | None, expected: str) -> None:
    of = AwsCredentials("AKID", "canary-secret", "canary-token", None if ends is None else NOW + ends)
    verifier = AwsVerifier(SCOPE, [of])
    assert code(signed(of=of), NOW, verifier) == expected
    if expected:
        wrong = AwsCredentials("AKID", "canary-secret", "wrong")
        assert code(signed(of=wrong), NOW, verifier) == UNKNOWN  # of the session nothing is told without its token


# --- what it is signed for


V4_PLACE = "20150830/us-east-1/service/aws4_request"


@in_both
@pytest.mark.parametrize(
    ("place", "complaint"),
    [("20150831/us-east-1/service/aws4_request", "Credential should be scoped to '20150830', not '20150831'."),
     ("20150830/us-east-2/service/aws4_request", "Credential should be scoped to 'us-east-1', not 'us-east-2'."),
     ("20150830/us-east-1/Service/aws4_request", "Credential should be scoped to 'service', not 'Service'."),
     ("20150830/us-east-1/service/aws5_request", "Credential should be scoped to 'aws4_request', not 'aws5_request'."),
     ("20150830/us-east-1/service", f"Credential should have the form KEY/{V4_PLACE}."),
     ("20150830/service/aws4_request", f"Credential should have the form KEY/{V4_PLACE}."),
     (f"{V4_PLACE}/x", f"Credential should have the form KEY/{V4_PLACE}."),
     ("", f"Credential should have the form KEY/{V4_PLACE}.")],
)  # fmt: skip
def test_another_scope_is_refused_by_what_is_wrong_with_it(place: str, complaint: str, where: str) -> None:
    old, new = (V4_PLACE, place) if where == "field" else (each.replace("/", "%2F") for each in (V4_PLACE, place))
    assert told(edited(signed(where=where), old, new)) == (INVALID, complaint)


def test_an_access_key_without_scope_is_refused() -> None:
    complaint = f"Credential should have the form KEY/{V4_PLACE}."
    assert told(edited(signed(), f"/{V4_PLACE}", "")) == (INVALID, complaint)
    complaint = "Credential should have the form KEY/20150830/service/aws4_request."
    assert told(edited(signed(by=sigv4a), "/20150830/service/aws4_request", f"/{V4_PLACE}")) == (INVALID, complaint)


@pytest.mark.parametrize("scope", [Scope("us-east-2", "service"), Scope("us-east-1", "services")], ids=str)
@in_both
def test_what_is_signed_for_another_service_or_region_is_refused(scope: Scope, where: str) -> None:
    error, message = told(signed(scope=scope, where=where))
    assert error == INVALID
    assert message.startswith("Credential should be scoped to ")


def test_what_a_scope_has_said_is_shown_in_part() -> None:
    assert told(edited(signed(), "us-east-1", "r" * 9999))[1].endswith(f"not '{'r' * 80}'.")


@in_both
@pytest.mark.parametrize(
    "regions", ["us-east-1", "us-*", "*", "eu-west-1,us-east-1", "*-1", "us-*-1", "**", "u*s*t*1"]
)
def test_a_set_of_regions_with_ours_in_it_is_let_in(regions: str, where: str) -> None:
    assert code(signed(by=sigv4a, where=where, scope=Scope(regions, "service"))) == ""


@in_both
@pytest.mark.parametrize(
    "regions", ["eu-west-1", "eu-*", "us-east", "s-east-1", "*-2", "eu-*,us-west-*", "us-east-1*2"]
)
def test_a_set_of_regions_without_ours_is_refused(regions: str, where: str) -> None:
    request = signed(by=sigv4a, where=where, scope=Scope(regions, "service"))
    assert told(request) == (INVALID, "The region set does not contain us-east-1.")


@pytest.mark.parametrize("regions", ["us-east-?", "us-east-[1]", "[!x]*", "", ",", "US-EAST-1", "\xff*", "*" * 65])
def test_of_a_set_of_regions_only_asterisks_stand_for_others(regions: str) -> None:
    request = signed(by=sigv4a).with_header(b"X-Amz-Region-Set", regions.encode("latin-1"))
    assert told(request) == (INVALID, "The region set does not contain us-east-1.")


def test_a_set_of_regions_must_be_there() -> None:
    request = signed(by=sigv4a).without_header(b"x-amz-region-set")
    assert told(request) == (INVALID, "The region set does not contain us-east-1.")
    request = edited(signed(by=sigv4a, where="query"), "&X-Amz-Region-Set=us-east-1", "")
    assert told(request) == (INVALID, "The region set does not contain us-east-1.")


def test_blanks_between_regions_do_not_matter_where_they_are_signed() -> None:
    request = signed(by=sigv4a, scope=Scope("eu-west-1,us-east-1", "service"))
    mismatch = told(request.with_header(b"X-Amz-Region-Set", b"eu-west-1 , us-east-1"))
    assert mismatch[0] == INVALID
    assert mismatch[1].startswith("The request signature we calculated does not match")


# --- when


@by_both
@pytest.mark.parametrize(
    ("ahead", "max_skew", "complaint"),
    [(300.0, 300.0, ""),
     (301.0, 300.0, "Signature expired: 20150830T123600Z is now earlier than 20150830T124101Z (300 s)."),
     (300.5, 300.0, "Signature expired: 20150830T123600Z is now earlier than 20150830T124100Z (300 s)."),
     (-300.0, 300.0, ""), (10.0, 10.0, ""), (900.0, 900.0, ""),
     (-301.0, 300.0, "Signature not yet current: 20150830T123600Z is still later than 20150830T123059Z (300 s)."),
     (11.0, 10.0, "Signature expired: 20150830T123600Z is now earlier than 20150830T123611Z (10 s)."),
     (-11.0, 10.0, "Signature not yet current: 20150830T123600Z is still later than 20150830T123549Z (10 s).")],
)  # fmt: skip
def test_a_clock_may_be_wrong_by_so_much_and_no_more(
    ahead: float, max_skew: float, complaint: str, by: ModuleType
) -> None:
    verifier = AwsVerifier(SCOPE, [CREDENTIALS], max_skew=max_skew)
    expected = (INVALID, complaint) if complaint else ("", "AKIDEXAMPLE")
    assert told(signed(by=by), NOW + ahead, verifier) == expected


@by_both
@pytest.mark.parametrize(
    ("expires", "ahead", "expected"),
    [(1, 0.0, ""), (1, 1.0, ""), (1, 2.0, "expired"), (3600, 3600.0, ""), (3600, 3601.0, "expired"),
     (604_800, 604_800.0, ""), (604_800, 604_801.0, "expired"), (604_800, -300.0, ""), (604_800, -301.0, "not yet")],
)  # fmt: skip
def test_a_presigned_request_is_good_as_long_as_it_says_and_not_before(
    expires: int, ahead: float, expected: str, by: ModuleType
) -> None:
    error, message = told(signed(by=by, where="query", expires=expires), NOW + ahead)
    assert error == (INVALID if expected else "")
    assert expected in message


@pytest.mark.parametrize(
    "expires",
    ["0", "604801", "-1", "+1", "1.5", "", "abc", "1e3", "%201", "1_0", "%C2%B2", "%B2", "00000000112345678", "01",
     "9" * 5000],
)  # fmt: skip
def test_a_lifetime_that_is_none_is_refused(expires: str) -> None:
    request = edited(signed(where="query"), "X-Amz-Expires=60", f"X-Amz-Expires={expires}")
    assert told(request) == (INCOMPLETE, "X-Amz-Expires must be 1 to 604800.")


@in_both
@pytest.mark.parametrize(
    "date",
    ["", "20150830", "2015-08-30T12:36:00Z", "20150830T123600", "20151330T123600Z", "20150230T123600Z",
     "20150830T243600Z", "20150830T123660Z", "00000830T123600Z", "20150830t123600z", "20150830T123600Z0", "\xb2",
     "Sun, 30 Aug 2015 12:36:00 GMT"],
)  # fmt: skip
def test_a_date_that_is_none_is_refused(date: str, where: str) -> None:
    if where == "field":
        request = signed().with_header(b"X-Amz-Date", date.encode("latin-1"))
    else:
        escaped = date.replace(" ", "%20").replace("\xb2", "%B2")
        request = edited(signed(where="query"), f"X-Amz-Date={DATE}", f"X-Amz-Date={escaped}")
    assert told(request) == (INCOMPLETE, "X-Amz-Date must be there, such as 20150830T123600Z.")


def test_without_a_date_there_is_none() -> None:
    request = with_line(signed().without_header(b"x-amz-date"), b"Date", b"Sun, 30 Aug 2015 12:36:00 GMT")
    assert told(request) == (INCOMPLETE, "X-Amz-Date must be there, such as 20150830T123600Z.")


# --- what is signed


@by_both
@in_both
@pytest.mark.parametrize("change", [{"method": "PUT"}, {"body": b'{"a": 2}'}, {"body": b""}], ids=str)
def test_another_method_or_body_is_refused(change: dict[str, Any], where: str, by: ModuleType) -> None:
    assert code(replace(signed(by=by, where=where), **change)) == INVALID


@by_both
@in_both
@pytest.mark.parametrize("path", ["/a/c", "/a/B", "/a/b/", "/a", "/a%2Fb", "/", "//a/b/c"])
def test_another_path_is_refused(path: str, where: str, by: ModuleType) -> None:
    request = signed(by=by, where=where)
    assert code(replace(request, target=request.target.replace(b"/a/b", path.encode(), 1))) == INVALID


@by_both
@in_both
@pytest.mark.parametrize("query", ["y=1&x=3", "y=1", "y=1&x=2&z", "y=1&x=2&x=2", "y=1&X=2", "y=2&x=1", "y=1&x=2%20"])
def test_another_query_is_refused(query: str, where: str, by: ModuleType) -> None:
    request = signed(by=by, where=where)
    assert code(replace(request, target=request.target.replace(b"y=1&x=2", query.encode()))) == INVALID


@by_both
@in_both
@pytest.mark.parametrize("name", [b"host", b"content-type", b"if-match", b"x-amz-meta"])
def test_another_value_of_a_signed_field_is_refused(name: bytes, where: str, by: ModuleType) -> None:
    request = signed(
        patch(Content_Type="a/b", If_Match='"1"', x_amz_meta="1"), by=by, where=where
    )  # fmt: skip
    assert code(request) == ""
    value = request.header(name)
    assert value is not None
    assert code(request.with_header(name, value + b"x")) == INVALID
    assert code(with_line(request, name, b"x")) == INVALID
    absent = "SignedHeaders must name fields that are there, each once and in order."
    if name != b"host":
        assert told(request.without_header(name)) == (INCOMPLETE, absent)


@pytest.mark.parametrize(
    ("by", "name", "other", "expected"),
    [(sigv4, b"x-amz-date", b"20150830T123601Z", "SignatureDoesNotMatch"),
     (sigv4a, b"x-amz-date", b"20150830T123601Z", "SignatureDoesNotMatch"),
     (sigv4, b"x-amz-content-sha256", b"UNSIGNED-PAYLOAD", "SignatureDoesNotMatch"),
     (sigv4a, b"x-amz-content-sha256", b"UNSIGNED-PAYLOAD", "SignatureDoesNotMatch"),
     (sigv4, b"x-amz-security-token", b"other", "InvalidToken"),
     (sigv4a, b"x-amz-region-set", b"us-*", "SignatureDoesNotMatch")],
)  # fmt: skip
def test_the_fields_of_the_signature_itself_are_signed(
    by: ModuleType, name: bytes, other: bytes, expected: str
) -> None:
    scope = Scope("us-east-1", "s3")
    verifier = AwsVerifier(scope, [TEMPORARY])
    request = signed(by=by, of=TEMPORARY, scope=scope)
    assert code(request, NOW, verifier) == ""
    assert code(request.with_header(name, other), NOW, verifier) == expected


@in_both
def test_a_signature_of_another_request_is_refused(where: str) -> None:
    old, new = (signed(patch(f"/{name}"), where=where) for name in "ab")
    if where == "field":
        moved = new.with_header(b"Authorization", old.header(b"authorization") or b"")
    else:
        moved = replace(old, target=new.target.partition(b"?")[0] + b"?" + old.target.partition(b"?")[2])
    assert code(moved) == INVALID


@by_both
@in_both
def test_a_field_that_is_not_signed_may_be_added_unless_it_is_of_aws(by: ModuleType, where: str) -> None:
    request = signed(by=by, where=where)
    for name in (b"X-Forwarded-For", b"Content-Type", b"Accept", b"X-AmzN-Trace-Id"):
        assert code(with_line(request, name, b"1")) == ""
    for name in (b"X-Amz-Meta", b"x-amz-target"):
        assert told(with_line(request, name, b"1")) == (INCOMPLETE, f"{name.decode().lower()} must be signed.")


def test_the_token_of_a_session_need_not_be_signed() -> None:
    request = signed(of=TEMPORARY, terms=Terms(signs_token=False))
    assert b"security-token," not in (request.header(b"authorization") or b"")
    assert code(request) == ""


@in_both
@pytest.mark.parametrize("names", ["accept", "x-amz-date", "Host", "hosts", "x-host"])
def test_host_must_be_signed(names: str, where: str) -> None:
    request = signed(where=where)
    old = "SignedHeaders=host;x-amz-date" if where == "field" else "SignedHeaders=host"
    assert told(edited(request, old, f"SignedHeaders={names}")) == (INCOMPLETE, "Host must be signed.")


@pytest.mark.parametrize("name", ["X-Amz-Date", "x-amz-dat"])
def test_the_date_must_be_signed(name: str) -> None:
    request = edited(signed(), "host;x-amz-date", f"host;{name}")
    assert told(request) == (INCOMPLETE, "x-amz-date must be signed.")


@pytest.mark.parametrize(
    "names",
    ["host;x-amz-date;x-none", "host;x-amz-date;", ";host;x-amz-date", "host;;x-amz-date", "x-amz-date;host",
     "host;host;x-amz-date", "host;x-amz-date;transfer-encoding", "host;x-amz-date;\xff"],
)  # fmt: skip
def test_the_names_of_the_signed_fields_are_those_that_are_there_in_order(names: str) -> None:
    complaint = "SignedHeaders must name fields that are there, each once and in order."
    assert told(edited(signed(), "host;x-amz-date", names)) == (INCOMPLETE, complaint)


def test_the_length_of_the_body_may_be_signed_though_the_server_has_taken_it_off() -> None:
    names = "content-length;host;x-amz-date"
    request = by_hand(patch(), names, ((b"Content-Length", b"8"),))
    assert code(request) == ""
    assert code(by_hand(patch(), names, ((b"Content-Length", b"9"),))) == INVALID
    assert code(by_hand(patch(body=b""), names, ((b"Content-Length", b"0"),))) == ""


def test_a_field_that_comes_twice_is_signed_as_one() -> None:
    twice = with_line(patch(Accept="a"), b"accept", b"b")
    request = signed(twice)
    assert code(request) == ""
    assert code(request.with_header(b"Accept", b"a,b")) == ""
    assert code(request.with_header(b"Accept", b"b,a")) == INVALID


@by_both
@in_both
@pytest.mark.parametrize("target", ["/a?b=1", "/a", "/", "", "?b=1"])
def test_a_target_in_absolute_form_is_read_like_its_path(target: str, where: str, by: ModuleType) -> None:
    absolute = replace(patch(), target=f"http://h{target}".encode())
    request = signed(absolute, by=by, where=where)
    assert code(request) == ""
    assert code(replace(request, target=request.target.replace(b"://h", b"://h/x", 1))) == INVALID


def test_a_request_for_no_path_is_refused() -> None:
    lines = signed().headers
    for method, target in (("OPTIONS", b"*"), ("CONNECT", b"h:80")):
        request = Request(method, Origin("http", "h", 80), target, lines)
        assert told(request) == (INCOMPLETE, f"a request for {target.decode()} cannot be signed")


# --- the body's hash


@pytest.mark.parametrize("service", ["service", "s3"])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_an_unsigned_body_is_taken_over_https_and_by_s3(service: str, scheme: str) -> None:
    scope = Scope("us-east-1", service)
    request = signed(patch(scheme=scheme), scope=scope, payload_hash="UNSIGNED-PAYLOAD")
    verifier = AwsVerifier(scope, [CREDENTIALS])
    for each in (request, replace(request, body=b"another")):
        if (service, scheme) == ("service", "http"):
            assert told(each, NOW, verifier) == (INVALID, "An unsigned payload is taken over https only.")
        else:
            assert told(each, NOW, verifier) == ("", "AKIDEXAMPLE")


def test_presigned_for_s3_the_body_is_not_signed() -> None:
    scope = Scope("us-east-1", "s3")
    verifier = AwsVerifier(scope, [CREDENTIALS])
    request = signed(where="query", scope=scope)
    assert verifier.judge(replace(request, body=b"another"), NOW) == Admitted("AKIDEXAMPLE")
    assert verifier.judge(replace(request, body=b""), NOW, has_body=False) == Admitted("AKIDEXAMPLE")


@pytest.mark.parametrize("has_body", [True, False])
@pytest.mark.parametrize(
    "said", ["", "x", "\xff", "unsigned-payload", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "a" * 63, "A" * 64, "a" * 65,
             "\xe9" * 64]
)  # fmt: skip
def test_what_is_no_hash_is_refused_with_and_without_a_body(said: str, has_body: bool) -> None:
    request = with_line(signed(), b"X-Amz-Content-Sha256", said.encode("latin-1"))
    request = edited(request, "host;", "host;x-amz-content-sha256;")
    complaint = "The provided 'x-amz-content-sha256' header does not match what was computed."
    assert told(request, has_body=has_body) == (INVALID, complaint)


def test_a_hash_of_another_body_is_refused_although_it_is_signed() -> None:
    request = signed(terms=Terms(sends_payload_hash=True))
    assert code(request) == ""
    assert told(replace(request, body=b"another"))[1].startswith("The provided 'x-amz-content-sha256' header")


def test_before_the_body_has_come_nothing_is_sure_unless_its_hash_is_said() -> None:
    head = replace(signed(), body=b"")
    assert VERIFIER.judge(head, NOW, has_body=False) == Admitted("AKIDEXAMPLE", provisional=True)
    said = replace(signed(terms=Terms(sends_payload_hash=True)), body=b"")
    assert VERIFIER.judge(said, NOW, has_body=False) == Admitted("AKIDEXAMPLE")
    assert code(said) == INVALID


def test_what_the_head_alone_shows_to_be_wrong_is_refused_before_the_body_has_come() -> None:
    said = replace(signed(terms=Terms(sends_payload_hash=True)), body=b"", method="PUT")
    assert code(said, has_body=False) == INVALID
    head = replace(signed(), body=b"")
    assert code(edited(head, "AKIDEXAMPLE", "AKID"), has_body=False) == UNKNOWN
    assert code(edited(head, "us-east-1", "us-east-2"), has_body=False) == INVALID
    assert code(head, NOW + 301, has_body=False) == INVALID
    assert code(edited(head, "host;", ""), has_body=False) == INCOMPLETE


def test_a_signed_length_is_not_held_against_a_body_that_has_not_come() -> None:
    request = with_line(patch(), b"X-Amz-Content-Sha256", payload_hash_of(b'{"a": 1}').encode())
    request = by_hand(request, "content-length;host;x-amz-content-sha256;x-amz-date", ((b"Content-Length", b"8"),))
    head = replace(request, body=b"")
    assert VERIFIER.judge(head, NOW, has_body=False) == Admitted("AKIDEXAMPLE", provisional=True)
    assert VERIFIER.judge(request, NOW) == Admitted("AKIDEXAMPLE")
    assert code(head) == INVALID


# --- what is no signature


def test_without_a_signature_a_request_is_refused() -> None:
    missing = ("MissingAuthenticationTokenException", "Missing Authentication Token")
    for target in ("/", "/a?x=1", "/X-Amz-Signature=1?x", "/a?x-amz-signature=1", "/a?notX-Amz-Signature=1"):
        assert told(patch(target)) == missing


def test_a_parameter_whose_name_ends_like_one_of_the_signature_is_none() -> None:
    assert code(signed(patch("/a?notX-Amz-Signature=1&x=X-Amz-Algorithm=2"))) == ""


@pytest.mark.parametrize("name", ["X-Amz-Signature", "X-Amz-Algorithm"])
def test_there_is_one_signature_at_most(name: str) -> None:
    twice = (INCOMPLETE, "There is more than one signature.")
    request = signed()
    value = request.header(b"authorization") or b""
    assert told(with_line(request, b"authorization", value)) == twice
    assert told(with_line(request, b"authorization", b"Basic eDp5")) == twice
    assert told(with_line(signed(where="query"), b"Authorization", value)) == twice
    for target in (f"/a?{name}=1", f"/a?{name}", f"/a?x=1&{name}="):
        assert told(replace(request, target=target.encode())) == twice


GOOD = f"AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/{V4_PLACE}, SignedHeaders=host;x-amz-date, Signature=0a"


@pytest.mark.parametrize(
    "value",
    ["", "Basic eDp5", "Bearer canary", "AWS AKIDEXAMPLE:0a", "AWS4-HMAC-SHA256", "AWS4-HMAC-SHA256 x",
     GOOD.replace("Credential", "credential"), GOOD.replace("Credential=", "Credential"), GOOD.replace(", ", " "),
     GOOD.replace(", ", ";"), GOOD.replace("0a", ""), GOOD.replace("0a", "0A"), GOOD.replace("0a", "xyz"),
     GOOD.replace("0a", "\xff"), GOOD + ",", GOOD + ", x=y", GOOD + " x", f"x{GOOD}", GOOD.replace("AWS4-", ""),
     GOOD.replace("AWS4", "aws4"), GOOD.replace("SHA256 ", "SHA256"), GOOD.replace("SHA256 ", "SHA256\t"),
     GOOD.replace("host;x-amz-date", ""), GOOD.replace("AKIDEXAMPLE", "AKID EXAMPLE"),
     GOOD.replace("AKIDEXAMPLE", "AKID,EXAMPLE"), GOOD.partition(", Signature")[0],
     GOOD.replace("Credential", "Signature").replace(", Signature", ", Credential"), GOOD.replace("=", "")],
)  # fmt: skip
def test_an_authorization_that_is_not_aws_own_form_is_refused(value: str) -> None:
    request = signed().with_header(b"Authorization", value.encode("latin-1"))
    said = "Authorization must hold an algorithm, Credential, SignedHeaders and Signature."
    assert told(request) == (INCOMPLETE, said)


@pytest.mark.parametrize("algorithm", ["AWS4-HMAC-SHA512", "AWS4-HMAC", "AWS4-ECDSA-P256-SHA256-PAYLOAD", "AWS4-0"])
@in_both
def test_an_unknown_algorithm_is_refused_by_name(algorithm: str, where: str) -> None:
    request = edited(signed(where=where), "AWS4-HMAC-SHA256", algorithm)
    assert told(request) == (INCOMPLETE, f"Algorithm {algorithm!r} is not known.")


def test_an_algorithm_of_no_length_at_all_or_of_much_is_refused() -> None:
    request = edited(signed(where="query"), "AWS4-HMAC-SHA256", "")
    assert told(request) == (INCOMPLETE, "Algorithm '' is not known.")
    request = edited(signed(where="query"), "AWS4-HMAC-SHA256", "%00" + "x" * 9999)
    assert told(request) == (INCOMPLETE, f"Algorithm '\\x00{'x' * 39}' is not known.")


@in_both
def test_a_signature_by_the_other_algorithm_is_refused(where: str) -> None:
    slash = "/" if where == "field" else "%2F"
    request = edited(signed(by=sigv4a, where=where), "AWS4-ECDSA-P256-SHA256", "AWS4-HMAC-SHA256")
    request = edited(request, f"{slash}service", f"{slash}us-east-1{slash}service")
    error, message = told(request)
    assert error == INVALID
    assert message.startswith("The request signature we calculated does not match")


PARAMETERS = ["Algorithm", "Credential", "SignedHeaders", "Signature", "Date", "Expires"]


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_parameter_of_the_signature_that_is_missing_is_named(name: str) -> None:
    request = edited(signed(where="query"), f"X-Amz-{name}=", f"x-amz-{name}=")
    assert told(request) == (INCOMPLETE, f"X-Amz-{name} is missing.")


@pytest.mark.parametrize("name", [*PARAMETERS, "Region-Set", "Security-Token"])
def test_a_parameter_of_the_signature_that_stands_twice_is_named(name: str) -> None:
    request = signed(by=sigv4a, where="query", of=TEMPORARY)
    twice = replace(request, target=request.target + f"&X-Amz-{name}=1".encode())
    assert told(twice) == (INCOMPLETE, f"X-Amz-{name} stands twice.")


@by_both
@pytest.mark.parametrize("proof", ["%FF", "%C3%A9", "", "0A", "xyz", "%200a", "0a%20", "%30a+", "0" * 9999 + "g"])
def test_a_signature_in_the_query_that_is_not_in_digits_is_refused(proof: str, by: ModuleType) -> None:
    target = signed(by=by, where="query").target.partition(b"X-Amz-Signature=")[0]
    request = replace(patch(), target=target + b"X-Amz-Signature=" + proof.encode())
    assert told(request) == (INCOMPLETE, "The signature must be hexadecimal digits in lower case.")


@by_both
@in_both
@pytest.mark.parametrize("proof", ["0", "00", "0a" * 32, "3006020101020101", "0" * 4001])
def test_digits_that_are_no_signature_are_refused(proof: str, by: ModuleType, where: str) -> None:
    request = signed(by=by, where=where)
    if where == "field":
        start = (request.header(b"authorization") or b"").rpartition(b"=")[0]
        request = request.with_header(b"Authorization", start + b"=" + proof.encode())
    else:
        request = replace(request, target=request.target.rpartition(b"=")[0] + b"=" + proof.encode())
    assert code(request) == INVALID


# --- whatever comes


def test_no_secret_shows() -> None:
    assert repr(VERIFIER) == "<AwsVerifier of 2 access keys>"
    for where in ("field", "query"):
        request = signed(of=TEMPORARY, where=where)
        place = "20150830/us-east-1/service/aws4_request"
        assert repr(aws._claim_of(request)) == f"<claim of 'ASIATEMPORARY/{place}'>"
    verdict = VERIFIER.judge(replace(signed(of=TEMPORARY), method="PUT"), NOW)
    assert isinstance(verdict, Refused)
    assert "canary-token" in verdict.reason  # as in what the service has signed, which the client has sent
    assert repr(verdict) == "<Refused 403>"


field_value = st.lists(st.sampled_from([*range(0x20, 0x7F), *range(0x80, 0x100)]), max_size=60).map(
    lambda octets: bytes(octets).strip()
)
SIGNED_NAMES = [b"host", b"content-type", b"x-amz-date", b"x-amz-content-sha256", b"x-amz-security-token"]


@given(
    name=st.sampled_from([*SIGNED_NAMES, b"x-amz-region-set", b"authorization", b"x-amz-new"]),
    value=field_value,
    added=st.booleans(),
    has_body=st.booleans(),
    is_a=st.booleans(),
)
def test_no_field_makes_the_verifier_stumble_and_none_but_the_signed_one_is_let_in(
    name: bytes, value: bytes, added: bool, has_body: bool, is_a: bool
) -> None:
    request = signed(
        patch(scheme="https", Content_Type="a/b"), by=sigv4a if is_a else sigv4, of=TEMPORARY,
        terms=Terms(sends_payload_hash=True),
    )  # fmt: skip
    assume(b" ".join(value.split()) != request.header(name))
    changed = with_line(request, name, value) if added else request.with_header(name, value)
    verdict = VERIFIER.judge(changed, NOW, has_body=has_body)
    assert isinstance(verdict, Refused), changed.headers
    assert VERIFIER.judge(request, NOW, has_body=has_body) == Admitted("ASIATEMPORARY")


escaped = st.lists(
    st.one_of(st.sampled_from("abcXYZ019-._~/?=&:;,*"), st.integers(0, 255).map(lambda octet: f"%{octet:02X}")),
    max_size=40,
).map("".join)


@given(
    name=st.sampled_from([*PARAMETERS, "Region-Set", "Security-Token"]), value=escaped, has_body=st.booleans(),
    is_a=st.booleans(),
)  # fmt: skip
def test_no_parameter_makes_the_verifier_stumble_and_none_but_the_signed_one_is_let_in(
    name: str, value: str, has_body: bool, is_a: bool
) -> None:
    request = signed(by=sigv4a if is_a else sigv4, where="query", of=TEMPORARY)
    path, _, query = request.target.partition(b"?")
    wanted = f"X-Amz-{name}=".encode()
    kept = [each for each in query.split(b"&") if not each.startswith(wanted)]
    changed = replace(request, target=path + b"?" + b"&".join([*kept, wanted + value.encode()]))
    assume(canonical_query(changed.target.partition(b"?")[2]) != canonical_query(query))
    verdict = VERIFIER.judge(changed, NOW, has_body=has_body)
    if has_body:
        assert isinstance(verdict, Refused), changed.target
    else:
        assert isinstance(verdict, Refused) or verdict.provisional, changed.target


segment = st.text("abcXYZ019_~", min_size=1, max_size=6)
parameter = st.tuples(segment, segment).map("=".join)
word = st.text(
    st.characters(min_codepoint=0x21, max_codepoint=0xFF, blacklist_characters="\x7f"), min_size=1, max_size=9
)


@given(
    method=st.sampled_from(["GET", "PUT", "PATCH", "POST", "X-OWN"]),
    segments=st.lists(segment, min_size=1, max_size=3),
    query=st.lists(parameter, max_size=3),
    words=st.lists(word, max_size=2),
    body=st.binary(max_size=20),
    service=st.sampled_from(["service", "s3"]),
    is_a=st.booleans(),
    of=st.sampled_from([CREDENTIALS, TEMPORARY]),
    where=st.sampled_from(["field", "query"]),
    data=st.data(),
)
def test_whatever_is_signed_is_let_in_and_one_changed_octet_of_it_is_not(
    method: str, segments: list[str], query: list[str], words: list[str], body: bytes, service: str, is_a: bool,
    of: AwsCredentials, where: str, data: st.DataObject,
) -> None:  # fmt: skip
    target = "/" + "/".join(segments) + ("?" + "&".join(query) if query else "")
    headers = [(b"Host", b"h:8080"), *[(b"X-%d" % index, each.encode("latin-1")) for index, each in enumerate(words)]]
    scope = Scope("us-east-1", service)
    request = Request(method, Origin("http", "h", 8080), target.encode(), tuple(headers), body)
    request = signed(request, by=sigv4a if is_a else sigv4, where=where, of=of, scope=scope)
    verifier = AwsVerifier(scope, [CREDENTIALS, TEMPORARY])
    assert verifier.judge(request, NOW) == Admitted(of.access_key)

    signs_body = body and (where, service) != ("query", "s3")
    part = data.draw(st.sampled_from(["method", "target", "field", *(["body"] if signs_body else [])]))
    if part == "method":
        changed = replace(request, method=data.draw(st.sampled_from(["DELETE", "X-OWM"])))
    elif part == "target":
        places = [index for index, character in enumerate(target) if character not in "/?&="]
        changed = replace(request, target=octet_changed(request.target, places, data))
    elif part == "field":
        name, value = data.draw(st.sampled_from(headers))
        changed = request.with_header(name, octet_changed(value, list(range(len(value))), data))
    else:
        changed = replace(request, body=octet_changed(body, list(range(len(body))), data))
    assert isinstance(verifier.judge(changed, NOW), Refused)


def octet_changed(octets: bytes, places: list[int], data: st.DataObject) -> bytes:
    """The octets with one at one of these places become another."""
    place = data.draw(st.sampled_from(places))
    other = data.draw(st.sampled_from([each for each in b"abcXYZ019" if each != octets[place]]))
    return octets[:place] + bytes([other]) + octets[place + 1 :]
