from __future__ import annotations

import sqlite3
import threading
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import trio
from trio.testing import MockClock

from patchwire.auth.flow import NoAuthentication
from patchwire.delivery.lanes import Lanes, OnFailure
from patchwire.delivery.outcome import Attempt, Outcome
from patchwire.delivery.pacing import Pace
from patchwire.delivery.record import Record, RecordParser
from patchwire.delivery.validators import Validators
from patchwire.errors import ConnectError, OriginError, RecordError, Sent, StorageError
from patchwire.files.connection_file import load_connection
from patchwire.files.outcomes import LineFile
from patchwire.http.message import Origin, Response
from patchwire.net.connection import Reply
from patchwire.net.perform import Performer
from patchwire.run.batch import Summary
from patchwire.run.dispatcher import Dispatcher
from patchwire.run.intake import Intake
from patchwire.run.journal import Durability, Journal
from patchwire.run.journal_rows import Intent, Result
from patchwire.run.limits import RunLimits
from patchwire.run.pacer import Pacer
from patchwire.run.records import SHOWN
from patchwire.run.reports import Reports
from patchwire.run.sender import Sender
from patchwire.run.worker import Delivery
from tests.support.batches import BatchFiles, people, read_lines
from tests.support.origins import OK, Origins, document, run, status
from tests.support.peer import RequestReader, listening

PERFORMER = Performer(NoAuthentication(), carries_credentials=False)

ORIGIN = "http://h"


class Plant:
    """A dispatcher with a journal and an output of its own, and records that wait in their lanes."""

    def __init__(
        self, directory: Path, count: int, *, rate: float | None = None, durability: Durability = Durability.NORMAL
    ) -> None:
        self.files = BatchFiles(directory, ORIGIN)
        self.files.write(people(count))
        settings = load_connection(self.files.connection)
        parser, self.lanes = RecordParser(settings), Lanes()
        for seq, line in enumerate(self.files.records.read_bytes().splitlines()):
            self.lanes.add(parser.parse(line, seq))
        self.journal = Journal(self.files.journal, settings.identity, durability=durability)
        self.reports = Reports(self.journal, LineFile(str(self.files.output)))
        self.stop = trio.Event()
        self.pacer = Pacer(Pace(rate=rate, concurrency=4, now=trio.current_time()), self.stop)
        limits = RunLimits(origin=ORIGIN, validators=Validators(), performer=PERFORMER, patience=1.0)
        self.dispatcher = Dispatcher(self.journal, self.lanes, self.reports, self.pacer, self.stop, limits)
        self.intake = cast("Intake", SimpleNamespace(ended=True, make_room=lambda: None))

    async def run(self, deliver: Callable[[Record], Awaitable[Delivery]], workers: int = 4) -> None:
        """Until all is done or the dispatcher has stopped; the journal and the output are closed then."""

        async def work() -> None:
            delivery = await self.dispatcher.next_delivery(None)
            while delivery is not None:
                delivery.sender = cast("Sender", SimpleNamespace(is_sending=True))
                delivery = await self.dispatcher.next_delivery(await deliver(delivery.record))

        try:
            async with trio.open_nursery() as nursery:
                for _ in range(workers):
                    nursery.start_soon(work)
                await self.dispatcher.run(self.intake)
        finally:
            self.reports.close(complete=True)
            self.journal.close()


def applied(record: Record) -> Delivery:
    return Delivery(record, [Attempt(Outcome.APPLIED, Sent.YES, 200)])


def in_no_time(job: Callable[[], Awaitable[Any]]) -> Any:
    """On a clock that passes over all waiting."""
    return trio.run(job, clock=MockClock(autojump_threshold=0))


# --- the pace


def test_records_are_handed_out_at_the_rate_and_no_slower(tmp_path: Path) -> None:
    async def job() -> list[float]:
        times = []

        async def deliver(record: Record) -> Delivery:
            times.append(trio.current_time())
            await trio.sleep(1 / 128)
            return applied(record)

        await Plant(tmp_path, 200, rate=64.0).run(deliver)
        return times

    assert in_no_time(job) == pytest.approx([number / 64 for number in range(200)], abs=1e-3)


def test_where_each_takes_longer_than_the_rate_allows_the_workers_are_what_limits(tmp_path: Path) -> None:
    async def job() -> float:
        async def deliver(record: Record) -> Delivery:
            await trio.sleep(1.0)
            return applied(record)

        await Plant(tmp_path, 40, rate=64.0).run(deliver)
        return trio.current_time()

    assert 10.0 <= in_no_time(job) < 10.5


