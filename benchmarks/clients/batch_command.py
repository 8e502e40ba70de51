"""The command line of `patchwire batch` as the benchmarks run it."""

import sys
from pathlib import Path


def batch_command(connection: Path, records: Path, concurrency: int) -> list[str]:
    """Return the command: a fresh journal, no progress display, a JSON summary as its last line."""
    command = [sys.executable, "-m", "patchwire", "batch", str(connection), str(records)]
    return [*command, "--concurrency", str(concurrency), "--summary", "json", "--no-progress", "--fresh"]
