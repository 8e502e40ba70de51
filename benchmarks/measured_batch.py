"""Run `patchwire batch` in a process of its own, and take what the system says of it beside its own summary."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

LAUNCHER = Path(__file__).resolve().parent / "peak_rss.py"


def run(command: list[str]) -> dict[str, Any]:
    """Return the command's summary with the process's peak memory and processor time; end the program if it failed."""
    launcher = [sys.executable, "-I", "-S", str(LAUNCHER)]
    finished = subprocess.run([*launcher, *command], stdout=subprocess.PIPE, text=True, check=True)
    figures: dict[str, Any] = {}
    for line in finished.stdout.splitlines():
        figures |= json.loads(line)
    if figures["exit_code"]:
        raise SystemExit(f"patchwire batch failed: exit code {figures['exit_code']}")
    return figures
