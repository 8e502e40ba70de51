"""Authentications that no setting names yet, driven over one connection at a time."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from patchwire import connection_from
from patchwire.auth.flow import Authentication, FlowResult, Send
from patchwire.http.message import Request
from patchwire.net.body import BodySource
from patchwire.net.connection import Connection, Reply
from patchwire.net.deadlines import Deadlines
from patchwire.net.opening import open_connection
from patchwire.net.perform import Performer

READ_TIMEOUT = 10.0


class Courier:
    """Takes requests to one address, a proxy's as a rule; a connection that cannot be used again is replaced."""

    def __init__(self, authentication: Authentication, address: str, deadlines: Deadlines) -> None:
        self._performer = Performer(authentication, carries_credentials=True)
        self._settings = connection_from({"base_url": address, "limits": {"read_timeout": READ_TIMEOUT}})
        self._deadlines = deadlines
        self._connection: Connection | None = None
        self.connections = 0
        """How many it has opened."""

    async def perform(self, request: Request, source: BodySource | None = None) -> tuple[Reply, FlowResult | None]:
        """What came of the request, and what its authentication makes of it."""

        async def send(step: Send) -> Reply:
            return await (await self._connected()).exchange(step.request, source)

        return await self._performer.perform(request, send, source)

    async def status(self, request: Request, source: BodySource | None = None) -> int:
        """The status of the response that counts, which the credentials must not be refused by."""
        reply, result = await self.perform(request, source)
        assert reply.response is not None, reply.error
        assert result is not None
        assert result.refusal is None, result.refusal
        return reply.response.status

    async def refusal(self, request: Request) -> str:
        """Why the credentials are refused."""
        _, result = await self.perform(request)
        assert result is not None
        assert result.refusal is not None
        return result.refusal

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()

    async def _connected(self) -> Connection:
        connection = self._connection
        if connection is None or not connection.is_quiet():
            connection = self._connection = await open_connection(self._settings)
            self._deadlines.add(connection)
            self.connections += 1
        return connection


@asynccontextmanager
async def courier(authentication: Authentication, address: str) -> AsyncIterator[Courier]:
    """Yield a courier to `address`, a URL."""
    deadlines = Deadlines(READ_TIMEOUT)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(deadlines.watch)
        driver = Courier(authentication, address, deadlines)
        try:
            yield driver
        finally:
            driver.close()
            nursery.cancel_scope.cancel()
