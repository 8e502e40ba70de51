"""What serves in a trio run of its own, in a thread, while the test does something else."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from queue import Queue
from threading import Thread

import trio
from outcome import Error, Outcome, Value, capture

Serve = Callable[[trio.TaskStatus[str]], Awaitable[None]]
"""Serves until it is cancelled, and says where once it does."""


@contextmanager
def beside(serve: Serve) -> Iterator[str]:
    """Yield what it said, which is its base URL, while it serves. What it fails with is raised here in the end."""
    begun: Queue[Outcome[tuple[str, Callable[[], None]]]] = Queue()
    ended: list[Outcome[None]] = []

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            try:
                url = await nursery.start(_started, serve)
            except Exception as error:
                begun.put(Error(error))
                return
            token = trio.lowlevel.current_trio_token()
            begun.put(Value((url, partial(token.run_sync_soon, nursery.cancel_scope.cancel))))

    thread = Thread(target=lambda: ended.append(capture(trio.run, main)))
    thread.start()
    url, end = begun.get().unwrap()
    try:
        yield url
    finally:
        with suppress(trio.RunFinishedError):  # it has failed before
            end()
        thread.join()
        ended[0].unwrap()


async def _started(serve: Serve, task_status: trio.TaskStatus[str]) -> None:
    await serve(task_status)
