"""Requests to other origins, each over a connection of its own: redirected ones, as strangers, and for tokens."""

from __future__ import annotations

import trio

from patchwire.auth.flow import Send
from patchwire.errors import ConnectError, Sent
from patchwire.http.message import Origin, Request
from patchwire.net.body import BodySource
from patchwire.net.connection import Connection, Reply
from patchwire.net.deadlines import Deadlines
from patchwire.net.opening import Opener
from patchwire.net.perform import MayGo
from patchwire.settings.connection import ConnectionSettings
from patchwire.settings.tls import TlsSettings


def _always() -> bool:
    return True


class Elsewhere:
    """Origins to which the settings' own connections do not lead."""

    def __init__(self, settings: ConnectionSettings, opener: Opener, deadlines: Deadlines) -> None:
        self._settings = settings
        self._opener = opener
        self._deadlines = deadlines
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
        return await self._exchange(request, source, self._settings.tls.without_client_certificate(), keep_body)

    async def ask(self, request: Request) -> Reply:
        """What comes of a request of the authentication's own; as above, but whom it goes to was chosen in the
        settings, and so is shown the client certificate.
        """
        return await self._exchange(request, None, self._settings.tls, True)

    async def _exchange(self, request: Request, source: BodySource | None, tls: TlsSettings, keep_body: bool) -> Reply:
        connection: Connection | None = None

        async def send(step: Send, may_go: MayGo) -> Reply | None:
            nonlocal connection
            if connection is None or not connection.is_quiet():
                connection = await self._connected(request.origin, tls)
            if not may_go():
                return None
            return await connection.exchange(step.request, source, keep_body=keep_body or step.needs_body)

        try:
            forwarder = self._opener.forwarder(request.origin)
            step = Send(request)
            reply = await (
                send(step, _always) if forwarder is None else forwarder.forward(step, send, _always, source)
            )
            assert reply is not None  # noqa: S101 - it may always go
            return reply
        except ConnectError as error:
            return Reply(None, Sent.NO, error, 0, 0, False)
        finally:
            if connection is not None:
                self._open.discard(connection)
                connection.close()

    async def _connected(self, origin: Origin, tls: TlsSettings) -> Connection:
        if self._is_closed:
            raise trio.ClosedResourceError("this client is closed")
        connection = await self._opener.open(origin, tls)
        if self._is_closed:  # meanwhile: nobody watches its deadlines any more
            connection.close()
            raise trio.ClosedResourceError("this client is closed")
        self._deadlines.add(connection)
        self._open.add(connection)
        return connection
