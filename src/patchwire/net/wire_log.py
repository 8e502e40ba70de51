"""The wire log: heads as they were sent and received, with secrets taken out."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

from patchwire.settings.secret import SECRET_FIELDS

WireLog = Callable[[str], None]
"""Takes one line: time, connection, what it is (> sent, < received, = the connection itself, * what authentication
makes of it), text.
"""

_INFO = frozenset({b"authentication-info", b"proxy-authentication-info"})
_CREDENTIALS = frozenset({b"authorization", b"proxy-authorization"})
HIDDEN = frozenset({b"set-cookie", *_INFO, *(name.encode() for name in SECRET_FIELDS)})
_proof = re.compile(rb"\b(response|rspauth)( *= *)(\"[^\"]*\"|[^ ,]+)", re.IGNORECASE).sub
_logger = logging.getLogger("patchwire.wire")
_control = re.compile(rb"[\x00-\x1f\x7f-\xff]").sub


def field_lines(headers: Iterable[tuple[bytes, bytes]], secret_fields: frozenset[bytes]) -> list[str]:
    """Each field as text; the value of one named in HIDDEN or `secret_fields` (lower case) as ***, but for Digest,
    of which only the proofs that somebody knows the password are.
    """
    return [f"{name.decode('latin-1')}: {_shown(name.lower(), value, secret_fields)}" for name, value in headers]


def _shown(name: bytes, value: bytes, secret_fields: frozenset[bytes]) -> str:
    if name not in secret_fields and (name in _INFO or (name in _CREDENTIALS and value.startswith(b"Digest "))):
        return printable(_proof(rb"\1\2***", value))
    return "***" if name in secret_fields or name in HIDDEN else printable(value)


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
    return [first.decode("latin-1"), *field_lines(((name, value) for name, value in pairs), secret_fields)]
