"""Where time and chance come from. Everything pure takes them as arguments."""

from __future__ import annotations

import random
import time


def now() -> float:
    """Unix seconds."""
    return time.time()


def jitter() -> float:
    """A number drawn evenly from 0 to 1, to spread retries; nothing secret hangs on it."""
    return random.random()  # noqa: S311
