"""The errors of AWS services, in the form that they have: JSON with a code in a field, XML for S3."""

from __future__ import annotations

from html import escape
from typing import Final

import msgspec

from patchwire.auth.aws_signing import S3_FAMILY
from patchwire.auth.verify.verdict import Refused

_KINDS: Final = {
    "BadScope": ("InvalidSignatureException", "AuthorizationHeaderMalformed", ""),
    "ExpiredTokenException": (
        "ExpiredTokenException",
        "ExpiredToken",
        "The security token included in the request is expired",
    ),
    "IncompleteSignature": ("IncompleteSignatureException", "AuthorizationHeaderMalformed", ""),
    "InvalidToken": (
        "UnrecognizedClientException",
        "InvalidToken",
        "The security token included in the request is invalid.",
    ),
    "MissingAuthenticationToken": (
        "MissingAuthenticationTokenException",
        "AccessDenied",
        "Missing Authentication Token",
    ),
    "PayloadMismatch": (
        "InvalidSignatureException",
        "XAmzContentSHA256Mismatch",
        "The provided 'x-amz-content-sha256' header does not match what was computed.",
    ),
    "SignatureDoesNotMatch": (
        "InvalidSignatureException",
        "SignatureDoesNotMatch",
        "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access "
        "Key and signing method. Consult the service documentation for details.",
    ),
    "Skewed": ("InvalidSignatureException", "RequestTimeTooSkewed", ""),
    "UnrecognizedClientException": (
        "UnrecognizedClientException",
        "InvalidAccessKeyId",
        "The security token included in the request is invalid.",
    ),
}
"""The code of most services, that of S3, and what is said unless more is known."""
_BAD_REQUESTS: Final = frozenset(
    {"AuthorizationHeaderMalformed", "XAmzContentSHA256Mismatch", "IncompleteSignatureException"}
)


class Refusal(Exception):  # noqa: N818 - it becomes a response
    """A request is refused: the kind, what is said, and what this side has signed."""

    def __init__(self, kind: str, said: str = "", *, canonical: bytes = b"", text: bytes = b"") -> None:
        super().__init__(kind)
        self.kind = kind
        self.said = said
        self.canonical = canonical.decode("latin-1")
        self.text = text.decode("latin-1")


def refused(refusal: Refusal, service: str) -> Refused:
    """The refusal as a service with this signing name answers it."""
    code, code_of_s3, usual = _KINDS[refusal.kind]
    message = refusal.said or usual
    if service in S3_FAMILY:
        status = 400 if code_of_s3 in _BAD_REQUESTS else 403
        return Refused(status, message, content=("application/xml", _xml(code_of_s3, message, refusal)))
    if refusal.canonical:
        message += (
            f"\n\nThe Canonical String for this request should have been\n'{refusal.canonical}'"
            f"\n\nThe String-to-Sign should have been\n'{refusal.text}'\n"
        )
    status = 400 if code in _BAD_REQUESTS else 403
    headers = ((b"x-amzn-ErrorType", code.encode("ascii")),)
    return Refused(status, message, headers, ("application/json", msgspec.json.encode({"message": message})))


def _xml(code: str, message: str, refusal: Refusal) -> bytes:
    elements = {"Code": code, "Message": message}
    if refusal.canonical:
        elements |= {"StringToSign": refusal.text, "CanonicalRequest": refusal.canonical}
    inner = "".join(f"<{name}>{escape(text, quote=False)}</{name}>" for name, text in elements.items())
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<Error>{inner}</Error>'.encode()
