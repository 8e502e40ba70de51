"""Running trio for a command: what its nurseries raise comes out as the one error it is."""

from __future__ import annotations

import signal
import threading
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import trio

Result = TypeVar("Result")


def trio_run(main: Callable[..., Awaitable[Result]], *arguments: Any) -> Result:
    """The result of `main`. A group of exceptions is raised as its one member, or as KeyboardInterrupt where it
    holds that.

    The first Ctrl-C cancels `main`, which may end what must not be cut off, as a new token that is on its way;
    KeyboardInterrupt where it then has no result. The second raises that wherever `main` is.
    """
    try:
        if _takes_interrupts():
            return trio.run(_interruptible, main, arguments)
        return trio.run(main, *arguments)
    except BaseExceptionGroup as group:
        leaves = _leaves(group)
        interrupts = [leaf for leaf in leaves if isinstance(leaf, KeyboardInterrupt)]
        if interrupts or len(leaves) == 1:
            raise (interrupts or leaves)[0] from None
        raise


def _takes_interrupts() -> bool:
    """Whether Ctrl-C is ours: a shell's background job ignores it, and only the main thread can be told."""
    is_main = threading.current_thread() is threading.main_thread()
    return is_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler


async def _interruptible(main: Callable[..., Awaitable[Result]], arguments: tuple[Any, ...]) -> Result:
    ended: list[Result] = []
    async with trio.open_nursery() as nursery:
        await nursery.start(_cancel_when_interrupted, nursery.cancel_scope)
        ended.append(await main(*arguments))
        nursery.cancel_scope.cancel()
    if not ended:
        raise KeyboardInterrupt
    return ended[0]


async def _cancel_when_interrupted(
    scope: trio.CancelScope, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    with trio.open_signal_receiver(signal.SIGINT) as signals:
        task_status.started()
        async for _ in signals:
            break
    scope.cancel()


def _leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    leaves: list[BaseException] = []
    for each in group.exceptions:
        leaves.extend(_leaves(each) if isinstance(each, BaseExceptionGroup) else [each])
    return leaves
