from __future__ import annotations

import json

import msgspec
import pytest

from patchwire.auth import sigv4
from patchwire.auth.aws_credentials import AwsCredentials
from patchwire.auth.aws_errors import Meaning, error_in
from patchwire.auth.aws_signing import Scope
from patchwire.auth.verify.aws import AwsVerifier
from patchwire.auth.verify.aws_refusals import Refusal, refused
from patchwire.auth.verify.verdict import Refused
from patchwire.http.message import Response, request_to

MISMATCH = (
    "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key "
    "and signing method. Consult the service documentation for details."
)
INVALID_TOKEN = "The security token included in the request is invalid."
EXPIRED = "The security token included in the request is expired"
WRONG_HASH = "The provided 'x-amz-content-sha256' header does not match what was computed."


@pytest.mark.parametrize(
    ("kind", "status", "code", "message"),
    [("BadScope", 403, "InvalidSignatureException", ""),
     ("ExpiredTokenException", 403, "ExpiredTokenException", EXPIRED),
     ("IncompleteSignature", 400, "IncompleteSignatureException", ""),
     ("InvalidToken", 403, "UnrecognizedClientException", INVALID_TOKEN),
     ("MissingAuthenticationToken", 403, "MissingAuthenticationTokenException", "Missing Authentication Token"),
     ("PayloadMismatch", 403, "InvalidSignatureException", WRONG_HASH),
     ("SignatureDoesNotMatch", 403, "InvalidSignatureException", MISMATCH),
     ("Skewed", 403, "InvalidSignatureException", ""),
     ("UnrecognizedClientException", 403, "UnrecognizedClientException", INVALID_TOKEN)],
)  # fmt: skip
def test_most_services_answer_in_json_with_the_code_in_a_field(
    kind: str, status: int, code: str, message: str
) -> None:
    verdict = refused(Refusal(kind), "execute-api")
    assert (verdict.status, verdict.reason) == (status, message)
    assert verdict.headers == ((b"x-amzn-ErrorType", code.encode()),)
    assert verdict.content == ("application/json", json.dumps({"message": message}, separators=(",", ":")).encode())
    assert refused(Refusal(kind, "more is known"), "execute-api").reason == "more is known"


@pytest.mark.parametrize("service", ["s3", "s3express", "s3-object-lambda", "s3-outposts"])
@pytest.mark.parametrize(
    ("kind", "status", "code", "message"),
    [("BadScope", 400, "AuthorizationHeaderMalformed", ""), ("ExpiredTokenException", 403, "ExpiredToken", EXPIRED),
     ("IncompleteSignature", 400, "AuthorizationHeaderMalformed", ""),
     ("InvalidToken", 403, "InvalidToken", INVALID_TOKEN),
     ("MissingAuthenticationToken", 403, "AccessDenied", "Missing Authentication Token"),
     ("PayloadMismatch", 400, "XAmzContentSHA256Mismatch", WRONG_HASH),
     ("SignatureDoesNotMatch", 403, "SignatureDoesNotMatch", MISMATCH), ("Skewed", 403, "RequestTimeTooSkewed", ""),
     ("UnrecognizedClientException", 403, "InvalidAccessKeyId", INVALID_TOKEN)],
)  # fmt: skip
def test_s3_answers_in_xml_by_codes_of_its_own(kind: str, status: int, code: str, message: str, service: str) -> None:
    verdict = refused(Refusal(kind), service)
    assert (verdict.status, verdict.reason, verdict.headers) == (status, message, ())
    xml = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>{message}</Message></Error>'
    assert verdict.content == ("application/xml", xml.encode())


def test_in_json_what_was_signed_is_echoed_after_the_message() -> None:
    verdict = refused(Refusal("SignatureDoesNotMatch", canonical=b'PATCH\n/"\xe4', text=b"AWS4\nx"), "service")
    assert verdict.reason == (
        f"{MISMATCH}\n\nThe Canonical String for this request should have been\n'PATCH\n/\"\u00e4'"
        "\n\nThe String-to-Sign should have been\n'AWS4\nx'\n"
    )
    assert verdict.content is not None
    assert json.loads(verdict.content[1]) == {"message": verdict.reason}


