"""Authentications that no setting names yet, driven over connections to one address, a proxy's as a rule."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from patchwire import connection_from
from patchwire.auth.flow import Authentication, FlowResult, Send
from patchwire.auth.role import SERVER, Role
from patchwire.http.message import Request, Response
from patchwire.net.body import BodySource
from patchwire.net.connection import Connection, Reply
from patchwire.net.deadlines import Deadlines
from patchwire.net.opening import open_connection
from patchwire.net.perform import MayGo, Performer
from patchwire.settings.connection import ConnectionSettings

READ_TIMEOUT = 10.0


class Courier:
    """Takes requests to the settings' origin over one connection, which is replaced where it cannot be used again."""

    def __init__(self, performer: Performer, settings: ConnectionSettings, deadlines: Deadlines) -> None:
        self._performer = performer
        self._settings = settings
        self._deadlines = deadlines
        self._connection: Connection | None = None
        self.sent: list[Request] = []
        """Every request as it went out."""

    async def perform(self, request: Request, source: BodySource | None = None) -> tuple[Reply, FlowResult | None]:
        """What came of the request, and what its authentication makes of it."""

        async def send(step: Send, may_go: MayGo) -> Reply | None:
            connection = await self._connected()
            if not may_go():
                return None
            self.sent.append(step.request)
            return await connection.exchange(step.request, source)

        return await self._performer.perform(request, send, source)

    async def response(self, request: Request, source: BodySource | None = None) -> Response:
        """The response that counts, where the credentials are not refused."""
        reply, result = await self.perform(request, source)
        assert reply.response is not None, reply.error
        assert result is not None
        assert result.refusal is None, result.refusal
        return reply.response

    async def status(self, request: Request, source: BodySource | None = None) -> int:
        """The status of the response that counts, where the credentials are not refused."""
        return (await self.response(request, source)).status

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
        return connection


@asynccontextmanager
async def couriers(authentication: Authentication, address: str, count: int) -> AsyncIterator[list[Courier]]:
    """Yield couriers to `address`, a URL, who share their credentials."""
    settings = connection_from({"base_url": address, "limits": {"read_timeout": READ_TIMEOUT}})
    role: Role = getattr(authentication, "role", SERVER)
    performer = Performer(authentication, carries_credentials=True, role=role)
    deadlines = Deadlines(READ_TIMEOUT)
    watch = trio.CancelScope()

    async def watched() -> None:
        with watch:
            await deadlines.watch()

    # No nursery, which would wrap what a test raises in a group.
    trio.lowlevel.spawn_system_task(watched)
    them = [Courier(performer, settings, deadlines) for _ in range(count)]
    try:
        yield them
    finally:
        watch.cancel()
        for each in them:
            each.close()


@asynccontextmanager
async def courier(authentication: Authentication, address: str) -> AsyncIterator[Courier]:
    """Yield a courier to `address`, a URL."""
    async with couriers(authentication, address, 1) as (single,):
        yield single
