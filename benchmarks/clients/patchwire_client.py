"""patchwire batch: a whole command a run, journal included; its rate is the one it reports."""

import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from batch_command import batch_command
from harness import Job, Timing, main
from workload import write_connection, write_records

TIME_LIMIT = 600.0


def run(directory: Path, job: Job, requests: int) -> dict[str, Any]:
    """Return the command's summary of a run of that many records, every one of them applied."""
    connection = write_connection(directory / "connection.toml", job.url)
    records = write_records(directory / "records.ndjson", requests)
    command = batch_command(connection, records, job.connections)
    finished = subprocess.run(command, capture_output=True, text=True, timeout=TIME_LIMIT)
    if finished.returncode:
        said = finished.stderr.strip().splitlines() or ["no word on standard error"]
        raise SystemExit(f"exit code {finished.returncode}: {said[-1]}")
    summary: dict[str, Any] = json.loads(finished.stdout.splitlines()[-1])
    if summary["applied"] != requests:
        raise SystemExit(f"not every record was applied: {summary}")
    return summary


def measure(job: Job) -> Timing:
    """Return the timing of the job, after a short run that warms the server and the file caches."""
    with tempfile.TemporaryDirectory() as directory:
        run(Path(directory), job, job.warm_up)
        summary = run(Path(directory), job, job.requests)
    return Timing(job.requests, summary["seconds"], summary["rate"])


if __name__ == "__main__":
    main(measure)
