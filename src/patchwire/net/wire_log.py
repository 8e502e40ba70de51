"""The wire log: heads as they were sent and received, with secrets taken out."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

from patchwire.auth.challenge import parameters
from patchwire.auth.quoting import SECRET_FIELDS
from patchwire.http.fields import FieldSyntaxError
from patchwire.http.message import shown_target

WireLog = Callable[[str], None]
"""Takes one line: time, connection, what it is (> sent, < received, = the connection itself, * what authentication
makes of it), text.
"""

_INFO = frozenset({b"authentication-info", b"proxy-authentication-info"})
_CREDENTIALS = frozenset({b"authorization", b"proxy-authorization"})
HIDDEN = frozenset({b"set-cookie", *_INFO, *(name.encode() for name in SECRET_FIELDS)})
_OPEN = frozenset(
    b"username username* userhash realm nonce uri algorithm opaque qop cnonce nc nextnonce charset".split()
)
"""Parameters of Digest that prove nothing."""
_parameter = re.compile(rb"([^\s=,\"]+)([ \t]*=[ \t]*)(\"(?:[^\"\\]|\\.)*\"|[^\s,\"]+)", re.DOTALL).sub
_signature = re.compile(rb"\bSignature=[0-9a-f]+\Z").sub
_granted = re.compile(rb"(?<=[?&#])(code|access_token|refresh_token|id_token)=[^&#]*", re.IGNORECASE).sub
"""What an authorization server gives out by way of a browser (RFC 6749 sections 4.1.2 and 4.2.2)."""
_logger = logging.getLogger("patchwire.wire")
_control = re.compile(rb"[\x00-\x1f\x7f-\xff]").sub


def field_lines(headers: Iterable[tuple[bytes, bytes]], secret_fields: frozenset[bytes]) -> list[str]:
    """Each field as text; the value of one named in HIDDEN or `secret_fields` (lower case) as ***, but for Digest
    and AWS, of which only what proves that somebody knows the secret is, and for a Location, of which codes and tokens
    are.
    """
    return [f"{name.decode('latin-1')}: {_shown(name.lower(), value, secret_fields)}" for name, value in headers]


def _shown(name: bytes, value: bytes, secret_fields: frozenset[bytes]) -> str:
    if name in secret_fields:
        return "***"
    if name in _INFO:
        return _without_proof(b"", value)
    if name in _CREDENTIALS and value[:7].lower() == b"digest ":
        return _without_proof(value[:7], value[7:])
    if name in _CREDENTIALS and value.startswith(b"AWS4-") and _signature(b"", value) != value:
        return printable(_signature(b"Signature=***", value))
    if name == b"location":
        return printable(_granted(rb"\1=***", value))
    return "***" if name in HIDDEN else printable(value)


def _without_proof(scheme: bytes, value: bytes) -> str:
    """The parameters, as they were written, but for those that may prove that somebody knows the password; what is
    malformed is hidden whole.
    """
    try:
        parameters([value])
    except FieldSyntaxError:
        return "***"
    return printable(
        scheme + _parameter(lambda found: found[0] if found[1].lower() in _OPEN else _hidden(found), value)
    )


def _hidden(found: re.Match[bytes]) -> bytes:
    return found[1] + found[2] + b"***"


def logger() -> WireLog | None:
    """The wire log that the standard library's logger `patchwire.wire` takes at level DEBUG, where it does."""
    return _logger.debug if _logger.isEnabledFor(logging.DEBUG) else None


def time_of(now: float) -> str:
    """Unix seconds as a line of the log begins: UTC, to the millisecond."""
    return datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def printable(octets: bytes) -> str:
    """The octets as visible ASCII, others as \\xNN: what a peer sends must not steer a terminal."""
    return _control(lambda match: b"\\x%02x" % match[0][0], octets).decode("ascii")


def sent_head(head: bytes, secret_fields: frozenset[bytes]) -> list[str]:
    """The request head in `head`, which we serialised ourselves, line by line and redacted."""
    first, *fields = head.partition(b"\r\n\r\n")[0].split(b"\r\n")
    pairs = (line.split(b": ", 1) for line in fields)
    return [
        shown_target(first.decode("latin-1")),
        *field_lines(((name, value) for name, value in pairs), secret_fields),
    ]
