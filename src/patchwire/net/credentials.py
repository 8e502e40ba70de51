"""Credentials that no server has accepted yet: they go out in one request at a time, lest they lock an account."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio

from patchwire.auth.flow import accepts
from patchwire.errors import CredentialsRejectedError
from patchwire.http.message import Request
from patchwire.net.connection import Reply


class CredentialsGate:
    """Shared by all who send them. Once the server has accepted the credentials it costs a look at a flag."""

    def __init__(self, *, needed: bool) -> None:
        self._open = not needed
        self._rejected = False
        self._lock = trio.Lock()

    async def send(self, request: Request, send: Callable[[Request], Awaitable[Reply]]) -> Reply:
        """What `send` replies. CredentialsRejectedError, with nothing sent, after the server has rejected them."""
        if self._open or request.header(b"authorization") is None:
            return await send(request)
        async with self._lock:
            if self._rejected:
                problem = "not sent, since the server has rejected these credentials"
                raise CredentialsRejectedError(problem, origin=str(request.origin), status=401)
            if not self._open:
                reply = await send(request)
                self._learn(reply)
                return reply
        return await send(request)

    def _learn(self, reply: Reply) -> None:
        if reply.response is not None:
            self._rejected = reply.response.status == 401
            self._open = accepts(reply.response)
