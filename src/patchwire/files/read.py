"""Small files as a whole, and what the operating system says about one, in words for a person."""

from __future__ import annotations

from pathlib import Path


class TooLongError(Exception):
    """A file holds more than what it is read for can need."""


def read_at_most(path: Path, size: int) -> bytes:
    """What a file holds, or a pipe until it ends. TooLongError beyond `size` octets, of which a device has no end."""
    with path.open("rb") as file:
        content = file.read(size + 1)
    if len(content) > size:
        raise TooLongError
    return content


def describe(error: OSError) -> str:
    """The system's own message without number and path: "no such file or directory"."""
    text = error.strerror or type(error).__name__
    return text[:1].lower() + text[1:]
