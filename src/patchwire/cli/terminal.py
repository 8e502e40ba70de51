"""Whether a person is looking, and what may be shown to one."""

from __future__ import annotations

from typing import TextIO


def is_terminal(stream: TextIO | None) -> bool:
    """Whether the stream is a terminal; a closed one, which Python shows as None, is none."""
    return stream is not None and stream.isatty()


def printable(text: str) -> str:
    """The text with its control characters escaped, so that it steers no terminal."""
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in text)
