"""The main job: a file of changes, N connections side by side, and a known outcome for each record."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import trio
from msgspec import Struct

from patchwire.delivery.labels import Labels
from patchwire.delivery.lanes import Lanes
from patchwire.delivery.latency import Latencies
from patchwire.delivery.outcome_line import OutcomeLine
from patchwire.delivery.pacing import Pace
from patchwire.delivery.record import Record, RecordParser
from patchwire.delivery.validators import Validators
from patchwire.errors import (
    JournalError,
    PatchwireError,
    RunLimitError,
    StorageError,
)
from patchwire.files.outcomes import (
    BEGIN_OF_OUTCOME,
    BEGIN_OF_RECORD,
    STANDARD_OUTPUT,
    LineFile,
    refuse_foreign,
)
from patchwire.files.records import LineReader
from patchwire.files.writable import refuse_unwritable
from patchwire.http.message import Request
from patchwire.net.aside import Aside
from patchwire.net.authentication import authentication_of
from patchwire.net.connection import Connection, Reply
from patchwire.net.deadlines import Deadlines
from patchwire.net.elsewhere import Elsewhere
from patchwire.net.opening import Opener
from patchwire.net.perform import Performer
from patchwire.net.wire_log import HIDDEN, WireLog
from patchwire.run.dispatcher import Dispatcher
from patchwire.run.input import open_records, refuse_pipe, validate
from patchwire.run.intake import Intake
from patchwire.run.journal import Journal
from patchwire.run.limits import RunLimits
from patchwire.run.options import STANDARD_INPUT, BatchOptions
from patchwire.run.origin import OriginGate
from patchwire.run.output import note_of, note_output, open_run_output
from patchwire.run.pacer import Pacer
from patchwire.run.precondition import Preconditions
from patchwire.run.reports import Reports
from patchwire.run.sender import Sender
from patchwire.run.signals import heeded
from patchwire.run.worker import Delivering, Worker
from patchwire.settings.connection import ConnectionSettings


class Live(Struct, frozen=True):
    """A run while it goes on, to be looked at."""

    reports: Reports
    size: int | None
    """The input's octets, where that is known."""
    pace: Pace
    origin: OriginGate


class Summary(Struct, frozen=True, kw_only=True):
    """The end of a run. The counts are those of the journal: this run and those it resumed."""

    counts: dict[str, int]
    seconds: float
    settled_now: int
    journal: str
    failures: list[PatchwireError]
    """What has stopped the run before its end, or kept a file from being written."""
    lost: list[OutcomeLine]
    """Outcomes that could not be kept."""
    interrupted: bool
    """Whether a signal or the deadline has ended it."""
    invalid: int = 0
    """Lines that were no records, and were passed over."""
    latencies: Latencies

    @property
    def records(self) -> int:
        """Records that have an outcome."""
        return sum(self.counts[name] for name in ("applied", "rejected", "not_sent", "unknown"))

    @property
    def rate(self) -> float:
        """Records a second that this run has settled."""
        return self.settled_now / self.seconds if self.seconds > 0 else 0.0


