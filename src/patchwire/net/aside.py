"""What authentication does beside the requests that it is for: it reads, asks and pauses."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from contextlib import closing
from typing import Final, Self, TypeVar

import trio

from patchwire.auth.flow import Answer, Ask, Load, Pause, Step, Tell
from patchwire.errors import IncompleteResponseError, LocalProtocolError, PatchwireError
from patchwire.http.message import Request
from patchwire.net.connection import Reply

T = TypeVar("T")
GRACE: Final = 5.0
"""Seconds for which one who is cancelled waits for the answer to what was asked: it may not be given again."""


class Aside:
    """Takes those steps of a flow. `ask` makes one exchange, and `pause` waits; both may refuse by an exception."""

    def __init__(
        self, ask: Callable[[Request], Awaitable[Reply]], pause: Callable[[float], Awaitable[None]] = trio.sleep
    ) -> None:
        self._ask = ask
        self._pause = pause

    @classmethod
    def that_asks_nobody(cls) -> Self:
        """For authentications that have no such question."""

        async def ask(request: Request) -> Reply:
            raise LocalProtocolError(f"there is nobody to ask: {request!r}")

        return cls(ask)

    async def drive(self, steps: Generator[Step, Answer, T], tell: Callable[[Tell], None]) -> T:
        """The end of steps that are part of no request. Raises what they raise."""
        answer: Answer = None
        failure: Exception | None = None
        with closing(steps):
            while True:
                try:
                    step = steps.send(answer) if failure is None else steps.throw(failure)
                except StopIteration as stop:
                    end: T = stop.value
                    break
                answer = failure = None
                if isinstance(step, Tell):
                    tell(step)
                else:
                    assert isinstance(step, Load | Ask | Pause)  # noqa: S101 - others are part of a request
                    answer, failure = await self.take(step)
        return end

    async def take(self, step: Load | Ask | Pause) -> tuple[Answer, Exception | None]:
        """What the flow is to be sent, or what is to be thrown into it. Raises what `ask` and `pause` refuse with."""
        if isinstance(step, Load):
            return await _loaded(step)
        if isinstance(step, Pause):
            await self._pause(step.seconds)
            return None, None
        reply = await _to_its_end(lambda: self._ask(step.request))
        response = reply.response
        if response is None:
            return None, reply.error or PatchwireError("no response, and no reason for it")
        if response.error is not None:
            return None, IncompleteResponseError(f"{step.request.origin}: {response.error}")
        return response, None


async def _loaded(step: Load) -> tuple[Answer, Exception | None]:
    """What the flow wants to be read, or the error that came of it."""
    answer: Answer = None
    with trio.CancelScope(shield=step.is_brief):
        try:
            answer = await trio.to_thread.run_sync(step.read, abandon_on_cancel=not step.is_brief)
        except Exception as error:
            return None, error
    return answer, None


async def _to_its_end(exchange: Callable[[], Awaitable[Reply]]) -> Reply:
    """What comes of the exchange, for which one who is cancelled waits a while: a server that has given a new token
    for the old one does not do so twice.
    """
    await trio.lowlevel.checkpoint_if_cancelled()
    done = trio.Event()
    scope = trio.CancelScope()
    ended: list[Reply | Exception] = []

    async def run() -> None:
        with scope:
            try:
                ended.append(await exchange())
            except Exception as error:
                ended.append(error)
        done.set()

    trio.lowlevel.spawn_system_task(run, name="patchwire authentication")
    try:
        await done.wait()
    except trio.Cancelled:
        with trio.move_on_after(GRACE, shield=True):
            await done.wait()
        if not ended:
            raise
    finally:
        scope.cancel()
    if not ended:
        raise PatchwireError("the exchange was given up")
    outcome = ended[0]
    if isinstance(outcome, Exception):
        raise outcome
    return outcome
