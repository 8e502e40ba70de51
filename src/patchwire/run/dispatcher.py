"""The one place where answers become outcomes and workers get their next record, a transaction each turn."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

import trio
from msgspec import Struct

from patchwire.delivery.lanes import Lanes
from patchwire.delivery.outcome import Attempt, Outcome, OutcomeLine, held_line, outcome_line
from patchwire.delivery.record import Record
from patchwire.errors import CredentialsRejectedError, PatchwireError, Sent, StorageError
from patchwire.run.intake import Intake
from patchwire.run.journal import Intent, Journal
from patchwire.run.reports import Reports
from patchwire.run.worker import Delivery

_CANCELLED: Final = Attempt(Outcome.UNKNOWN, Sent.MAYBE, error="stopped before an answer came")


class _Seat:
    """Where one idle worker waits for its next record."""

    __slots__ = ("record", "task")

    def __init__(self, task: trio.lowlevel.Task) -> None:
        self.task = task
        self.record: Record | None = None


class _Group(Struct):
    """What is settled and not yet in the journal."""

    outcomes: list[OutcomeLine] = []
    sources: list[bytes] = []
    """The lines of the records of `outcomes`."""
    intents: list[Intent] = []
    """Of records that have an outcome though they were never sent."""
    withdrawn: list[int] = []

    def add(self, record: Record, line: OutcomeLine) -> None:
        self.outcomes.append(line)
        self.sources.append(record.line)


class Dispatcher:
    """Workers hand in what they delivered and wait; each turn settles all of it and hands out what may go next.

    A turn runs when every worker that was awake has come to rest, so that the journal takes them as one group.
    """

    def __init__(self, journal: Journal, lanes: Lanes, reports: Reports) -> None:
        self.stop = trio.Event()
        """Set when nothing more is to be sent."""
        self.failures: list[PatchwireError] = []
        """What has stopped the run, in order."""
        self.lost: list[OutcomeLine] = []
        """Outcomes that could not be kept: a resume will find those of these records that were sent unknown."""
        self._journal = journal
        self._lanes = lanes
        self._reports = reports
        self._flying: dict[int, Record] = {}
        self._finished: list[Delivery] = []
        self._group = _Group()
        self._held: list[tuple[Record, str]] = []
        self._idle: deque[_Seat] = deque()
        self._task: trio.lowlevel.Task | None = None
        self._parked = False
        self._asked = False
        self._closed = False

    async def next_record(self, delivery: Delivery | None) -> Record | None:
        """Hand in a delivery, and wait for the next record; None when there is no more to do."""
        if delivery is not None:
            self._finished.append(delivery)
        if self._closed:
            return None
        seat = _Seat(trio.lowlevel.current_task())
        self._idle.append(seat)
        self.wake()

        def leave(_: Callable[[], object]) -> trio.lowlevel.Abort:
            self._idle.remove(seat)
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(leave)
        return seat.record

    def hold(self, record: Record, holder: str) -> None:
        """Take in a record that is not sent, since its lane is held by the record `holder`."""
        self._held.append((record, holder))

    def wake(self) -> None:
        """Ask for a turn."""
        self._asked = True
        if self._parked and self._task is not None:
            self._parked = False
            trio.lowlevel.reschedule(self._task)

    def fail(self, failure: PatchwireError) -> None:
        """Finish because of this failure. Of each kind the first is kept."""
        if not any(isinstance(each, type(failure)) or isinstance(failure, type(each)) for each in self.failures):
            self.failures.append(failure)
        self.finish()

    def finish(self) -> None:
        """Let what is in flight come home, and send nothing more."""
        if not self.stop.is_set():
            self.stop.set()
            self.wake()

    async def run(self, intake: Intake) -> None:
        """Runs until every record has its outcome, or the run is stopped and nothing is in flight."""
        self._task = trio.lowlevel.current_task()
        try:
            while not self._is_over(intake):
                await self._park()
                self._turn()
                intake.make_room()
        finally:
            self._close()

    def _is_over(self, intake: Intake) -> bool:
        if self._flying or self._finished or self._held:
            return False
        return self.stop.is_set() or (intake.ended and not self._lanes.waiting)

    async def _park(self) -> None:
        if self._asked:
            await trio.lowlevel.checkpoint()
        else:
            self._parked = True

            def leave(_: Callable[[], object]) -> trio.lowlevel.Abort:
                self._parked = False
                return trio.lowlevel.Abort.SUCCEEDED

            await trio.lowlevel.wait_task_rescheduled(leave)
        self._asked = False

    def _turn(self) -> None:
        self._settle()
        assigned = self._assign()
        if self._commit([_intent(record) for _, record in assigned]):
            for seat, record in assigned:
                seat.record = record
                trio.lowlevel.reschedule(seat.task)
        else:
            for _, record in assigned:
                del self._flying[record.seq]
            self._idle.extend(seat for seat, _ in assigned)
            self._commit([])  # what has been answered may still fit where new intents do not

    def _assign(self) -> list[tuple[_Seat, Record]]:
        assigned: list[tuple[_Seat, Record]] = []
        idle, lanes = self._idle, self._lanes
        while idle and not self.stop.is_set():
            record = lanes.take()
            if record is None:
                break
            assigned.append((idle.popleft(), record))
            self._flying[record.seq] = record
        return assigned

    def _settle(self) -> None:
        finished, self._finished = self._finished, []
        for delivery in finished:
            del self._flying[delivery.record.seq]
            self._settle_one(delivery)
        held, self._held = self._held, []
        for record, holder in held:
            self._settle_held(record, holder)

    def _settle_one(self, delivery: Delivery) -> None:
        record = delivery.record
        last = delivery.attempts[-1]
        if delivery.refusal is not None:
            origin = str(record.request.origin)
            problem = f"{origin}: {delivery.refusal}; nothing was changed, correct it and run the same command again"
            self.fail(CredentialsRejectedError(problem, origin=origin, status=last.status or 401))
        if delivery.unreachable is not None:
            self.fail(delivery.unreachable)
        if delivery.to_be_sent_again:
            self._group.withdrawn.append(record.seq)
            return
        line = outcome_line(record, delivery.attempts, delivery.seconds)
        self._group.add(record, line)
        for successor in self._lanes.finish(record, Outcome(line.outcome)):
            self._settle_held(successor, record.id)

    def _settle_held(self, record: Record, holder: str) -> None:
        self._group.add(record, held_line(record, holder))
        self._group.intents.append(_intent(record))

    def _commit(self, intents: list[Intent]) -> bool:
        """Whether the journal has taken what is settled, and these intents."""
        group = self._group
        if not (intents or group.outcomes or group.withdrawn):
            return True
        try:
            self._journal.commit(group.outcomes, group.intents + intents, group.withdrawn)
        except StorageError as error:
            self.fail(error)
            return False
        self._group = _Group()
        if group.outcomes:
            try:
                self._reports.take(group.outcomes, group.sources)
            except StorageError as error:
                self.fail(error)
        return True

    def _close(self) -> None:
        self._closed = True
        self._settle()
        for record in self._flying.values():  # cancelled: their bytes may be on their way
            self._group.add(record, outcome_line(record, [_CANCELLED], 0.0))
        if not self._commit([]):
            self.lost = self._group.outcomes
        for seat in self._idle:
            trio.lowlevel.reschedule(seat.task)
        self._idle.clear()


def _intent(record: Record) -> Intent:
    label = None if record.id == str(record.seq) else record.id
    return Intent(record.seq, record.digest(), record.path, label, record.properties or None)
