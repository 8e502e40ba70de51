"""What a run tells while it goes on: outcomes, the records to run again, and counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Final

from patchwire.delivery.outcome import Outcome
from patchwire.delivery.outcome_line import OutcomeLine
from patchwire.errors import JournalError, PatchwireError, StorageError
from patchwire.files.outcomes import LineFile, Written, encode, rewrite_output
from patchwire.run.journal import Journal
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
        self,
        journal: Journal,
        output: LineFile | None = None,
        failed: LineFile | None = None,
        unknown: LineFile | None = None,
    ) -> None:
        self.counts: Counter[str] = Counter(journal.counts())
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
        self._journal = journal
        self._taken_up: dict[int, bytes] = {}
        """The lines of records that earlier runs have left unknown and this one has not told of yet."""
        self._has_superseded = False
        """Whether outcomes stand in the output that no longer hold."""
        self._told = Written()
        """Which unknown records stand in the output."""
        if output is not None and not output.is_stream and self.counts[Outcome.UNKNOWN.value]:
            for line in journal.unknown_lines():
                self._told.add(line.seq)

    def take(self, results: list[Result], sources: list[bytes]) -> None:
        """Count and write these outcomes; `sources` are their records' lines. StorageError names the file."""
        counts = self.counts
        lines = [result.line for result in results]
        for line in lines:
            outcome = line.outcome
            counts[outcome] += 1
            if outcome != _APPLIED:
                self.failed_now += 1
                if outcome == Outcome.UNKNOWN.value:
                    self._told.add(line.seq)
            if line.pending is True:
                counts["pending"] += 1
            if self._taken_up and line.seq in self._taken_up:
                self._supersede(line)
        self.settled_now += len(lines)
        self.bytes_passed += sum(map(len, sources)) + len(sources)
        steps = [partial(self._write_lines, role, lines, sources) for role in RECORD_FILES if self._files[role]]
        _do_all([partial(self._write_outcomes, lines), *steps])

    def pass_over(self, source: bytes, outcome: Outcome) -> None:
        """A record that an earlier run has settled: it is in the counts and in the output already."""
        self.bytes_passed += len(source) + 1
        for role, outcomes in RECORD_FILES.items():
            if outcome.value in outcomes:
                self._write(role, [source])

    def take_up(self, seq: int, source: bytes, *, counted: bool) -> None:
        """A record that earlier runs have left unknown is sent again; whether it is in the counts already."""
        self._taken_up[seq] = source if self._files["unknown"] is not None else b""
        if not counted:
            self.counts[Outcome.UNKNOWN.value] += 1

    def close(self, *, complete: bool) -> None:
        """Write out and close every file. StorageError names the first that fails; all are closed.

        What was sent again stands in the output once from then on.

        Unless this run has met again all that earlier runs have settled, what those wrote to `failed` and `unknown`
        says more than what this one could write, and stays.
        """
        _do_all([self._tell_what_is_still_unknown, *self._closings(complete), self._drop_superseded])

    def _write_outcomes(self, lines: list[OutcomeLine]) -> None:
        with self._given_up_on_failure("output") as output:
            if output is not None:
                output.write_outcomes(lines)

    def _write_lines(self, role: str, lines: list[OutcomeLine], sources: list[bytes]) -> None:
        outcomes = RECORD_FILES[role]
        self._write(role, [source for line, source in zip(lines, sources, strict=True) if line.outcome in outcomes])

    def _closings(self, complete: bool) -> list[Callable[[], None]]:
        return [
            partial(file.close, keep=complete or role == "output")
            for role, file in self._files.items()
            if file is not None
        ]

    def _tell_what_is_still_unknown(self) -> None:
        self._write("unknown", list(self._taken_up.values()))
        if self.counts[Outcome.UNKNOWN.value] and self._files["output"] is not None:
            untold = [encode(line) for line in self._journal.unknown_lines() if not self._told.has(line.seq)]
            self._write("output", untold)

    def _drop_superseded(self) -> None:
        output = self._files["output"]
        if self._has_superseded and output is not None and not output.is_stream:
            rewrite_output(output.name, self._journal.lines())

    def _supersede(self, line: OutcomeLine) -> None:
        self.counts[Outcome.UNKNOWN.value] -= 1
        del self._taken_up[line.seq]
        self._has_superseded = True

    def _write(self, role: str, lines: list[bytes]) -> None:
        with self._given_up_on_failure(role) as file:
            if file is not None and lines:
                file.write(lines)

    @contextmanager
    def _given_up_on_failure(self, role: str) -> Iterator[LineFile | None]:
        file, self._files[role] = self._files[role], None
        yield file
        self._files[role] = file


def _do_all(steps: Sequence[Callable[[], None]]) -> None:
    """All of them, whatever becomes of the others; the first failure is raised when all are done."""
    failures: list[PatchwireError] = []
    for step in steps:
        try:
            step()
        except (StorageError, JournalError) as error:
            failures.append(error)
    if failures:
        raise failures[0]
