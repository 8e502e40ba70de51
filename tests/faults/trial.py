"""A batch against an unruly server: its lives and deaths, and what must hold of them whatever went wrong."""

from __future__ import annotations

import json
import random
import shutil
import sqlite3
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

from tests.support.batches import BatchFiles
from tests.support.commands import PATCHWIRE
from tests.support.unruly_process import UnrulyServer

OUTCOMES = {1: "applied", 2: "rejected", 3: "not_sent", 4: "unknown"}
"""The codes in a journal."""
TIMES = {"applied": {1}, "rejected": {0}, "not_sent": {0}, "unknown": {0, 1}}
"""How often the server may have applied a record that ended so."""
Record = dict[str, Any]


def records_of_every_kind(count: int, luggage: int) -> Iterator[Record]:
    """Distinct changes: most on paths of their own, some in lanes of ten, some missing, some idempotent."""
    for n in range(count):
        record: Record = {"id": f"r{n}", "path": f"/people/{n}", "body": {"n": n}}
        if n % 5 == 3:
            record |= {"path": f"/lane/{n // 50}", "query": {"n": str(n)}}
        elif n % 40 == 11:
            record["path"] = f"/missing/{n}"
        if n % 25 in (7, 13):
            record["idempotent"] = True
        if luggage:
            record["properties"] = {"luggage": "x" * luggage}
        yield record