def test_while_the_origin_asks_for_a_pause_no_record_is_handed_out(tmp_path: Path) -> None:
    refusal = Reply(Response(429, ((b"Retry-After", b"60"),)), Sent.YES, None, 1, 1, reused=True)

    async def job() -> tuple[float, list[float]]:
        plant = Plant(tmp_path, 100)
        times, refused = [], 0.0

        async def deliver(record: Record) -> Delivery:
            nonlocal refused
            times.append(trio.current_time())
            await trio.sleep(0.25 + record.seq / 1000)
            if record.seq == 50:
                refused = trio.current_time()
                plant.pacer.observe(refusal, times[50])
            return applied(record)

        await plant.run(deliver)
        return refused, times

    refused, times = in_no_time(job)
    assert len(times) == 100
    assert [time for time in times if refused < time < refused + 60] == []
    assert sum(time > refused for time in times) >= 100 - 54


def test_one_answer_with_retry_after_pauses_all_connections(tmp_path: Path) -> None:
    """Over sockets: time passes only where nothing else goes on."""
    arrivals: list[float] = []
    refused: list[float] = []

    async def peer(stream: trio.SocketStream) -> None:
        reader = RequestReader(stream)
        while (request := await reader.next()) is not None:
            arrivals.append(trio.current_time())
            await trio.sleep(0.25)
            first = request[1] == "/people/20" and not refused
            if first:
                refused.append(trio.current_time())
            await stream.send_all(status(503, "Retry-After: 20") if first else OK)

    async def main() -> tuple[BatchFiles, Summary]:
        async with listening(peer) as origin:
            files = BatchFiles(tmp_path, origin)
            files.write(people(60))
            return files, await files.run()

    files, summary = trio.run(main, clock=MockClock(autojump_threshold=0.01))
    assert summary.counts["applied"] == 60
    assert [line["seq"] for line in files.outcomes() if line["attempts"] == 2] == [20]
    (at,) = refused
    assert [time for time in arrivals if at < time < at + 20] == []
    assert sum(time > at for time in arrivals) > 30


# --- the journal comes first


def test_the_intent_of_each_record_is_in_the_journal_before_it_is_handed_out(tmp_path: Path) -> None:
    async def job() -> None:
        plant = Plant(tmp_path, 30)

        async def deliver(record: Record) -> Delivery:
            with closing(sqlite3.connect(plant.files.journal)) as database:
                assert database.execute("SELECT digest FROM intent WHERE seq = ?", (record.seq,)).fetchall() == [
                    (record.digest(),)
                ]
            await trio.lowlevel.checkpoint()
            return applied(record)

        await plant.run(deliver)
        assert plant.reports.counts["applied"] == 30

    in_no_time(job)


class Failing:
    """Takes the place of a journal's commit, and fails from the n-th call on."""

    def __init__(self, journal: Journal, good: int) -> None:
        self._commit = journal.commit
        self._left = good

    def __call__(self, results: list[Result], intents: list[Intent] = (), withdrawn: list[int] = ()) -> None:  # type: ignore[assignment]
        self._left -= 1
        if self._left < 0:
            raise StorageError("journal: full")
        self._commit(results, intents, withdrawn)


def test_what_the_journal_does_not_take_is_told_nowhere_else_and_named_as_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def job() -> None:
        plant = Plant(tmp_path, 50)
        monkeypatch.setattr(plant.journal, "commit", Failing(plant.journal, 4))
        handed: set[int] = set()

        async def deliver(record: Record) -> Delivery:
            handed.add(record.seq)
            await trio.sleep(0.1)
            return applied(record)

        await plant.run(deliver)
        (failure,) = plant.dispatcher.failures
        assert str(failure) == "journal: full"
        told = {line["seq"] for line in read_lines(plant.files.output)}
        lost = {line.seq for line in plant.dispatcher.lost}
        assert len(lost) == 4
        assert (told | lost, told & lost) == (handed, set())
        with closing(Journal(plant.files.journal, ORIGIN)) as journal:
            outcomes = {line.seq: line.outcome for line in journal.lines()}
        assert outcomes == dict.fromkeys(told, "applied") | dict.fromkeys(lost, "unknown")

    in_no_time(job)


