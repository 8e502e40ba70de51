"""Whether the origin can be reached: its state, not a record's. While it is down one prober tries, the others wait."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio

from patchwire.errors import ConnectError
from patchwire.net.connection import Connection
from patchwire.net.sources import jitter

FIRST_DELAY = 0.1
LONGEST_DELAY = 5.0


class OriginGate:
    """Opens connections. An origin that has answered before is given `patience` seconds to come back, or until
    `stop` is set.
    """

    def __init__(self, dial: Callable[[], Awaitable[Connection]], patience: float, stop: trio.Event) -> None:
        self._dial_once = dial
        self._patience = patience
        self._stop = stop
        self._was_up = False
        self._prober = trio.Lock()
        self._failure: ConnectError | None = None

    async def connect(self) -> Connection:
        """A new connection. ConnectError when the origin was never up, or has been down beyond patience."""
        if self._failure is not None:
            raise self._failure
        try:
            return await self._dial()
        except ConnectError as error:
            if not self._was_up:
                self._failure = error
                raise
        async with self._prober:
            return await self._probe()

    async def _dial(self) -> Connection:
        connected = await self._dial_once()
        self._was_up = True
        return connected

    async def _probe(self) -> Connection:
        """Whoever gets here after the origin came back succeeds at its first try."""
        give_up = trio.current_time() + self._patience
        delay = FIRST_DELAY
        while self._failure is None:
            try:
                return await self._dial()
            except ConnectError as error:
                left = give_up - trio.current_time()
                if self._stop.is_set() or left <= 0:
                    self._failure = error
                    break
            with trio.move_on_after(min(left, delay * (0.5 + jitter() / 2))):
                await self._stop.wait()
            delay = min(LONGEST_DELAY, delay * 2)
        raise self._failure
