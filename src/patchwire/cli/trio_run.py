"""Running trio for a command: what its nurseries raise comes out as the one error it is."""

from __future__ import annotations

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


def _leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    leaves: list[BaseException] = []
    for each in group.exceptions:
        leaves.extend(_leaves(each) if isinstance(each, BaseExceptionGroup) else [each])
    return leaves
