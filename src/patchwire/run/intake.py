"""From the lines of the input to records that wait in their lanes, never more of them than the window holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, Protocol

import msgspec
import trio

from patchwire.delivery.lanes import Lanes
from patchwire.delivery.outcome import Attempt, Outcome
from patchwire.delivery.record import Record, RecordParser, line_digest
from patchwire.errors import JournalError, PatchwireError, RecordError, Sent, StorageError
from patchwire.files.records import LineReader
from patchwire.run.journal import Journal, Known
from patchwire.run.journal_file import POWER_CUT
from patchwire.run.records import parsed

WINDOW_BYTES: Final = 33_554_432


class Audience(Protocol):
    """Who is told of what the intake meets."""

    def wake(self) -> None:
        """Records have been added."""

    def settled(self, line: bytes, outcome: Outcome) -> None:
        """A record that an earlier run has brought to an outcome, which stands."""

    def taken_up(self, record: Record) -> None:
        """A record that an earlier run has left unknown, and that is added again."""

    def hold(self, record: Record, holder: str) -> None:
        """A record that is not sent, since its lane is held by the record `holder`."""

    def doubt(self, record: Record, *, taken_up: bool) -> None:
        """A record that may have been sent before a power cut: it is unknown, and may be added again."""

    def invalid(self, fault: RecordError) -> None:
        """A line that is no record, and is passed over."""


class Intake:
    """Reads until the input ends, or a line in it is at fault: then `fault` says so, and nothing behind it is read.

    `takes_up` says which of the records that earlier runs have left unknown are added again; the others hold their
    lanes. With `skips_invalid` a line that is no record is passed over, and keeps its number.
    """

    def __init__(
        self,
        reader: LineReader,
        parser: RecordParser,
        directory: Path,
        journal: Journal,
        lanes: Lanes,
        window: int,
        takes_up: Callable[[Record], bool],
        *,
        skips_invalid: bool = False,
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
        self._takes_up = takes_up
        self._skips_invalid = skips_invalid
        self._room = trio.Event()

    def make_room(self) -> None:
        """Say that records have left the window."""
        if not self._room.is_set() and not self._full(half=True):
            self._room.set()

    async def run(self, audience: Audience) -> None:
        """Runs until the input has ended or is at fault."""
        try:
            await self._read(audience)
        except (RecordError, JournalError, StorageError) as error:
            self.fault = error
        self.ended = True
        audience.wake()

    async def _read(self, audience: Audience) -> None:
        seq = 0
        known = self._journal.known()
        upcoming = next(known, None)
        self.passed_known = upcoming is None
        while block := await trio.to_thread.run_sync(self._reader.read_block, abandon_on_cancel=True):
            for number, line in block:
                if upcoming is not None and upcoming[0] == seq:
                    await self._meet_again(seq, number, line, upcoming[1], audience)
                    upcoming = next(known, None)
                    self.passed_known = upcoming is None
                else:
                    await self._meet(seq, number, line, audience)
                seq += 1
            audience.wake()
        self._refuse_shortened_input(seq, upcoming, known)

    async def _meet(self, seq: int, number: int, line: bytes, audience: Audience) -> None:
        try:
            record = await self._record(seq, number, line)
        except RecordError as error:
            if not self._skips_invalid:
                raise
            audience.invalid(error)
            return
        if seq not in self._journal.in_doubt:
            holder = await self._add(record, audience)
            if holder is not None:
                audience.hold(record, holder)
            return
        again = _taken_up(record, Attempt(Outcome.UNKNOWN, Sent.MAYBE, error=POWER_CUT), 1)
        taken_up = self._takes_up(again) and await self._add(again, audience) is None
        audience.doubt(again, taken_up=taken_up)
        if not taken_up and self._lanes.holds(Outcome.UNKNOWN):
            self._lanes.hold(record.lane, record.id)

    async def _add(self, record: Record, audience: Audience) -> str | None:
        """Queue a record, once there is room. Returns the id of the record that holds its lane, if one does."""
        while self._full():
            audience.wake()
            self._room = trio.Event()
            await self._room.wait()
        return self._lanes.add(record)

    async def _meet_again(self, seq: int, number: int, line: bytes, known: Known, audience: Audience) -> None:
        if line_digest(line) != known.digest:
            place = f"{self._reader.place}:{number}"
            problem = "was sent by an earlier run and has changed since; restore the line, or start over with --fresh"
            raise JournalError(place, f"{problem} (journal {self._journal.path})")
        if known.outcome is Outcome.UNKNOWN:
            attempt = Attempt(Outcome.UNKNOWN, Sent.MAYBE, known.status, error=known.error)
            again = _taken_up(await self._record(seq, number, line), attempt, known.attempts)
            if self._takes_up(again) and await self._add(again, audience) is None:
                audience.taken_up(again)
                return
        audience.settled(line, known.outcome)
        if self._lanes.holds(known.outcome):
            record = self._parser.parse(line, seq)
            self._lanes.hold(record.lane, record.id)

    async def _record(self, seq: int, number: int, line: bytes) -> Record:
        try:
            return await parsed(self._parser, line, seq, self._directory)
        except RecordError as error:
            hint = "; the file ends within this line" if number == self._reader.unended_line else ""
            raise RecordError(f"{self._reader.place}:{number}", error.problem + hint) from None

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


def _taken_up(record: Record, attempt: Attempt, attempts: int) -> Record:
    return msgspec.structs.replace(record, earlier=(attempt,), attempts_before=attempts)
