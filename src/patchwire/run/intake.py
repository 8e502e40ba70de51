"""From the lines of the input to records that wait in their lanes, never more of them than the window holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple, Protocol

import msgspec
import trio

from patchwire.delivery.lanes import Lanes
from patchwire.delivery.outcome import Outcome, untraced
from patchwire.delivery.record import DIGEST_SIZE, Record, RecordParser, line_digest
from patchwire.errors import JournalError, PatchwireError, RecordError, StorageError
from patchwire.files.records import LineReader
from patchwire.run.journal import Journal, Known
from patchwire.run.journal_file import POWER_CUT
from patchwire.run.records import parsed, whole

WINDOW_BYTES: Final = 33_554_432


class _Numbered(NamedTuple):
    """A line of the input, by the number of its record and its own."""

    seq: int
    number: int
    line: bytes


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
        self._unsent: list[_Numbered] = []
        self._unsent_bytes = 0

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
                if upcoming is None:
                    await self._meet(_Numbered(seq, number, line), audience)
                elif upcoming[0] != seq:
                    await self._put_off(_Numbered(seq, number, line), audience)
                else:
                    self._refuse_changed(number, line_digest(line), upcoming[1].digest[:DIGEST_SIZE])
                    await self._meet_put_off(audience)
                    await self._meet_again(_Numbered(seq, number, line), upcoming[1], audience)
                    upcoming = next(known, None)
                    self.passed_known = upcoming is None
                seq += 1
            audience.wake()
        self._refuse_shortened_input(seq, upcoming, known)

    async def _put_off(self, unsent: _Numbered, audience: Audience) -> None:
        """Until the next line that was sent has shown that all stand at their numbers: where one was taken out, that
        line has moved up to the number of an unsent one, and would be sent again.
        """
        self._unsent.append(unsent)
        self._unsent_bytes += len(unsent.line)
        if self._unsent_bytes > WINDOW_BYTES:  # so many a run never leaves behind: they were no records then
            await self._meet_put_off(audience)

    async def _meet_put_off(self, audience: Audience) -> None:
        unsent, self._unsent, self._unsent_bytes = self._unsent, [], 0
        for each in unsent:
            await self._meet(each, audience)

    async def _meet(self, line: _Numbered, audience: Audience) -> None:
        try:
            record = self._record(line)
            if line.seq in self._journal.in_doubt:
                await self._meet_in_doubt(record, line.number, audience)
                return
            if self._lanes.holder(record.lane) is None:
                record = await self._whole(record, line.number)
        except RecordError as error:
            if not self._skips_invalid:
                raise
            audience.invalid(error)
            return
        holder = await self._add(record, audience)
        if holder is not None:
            audience.hold(record, holder)

    async def _meet_in_doubt(self, record: Record, number: int, audience: Audience) -> None:
        doubt = untraced(Outcome.UNKNOWN, POWER_CUT)
        again = msgspec.structs.replace(record, earlier=(doubt,), attempts_before=1)
        taken_up = False
        if self._takes_up(record) and self._lanes.holder(record.lane) is None:
            again = await self._whole(again, number)
            taken_up = await self._add(again, audience) is None
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

    async def _meet_again(self, line: _Numbered, known: Known, audience: Audience) -> None:
        if known.outcome is Outcome.UNKNOWN:
            again = await self._taken_up(line, known)
            if again is not None and await self._add(again, audience) is None:
                audience.taken_up(again)
                return
        audience.settled(line.line, known.outcome)
        # One that was held itself keeps its lane: what comes behind it must not overtake it.
        was_held = known.outcome is Outcome.NOT_SENT and not known.attempts and self._lanes.holds(Outcome.UNKNOWN)
        if was_held or self._lanes.holds(known.outcome):
            record = self._parser.parse(line.line, line.seq)
            self._lanes.hold(record.lane, record.id)

    async def _taken_up(self, line: _Numbered, known: Known) -> Record | None:
        """A record that an earlier run has left unknown, where it is to be added again."""
        record = self._record(line)
        if not self._takes_up(record) or self._lanes.holder(record.lane) is not None:
            return None
        left = self._journal.attempt(line.seq)
        record = await self._whole(record, line.number)
        self._refuse_changed(line.number, record.digest()[: len(known.digest)], known.digest)
        return msgspec.structs.replace(record, earlier=(left,), attempts_before=known.attempts)

    def _record(self, line: _Numbered) -> Record:
        try:
            record = parsed(self._parser, line.line, line.seq)
        except RecordError as error:
            hint = "; the file ends within this line" if line.number == self._reader.unended_line else ""
            raise RecordError(f"{self._reader.place}:{line.number}", error.problem + hint) from None
        before = self._journal.attempts_made.get(line.seq, 0)
        return msgspec.structs.replace(record, attempts_before=before) if before else record

    async def _whole(self, record: Record, number: int) -> Record:
        try:
            return await whole(record, self._directory)
        except RecordError as error:
            raise RecordError(f"{self._reader.place}:{number}", error.problem) from None

    def _refuse_changed(self, number: int, found: bytes, sent: bytes) -> None:
        if found != sent:
            place = f"{self._reader.place}:{number}"
            problem = (
                "was sent by an earlier run and has changed or moved since; restore it, or start over with --fresh"
            )
            raise JournalError(place, f"{problem} (journal {self._journal.path})")

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