def test_in_xml_what_was_signed_is_echoed_in_elements_and_escaped() -> None:
    refusal = Refusal("SignatureDoesNotMatch", "<a> & \"b\" 'c'", canonical=b"a&b=<x>\n\xe4", text=b"AWS4\n&<>")
    verdict = refused(refusal, "s3")
    assert verdict.reason == "<a> & \"b\" 'c'"
    assert verdict.content == (
        "application/xml",
        '<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>SignatureDoesNotMatch</Code>'
        "<Message>&lt;a&gt; &amp; \"b\" 'c'</Message><StringToSign>AWS4\n&amp;&lt;&gt;</StringToSign>"
        "<CanonicalRequest>a&amp;b=&lt;x&gt;\n\u00e4</CanonicalRequest></Error>".encode(),
    )


@pytest.mark.parametrize("service", ["execute-api", "s3"])
@pytest.mark.parametrize(
    ("kind", "said", "meaning"),
    [("BadScope", "", Meaning.MISMATCH), ("ExpiredTokenException", "", Meaning.EXPIRED),
     ("IncompleteSignature", "", Meaning.MISMATCH), ("InvalidToken", "", Meaning.UNKNOWN_KEY),
     ("MissingAuthenticationToken", "", Meaning.NOT_ABOUT_IT),
     ("SignatureDoesNotMatch", "", Meaning.MISMATCH), ("UnrecognizedClientException", "", Meaning.UNKNOWN_KEY),
     ("Skewed", "Signature expired: a is now earlier than b (300 s).", Meaning.SKEWED),
     ("Skewed", "Signature not yet current: a is still later than b (300 s).", Meaning.SKEWED)],
)  # fmt: skip
def test_our_client_understands_each_refusal(kind: str, said: str, meaning: Meaning, service: str) -> None:
    verdict = refused(Refusal(kind, said), service)
    assert verdict.content is not None
    assert error_in(Response(verdict.status, verdict.headers, verdict.content[1])).meaning is meaning


@pytest.mark.parametrize(("service", "meaning"), [("execute-api", Meaning.MISMATCH), ("s3", Meaning.ANOTHER_BODY)])
def test_only_s3_tells_that_it_is_the_body_that_is_another(service: str, meaning: Meaning) -> None:
    verdict = refused(Refusal("PayloadMismatch"), service)
    assert verdict.content is not None
    assert error_in(Response(verdict.status, verdict.headers, verdict.content[1])).meaning is meaning


@pytest.mark.parametrize("service", ["execute-api", "s3"])
def test_the_stages_that_are_echoed_are_those_of_the_request_that_came(service: str) -> None:
    scope = Scope("us-east-1", service)
    credentials, other = (AwsCredentials("AKID", f"canary-{name}") for name in ("secret", "other"))
    request = request_to("PATCH", "http://h/a&b?x=%3C", [("Host", "h"), ("X", "<&>")])
    signed = request.with_valid_fields(sigv4.sign(request, other, scope, 1_440_938_160.0))
    verdict = AwsVerifier(scope, [credentials]).judge(signed, 1_440_938_160.0)
    assert isinstance(verdict, Refused)
    assert verdict.content is not None
    assert b"canary" not in verdict.content[1]
    error = error_in(Response(verdict.status, verdict.headers, verdict.content[1]))
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    sent, name = ("x-amz-content-sha256:" + empty + "\n", "x-amz-content-sha256;") if service == "s3" else ("", "")
    assert error.canonical_request == (
        f"PATCH\n/a%26b\nx=%3C\nhost:h\nx:<&>\n{sent}x-amz-date:20150830T123600Z\n\nhost;x;{name}x-amz-date\n{empty}"
    )
    assert error.string_to_sign is not None
    assert error.string_to_sign.startswith(
        f"AWS4-HMAC-SHA256\n20150830T123600Z\n20150830/us-east-1/{service}/aws4_request\n"
    )


def test_a_refusal_says_its_kind_and_no_more() -> None:
    refusal = Refusal("Skewed", "said", canonical=b"x-amz-security-token:canary-token", text=b"canary-token")
    assert str(refusal) == "Skewed"
    assert repr(refusal) == "Refusal('Skewed')"
    verdict = refused(Refusal("SignatureDoesNotMatch", canonical=b"x-amz-security-token:canary-token"), "s3")
    assert repr(verdict) == "<Refused 403>"


def test_what_is_said_in_json_is_json_whatever_is_in_it() -> None:
    verdict = refused(Refusal("BadScope", '"\\\n\u2028\x00'), "service")
    assert verdict.content is not None
    assert msgspec.json.decode(verdict.content[1]) == {"message": '"\\\n\u2028\x00'}