@pytest.mark.parametrize("durability", Durability)
def test_only_with_full_durability_the_loop_does_not_wait_for_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, durability: Durability
) -> None:
    async def job() -> set[bool]:
        plant = Plant(tmp_path, 30, durability=durability)
        commit, here = plant.journal.commit, threading.get_ident()
        in_threads = set()

        def noting(results: list[Result], intents: list[Intent], withdrawn: list[int]) -> None:
            in_threads.add(threading.get_ident() != here)
            commit(results, intents, withdrawn)

        monkeypatch.setattr(plant.journal, "commit", noting)

        async def deliver(record: Record) -> Delivery:
            return applied(record)

        await plant.run(deliver)
        assert plant.reports.counts["applied"] == 30
        return in_threads

    assert in_no_time(job) == {durability is Durability.FULL}


def test_a_run_that_is_cancelled_while_the_disk_takes_an_intent_has_not_sent_the_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = threading.Event(), threading.Event()

    async def job() -> None:
        plant = Plant(tmp_path, 1, durability=Durability.FULL)
        commit = plant.journal.commit

        def waiting(results: list[Result], intents: list[Intent], withdrawn: list[int]) -> None:
            begun.set()
            go_on.wait(20)
            commit(results, intents, withdrawn)

        monkeypatch.setattr(plant.journal, "commit", waiting)

        async def deliver(record: Record) -> Delivery:
            raise AssertionError

        async with trio.open_nursery() as nursery:
            nursery.start_soon(plant.run, deliver)
            await trio.to_thread.run_sync(begun.wait)
            nursery.cancel_scope.cancel()
            go_on.set()
        assert (plant.reports.settled_now, plant.dispatcher.lost) == (0, [])
        with closing(Journal(plant.files.journal, ORIGIN)) as journal:
            assert list(journal.lines()) == []

    trio.run(job)


# --- the end of a run


def test_what_is_in_flight_when_a_run_is_stopped_comes_home_and_nothing_more_goes_out(tmp_path: Path) -> None:
    async def job() -> None:
        plant = Plant(tmp_path, 50)
        handed: list[int] = []

        async def deliver(record: Record) -> Delivery:
            handed.append(record.seq)
            await trio.sleep(1.0)
            if record.seq == 5:
                plant.dispatcher.finish()
            return applied(record)

        await plant.run(deliver)
        assert sorted(handed) == list(range(8))
        assert plant.reports.counts["applied"] == 8
        assert await plant.dispatcher.next_delivery(None) is None

    in_no_time(job)


def test_what_is_in_flight_when_a_run_is_cancelled_is_unknown(tmp_path: Path) -> None:
    async def job() -> None:
        plant = Plant(tmp_path, 50)

        async def deliver(record: Record) -> Delivery:
            await trio.sleep(1.0 if record.seq < 10 else 100.0)
            return applied(record)

        with trio.move_on_after(50.0):
            await plant.run(deliver)
        assert {line["seq"]: line["outcome"] for line in plant.files.outcomes()} == {
            **dict.fromkeys(range(10), "applied"),
            **dict.fromkeys(range(10, 14), "unknown"),
        }
        assert plant.files.outcomes()[-1]["error"] == "stopped before an answer came"

    in_no_time(job)


def test_of_each_kind_of_failure_the_first_is_kept(tmp_path: Path) -> None:
    async def job() -> None:
        plant = Plant(tmp_path, 0)
        first, other = OriginError("first", origin=ORIGIN), StorageError("other")
        for failure in (first, OriginError("second", origin=ORIGIN), other, StorageError("third")):
            plant.dispatcher.fail(failure)
        assert plant.dispatcher.failures == [first, other]
        assert plant.stop.is_set()
        await plant.run(lambda _: trio.sleep_forever())

    in_no_time(job)


def test_lines_that_were_passed_over_are_counted_and_the_first_kept_and_stop_nothing(tmp_path: Path) -> None:
    async def job() -> None:
        plant = Plant(tmp_path, 3)
        for number in range(50):
            plant.dispatcher.invalid(RecordError(f"r:{number}", "faulty"))

        async def deliver(record: Record) -> Delivery:
            return applied(record)

        await plant.run(deliver)
        assert (plant.reports.invalid, plant.reports.counts["applied"]) == (50, 3)
        assert [str(failure) for failure in plant.dispatcher.failures] == [f"r:{n}: faulty" for n in range(SHOWN)]

    in_no_time(job)


