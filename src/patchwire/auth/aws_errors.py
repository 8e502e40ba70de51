"""How AWS services say no: codes in a field, in JSON or in XML, and what each means for who has signed.

Bodies come from whoever answers. They are searched for what is known of them, in bounded time, and never parsed as
XML.
"""

from __future__ import annotations

import re
from enum import Enum, auto
from html import unescape
from typing import Any, Final

import msgspec
from msgspec import Struct

from patchwire.http.message import Response

LONGEST: Final = 65_536
"""Octets of a body that are looked at."""


class Meaning(Enum):
    """What an error says of the signature that it answers."""

    NOT_ABOUT_IT = auto()
    """The service knows who asks, or does not say that it does not."""
    SKEWED = auto()
    """The time in it is too far from the service's own."""
    EXPIRED = auto()
    """The session of its credentials has ended."""
    UNKNOWN_KEY = auto()
    """The access key or the session token is not known."""
    ANOTHER_BODY = auto()
    """The body that came is not the one that was signed."""
    MISMATCH = auto()
    """It is not the one that the service has computed, or is for another region or service."""


class AwsError(Struct, frozen=True):
    """What a response says: the code, what a person is told, and what the service has signed itself, if it says so."""

    code: str = ""
    message: str = ""
    canonical_request: str | None = None
    string_to_sign: str | None = None

    def __repr__(self) -> str:
        """What the service quotes may hold secrets."""
        return f"<AwsError {self.code}>"

    @property
    def is_about_scope(self) -> bool:
        """Whether the signature was for another service or region."""
        return self.code == "AuthorizationHeaderMalformed" or "Credential should be scoped" in self.message

    @property
    def may_be_skew(self) -> bool:
        """Whether some services mean a wrong clock by it, and do not say so."""
        return self.code == "AuthFailure"

    @property
    def says_unsigned(self) -> bool:
        """Whether it says of a signed request that it has no signature, as an API Gateway does of a path that it does
        not have.
        """
        return self.code.startswith("MissingAuthenticationToken")

    @property
    def is_denial(self) -> bool:
        """Whether it is told to somebody whom the service knows."""
        return self.code in _DENIED

    @property
    def meaning(self) -> Meaning:
        """What it says of the signature."""
        if self.code in _SKEWED or (self.code in _MISMATCH and _about_time(self.message)):
            return Meaning.SKEWED
        for codes, meaning in _MEANINGS:
            if self.code in codes:
                return meaning
        return Meaning.NOT_ABOUT_IT


_SKEWED = frozenset({"RequestTimeTooSkewed", "RequestExpired", "RequestInTheFuture"})
_EXPIRED = frozenset({"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired"})
_UNKNOWN_KEY = frozenset(
    {
        "AccountProblem",
        "AuthFailure",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidSecurity",
        "InvalidToken",
        "MissingSecurityHeader",
        "NotSignedUp",
        "OptInRequired",
        "UnrecognizedClientException",
    }
)
_MISMATCH = frozenset(
    {
        "AuthorizationHeaderMalformed",
        "IncompleteSignature",
        "IncompleteSignatureException",
        "InvalidSignature",
        "InvalidSignatureException",
        "SignatureDoesNotMatch",
        "UnsupportedSignatureException",
    }
)
_MEANINGS = (
    (_EXPIRED, Meaning.EXPIRED),
    (_UNKNOWN_KEY, Meaning.UNKNOWN_KEY),
    (frozenset({"XAmzContentSHA256Mismatch"}), Meaning.ANOTHER_BODY),
    (_MISMATCH, Meaning.MISMATCH),
)
_DENIED = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"})

_about_time = re.compile(r"Signature expired|Signature not yet current").match
_element = re.compile(r"<(Code|Message|CanonicalRequest|StringToSign)>([^<]*)</").findall
_CANONICAL: Final = "The Canonical String for this request should have been\n'"
_TEXT: Final = "'\n\nThe String-to-Sign should have been\n'"
_code = re.compile(r"[A-Za-z0-9.]{1,80}").fullmatch


def error_in(response: Response) -> AwsError:
    """What the response says; an AwsError without code where it is none of AWS's."""
    body = response.body[:LONGEST].decode("utf-8", "replace")
    named = response.header(b"x-amzn-errortype")
    if body.lstrip()[:1] == "<" and "<Error" in body:
        found = {name: unescape(text) for name, text in reversed(_element(body))}
        code, message = found.get("Code", ""), found.get("Message", "")
        canonical, text = found.get("CanonicalRequest"), found.get("StringToSign")
    else:
        code, message = _members(body)
        canonical, text = _signed_by_service(message)
    if named is not None:
        code = named.decode("latin-1")
    return AwsError(_short(code), message, canonical, text)


def _members(body: str) -> tuple[str, str]:
    """Code and message of a JSON body; each service has names of its own for them."""
    try:
        content: Any = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return "", ""
    if not isinstance(content, dict):
        return "", ""
    lower = {name.lower(): value for name, value in content.items() if isinstance(value, str)}
    code = lower.get("__type", "")
    if not code and lower.get("type") in ("Client", "Server"):  # as Glacier has it; else it is an application's own
        code = lower.get("code", "")
    return code, lower.get("message", "")


def _short(code: str) -> str:
    """The code by itself, of "InvalidSignatureException:http://..." and "com.amazon.coral.service#..."."""
    code = code.partition(":")[0].rpartition("#")[2].strip()
    return code if _code(code) else ""


def _signed_by_service(message: str) -> tuple[str | None, str | None]:
    """The canonical request and the string to sign that a message quotes."""
    _, found, rest = message.partition(_CANONICAL)
    canonical, also, rest = rest.partition(_TEXT)
    text, end, _ = rest.partition("'")
    return (canonical, text) if found and also and end else (None, None)
