"""Connections to one origin for many tasks: at most so many at a time, the most recently used one first.

What to do is decided by a pure function of three numbers; each decision and each return takes constant time.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from enum import Enum, auto

import trio

from patchwire.net.connection import Connection


class Decision(Enum):
    """How a task gets its connection."""

    REUSE = auto()
    OPEN = auto()
    WAIT = auto()


def decide(idle: int, in_existence: int, most: int) -> Decision:
    """What a task that asks for a connection does, while so many lie idle, so many exist and at most `most` may."""
    if idle:
        return Decision.REUSE
    return Decision.OPEN if in_existence < most else Decision.WAIT


class Pool:
    """Lends connections, which come back by `release`, whatever happened on them.

    `connect` opens one. A task that waits is served in its turn, before any that asks later. Cancelling whoever waits
    or connects leaves the others their turn.
    """

    def __init__(self, connect: Callable[[], Awaitable[Connection]], most: int) -> None:
        self._connect = connect
        self._most = most
        self._places = 0  # taken: by a connection, or by a task that is about to open one
        self._idle: list[Connection] = []
        self._lent: set[Connection] = set()
        self._waiting = trio.lowlevel.ParkingLot()
        self._handed: dict[trio.lowlevel.Task, Connection | None] = {}
        self._closed = False

    @property
    def in_existence(self) -> int:
        """How many connections there are, or are about to be."""
        return self._places

    async def acquire(self) -> Connection:
        """A connection that is fit for use. What `connect` raises, where a new one is needed; ClosedResourceError
        once the pool is closed.
        """
        self._check_open()
        connection: Connection | None = None
        decision = decide(len(self._idle), self._places, self._most)
        if decision is Decision.REUSE:
            connection = self._idle.pop()
        elif decision is Decision.OPEN:
            self._places += 1
        else:
            await self._waiting.park()
            # From here to the connection's use nothing may raise: the place that was handed over is ours.
            connection = self._handed.pop(trio.lowlevel.current_task())
        if connection is None or not connection.is_quiet():
            connection = await self._open()
        self._lent.add(connection)
        return connection

    def release(self, connection: Connection) -> None:
        """Give a connection back. One that is closed makes room for another."""
        self._lent.discard(connection)
        if self._closed:
            connection.close()
        if not connection.usable:
            self._pass_on(None)
        elif self._waiting:
            self._pass_on(connection)
        else:
            self._idle.append(connection)

    def close(self) -> None:
        """Close every connection, also those in use, and send away whoever waits."""
        self._closed = True
        for connection in (*self._idle, *self._lent):
            connection.close()
        self._places -= len(self._idle)
        self._idle.clear()
        while self._waiting:
            self._places += 1
            self._pass_on(None)

    async def _open(self) -> Connection:
        """A new connection, in a place that is ours already."""
        try:
            self._check_open()
            connection = await self._connect()
        except BaseException:
            self._pass_on(None)
            raise
        if self._closed:
            connection.close()
            self._pass_on(None)
            self._check_open()
        return connection

    def _pass_on(self, connection: Connection | None) -> None:
        """Hand our place to the next who waits: with a connection, or to open one. Nobody waits: it is free."""
        woken = self._waiting.unpark(count=1)
        if woken:
            self._handed[woken[0]] = connection
        else:
            self._places -= 1

    def _check_open(self) -> None:
        if self._closed:
            raise trio.ClosedResourceError("this client is closed")
