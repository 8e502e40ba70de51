from __future__ import annotations

from collections.abc import Awaitable, Callable
from email.utils import formatdate
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from patchwire.delivery.health import FEWEST
from patchwire.delivery.pacing import Pace, Reason
from patchwire.errors import ConnectionLostError, PatchwireError, Sent
from patchwire.http.message import Response
from patchwire.net.connection import Reply
from patchwire.run.pacer import Pacer, StoppedError


def paced(job: Callable[[Pacer, trio.Event], Awaitable[Any]], *, rate: float | None = None) -> Any:
    """What `job` makes of a pacer and its stop, on a clock that begins at 0 and passes over all waiting."""

    async def main() -> Any:
        stop = trio.Event()
        return await job(Pacer(Pace(rate=rate, concurrency=8, now=trio.current_time()), stop), stop)

    return trio.run(main, clock=MockClock(autojump_threshold=0))


def answer(status: int, *fields: tuple[bytes, bytes]) -> Reply:
    return Reply(Response(status, fields, b""), Sent.YES, None, 100, 100, reused=True)


def lost(sent: Sent) -> Reply:
    error: PatchwireError = ConnectionLostError("lost", origin="http://h", sent=sent)
    return Reply(None, sent, error, 0 if sent is Sent.NO else 100, 0, reused=True)


def test_however_many_wait_no_more_are_admitted_than_the_rate_allows() -> None:
    async def job(pacer: Pacer, stop: trio.Event) -> list[float]:
        times = []

        async def ask() -> None:
            for _ in range(10):
                await pacer.admit()
                times.append(trio.current_time())

        async with trio.open_nursery() as nursery:
            for _ in range(4):
                nursery.start_soon(ask)
        return times

    assert paced(job, rate=8.0) == pytest.approx([n / 8 for n in range(40)], abs=1e-4)


def test_without_a_rate_nobody_waits() -> None:
    async def job(pacer: Pacer, stop: trio.Event) -> float:
        for _ in range(1000):
            await pacer.admit()
        return trio.current_time()

    assert paced(job) == 0.0


@pytest.mark.parametrize(
    ("reply", "pause"),
    [
        (answer(429, (b"Retry-After", b"5")), 5.0),
        (answer(503, (b"Retry-After", b"5")), 5.0),
        (answer(429, (b"Retry-After", b"0")), 0.0),
        (answer(429, (b"Retry-After", b"soon")), 0.0),
        (answer(503), 0.0),
        (answer(404, (b"Retry-After", b"5")), 0.0),
        (answer(202, (b"Retry-After", b"5")), 0.0),
    ],
)
def test_a_refusal_that_names_a_time_pauses_everybody_until_then(reply: Reply, pause: float) -> None:
    async def job(pacer: Pacer, stop: trio.Event) -> list[float]:
        times: list[float] = []

        async def ask() -> None:
            await pacer.admit()
            times.append(trio.current_time())

        await trio.sleep(10.0)
        for _ in range(100):
            pacer.observe(answer(200), sent_at=9.5)
        pacer.observe(reply, sent_at=9.9)
        assert pacer.pace.paused(trio.current_time()) == pause
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(ask)
        return times

    times = paced(job)
    assert min(times) >= 10.0 + pause
    assert max(times) < 11.0 + pause


def test_the_pause_counts_from_the_answers_own_date(monkeypatch: pytest.MonkeyPatch) -> None:
    async def job(pacer: Pacer, stop: trio.Event) -> float:
        pacer.observe(answer(503, (b"Retry-After", formatdate(1_000_060.0, usegmt=True).encode())), sent_at=0.0)
        first = pacer.pace.paused(0.0)
        dates = [formatdate(at, usegmt=True).encode() for at in (5_000_000.0, 5_000_090.0)]
        pacer.observe(answer(503, (b"Date", dates[0]), (b"Retry-After", dates[1])), sent_at=0.0)
        assert pacer.pace.paused(0.0) == 90.0
        return first

    monkeypatch.setattr("patchwire.run.pacer.wall_clock", lambda: 1_000_000.0)
    assert paced(job) == 60.0


def test_who_waits_for_a_pause_learns_at_once_that_the_run_is_stopped() -> None:
    async def job(pacer: Pacer, stop: trio.Event) -> float:
        pacer.observe(answer(429, (b"Retry-After", b"100")), sent_at=0.0)

        async def ask() -> None:
            with pytest.raises(StoppedError):
                await pacer.admit()

        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(ask)
            await trio.sleep(1.0)
            stop.set()
        return trio.current_time()

    assert paced(job) == 1.0


def test_once_the_run_is_stopped_nobody_is_admitted() -> None:
    async def job(pacer: Pacer, stop: trio.Event) -> None:
        pacer.refuse_if_stopped()
        stop.set()
        with pytest.raises(StoppedError):
            await pacer.admit()
        with pytest.raises(StoppedError):
            pacer.refuse_if_stopped()

    paced(job)


def test_an_origin_that_loses_connection_after_connection_is_asked_by_one_at_a_time() -> None:
    async def job(pacer: Pacer, stop: trio.Event) -> None:
        for _ in range(10 * FEWEST):
            pacer.observe(lost(Sent.NO), sent_at=0.0)  # nothing of the request has left: it says nothing
        assert pacer.allowance(0) == 8
        for _ in range(FEWEST):
            pacer.observe(lost(Sent.MAYBE), sent_at=0.0)
        assert (pacer.allowance(0), pacer.allowance(1)) == (0, 0)
        assert pacer.pace.reason(trio.current_time()) is Reason.NO_ANSWER
        assert pacer.next_at(1) == float("inf")
        await trio.sleep_until(pacer.next_at(0))
        assert (pacer.allowance(0), pacer.allowance(1)) == (1, 0)
        pacer.observe(answer(500), sent_at=0.0)
        assert pacer.allowance(1) == 7

    paced(job)


def test_the_latency_of_each_answer_is_kept_and_of_nothing_else() -> None:
    async def job(pacer: Pacer, stop: trio.Event) -> None:
        await trio.sleep(3.0)
        pacer.observe(answer(200), sent_at=2.0)
        pacer.observe(answer(404), sent_at=1.0)
        pacer.observe(lost(Sent.MAYBE), sent_at=0.0)
        assert (pacer.latencies.count, pacer.latencies.mean, pacer.latencies.largest) == (2, 1.5, 2.0)

    paced(job)
