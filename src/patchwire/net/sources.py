"""Where time and chance come from. Everything pure takes them as arguments."""

from __future__ import annotations

import random
import secrets
import time


def now() -> float:
    """Unix seconds."""
    return time.time()


def entropy(count: int) -> bytes:
    """`count` bytes that nobody can foresee."""
    return secrets.token_bytes(count)


def jitter() -> float:
    """A number drawn evenly from 0 to 1, to spread retries; nothing secret hangs on it."""
    return random.random()  # noqa: S311
