"""What the operating system says about a file, in words for a person."""

from __future__ import annotations


def describe(error: OSError) -> str:
    """The system's own message without number and path: "no such file or directory"."""
    text = error.strerror or type(error).__name__
    return text[:1].lower() + text[1:]
