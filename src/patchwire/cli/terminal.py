"""Whether a person is looking."""

from __future__ import annotations

from typing import TextIO


def is_terminal(stream: TextIO | None) -> bool:
    """Whether the stream is a terminal; a closed one, which Python shows as None, is none."""
    return stream is not None and stream.isatty()
