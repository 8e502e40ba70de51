"""From the lines of the input to records that wait in their lanes, never more of them than the window holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import trio

from patchwire.delivery.lanes import Lanes
from patchwire.delivery.outcome import Outcome
from patchwire.delivery.record import Record, RecordParser, line_digest, with_body
from patchwire.errors import JournalError, PatchwireError, RecordError, StorageError
from patchwire.files.records import LineReader, read_body
from patchwire.run.journal import Journal, Known

WINDOW_BYTES: Final = 33_554_432


class Intake:
    """Reads until the input ends, or a line in it is at fault: then `fault` says so, and nothing behind it is read.

    `settled` is told of each record that an earlier run has brought to an outcome, `held` of each whose lane is.
    """

    def __init__(
        self,
        reader: LineReader,
        parser: RecordParser,
        directory: Path,
        journal: Journal,
        lanes: Lanes,
        window: int,
    ) -> None:
        self.ended = False
        self.passed_known = False
        """Whether every record that an earlier run has settled was met again."""
        self.fault: PatchwireError | None = None
        self._reader = reader
        self._parser = parser
        self._directory = directory
        self._journal = journal
        self._lanes = lanes
        self._window = window
        self._room = trio.Event()

    def make_room(self) -> None:
        """Say that records have left the window."""
        if not self._room.is_set() and not self._full(half=True):
            self._room.set()

    async def run(
        self,
        wake: Callable[[], None],
        settled: Callable[[bytes, Outcome], None],
        held: Callable[[Record, str], None],
    ) -> None:
        """Runs until the input has ended or is at fault; `wake` is called whenever records have been added."""
        try:
            await self._read(wake, settled, held)
        except (RecordError, JournalError, StorageError) as error:
            self.fault = error
        self.ended = True
        wake()

    async def _read(
        self,
        wake: Callable[[], None],
        settled: Callable[[bytes, Outcome], None],
        held: Callable[[Record, str], None],
    ) -> None:
        seq = 0
        known = self._journal.known()
        upcoming = next(known, None)
        self.passed_known = upcoming is None
        while block := await trio.to_thread.run_sync(self._reader.read_block, abandon_on_cancel=True):
            for number, line in block:
                if upcoming is not None and upcoming[0] == seq:
                    self._pass_over(seq, number, line, upcoming[1], settled)
                    upcoming = next(known, None)
                    self.passed_known = upcoming is None
                else:
                    record = await self._record(seq, number, line)
                    while self._full():
                        wake()
                        self._room = trio.Event()
                        await self._room.wait()
                    holder = self._lanes.add(record)
                    if holder is not None:
                        held(record, holder)
                seq += 1
            wake()
        self._refuse_shortened_input(seq, upcoming, known)

    async def _record(self, seq: int, number: int, line: bytes) -> Record:
        try:
            record = self._parser.parse(line, seq)
            if record.body_file is not None:
                body = await trio.to_thread.run_sync(read_body, self._directory, record.body_file)
                record = with_body(record, body)
        except RecordError as error:
            raise RecordError(f"{self._reader.place}:{number}", error.problem) from None
        return record

    def _pass_over(
        self, seq: int, number: int, line: bytes, known: Known, settled: Callable[[bytes, Outcome], None]
    ) -> None:
        if line_digest(line) != known.digest:
            place = f"{self._reader.place}:{number}"
            problem = "was sent by an earlier run and has changed since; restore the line, or start over with --fresh"
            raise JournalError(place, f"{problem} (journal {self._journal.path})")
        settled(line, known.outcome)
        if known.outcome is Outcome.UNKNOWN:
            record = self._parser.parse(line, seq)
            self._lanes.hold(record.lane, record.id)

    def _refuse_shortened_input(
        self, seq: int, upcoming: tuple[int, Known] | None, known: Iterator[tuple[int, Known]]
    ) -> None:
        if upcoming is not None:
            missing = 1 + sum(1 for _ in known)
            problem = f"{missing} records that an earlier run sent are missing behind the last of {seq}"
            raise JournalError(self._reader.place, f"{problem} (journal {self._journal.path})")

    def _full(self, half: bool = False) -> bool:
        lanes, share = self._lanes, 2 if half else 1
        return lanes.waiting >= self._window // share or lanes.waiting_bytes >= WINDOW_BYTES // share
