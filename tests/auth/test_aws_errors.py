from __future__ import annotations

import pytest

from patchwire.auth.aws_errors import LONGEST, AwsError, Meaning, error_in
from patchwire.http.message import Response


def error(body: bytes, named: bytes | None = None) -> AwsError:
    return error_in(Response(403, () if named is None else ((b"x-amzn-ErrorType", named),), body))


# As services have sent them.
S3 = (
    b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>SignatureDoesNotMatch</Code><Message>The request signature'
    b" we calculated does not match</Message><AWSAccessKeyId>AKID</AWSAccessKeyId><StringToSign>AWS4-HMAC-SHA256\n"
    b"20150830T123600Z\nscope\nhash</StringToSign><CanonicalRequest>PATCH\n/\na=b&amp;c=&lt;d&gt;\n</CanonicalRequest>"
    b"<RequestId>1</RequestId></Error>"
)
QUERY = (
    b'<ErrorResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><Error><Type>Sender</Type>'
    b"<Code>InvalidClientTokenId</Code><Message>The security token included in the request is invalid.</Message>"
    b"</Error><RequestId>1</RequestId></ErrorResponse>"
)
ECHO = (
    b'{"message":"The request signature we calculated does not match the signature you provided.\\n\\n'
    b"The Canonical String for this request should have been\\n'PATCH\\n/it's\\n'\\n\\n"
    b"The String-to-Sign should have been\\n'AWS4-HMAC-SHA256\\n20150830T123600Z'\\n\"}"
)


@pytest.mark.parametrize(
    ("body", "named", "code", "message"),
    [
        (S3, None, "SignatureDoesNotMatch", "The request signature we calculated does not match"),
        (QUERY, None, "InvalidClientTokenId", "The security token included in the request is invalid."),
        (b'{"message": "no"}', b"UnrecognizedClientException", "UnrecognizedClientException", "no"),
        (
            b'{"Message": "no"}',
            b"AccessDeniedException:http://internal.amazon.com/coral/",
            "AccessDeniedException",
            "no",
        ),
        (b'{"__type": "com.amazon.coral.service#ExpiredTokenException"}', None, "ExpiredTokenException", ""),
        (
            b'{"code": "InvalidSignatureException", "type": "Client", "message": 7}',
            None,
            "InvalidSignatureException",
            "",
        ),
        (b'{"code": "InvalidToken", "message": "the CSRF token is old"}', None, "", "the CSRF token is old"),
        (b"<fault><Code>InvalidToken</Code></fault>", None, "", ""),
        (b'{"code": 7}', None, "", ""),
        (b"[]", None, "", ""),
        (b"Forbidden", None, "", ""),
        (b"", None, "", ""),
        (b"\xff\xfe", None, "", ""),
        (b"<html><h1>403 Forbidden</h1>", None, "", ""),
        (b"[" * 60_000, None, "", ""),
        (b"{}", b"no code at all\x1b[31m", "", ""),
    ],
)
def test_code_and_message_are_found_in_every_form(body: bytes, named: bytes | None, code: str, message: str) -> None:
    found = error(body, named)
    assert (found.code, found.message) == (code, message)


def test_what_the_service_has_signed_is_found_in_xml_and_in_a_message() -> None:
    found = error(S3)
    assert (found.canonical_request, found.string_to_sign) == (
        "PATCH\n/\na=b&c=<d>\n",
        "AWS4-HMAC-SHA256\n20150830T123600Z\nscope\nhash",
    )
    found = error(ECHO)
    assert (found.canonical_request, found.string_to_sign) == (
        "PATCH\n/it's\n",
        "AWS4-HMAC-SHA256\n20150830T123600Z",
    )
    cut = error(ECHO.replace(b"The String-to-Sign", b"The String"))
    assert (cut.canonical_request, cut.string_to_sign) == (None, None)


@pytest.mark.parametrize(
    ("code", "message", "meaning"),
    [
        ("RequestTimeTooSkewed", "", Meaning.SKEWED),
        ("RequestExpired", "", Meaning.SKEWED),
        ("InvalidSignatureException", "Signature expired: 20150830T123600Z is now earlier than", Meaning.SKEWED),
        ("InvalidSignatureException", "Signature not yet current: 20150830T123600Z", Meaning.SKEWED),
        ("InvalidSignatureException", "The request signature we calculated", Meaning.MISMATCH),
        ("AuthorizationHeaderMalformed", "the region 'x' is wrong", Meaning.MISMATCH),
        ("ExpiredToken", "", Meaning.EXPIRED),
        ("InvalidAccessKeyId", "", Meaning.UNKNOWN_KEY),
        ("UnrecognizedClientException", "", Meaning.UNKNOWN_KEY),
        ("XAmzContentSHA256Mismatch", "", Meaning.ANOTHER_BODY),
        ("AccessDeniedException", "", Meaning.NOT_ABOUT_IT),
        ("MissingAuthenticationTokenException", "", Meaning.NOT_ABOUT_IT),
        ("", "Signature expired", Meaning.NOT_ABOUT_IT),
    ],
)
def test_a_code_says_what_it_means_for_the_signature(code: str, message: str, meaning: Meaning) -> None:
    assert AwsError(code, message).meaning is meaning


def test_a_denial_is_told_to_somebody_whom_the_service_knows() -> None:
    assert AwsError("AccessDenied").is_denial
    assert not AwsError("MissingAuthenticationTokenException").is_denial
    assert repr(AwsError("X", "canary", "canary")) == "<AwsError X>"


def test_only_the_beginning_of_a_body_is_looked_at() -> None:
    padding = b" " * LONGEST
    assert error(b"<Error>" + padding + b"<Code>ExpiredToken</Code></Error>").code == ""


@pytest.mark.parametrize("body", [b"<Code>" * 100_000, b"<" * 600_000, b"<Code>" + b"a" * 600_000, b'{"a":' * 100_000])
def test_a_hostile_body_says_nothing_and_ends(body: bytes) -> None:
    assert error(body) == AwsError()
