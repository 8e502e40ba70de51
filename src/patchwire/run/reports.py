"""What a run tells while it goes on: outcomes, the records to run again, and counts."""

from __future__ import annotations

from collections import Counter

from patchwire.delivery.outcome import Outcome, OutcomeLine
from patchwire.errors import StorageError
from patchwire.files.outcomes import LineFile, encode


class Reports:
    """Takes outcomes once the journal has them. A file that cannot be written is given up; the journal has it all."""

    def __init__(
        self, counts: dict[str, int], output: LineFile | None, failed: LineFile | None, unknown: LineFile | None
    ) -> None:
        self.counts: Counter[str] = Counter(counts)
        """Of this run and those it resumes: the four outcomes, and `pending`."""
        self.settled_now = 0
        """Records that this run has settled."""
        self.bytes_passed = 0
        """Octets of the input's lines that have an outcome."""
        self._output = output
        self._by_outcome = {
            Outcome.REJECTED.value: failed,
            Outcome.NOT_SENT.value: failed,
            Outcome.UNKNOWN.value: unknown,
        }

    def take(self, lines: list[OutcomeLine], sources: list[bytes]) -> None:
        """Count and write these outcomes; `sources` are their records' lines. StorageError names the file."""
        counts = self.counts
        for line, source in zip(lines, sources, strict=True):
            counts[line.outcome] += 1
            if line.pending is True:
                counts["pending"] += 1
            self._sort(line.outcome, source)
        self.settled_now += len(lines)
        if self._output is not None:
            output, self._output = self._output, None
            output.write([encode(line) for line in lines])
            self._output = output

    def pass_over(self, source: bytes, outcome: Outcome) -> None:
        """A record that an earlier run has settled: it is in the counts and in the output already."""
        self._sort(outcome.value, source)

    def close(self) -> None:
        """Write out and close every file. StorageError names the first that fails; all are closed."""
        failure: StorageError | None = None
        for file in {id(file): file for file in (self._output, *self._by_outcome.values()) if file}.values():
            try:
                file.close()
            except StorageError as error:
                failure = failure or error
        if failure is not None:
            raise failure

    def _sort(self, outcome: str, source: bytes) -> None:
        self.bytes_passed += len(source) + 1
        file = self._by_outcome.get(outcome)
        if file is not None:
            self._by_outcome[outcome] = None
            file.write([source])
            self._by_outcome[outcome] = file
