"""Where time and chance come from. Everything pure takes them as arguments."""

from __future__ import annotations

import random
import secrets
import subprocess
import time
from pathlib import Path
from typing import Final

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


now = time.time
"""Unix seconds."""


def identity() -> str:
    """16 hexadecimal digits that nobody else has drawn."""
    return secrets.token_hex(8)


def cnonce() -> str:
    """128 bits that nobody can foresee, in hexadecimal digits."""
    return secrets.token_hex(16)


def boot_id() -> str:
    """What is the same until the machine starts anew; empty where the system does not tell."""
    try:
        if _BOOT_ID.exists():
            return _BOOT_ID.read_text("ascii").strip()
        command = ["/usr/sbin/sysctl", "-n", "kern.bootsessionuuid"]
        return subprocess.run(command, capture_output=True, text=True, timeout=5, check=True).stdout.strip()  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return ""


def jitter() -> float:
    """A number drawn evenly from 0 to 1, to spread retries; nothing secret hangs on it."""
    return random.random()  # noqa: S311