async def run_batch(
    settings: ConnectionSettings,
    options: BatchOptions,
    *,
    wire_log: WireLog | None = None,
    watch: Callable[[Live], None] | None = None,
    on_signal: Callable[[], None] | None = None,
) -> Summary:
    """Send every record that has no outcome in the journal yet.

    `watch` is given what can be looked at while it goes on, before the first record goes. With `on_signal` the first
    SIGINT, SIGTERM or SIGHUP calls it and lets what is in flight come home, the second cancels it; one that the
    process ignores stays ignored. Raises SettingsError, InputError or StorageError when it cannot begin; what stops
    it later is in the summary.
    """
    with ExitStack() as stack:
        if options.validate_first:
            refuse_pipe(options.records)
        reader, size = open_records(options, stack)
        _refuse_foreign_files(options)
        _refuse_unwritable_files(options)
        parser = RecordParser(settings)
        if options.validate_first:
            await validate(options, parser)
        journal = Journal(
            Path(options.journal),
            settings.identity,
            fresh=options.fresh,
            durability=options.durability,
            keyed=options.idempotency_key,
            request_id_header=options.request_id_header,
            first_notes=note_of(options.output, Path(options.journal)),
        )
        stack.callback(journal.close)
        reports = _open_reports(options, journal)
        run = _Run(settings, options, journal, reports, reader, parser, wire_log)
        if watch is not None:
            watch(Live(reports, size, run.pacer.pace, run.gate))
        started = trio.current_time()
        try:
            await run.run(on_signal)
        finally:
            failures = run.dispatcher.failures
            try:
                _close_reports(reports, options, journal, complete=run.intake.passed_known)
            except (StorageError, JournalError) as error:
                failures.append(error)
        return Summary(
            counts=dict(reports.counts),
            seconds=trio.current_time() - started,
            settled_now=reports.settled_now,
            journal=options.journal,
            failures=failures,
            lost=run.dispatcher.lost,
            interrupted=run.interrupted,
            invalid=reports.invalid,
            latencies=run.pacer.latencies,
        )


