"""The command line as a user runs it: processes of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PATCHWIRE = [sys.executable, "-m", "patchwire"]


def patchwire(*arguments: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [*PATCHWIRE, *map(str, arguments)], capture_output=True, text=True, timeout=120, check=False, **options
    )


@contextmanager
def running(*arguments: str | Path, **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A command that goes on; it is killed at the end, by its own process."""
    process = subprocess.Popen([*PATCHWIRE, *map(str, arguments)], **options)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


@contextmanager
def serving(*arguments: str | Path, **options: Any) -> Iterator[str]:
    """`patchwire serve` with these options; its base URL."""
    with running("serve", *arguments, stdout=subprocess.PIPE, **options) as process:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())["listening"]


def without_traceback(done: subprocess.CompletedProcess[str]) -> list[str]:
    """The lines of standard error, none of which belongs to a traceback."""
    assert "Traceback" not in done.stderr, done.stderr
    return done.stderr.splitlines()


def environment(**variables: str) -> dict[str, str]:
    """This process's environment with these variables."""
    return {**os.environ, **variables}
