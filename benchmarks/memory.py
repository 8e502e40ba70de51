"""Measure the peak memory of `patchwire batch` over a long file: it must not grow with the file.

Prints one JSON line: records, concurrency, peak_rss_bytes and rate (requests a second). The file and its
journal lie in the temporary directory; TMPDIR moves them to a larger disk.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent / "clients"))

from batch_command import batch_command
from cores import client_and_server_cores
from tests.support.nginx import NGINX, nginx_server, pinned
from workload import write_connection, write_records

LAUNCHER = Path(__file__).resolve().parent / "peak_rss.py"


def measure(directory: Path, count: int, concurrency: int) -> dict[str, Any]:
    """Return peak memory in bytes and rate of a batch of `count` records against nginx."""
    client_core, server_core = client_and_server_cores()
    server_files = directory / "nginx"
    server_files.mkdir()
    records = write_records(directory / "records.ndjson", count)
    with nginx_server(server_files, core=server_core) as nginx:
        connection = write_connection(directory / "connection.toml", nginx.base_url)
        command = pinned(batch_command(connection, records, concurrency), client_core)
        peak, summary = run(command)
    figures = {"peak_rss_bytes": peak["peak_rss_bytes"], "rate": summary["rate"]}
    return {"records": count, "concurrency": concurrency, **figures}


def run(command: list[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the command's peak memory and its own summary; end the program where it failed."""
    launcher = [sys.executable, "-I", "-S", str(LAUNCHER)]
    finished = subprocess.run([*launcher, *command], stdout=subprocess.PIPE, text=True, check=True)
    lines = finished.stdout.splitlines()
    peak: dict[str, Any] = json.loads(lines[-1])
    if peak["exit_code"]:
        raise SystemExit(f"patchwire batch is not available: exit code {peak['exit_code']}")
    summary: dict[str, Any] = json.loads(lines[-2])
    return peak, summary


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--concurrency", type=int, default=32)
    options = parser.parse_args()
    if NGINX is None:
        raise SystemExit("nginx is not installed: apt-get install nginx-light")
    with tempfile.TemporaryDirectory() as directory:
        print(json.dumps(measure(Path(directory), options.records, options.concurrency)))


if __name__ == "__main__":
    main()