def test_a_record_that_was_given_up_with_nothing_sent_is_as_it_was_for_a_resume(tmp_path: Path) -> None:
    async def job() -> None:
        plant = Plant(tmp_path, 5)
        down = ConnectError("down", origin=ORIGIN)

        async def deliver(record: Record) -> Delivery:
            return Delivery(record, unreachable=down) if record.seq == 2 else applied(record)

        await plant.run(deliver, workers=1)
        assert plant.dispatcher.failures == [down]
        with closing(Journal(plant.files.journal, ORIGIN)) as journal:
            assert [line.seq for line in journal.lines()] == [0, 1]

    in_no_time(job)


# --- lanes behind a failure

FAILED = {"rejected": status(409), "unknown": b"", "not_sent": status(404)}
"""What comes for the first record: for not_sent, to the GET for its tag."""
HELD = {
    (OnFailure.HOLD_UNKNOWN, "unknown"),
    *((OnFailure.HOLD, outcome) for outcome in FAILED),
}


def lane(*numbers: int) -> list[dict[str, Any]]:
    return [{"id": f"a{n}", "path": f"/a?{n}", "body": {}} for n in numbers]


def failing(outcome: str) -> Origins:
    """Fails the change /a?1 so that it ends with this outcome, and applies all others."""

    def answer(method: str, target: str, body: bytes) -> bytes:
        if method == "GET":
            return FAILED[outcome] if target == "/a?1" and outcome == "not_sent" else document(b"{}")
        return FAILED[outcome] if target == "/a?1" else OK

    return Origins(answer)


def in_turn(directory: Path, origin: Origins, *runs: tuple[list[dict[str, Any]], dict[str, Any]]) -> BatchFiles:
    """A run with each of these records and options, one resuming the other."""

    async def job(target: Origin) -> BatchFiles:
        files = BatchFiles(directory, target)
        for records, options in runs:
            files.write(records)
            assert (await files.run(**options)).failures == []
        return files

    files: BatchFiles = run(origin, job)
    return files


def said(files: BatchFiles) -> list[tuple[str, str, str | None]]:
    return [(line["id"], line["outcome"], line["error"]) for line in files.outcomes()]


@pytest.mark.parametrize("outcome", FAILED)
@pytest.mark.parametrize("choice", OnFailure)
def test_what_holds_a_lane_can_be_chosen_and_holds_it_in_a_resume_too(
    tmp_path: Path, choice: OnFailure, outcome: str
) -> None:
    options = {"on_lane_failure": choice, "fetch_tags": outcome == "not_sent"}
    other: dict[str, Any] = {"id": "b", "path": "/b", "body": {}}
    files = in_turn(
        tmp_path, failing(outcome), ([*lane(1, 2, 3), other], options), ([*lane(1, 2, 3), other, *lane(4)], options)
    )
    is_held = (choice, outcome) in HELD
    behind = ("not_sent", "held by a1") if is_held else ("applied", None)
    first, *rest = said(files)
    assert first[:2] == ("a1", outcome)
    assert rest == [("a2", *behind), ("a3", *behind), ("b", "applied", None), ("a4", *behind)]
    assert files.ids(files.failed) == [
        *(["a1"] if outcome != "unknown" else []), *(["a2", "a3", "a4"] if is_held else [])
    ]  # fmt: skip


def test_a_resume_may_choose_otherwise_for_what_has_no_outcome_yet(tmp_path: Path) -> None:
    hold, go_on = {"on_lane_failure": OnFailure.HOLD}, {"on_lane_failure": OnFailure.GO_ON}
    files = in_turn(tmp_path, failing("unknown"), (lane(1, 2), hold), (lane(1, 2, 3), go_on), (lane(1, 2, 3, 4), hold))
    assert said(files)[1:] == [
        ("a2", "not_sent", "held by a1"), ("a3", "applied", None), ("a4", "not_sent", "held by a1"),
    ]  # fmt: skip


def test_a_record_that_was_held_holds_what_comes_behind_it_also_once_its_own_holder_was_sent_again(
    tmp_path: Path,
) -> None:
    answers = iter([b"", OK, OK])
    files = in_turn(
        tmp_path, Origins(lambda *_: next(answers)), (lane(1, 2), {}), (lane(1, 2, 3), {"retry_unknown": True})
    )
    assert said(files) == [
        ("a1", "applied", None),
        ("a2", "not_sent", "held by a1"),
        ("a3", "not_sent", "held by a2"),
    ]
    assert files.ids(files.failed) == ["a2", "a3"]
