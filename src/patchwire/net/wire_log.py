"""The wire log: heads as they were sent and received, with secrets taken out."""

from __future__ import annotations

from collections.abc import Callable, Iterable

WireLog = Callable[[str], None]
"""Takes one line."""

SECRET_FIELDS = frozenset(
    {
        b"authorization",
        b"proxy-authorization",
        b"authentication-info",
        b"cookie",
        b"set-cookie",
        b"x-amz-security-token",
        b"x-api-key",
    }
)


def field_lines(headers: Iterable[tuple[bytes, bytes]], secret_fields: frozenset[bytes]) -> list[str]:
    """Each field as text; the value of one named in SECRET_FIELDS or `secret_fields` (lower case) as ***."""
    hidden = SECRET_FIELDS | secret_fields
    return [
        f"{name.decode('latin-1')}: {'***' if name.lower() in hidden else printable(value)}" for name, value in headers
    ]


def printable(octets: bytes) -> str:
    """The octets as ASCII, others as \\xNN: what a peer sends must not steer a terminal."""
    return octets.decode("ascii", "backslashreplace")


def sent_head(head: bytes, secret_fields: frozenset[bytes]) -> list[str]:
    """The request head in `head`, which we serialised ourselves, line by line and redacted."""
    first, *fields = head.partition(b"\r\n\r\n")[0].split(b"\r\n")
    pairs = (line.split(b": ", 1) for line in fields)
    return [first.decode("latin-1"), *field_lines(((name, value) for name, value in pairs), secret_fields)]
