from __future__ import annotations

import signal
import threading
import time

import pytest
import trio

from patchwire.cli.trio_run import trio_run


def interrupt() -> None:
    signal.raise_signal(signal.SIGINT)


def test_the_first_interrupt_lets_what_must_not_be_cut_off_come_to_its_end() -> None:
    ended: list[str] = []

    async def main() -> None:
        try:
            interrupt()
            await trio.sleep(60)
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(0.05)
                ended.append("the answer has come")

    with pytest.raises(KeyboardInterrupt):
        trio_run(main)
    assert ended == ["the answer has come"]


def test_the_second_interrupt_does_not_wait_for_that() -> None:
    async def main() -> None:
        try:
            interrupt()
            await trio.sleep(60)
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(0.05)
                interrupt()
                await trio.sleep(60)

    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        trio_run(main)
    assert time.monotonic() - started < 30


def test_a_result_that_was_there_all_the_same_is_not_lost() -> None:
    async def main() -> str:
        interrupt()
        with trio.CancelScope(shield=True):
            await trio.sleep(0.05)
        return "applied"

    assert trio_run(main) == "applied"


def test_an_error_of_many_nurseries_is_raised_as_the_one_that_it_is() -> None:
    async def fail() -> None:
        raise ValueError("one")

    async def main() -> None:
        async with trio.open_nursery() as outer, trio.open_nursery() as inner:
            inner.start_soon(fail)
            outer.start_soon(trio.sleep, 0)

    with pytest.raises(ValueError, match="one"):
        trio_run(main)


def test_beside_the_main_thread_and_where_interrupts_are_ignored_they_are_left_alone() -> None:
    async def main() -> str:
        await trio.lowlevel.checkpoint()
        return "done"

    async def ignoring() -> str:
        interrupt()
        return await main()

    results: list[str] = []
    thread = threading.Thread(target=lambda: results.append(trio_run(main)))
    thread.start()
    thread.join()
    former = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        results.append(trio_run(ignoring))
    finally:
        signal.signal(signal.SIGINT, former)
    assert results == ["done", "done"]
