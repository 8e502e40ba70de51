"""Cancellation at every checkpoint: where it leaks or hangs, a test fails."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable

import trio


def open_descriptors() -> set[str]:
    """The process's open file descriptors, as the system lists them."""
    return set(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else set()  # noqa: PTH208, PTH112


class _CancelAtStep(trio.abc.Instrument):
    def __init__(self, step: int) -> None:
        self.step = step
        self.steps = 0
        self.task: trio.lowlevel.Task | None = None
        self.scope = trio.CancelScope()

    def _is_ours(self, task: trio.lowlevel.Task) -> bool:
        """Whether it is the action's task, or one that works for it."""
        each: trio.lowlevel.Task | None = task
        while each is not None and each is not self.task:
            each = each.parent_nursery.parent_task if each.parent_nursery else None
        return each is not None

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        if self._is_ours(task):
            self.steps += 1
            if self.steps == self.step:
                self.scope.cancel()


async def cancelled_at_every_checkpoint(action: Callable[[], Awaitable[object]]) -> int:
    """Run `action` again and again, cancelled at its first step, its second, and so on until it ends by itself.

    Steps of the tasks that it starts count too.

    Returns how many steps it has.
    """
    step = 1
    while True:
        instrument = _CancelAtStep(step)
        finished = False

        async def run(instrument: _CancelAtStep = instrument) -> None:
            nonlocal finished
            instrument.task = trio.lowlevel.current_task()
            with instrument.scope:
                await action()
                finished = True

        trio.lowlevel.add_instrument(instrument)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(run)
        finally:
            trio.lowlevel.remove_instrument(instrument)
        if finished and instrument.steps < step:
            return instrument.steps
        step += 1
