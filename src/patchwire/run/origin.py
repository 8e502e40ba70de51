"""Whether the origin can be reached: its state, not a record's. While it is down one prober tries, the others wait."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio

from patchwire.errors import ConnectError, PatchwireError
from patchwire.net.connection import Connection
from patchwire.net.sources import jitter

FIRST_DELAY = 0.1
LONGEST_DELAY = 5.0


class OriginGate:
    """Opens connections. An origin that has answered before is given `patience` seconds to come back, or until
    `stop` is set; as long as it answers on other connections, those are shared.
    """

    def __init__(self, dial: Callable[[], Awaitable[Connection]], patience: float, stop: trio.Event) -> None:
        self.patience = patience
        """Seconds."""
        self._dial_once = dial
        self._stop = stop
        self._was_up = False
        self._dialing = 0
        self._down_since: float | None = None
        self._delay = FIRST_DELAY
        self._prober = trio.Lock()
        self._offered: list[Connection] = []
        self._offer = trio.Event()
        self._failure: ConnectError | None = None

    @property
    def is_awaited(self) -> bool:
        """Whether a connection is wanted that could not be had."""
        return self._prober.locked()

    def down_for(self, now: float) -> float:
        """Seconds for which nothing has been heard of the origin since a connection failed; 0 where none has."""
        return 0.0 if self._down_since is None else now - self._down_since

    def heard(self) -> None:
        """An answer came: the origin is alive."""
        self._down_since = None
        self._delay = FIRST_DELAY

    def offer(self, connection: Connection) -> None:
        """Leave a connection to who waits for one."""
        self._offered.append(connection)
        self._offer.set()

    async def connect(self) -> Connection:
        """A connection, as a rule a new one. ConnectError when the origin was never up, or has been down for longer
        than patience has it.
        """
        if self._failure is not None:
            raise self._failure
        if self._prober.locked():
            return await self._wait(None)
        try:
            return await self._dial()
        except ConnectError as error:
            failure = error
        if not self._may_come_up:
            self._failure = failure
            raise failure
        return await self._wait(failure)

    async def connect_after(self, failure: PatchwireError, origin: str) -> Connection:
        """A connection after one that took nothing, such as one whose peer accepts and closes."""
        return await self._wait(ConnectError(f"{origin} takes nothing: {failure}", origin=origin))

    def close(self) -> None:
        """Close what was offered and not taken."""
        for connection in self._offered:
            connection.close()

    async def _dial(self) -> Connection:
        self._dialing += 1
        try:
            connection = await self._dial_once()
        finally:
            self._dialing -= 1
        self._was_up = True
        return connection

    @property
    def _may_come_up(self) -> bool:
        """Whether it was up before, or others have not failed yet."""
        return self._was_up or self._dialing > 0

    async def _wait(self, failure: ConnectError | None) -> Connection:
        async with self._prober:
            return await self._probe(failure)

    async def _probe(self, failure: ConnectError | None) -> Connection:
        """Whoever gets here after the origin came back succeeds at its first try."""
        while self._failure is None:
            if self._offered:
                return self._offered.pop()
            if failure is None:
                try:
                    return await self._dial()
                except ConnectError as error:
                    failure = error
            now = trio.current_time()
            if self._down_since is None:
                self._down_since = now
            left = self.patience - self.down_for(now)
            if self._stop.is_set() or left <= 0 or not self._may_come_up:
                self._failure = failure
                break
            failure = None
            delay, self._delay = self._delay, min(LONGEST_DELAY, 2 * self._delay)
            await self._pause(min(left, delay * (0.5 + jitter() / 2)))
        raise self._failure

    async def _pause(self, seconds: float) -> None:
        """Until the time is up, the run is stopped, or a connection is offered."""
        self._offer = trio.Event()
        with trio.move_on_after(seconds):
            async with trio.open_nursery() as nursery:
                for event in (self._stop, self._offer):
                    nursery.start_soon(_then_cancel, event, nursery.cancel_scope)


async def _then_cancel(event: trio.Event, scope: trio.CancelScope) -> None:
    await event.wait()
    scope.cancel()
