"""The one place where answers become outcomes and workers get their next record, a transaction each turn."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import trio
from msgspec import Struct

from patchwire.delivery.lanes import Lanes
from patchwire.delivery.outcome import Outcome
from patchwire.delivery.outcome_line import OutcomeLine, held_line, outcome_line
from patchwire.delivery.record import Record
from patchwire.errors import (
    CredentialsRejectedError,
    OriginError,
    PatchwireError,
    RecordError,
    StorageError,
)
from patchwire.run.intake import Intake
from patchwire.run.journal import Journal
from patchwire.run.journal_rows import Intent, Result
from patchwire.run.limits import RunLimits
from patchwire.run.pacer import Pacer
from patchwire.run.records import SHOWN
from patchwire.run.reports import Reports
from patchwire.run.worker import Delivery

NEVER: Final = float("inf")


class _Seat:
    """Where one idle worker waits for what it is to deliver next."""

    __slots__ = ("delivery", "is_left", "task")

    def __init__(self, task: trio.lowlevel.Task) -> None:
        self.task = task
        self.delivery: Delivery | None = None
        self.is_left = False


class _Group(Struct):
    """What is settled and not yet in the journal."""

    results: list[Result] = []
    intents: list[Intent] = []
    """Of records that have an outcome though this run has never sent them."""
    withdrawn: list[int] = []
    reported: list[Result] = []
    sources: list[bytes] = []
    """The lines of the records of `reported`."""

    def add(self, result: Result, record: Record) -> None:
        self.results.append(result)
        self.reported.append(result)
        self.sources.append(record.line)


class Dispatcher:
    """Workers hand in what they delivered and wait; each turn settles all of it and hands out what may go next.

    A turn runs when every worker that was awake has come to rest, so that the journal takes them as one group.
    """

    def __init__(
        self, journal: Journal, lanes: Lanes, reports: Reports, pacer: Pacer, stop: trio.Event, limits: RunLimits
    ) -> None:
        self.stop = stop
        """Set when nothing more is to be sent."""
        self.failures: list[PatchwireError] = []
        """What has stopped the run, in order, and the first lines that were passed over."""
        self.lost: list[OutcomeLine] = []
        """Outcomes that could not be kept: a resume will find those of these records that were sent unknown."""
        self._journal = journal
        self._lanes = lanes
        self._reports = reports
        self._pacer = pacer
        self._limits = limits
        self._flying: dict[int, Delivery] = {}
        self._finished: list[Delivery] = []
        self._group = _Group()
        self._held: list[tuple[Record, str]] = []
        self._doubted: list[tuple[Record, bool]] = []
        self._wake_at = NEVER
        self._idle: deque[_Seat] = deque()
        self._task: trio.lowlevel.Task | None = None
        self._parked = False
        self._asked = False
        self._closed = False
        self._storage_failure: StorageError | None = None

    async def next_delivery(self, delivery: Delivery | None) -> Delivery | None:
        """Hand in a delivery, and wait for the next to make; None when there is no more to do."""
        if delivery is not None:
            self._finished.append(delivery)
        if self._closed:
            return None
        seat = _Seat(trio.lowlevel.current_task())
        self._idle.append(seat)
        self.wake()

        def leave(_: Callable[[], object]) -> trio.lowlevel.Abort:
            seat.is_left = True
            with suppress(ValueError):  # a record is kept for it, while the journal waits for the disk
                self._idle.remove(seat)
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(leave)
        return seat.delivery

    def hold(self, record: Record, holder: str) -> None:
        """Take in a record that is not sent, since its lane is held by the record `holder`."""
        self._held.append((record, holder))

    def doubt(self, record: Record, *, taken_up: bool) -> None:
        """Take in a record that is unknown since a power cut; whether it is sent again."""
        self._doubted.append((record, taken_up))

    def taken_up(self, record: Record) -> None:
        """A record that an earlier run has left unknown will come back with what a further attempt has brought."""
        self._reports.take_up(record.seq, record.line, counted=True)

    def settled(self, line: bytes, outcome: Outcome) -> None:
        """A record that an earlier run has settled."""
        self._reports.pass_over(line, outcome)

    def invalid(self, fault: RecordError) -> None:
        """A line that is no record, and is passed over."""
        self._reports.invalid += 1
        if self._reports.invalid <= SHOWN:
            self.failures.append(fault)

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
                await self._turn()
                intake.make_room()
        finally:
            self._close()

    def _is_over(self, intake: Intake) -> bool:
        if self._flying or self._finished or self._held or self._doubted:
            return False
        return self.stop.is_set() or (intake.ended and not self._lanes.waiting)

    async def _park(self) -> None:
        """Until a turn is asked for, or the pace lets more records go."""
        if self._asked:
            await trio.lowlevel.checkpoint()
        elif self._wake_at == NEVER:
            await self._sleep()
        else:
            with trio.move_on_at(self._wake_at):
                await self._sleep()
        self._asked = False

    async def _sleep(self) -> None:
        self._parked = True

        def leave(_: Callable[[], object]) -> trio.lowlevel.Abort:
            self._parked = False
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(leave)

    async def _turn(self) -> None:
        self._settle()
        assigned = self._assign()
        intents = [_intent(each.record) for _, each in assigned if not each.record.earlier]
        if self._journal.waits_for_the_disk:
            with trio.CancelScope(shield=True):  # what the journal has taken in must be known
                kept = await trio.to_thread.run_sync(self._commit, intents)
        else:
            kept = self._commit(intents)
        if kept:
            self._report()
            self._hand_out(assigned)
        else:
            for _, delivery in assigned:
                del self._flying[delivery.record.seq]
            self._idle.extend(seat for seat, _ in assigned if not seat.is_left)
            if self._commit([]):  # what has been answered may still fit where new intents do not
                self._report()
        self._stop_at_limits()

    def _hand_out(self, assigned: list[tuple[_Seat, Delivery]]) -> None:
        """The journal has their intents: now they may be sent."""
        for seat, delivery in assigned:
            if not seat.is_left:
                seat.delivery = delivery
                trio.lowlevel.reschedule(seat.task)
            else:  # the run was cancelled meanwhile
                del self._flying[delivery.record.seq]
                if not delivery.record.earlier:
                    self._group.withdrawn.append(delivery.record.seq)

    def _assign(self) -> list[tuple[_Seat, Delivery]]:
        assigned: list[tuple[_Seat, Delivery]] = []
        idle, lanes, flying = self._idle, self._lanes, self._flying
        self._wake_at = NEVER
        if not idle or not lanes.has_ready or self.stop.is_set():
            return assigned
        allowance = self._pacer.allowance(len(flying))
        while idle and len(assigned) < allowance and (record := lanes.take()) is not None:
            delivery = Delivery(record)
            assigned.append((idle.popleft(), delivery))
            flying[record.seq] = delivery
        self._pacer.pace.take(len(assigned))
        if idle and lanes.has_ready:
            self._wake_at = self._pacer.next_at(len(flying))
        return assigned

    def _settle(self) -> None:
        finished, self._finished = self._finished, []
        for delivery in finished:
            del self._flying[delivery.record.seq]
            self._settle_one(delivery)
        held, self._held = self._held, []
        for record, holder in held:
            self._settle_held(record, holder)
        doubted, self._doubted = self._doubted, []
        for record, taken_up in doubted:
            self._settle_doubted(record, taken_up)

    def _settle_one(self, delivery: Delivery) -> None:
        record = delivery.record
        self._note_what_stops(delivery)
        if delivery.to_be_sent_again:
            self._give_up(delivery)
            return
        outcome = self._add(delivery)
        # What was unknown and stays so because the run stops is taken up by the next, with what waits behind it.
        if not (record.earlier and outcome is Outcome.UNKNOWN and self.stop.is_set()):
            self._free_lane(record, outcome)

    def _add(self, delivery: Delivery) -> Outcome:
        record = delivery.record
        line = outcome_line(
            record, delivery.attempts, delivery.seconds, verified=delivery.verified, note=delivery.note
        )
        self._group.add(Result(line, delivery.attempts, record.attempts_before), record)
        return Outcome(line.outcome)

    def _give_up(self, delivery: Delivery) -> None:
        """Nothing has come of it: a resume finds the record as this run has found it."""
        record = delivery.record
        if not record.earlier:
            self._group.withdrawn.append(record.seq)
        elif not self.stop.is_set():
            self._free_lane(record, Outcome.UNKNOWN)

    def _note_what_stops(self, delivery: Delivery) -> None:
        origin = str(delivery.record.request.origin)
        if delivery.refusal is not None:
            status = delivery.attempts[-1].status if delivery.attempts else None
            # It may name who gives the tokens, or where it could not connect to.
            where = "" if delivery.refusal.startswith(("http", "cannot connect to ")) else f"{origin}: "
            problem = f"{where}{delivery.refusal}; nothing was changed, correct it and run the same command again"
            self.fail(CredentialsRejectedError(problem, origin=origin, status=status or 401))
        if delivery.unreachable is not None:
            self.fail(delivery.unreachable)
        if delivery.unkept is not None:
            self.fail(delivery.unkept)
        if delivery.postponed is not None:
            problem = f"{origin} asks to be left alone for {delivery.postponed:,.0f} seconds (Retry-After)"
            self.fail(OriginError(problem, origin=origin))

    def _free_lane(self, record: Record, outcome: Outcome) -> None:
        for successor in self._lanes.finish(record, outcome):
            if not successor.earlier:  # what is unknown stays so
                self._settle_held(successor, record.id)

    def _settle_held(self, record: Record, holder: str) -> None:
        self._group.add(Result(held_line(record, holder)), record)
        self._group.intents.append(_intent(record))

    def _settle_doubted(self, record: Record, taken_up: bool) -> None:
        result = Result(outcome_line(record, [], 0.0))
        if taken_up:
            self._group.results.append(result)
            self._reports.take_up(record.seq, record.line, counted=False)
        else:
            self._group.add(result, record)
        self._group.intents.append(_intent(record))

    def _commit(self, intents: list[Intent]) -> bool:
        """Whether the journal has taken what is settled, and these intents."""
        group = self._group
        if not (intents or group.results or group.withdrawn):
            return True
        try:
            self._journal.commit(group.results, group.intents + intents, group.withdrawn)
        except StorageError as error:
            self._storage_failure = error
            return False
        return True

    def _report(self) -> None:
        """The journal has the group: now it may be told."""
        group, self._group = self._group, _Group()
        if group.reported:
            try:
                self._reports.take(group.reported, group.sources)
            except StorageError as error:
                self.fail(error)

    def _stop_at_limits(self) -> None:
        if self._storage_failure is not None:
            self.fail(self._storage_failure)
        if self.stop.is_set():
            return
        failure = self._limits.failure(self._reports, self._pacer)
        if failure is not None:
            self.fail(failure)

    def _close(self) -> None:
        self._closed = True
        self._settle()
        for delivery in self._flying.values():
            delivery.give_up()
            if not delivery.to_be_sent_again:
                self._add(delivery)
            elif not delivery.record.earlier:
                self._group.withdrawn.append(delivery.record.seq)
        if self._commit([]):
            self._report()
        else:
            self.lost = [result.line for result in self._group.results]
        for seat in self._idle:
            trio.lowlevel.reschedule(seat.task)
        self._idle.clear()


def _intent(record: Record) -> Intent:
    label = None if record.id == str(record.seq) else record.id
    return Intent(record.seq, record.digest(), record.path, label, record.properties or None)
