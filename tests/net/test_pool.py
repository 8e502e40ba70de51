from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from patchwire.errors import ConnectError
from patchwire.net.connection import Connection
from patchwire.net.pool import Decision, Pool, decide
from tests.support.cancelling import cancelled_at_every_checkpoint


class Fake:
    """A connection as a pool sees it."""

    def __init__(self) -> None:
        self.usable = True
        self.quiet = True

    def is_quiet(self) -> bool:
        if not self.quiet:
            self.close()
        return self.usable

    def close(self) -> None:
        self.usable = False


class Origin:
    """Opens fakes; counts what is open."""

    def __init__(self) -> None:
        self.made: list[Fake] = []
        self.fails = False
        self.most_open = 0

    async def connect(self) -> Connection:
        await trio.lowlevel.checkpoint()
        if self.fails:
            raise ConnectError("refused", origin="http://h")
        self.made.append(Fake())
        self.most_open = max(self.most_open, self.open)
        return cast("Connection", self.made[-1])

    @property
    def open(self) -> int:
        return sum(each.usable for each in self.made)


def with_pool(most: int, job: Callable[[Pool, Origin], Awaitable[Any]]) -> Origin:
    origin = Origin()

    async def main() -> None:
        with trio.fail_after(20):
            await job(Pool(origin.connect, most), origin)

    trio.run(main)
    return origin


@pytest.mark.parametrize(
    ("idle", "in_existence", "most", "decision"),
    [(1, 1, 1, Decision.REUSE), (0, 0, 1, Decision.OPEN), (0, 1, 1, Decision.WAIT), (3, 8, 8, Decision.REUSE)],
)
def test_an_idle_connection_is_used_before_another_is_opened(
    idle: int, in_existence: int, most: int, decision: Decision
) -> None:
    assert decide(idle, in_existence, most) is decision


def test_the_most_recently_used_connection_goes_first() -> None:
    async def job(pool: Pool, origin: Origin) -> None:
        first, second = await pool.acquire(), await pool.acquire()
        pool.release(first)
        pool.release(second)
        assert await pool.acquire() is second

    with_pool(2, job)


def test_a_connection_that_is_no_longer_quiet_is_replaced() -> None:
    async def job(pool: Pool, origin: Origin) -> None:
        pool.release(await pool.acquire())
        origin.made[0].quiet = False
        await pool.acquire()
        assert (len(origin.made), pool.in_existence) == (2, 1)

    with_pool(1, job)


def test_who_waits_is_served_in_turn_with_the_connection_itself() -> None:
    async def job(pool: Pool, origin: Origin) -> None:
        connection = await pool.acquire()
        served: list[int] = []

        async def wait(number: int) -> None:
            each = await pool.acquire()
            assert each is connection
            served.append(number)
            pool.release(each)

        async with trio.open_nursery() as nursery:
            for number in range(5):
                nursery.start_soon(wait, number)
                await trio.testing.wait_all_tasks_blocked()
            pool.release(connection)
        assert served == [0, 1, 2, 3, 4]
        assert len(origin.made) == 1

    with_pool(1, job)


def test_a_place_whose_connection_has_closed_goes_to_who_waits() -> None:
    async def job(pool: Pool, origin: Origin) -> None:
        connection = await pool.acquire()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(pool.acquire)
            await trio.testing.wait_all_tasks_blocked()
            connection.close()
            pool.release(connection)
        assert (len(origin.made), pool.in_existence) == (2, 1)

    with_pool(1, job)


def test_a_connection_that_cannot_be_opened_leaves_its_place_to_the_next() -> None:
    async def job(pool: Pool, origin: Origin) -> None:
        origin.fails = True
        failed = 0

        async def ask() -> None:
            nonlocal failed
            try:
                await pool.acquire()
            except ConnectError:
                failed += 1

        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(ask)
        assert (failed, pool.in_existence) == (5, 0)

    with_pool(2, job)


def test_closing_sends_away_who_waits_who_opens_and_who_comes_later() -> None:
    async def job(pool: Pool, origin: Origin) -> None:
        sent_away = 0

        async def ask() -> None:
            nonlocal sent_away
            try:
                await pool.acquire()
            except trio.ClosedResourceError:
                sent_away += 1

        connection = await pool.acquire()
        idle = await pool.acquire()
        pool.release(idle)
        async with trio.open_nursery() as nursery:
            for _ in range(4):
                nursery.start_soon(ask)
            await trio.testing.wait_all_tasks_blocked()
            idle = cast("Connection", origin.made[1])
            pool.close()
        pool.release(idle)
        pool.release(connection)
        await ask()
        assert sent_away == 4
        assert (origin.open, pool.in_existence) == (0, 0)

    with_pool(2, job)


def test_a_connection_that_opens_while_the_pool_closes_is_closed() -> None:
    async def job(pool: Pool, origin: Origin) -> None:
        async def ask() -> None:
            with pytest.raises(trio.ClosedResourceError):
                await pool.acquire()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            await trio.lowlevel.checkpoint()
            pool.close()
        assert (origin.open, pool.in_existence) == (0, 0)

    with_pool(2, job)


@given(
    st.lists(st.tuples(st.sampled_from(["use", "break", "cancel", "fail", "stale"]), st.integers(0, 5)), max_size=25),
    st.integers(1, 3),
)
@settings(max_examples=60)
def test_whatever_happens_to_those_who_ask_places_are_neither_lost_nor_exceeded(
    plans: list[tuple[str, int]], most: int
) -> None:
    async def job(pool: Pool, origin: Origin) -> None:
        async def user(what: str, pause: int) -> None:
            with trio.CancelScope() as scope:
                if what == "cancel":
                    scope.deadline = trio.current_time() + pause * 0.0001
                origin.fails = what == "fail"
                try:
                    connection = await pool.acquire()
                except ConnectError:
                    return
                finally:
                    origin.fails = False
                try:
                    assert sum(each.usable for each in origin.made) <= most
                    for _ in range(pause):
                        await trio.lowlevel.checkpoint()
                    if what == "break":
                        connection.close()
                    if what == "stale":
                        cast("Fake", connection).quiet = False
                finally:
                    pool.release(connection)

        async with trio.open_nursery() as nursery:
            for what, pause in plans:
                nursery.start_soon(user, what, pause)
        assert origin.most_open <= most
        for _ in range(most):
            await pool.acquire()  # every place can be had again
        pool.close()

    with_pool(most, job)


def test_cancellation_at_every_checkpoint_loses_no_place() -> None:
    async def job(pool: Pool, origin: Origin) -> None:
        async def action() -> None:
            async def use() -> None:
                connection = await pool.acquire()
                try:
                    await trio.lowlevel.checkpoint()
                finally:
                    connection.close()
                    pool.release(connection)

            async with trio.open_nursery() as nursery:
                for _ in range(3):
                    nursery.start_soon(use)

        assert await cancelled_at_every_checkpoint(action) > 6
        assert (pool.in_existence, origin.open) == (0, 0)

    with_pool(1, job)
