"""Requests to other origins, each over a connection of its own: redirected ones, as strangers, and for tokens."""

from __future__ import annotations

import msgspec
import trio

from patchwire.errors import ConnectError, Sent
from patchwire.http.message import Request
from patchwire.net.body import BodySource
from patchwire.net.connection import Connection, Reply
from patchwire.net.deadlines import Deadlines
from patchwire.net.opening import open_connection
from patchwire.net.wire_log import WireLog
from patchwire.settings.connection import ConnectionSettings
from patchwire.settings.tls import TlsSettings


class Elsewhere:
    """Origins to which the settings' own connections do not lead."""

    def __init__(self, settings: ConnectionSettings, deadlines: Deadlines, wire_log: WireLog | None) -> None:
        self._settings = settings
        self._deadlines = deadlines
        self._wire_log = wire_log
        self._open: set[Connection] = set()
        self._is_closed = False

    def close(self) -> None:
        """Close every connection, and open no more: ClosedResourceError."""
        self._is_closed = True
        for connection in self._open:
            connection.close()

    def is_home(self, request: Request) -> bool:
        """Whether the request goes to the origin of the settings."""
        return request.origin == self._settings.origin

    async def exchange(self, request: Request, source: BodySource | None = None, *, keep_body: bool = True) -> Reply:
        """What comes of a request that a redirect sends there; an origin that cannot be reached is an error in the
        reply. It is not shown the client certificate.
        """
        tls = msgspec.structs.replace(
            self._settings.tls, client_certificate=None, client_key=None, client_password=None
        )
        return await self._exchange(request, source, tls, keep_body=keep_body)

    async def ask(self, request: Request) -> Reply:
        """What comes of a request of the authentication's own; as above, but whom it goes to was chosen in the
        settings, and so is shown the client certificate.
        """
        return await self._exchange(request, None, self._settings.tls, keep_body=True)

    async def _exchange(
        self, request: Request, source: BodySource | None, tls: TlsSettings, *, keep_body: bool
    ) -> Reply:
        if self._is_closed:
            raise trio.ClosedResourceError("this client is closed")
        settings = msgspec.structs.replace(self._settings, origin=request.origin, tls=tls)
        try:
            connection = await open_connection(settings, wire_log=self._wire_log)
        except ConnectError as error:
            return Reply(None, Sent.NO, error, 0, 0, False)
        self._deadlines.add(connection)
        self._open.add(connection)
        try:
            return await connection.exchange(request, source, keep_body=keep_body)
        finally:
            self._open.discard(connection)
            connection.close()
