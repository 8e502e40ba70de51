"""Requests that a redirect sends to another origin: over a connection of their own, and as strangers."""

from __future__ import annotations

import msgspec

from patchwire.errors import ConnectError, Sent
from patchwire.http.message import Request
from patchwire.net.body import BodySource
from patchwire.net.connection import Reply
from patchwire.net.deadlines import Deadlines
from patchwire.net.opening import open_connection
from patchwire.net.wire_log import WireLog
from patchwire.settings.connection import ConnectionSettings


class Elsewhere:
    """All origins but that of the settings. None of them is shown the client certificate."""

    def __init__(self, settings: ConnectionSettings, deadlines: Deadlines, wire_log: WireLog | None) -> None:
        self._settings = settings
        self._deadlines = deadlines
        self._wire_log = wire_log

    def is_home(self, request: Request) -> bool:
        """Whether the request goes to the origin of the settings."""
        return request.origin == self._settings.origin

    async def exchange(self, request: Request, source: BodySource | None = None, *, keep_body: bool = True) -> Reply:
        """What comes of the request; an origin that cannot be reached is an error in the reply."""
        tls = msgspec.structs.replace(
            self._settings.tls, client_certificate=None, client_key=None, client_password=None
        )
        settings = msgspec.structs.replace(self._settings, origin=request.origin, tls=tls)
        try:
            connection = await open_connection(settings, wire_log=self._wire_log)
        except ConnectError as error:
            return Reply(None, Sent.NO, error, 0, 0, False)
        self._deadlines.add(connection)
        try:
            return await connection.exchange(request, source, keep_body=keep_body)
        finally:
            connection.close()
