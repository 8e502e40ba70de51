"""Batches in a test's own directory: files in, outcomes out."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from patchwire.delivery.retry import RetryPolicy
from patchwire.files.connection_file import load_connection
from patchwire.http.message import Origin
from patchwire.run.batch import Summary, run_batch
from patchwire.run.options import BatchOptions

QUICK = RetryPolicy(base_delay=0.001, max_delay=0.01)


class BatchFiles:
    """The files of one batch in `directory`, and runs of it."""

    def __init__(self, directory: Path, base_url: str | Origin, settings: str = "") -> None:
        self.directory = directory
        self.connection = directory / "connection.toml"
        self.records = directory / "records.ndjson"
        self.journal = directory / "records.ndjson.journal"
        self.output = directory / "outcomes.ndjson"
        self.failed = directory / "failed.ndjson"
        self.unknown = directory / "unknown.ndjson"
        self.connection.write_text(f'base_url = "{base_url}"\n{settings}', "utf-8")

    def write(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Write the record file."""
        self.records.write_text("".join(json.dumps(record) + "\n" for record in records), "utf-8")

    async def run(self, **options: Any) -> Summary:
        """Run the batch in this trio run."""
        return await run_batch(load_connection(self.connection), self.options(**options))

    def options(self, **options: Any) -> BatchOptions:
        """The batch's options, with all its files."""
        values: dict[str, Any] = {
            "records": str(self.records),
            "journal": str(self.journal),
            "output": str(self.output),
            "failed": str(self.failed),
            "unknown": str(self.unknown),
            "concurrency": 4,
            "patience": 0.2,
            "retry": QUICK,
        }
        return BatchOptions(**(values | options))

    def outcomes(self) -> list[dict[str, Any]]:
        """The lines of --output, by number."""
        return sorted(read_lines(self.output), key=lambda line: int(line["seq"]))

    def ids(self, path: Path) -> list[str]:
        """The ids of the records in --failed or --unknown."""
        return [str(line["id"]) for line in read_lines(path)]


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The NDJSON lines of a file."""
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def people(count: int, start: int = 0) -> list[dict[str, Any]]:
    """Records that change one document each."""
    return [{"id": f"r{n}", "path": f"/people/{n}", "body": {"n": n}} for n in range(start, start + count)]