class Trial:
    """One batch in a directory: its record file, and each of its runs."""

    def __init__(
        self, directory: Path, server: UnrulyServer, count: int, *, connections: int = 8, luggage: int = 0
    ) -> None:
        """`luggage` is how many octets each record carries along to its outcome."""
        self.files = BatchFiles(directory, server.url, server.settings)
        self.records = list(records_of_every_kind(count, luggage))
        self.files.write(self.records)
        self._server = server
        self._connections = connections
        self._bad_ends = 0
        self._chance = random.Random()
        self._known: dict[int, str] = {}

    def run(self) -> subprocess.CompletedProcess[str]:
        """Run it until it ends by itself."""
        return subprocess.run(self._command(), capture_output=True, text=True, timeout=300, check=False)

    def finish(self) -> Counter[str]:
        """Run it to its end, and hold all it says against the server's own record; the number of each outcome."""
        done = self.run()
        assert done.returncode in (1, 3), done.stderr  # some records are always missing
        counts = self._hold_outcomes()
        assert done.returncode == (3 if counts["unknown"] else 1)
        said = json.loads(done.stdout)
        assert {outcome: said[outcome] for outcome in TIMES} == {outcome: counts[outcome] for outcome in TIMES}
        return counts

    def kill_at_random(self, times: int) -> None:
        """Run it so often, and kill each run. Each is given a random share of what is left: all die at work."""
        left = times
        while left:
            handled = self._server.handled()
            share = (len(self.records) - handled) / (left + 1)
            early = self._chance.random() < 0.15  # these may die before they have begun to send
            with self.running() as process:
                seconds = self._chance.random() if early else 60.0
                if self.wait_for(process, handled + self._chance.random() * share, seconds):
                    time.sleep(self._chance.random() * 0.002)
                    process.kill()
                    left -= 1
            self.look_into_the_journal()

    def kill_within(self, seconds: float) -> None:
        """Run it, and kill it after up to so many seconds, unless it has come to its end by then."""
        with self.running() as process:
            time.sleep(self._chance.random() * seconds)
            process.kill()
        self.look_into_the_journal()

    @contextmanager
    def running(self) -> Iterator[subprocess.Popen[bytes]]:
        """A run that is killed at the end, unless it has ended."""
        log = self.files.directory / "stderr.log"
        with log.open("wb") as said, subprocess.Popen(self._command(), stdout=said, stderr=said) as process:
            try:
                yield process
            finally:
                process.kill()

    def wait_for(self, process: subprocess.Popen[bytes], handled: float, seconds: float = 60.0) -> bool:
        """Wait until the server has handled so much of this run, or so many seconds have passed.

        Returns False where the run has ended before, because the server was away when it began.
        """
        give_up = time.monotonic() + seconds
        while self._server.handled() <= handled and time.monotonic() < give_up:
            if process.poll() is not None:
                said = (self.files.directory / "stderr.log").read_text("utf-8")
                assert "cannot connect" in said, said
                return False
            time.sleep(0.001)
        return True

    def look_into_the_journal(self) -> None:
        """What a bad end has left: few records in doubt, all that the server has applied, all that was known."""
        self._bad_ends += 1
        intents, outcomes = self._journal()
        assert outcomes.keys() <= intents
        assert len(intents) - len(outcomes) <= self._connections
        applied = {_number(body) for _, body in self._server.changes()}
        assert applied <= intents
        assert self._known.items() <= outcomes.items()
        self._known = {seq: outcome for seq, outcome in outcomes.items() if not self._may_be_sent_again(seq, outcome)}

    def _may_be_sent_again(self, seq: int, outcome: str) -> bool:
        return outcome == "unknown" and "idempotent" in self.records[seq]

    def _journal(self) -> tuple[set[int], dict[int, str]]:
        """The records with an intent, and the outcomes. A copy is opened: SQLite would mend the journal itself."""
        copy = self.files.directory / "copy" / "journal"
        shutil.rmtree(copy.parent, ignore_errors=True)
        copy.parent.mkdir()
        for suffix in ("", "-wal"):
            part = self.files.journal.with_name(self.files.journal.name + suffix)
            if part.exists():
                shutil.copy(part, copy.with_name(copy.name + suffix))
        with closing(sqlite3.connect(copy)) as database:
            if not database.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'outcome'").fetchone()[0]:
                return set(), {}
            intents = {seq for (seq,) in database.execute("SELECT seq FROM intent")}
            rows = database.execute("SELECT seq, outcome FROM outcome")
            return intents, {seq: OUTCOMES[code] for seq, code in rows}

    def _hold_outcomes(self) -> Counter[str]:
        outcomes = self.files.outcomes()
        assert [line["seq"] for line in outcomes] == list(range(len(self.records)))
        assert self._journal()[1] == {line["seq"]: line["outcome"] for line in outcomes}
        changes = self._server.changes()
        applied = Counter(changes)
        assert applied.keys() <= {_change(record) for record in self.records}
        for line, record in zip(outcomes, self.records, strict=True):
            times = applied[_change(record)]
            if record.get("idempotent"):
                times = min(times, 1)
            assert times in TIMES[line["outcome"]], (line, times)
            assert line.get("properties") == record.get("properties")
        _hold_order(changes)
        _hold_back(outcomes)
        counts = Counter(str(line["outcome"]) for line in outcomes)
        # Where a server goes away, its connections may end before its port does: they are made once more, and end.
        doubts = (self._bad_ends + 2 * self._server.absences()) * self._connections + self._server.cuts().total()
        assert counts["unknown"] <= doubts
        return counts

    def _command(self) -> list[str]:
        files = self.files
        return [
            *PATCHWIRE, "batch", str(files.connection), str(files.records), "--journal", str(files.journal),
            "--output", str(files.output), "--concurrency", str(self._connections), "--no-progress",
            "--summary", "json",
        ]  # fmt: skip


def _hold_order(changes: list[tuple[str, str]]) -> None:
    """The records of a lane were applied in their order."""
    lanes: dict[str, list[int]] = {}
    for target, body in changes:
        lanes.setdefault(target.partition("?")[0], []).append(_number(body))
    for numbers in lanes.values():
        assert all(earlier <= later for earlier, later in pairwise(numbers)), numbers


def _hold_back(outcomes: list[dict[str, Any]]) -> None:
    """Behind an unknown record nothing of its lane is sent; everything else is."""
    holders: dict[str, str] = {}
    for line in outcomes:
        holder = holders.get(line["path"])
        if holder is not None:
            assert (line["outcome"], line["error"]) == ("not_sent", f"held by {holder}"), line
        elif line["outcome"] == "unknown":
            holders[line["path"]] = line["id"]
        else:
            assert line["outcome"] in ("applied", "rejected"), line


def _number(body: str) -> int:
    return int(json.loads(body)["n"])


def _change(record: Record) -> tuple[str, str]:
    """What the server must see of it: its target and its body."""
    query = f"?n={record['query']['n']}" if "query" in record else ""
    return record["path"] + query, json.dumps(record["body"])
