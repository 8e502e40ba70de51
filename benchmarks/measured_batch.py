"""Run `patchwire batch` in a process of its own, and take what the system says of it beside its own summary."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

LAUNCHER = Path(__file__).resolve().parent / "peak_rss.py"


def run(command: list[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the process's peak memory and processor time, and the command's summary; end the program if it failed."""
    launcher = [sys.executable, "-I", "-S", str(LAUNCHER)]
    finished = subprocess.run([*launcher, *command], stdout=subprocess.PIPE, text=True, check=True)
    lines = finished.stdout.splitlines()
    process: dict[str, Any] = json.loads(lines[-1])
    if process["exit_code"]:
        raise SystemExit(f"patchwire batch failed: exit code {process['exit_code']}")
    summary: dict[str, Any] = json.loads(lines[-2])
    return process, summary
