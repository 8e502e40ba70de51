"""The main job: a file of changes, N connections side by side, and a known outcome for each record."""

from __future__ import annotations

import os
import signal
import stat
import sys
from collections.abc import Callable
from contextlib import ExitStack
from io import BufferedReader
from pathlib import Path

import trio
from msgspec import Struct

from patchwire.delivery.lanes import Lanes
from patchwire.delivery.outcome import OutcomeLine
from patchwire.delivery.record import RecordParser
from patchwire.delivery.retry import RetryPolicy
from patchwire.errors import PatchwireError, RecordError, StorageError
from patchwire.files.outcomes import STANDARD_OUTPUT, LineFile, encode, open_output, refuse_foreign
from patchwire.files.read import describe
from patchwire.files.records import LineReader
from patchwire.net.connection import Connection
from patchwire.net.credentials import CredentialsGate
from patchwire.net.deadlines import Deadlines
from patchwire.net.opening import open_connection
from patchwire.net.wire_log import WireLog
from patchwire.run.dispatcher import Dispatcher
from patchwire.run.intake import Intake
from patchwire.run.journal import Journal
from patchwire.run.origin import OriginGate
from patchwire.run.reports import Reports
from patchwire.run.worker import Worker
from patchwire.settings.authentication import authentication_for
from patchwire.settings.connection import ConnectionSettings

STANDARD_INPUT = "-"


class BatchOptions(Struct, frozen=True, kw_only=True):
    """What one run reads and writes. File names; "-" is standard input, or output."""

    records: str
    journal: str
    output: str | None = None
    failed: str | None = None
    unknown: str | None = None
    concurrency: int = 8
    fresh: bool = False
    patience: float = 30.0
    """Seconds that an origin which goes down in mid-run is given to come back."""
    retry: RetryPolicy = RetryPolicy()


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
    watch: Callable[[Reports, int | None], None] | None = None,
    on_signal: Callable[[], None] | None = None,
) -> Summary:
    """Send every record that has no outcome in the journal yet.

    `watch` is given the live counts, and the input's size in bytes where it is known, before the first record goes.
    With `on_signal` the first SIGINT or SIGTERM calls it and lets what is in flight come home, the second cancels it.
    Raises SettingsError, InputError or StorageError when it cannot begin; what stops it later is in the summary.
    """
    with ExitStack() as stack:
        file, size = _open_records(options.records)
        if size is not None:
            stack.callback(file.close)  # in a pipe a thread may still wait, and hold it
        _refuse_foreign_files(options)
        journal = Journal(Path(options.journal), settings.identity, fresh=options.fresh)
        stack.callback(journal.close)
        reports = _open_reports(options, journal)
        if watch is not None:
            watch(reports, size)
        run = _Run(settings, options, journal, reports, LineReader(file, options.records), wire_log)
        started = trio.current_time()
        try:
            await run.run(on_signal)
        finally:
            failures = run.dispatcher.failures
            try:
                reports.close(complete=run.intake.passed_known)
            except StorageError as error:
                failures.append(error)
        return Summary(
            counts=dict(reports.counts),
            seconds=trio.current_time() - started,
            settled_now=reports.settled_now,
            journal=options.journal,
            failures=failures,
            lost=run.dispatcher.lost,
            interrupted=run.interrupted,
        )


class _Run:
    def __init__(
        self,
        settings: ConnectionSettings,
        options: BatchOptions,
        journal: Journal,
        reports: Reports,
        reader: LineReader,
        wire_log: WireLog | None,
    ) -> None:
        self.interrupted = False
        self._settings = settings
        self._options = options
        self._reports = reports
        self._wire_log = wire_log
        self._authentication = authentication_for(settings)
        lanes = Lanes()
        self.dispatcher = Dispatcher(journal, lanes, reports)
        self._credentials = CredentialsGate(needed=settings.carries_credentials)
        directory = Path.cwd() if options.records == STANDARD_INPUT else Path(options.records).parent
        window = max(256, 4 * options.concurrency)
        self.intake = Intake(reader, RecordParser(settings), directory, journal, lanes, window)
        self._gate = OriginGate(self._dial, options.patience, self.dispatcher.stop)
        self._deadlines = Deadlines(settings.limits.read_timeout)
        self._reading = trio.CancelScope()

    async def run(self, on_signal: Callable[[], None] | None) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._deadlines.watch)
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

    async def _read(self) -> None:
        with self._reading:
            await self.intake.run(self.dispatcher.wake, self._reports.pass_over, self.dispatcher.hold)
            if self.intake.fault is not None:
                self.dispatcher.failures.append(self.intake.fault)

    async def _work(self) -> None:
        worker = Worker(
            self._settings,
            self._authentication,
            self._gate.connect,
            self._options.retry,
            self._credentials,
            self.dispatcher.stop,
        )
        try:
            record = await self.dispatcher.next_record(None)
            while record is not None:
                record = await self.dispatcher.next_record(await worker.deliver(record))
        finally:
            worker.close()

    async def _dial(self) -> Connection:
        connection = await open_connection(self._settings, wire_log=self._wire_log, keep_bodies=False)
        self._deadlines.add(connection)
        return connection

    async def _take_signals(
        self,
        scope: trio.CancelScope,
        on_signal: Callable[[], None],
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            task_status.started()
            async for _ in signals:
                if self.interrupted:
                    scope.cancel()
                else:
                    self.interrupted = True
                    self.dispatcher.finish()
                    on_signal()


def _open_records(name: str) -> tuple[BufferedReader, int | None]:
    """The input, and its size in bytes where it is a regular file."""
    if name == STANDARD_INPUT:
        if sys.stdin is None:
            raise RecordError("-", "standard input is closed")
        # Its own object on a descriptor of its own: a thread that waits in it when the run ends blocks nobody else.
        return os.fdopen(os.dup(sys.stdin.fileno()), "rb"), None
    try:
        file = Path(name).open("rb")  # noqa: SIM115 - the caller closes it
    except OSError as error:
        raise RecordError(name, describe(error)) from None
    status = os.fstat(file.fileno())
    if stat.S_ISDIR(status.st_mode):
        file.close()
        raise RecordError(name, "is a directory")
    return file, status.st_size if stat.S_ISREG(status.st_mode) else None


def _refuse_foreign_files(options: BatchOptions) -> None:
    """Before --fresh forgets anything: InputError where a file to be written is nobody's outcomes or records."""
    for name, what in ((options.output, "outcomes"), (options.failed, "records"), (options.unknown, "records")):
        if name and name != STANDARD_OUTPUT:
            refuse_foreign(name, what)


def _open_reports(options: BatchOptions, journal: Journal) -> Reports:
    output = _open_output(options.output, journal) if options.output else None
    failed = LineFile(options.failed, replacing=True) if options.failed else None
    unknown = LineFile(options.unknown, replacing=True) if options.unknown else None
    return Reports(journal.counts(), output, failed, unknown)


def _open_output(name: str, journal: Journal) -> LineFile:
    if not journal.resumed:
        return open_output(name, None)
    by_hand = journal.settled_by_hand()

    def is_overtaken(seq: int, text: bytes) -> bool:
        if seq not in by_hand:
            return False
        line = journal.line(seq)
        return line is None or encode(line) != text

    return open_output(name, journal.lines(), is_overtaken if by_hand else None)
