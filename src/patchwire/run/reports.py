"""What a run tells while it goes on: outcomes, the records to run again, and counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from patchwire.delivery.outcome import Outcome
from patchwire.delivery.outcome_line import OutcomeLine
from patchwire.errors import StorageError
from patchwire.files.outcomes import LineFile, drop_superseded
from patchwire.run.journal_rows import Result

RECORD_FILES: Final = {
    "failed": frozenset({Outcome.REJECTED.value, Outcome.NOT_SENT.value}),
    "unknown": frozenset({Outcome.UNKNOWN.value}),
}
"""Which outcomes send a record's line to which file."""
_APPLIED: Final = Outcome.APPLIED.value


class Reports:
    """Takes outcomes once the journal has them. A file that cannot be written is given up; the journal has it all."""

    def __init__(
        self, counts: dict[str, int], output: LineFile | None, failed: LineFile | None, unknown: LineFile | None
    ) -> None:
        self.counts: Counter[str] = Counter(counts)
        """Of this run and those it resumes: the four outcomes, and `pending`."""
        self.settled_now = 0
        """Records that this run has settled."""
        self.failed_now = 0
        """How many of them were not applied."""
        self.invalid = 0
        """Lines of the input that are no records, and were passed over."""
        self.bytes_passed = 0
        """Octets of the input's lines that have an outcome."""
        self._files = {"output": output, "failed": failed, "unknown": unknown}
        self._taken_up: dict[int, bytes] = {}
        self._superseded: set[int] = set()

    def take(self, results: list[Result], sources: list[bytes]) -> None:
        """Count and write these outcomes; `sources` are their records' lines. StorageError names the file."""
        counts = self.counts
        lines = [result.line for result in results]
        for line, _, before in results:
            outcome = line.outcome
            counts[outcome] += 1
            if outcome != _APPLIED:
                self.failed_now += 1
            if line.pending is True:
                counts["pending"] += 1
            if before:
                self._supersede(line)
        self.settled_now += len(lines)
        self.bytes_passed += sum(map(len, sources)) + len(sources)
        with self._given_up_on_failure("output") as output:
            if output is not None:
                output.write_outcomes(lines)
        for role, outcomes in RECORD_FILES.items():
            if self._files[role] is not None:
                pairs = zip(lines, sources, strict=True)
                self._write(role, [source for line, source in pairs if line.outcome in outcomes])

    def pass_over(self, source: bytes, outcome: Outcome) -> None:
        """A record that an earlier run has settled: it is in the counts and in the output already."""
        self.bytes_passed += len(source) + 1
        for role, outcomes in RECORD_FILES.items():
            if outcome.value in outcomes:
                self._write(role, [source])

    def take_up(self, seq: int, source: bytes, *, counted: bool) -> None:
        """A record that earlier runs have left unknown is sent again; whether it is in the counts already."""
        self._taken_up[seq] = source
        if not counted:
            self.counts[Outcome.UNKNOWN.value] += 1

    def close(self, *, complete: bool) -> None:
        """Write out and close every file. StorageError names the first that fails; all are closed.

        What was sent again stands in the output once from then on.

        Unless this run has met again all that earlier runs have settled, what those wrote to `failed` and `unknown`
        says more than what this one could write, and stays.
        """
        failure: StorageError | None = None
        try:
            self._write("unknown", list(self._taken_up.values()))
        except StorageError as error:
            failure = error
        for role, file in self._files.items():
            if file is not None:
                try:
                    file.close(keep=complete or role == "output")
                except StorageError as error:
                    failure = failure or error
        output = self._files["output"]
        if failure is None and output is not None and self._superseded:
            drop_superseded(output.name, self._superseded)
        if failure is not None:
            raise failure

    def _supersede(self, line: OutcomeLine) -> None:
        self.counts[Outcome.UNKNOWN.value] -= 1
        self._taken_up.pop(line.seq, None)
        self._superseded.add(line.seq)

    def _write(self, role: str, lines: list[bytes]) -> None:
        with self._given_up_on_failure(role) as file:
            if file is not None and lines:
                file.write(lines)

    @contextmanager
    def _given_up_on_failure(self, role: str) -> Iterator[LineFile | None]:
        file, self._files[role] = self._files[role], None
        yield file
        self._files[role] = file
