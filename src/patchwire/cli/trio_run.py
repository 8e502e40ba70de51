"""Running trio for a command: what its nurseries raise comes out as the one error it is."""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import trio

Result = TypeVar("Result")


def trio_run(main: Callable[..., Awaitable[Result]], *arguments: Any) -> Result:
    """The result of `main`. A group of exceptions is raised as its one member, or as KeyboardInterrupt where it
    holds that.
    """
    try:
        return trio.run(main, *arguments)
    except BaseExceptionGroup as group:
        leaves = _leaves(group)
        interrupts = [leaf for leaf in leaves if isinstance(leaf, KeyboardInterrupt)]
        if interrupts or len(leaves) == 1:
            raise (interrupts or leaves)[0] from None
        raise


def interruptible_run(main: Callable[..., Awaitable[Result]], *arguments: Any) -> Result:
    """As `trio_run`, but an interrupt cancels `main`, which may finish what must not be cut off, and is raised as
    KeyboardInterrupt then. One that the process ignores stays ignored.
    """
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        return trio_run(main, *arguments)
    result: Result = trio_run(_cancelled_by_interrupt, main, arguments)
    return result


async def _cancelled_by_interrupt(main: Callable[..., Awaitable[Result]], arguments: tuple[Any, ...]) -> Result:
    is_interrupted = False

    async def watch(scope: trio.CancelScope, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        nonlocal is_interrupted
        with trio.open_signal_receiver(signal.SIGINT) as signals:
            task_status.started()
            async for _ in signals:
                is_interrupted = True
                scope.cancel()

    ended: list[Result] = []
    async with trio.open_nursery() as nursery:
        await nursery.start(watch, nursery.cancel_scope)
        ended.append(await main(*arguments))
        nursery.cancel_scope.cancel()
    if is_interrupted or not ended:
        raise KeyboardInterrupt
    return ended[0]


def _leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    leaves: list[BaseException] = []
    for each in group.exceptions:
        leaves.extend(_leaves(each) if isinstance(each, BaseExceptionGroup) else [each])
    return leaves