class _Run:
    def __init__(
        self,
        settings: ConnectionSettings,
        options: BatchOptions,
        journal: Journal,
        reports: Reports,
        reader: LineReader,
        parser: RecordParser,
        wire_log: WireLog | None,
    ) -> None:
        self.interrupted = False
        self._settings = settings
        self._options = options
        self._wire_log = wire_log
        self._performer = Performer(
            authentication_of(settings),
            Aside(self._ask, self._pause),
            carries_credentials=settings.carries_credentials,
            redirects=settings.redirects,
            secret_fields=settings.secret_fields,
            wire_log=wire_log,
        )
        self._deadlines = Deadlines(settings.limits.shortest_timeout)
        self._opener = Opener(settings, wire_log)
        self._elsewhere = Elsewhere(settings, self._opener, self._deadlines)
        self._reading = trio.CancelScope()
        stop = trio.Event()
        self.gate = OriginGate(self._dial, options.patience, stop)
        unknown_statuses = frozenset(settings.outcomes.unknown_statuses)
        pace = Pace(
            rate=options.rate,
            concurrency=options.concurrency,
            now=trio.current_time(),
            unknown_statuses=unknown_statuses,
        )
        self.pacer = Pacer(pace, stop)
        validators = Validators()
        self._delivering = Delivering(
            policy=options.retry,
            labels=Labels(
                journal=journal.identity,
                run=journal.runs,
                idempotency_key=options.idempotency_key,
                request_id_header=options.request_id_header,
            ),
            preconditions=Preconditions(validators, fetches=options.fetch_tags, refetches=options.refetches),
            unknown_statuses=unknown_statuses,
            is_keyed=journal.is_keyed,
            retries_unknown=options.retry_unknown,
            verifies=options.verify,
            stop=stop,
            keeps_responses=options.responses,
            hidden_fields=HIDDEN | settings.secret_fields,
        )
        lanes = Lanes(options.on_lane_failure)
        limits = RunLimits(
            origin=str(settings.origin),
            validators=validators,
            performer=self._performer,
            patience=options.patience,
            max_failures=options.max_failures,
            max_failure_rate=options.max_failure_rate,
        )
        self.dispatcher = Dispatcher(journal, lanes, reports, self.pacer, stop, limits)
        directory = Path.cwd() if options.records == STANDARD_INPUT else Path(options.records).parent
        window = max(256, 4 * options.concurrency)
        self.intake = Intake(
            reader, parser, directory, journal, lanes, window, self._takes_up, skips_invalid=options.skip_invalid
        )

    def _takes_up(self, record: Record) -> bool:
        """Whether a record that an earlier run has left unknown is brought to a worker again."""
        options = self._options
        return options.retry_unknown or options.verify or self._delivering.is_keyed or record.idempotent

    async def run(self, on_signal: Callable[[], None] | None) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._deadlines.watch)
            if self._options.deadline is not None:
                nursery.start_soon(self._stop_after, self._options.deadline)
            if on_signal is not None:
                await nursery.start(self._take_signals, nursery.cancel_scope, on_signal)
            async with trio.open_nursery() as work:
                work.start_soon(self._read)
                for _ in range(self._options.concurrency):
                    work.start_soon(self._work)
                await self.dispatcher.run(self.intake)
                # The intake may still wait for room, or for a person to type: what it adds would not be sent.
                self._reading.cancel()
            nursery.cancel_scope.cancel()
        self.gate.close()

    async def _read(self) -> None:
        with self._reading:
            await self.intake.run(self.dispatcher)
            if self.intake.fault is not None:
                self.dispatcher.failures.append(self.intake.fault)

    async def _work(self) -> None:
        forwarder = self._opener.forwarder(self._settings.origin)
        sender = Sender(self._performer, self.gate, self._elsewhere, self.pacer, forwarder)
        worker = Worker(sender, self._delivering)
        try:
            delivery = await self.dispatcher.next_delivery(None)
            while delivery is not None:
                await worker.deliver(delivery)
                delivery = await self.dispatcher.next_delivery(delivery)
        finally:
            sender.close()

    async def _stop_after(self, seconds: float) -> None:
        await trio.sleep(seconds)
        self.interrupted = True
        self.dispatcher.fail(RunLimitError(f"stopped after {seconds:g} seconds (--deadline)"))

    async def _ask(self, request: Request) -> Reply:
        self.pacer.refuse_if_stopped()
        return await self._elsewhere.ask(request)

    async def _pause(self, seconds: float) -> None:
        """StoppedError, once the run is stopped."""
        with trio.move_on_after(seconds):
            await self._delivering.stop.wait()
        self.pacer.refuse_if_stopped()

    async def _dial(self) -> Connection:
        connection = await self._opener.open()
        self._deadlines.add(connection)
        return connection

    async def _take_signals(
        self,
        scope: trio.CancelScope,
        on_signal: Callable[[], None],
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        taken = heeded("SIGINT", "SIGTERM", "SIGHUP")
        if not taken:
            task_status.started()
            return
        with trio.open_signal_receiver(*taken) as signals:
            task_status.started()
            async for _ in signals:
                if self.interrupted:
                    scope.cancel()
                else:
                    self.interrupted = True
                    self.dispatcher.finish()
                    on_signal()


def _refuse_foreign_files(options: BatchOptions) -> None:
    """Before --fresh forgets anything: InputError where a file to be written is nobody's outcomes or records."""
    resumes = not options.fresh and Path(options.journal).is_file()
    for name, what, begins in (
        (options.output, "outcomes", BEGIN_OF_OUTCOME),
        (options.failed, "records", BEGIN_OF_RECORD),
        (options.unknown, "records", BEGIN_OF_RECORD),
    ):
        if name and name != STANDARD_OUTPUT:
            refuse_foreign(name, what, begins, may_be_torn=resumes)


def _refuse_unwritable_files(options: BatchOptions) -> None:
    """Before --fresh forgets anything: StorageError where an output could not be opened."""
    for name, replacing in ((options.output, False), (options.failed, True), (options.unknown, True)):
        if name:
            refuse_unwritable(name, replacing=replacing)


def _open_reports(options: BatchOptions, journal: Journal) -> Reports:
    output = open_run_output(options.output, journal) if options.output else None
    failed = LineFile(options.failed, replacing=True) if options.failed else None
    unknown = LineFile(options.unknown, replacing=True) if options.unknown else None
    return Reports(journal, output, failed, unknown)


def _close_reports(reports: Reports, options: BatchOptions, journal: Journal, *, complete: bool) -> None:
    reports.close(complete=complete)
    if options.output is not None:
        note_output(options.output, journal)
