"""One task that watches the deadlines of many connections, so that a request needs no timer of its own."""

from __future__ import annotations

from typing import Protocol
from weakref import WeakSet

import trio


class Expiring(Protocol):
    """What can be watched: `deadline` on trio's clock, and what to do when it has passed."""

    deadline: float

    def expire(self) -> None:
        """Give up now; whoever waits on it learns why."""


class Deadlines:
    """The connections in use. A deadline is noticed late by at most the interval, a twentieth of the timeout."""

    def __init__(self, timeout: float) -> None:
        self._interval = min(1.0, max(0.01, timeout / 20))
        # Weak: a connection that its owner has dropped is watched no longer.
        self._watched: WeakSet[Expiring] = WeakSet()

    def add(self, connection: Expiring) -> None:
        """Watch this connection from now on."""
        self._watched.add(connection)

    async def watch(self) -> None:
        """Runs until it is cancelled."""
        while True:
            await trio.sleep(self._interval)
            now = trio.current_time()
            for connection in [each for each in self._watched if each.deadline <= now]:
                connection.expire()
