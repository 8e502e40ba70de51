"""Sending one request: on a connection that is fit for it, at the pace in force, with the credentials it needs."""

from __future__ import annotations

import trio

from patchwire.auth.flow import FlowResult, Send
from patchwire.errors import ConnectError, PatchwireError, Sent
from patchwire.http.message import Request
from patchwire.net.connection import Connection, Reply
from patchwire.net.elsewhere import Elsewhere
from patchwire.net.perform import MayGo, Performer
from patchwire.net.proxy import ProxySession
from patchwire.run.origin import OriginGate
from patchwire.run.pacer import Pacer


class Sender:
    """Owns one connection at a time, which `gate` opens whenever it has none that is fit for use. What is redirected
    to another origin goes `elsewhere`, and all else to the `forwarder`, where there is one on the way.
    """

    def __init__(
        self,
        performer: Performer,
        gate: OriginGate,
        elsewhere: Elsewhere,
        pacer: Pacer,
        forwarder: ProxySession | None = None,
    ) -> None:
        self._performer = performer
        self._gate = gate
        self._elsewhere = elsewhere
        self._pacer = pacer
        self._forwarder = forwarder
        self._connection: Connection | None = None
        self._is_admitted = False
        self._is_following = False
        self._keep_body = False
        self._sent_at = 0.0
        self.is_sending = False
        """Whether a request is on its way, or its answer: not while its credentials are still waited for."""

    def admitted(self) -> None:
        """The pace has already taken the next request into account."""
        self._is_admitted = True

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()

    def share(self) -> None:
        """Leave the connection to another, where one is waited for."""
        if self._gate.is_awaited and self._connection is not None and self._connection.usable:
            self._gate.offer(self._connection)
            self._connection = None

    async def send(self, request: Request, *, keep_body: bool = False) -> tuple[Reply, FlowResult | None]:
        """What came of the request, and what its authentication makes of it.

        Raises ConnectError, CredentialsError, LocalProtocolError, StorageError and StoppedError: nothing of the record
        was sent then.
        """
        self._keep_body = keep_body
        self._is_following = self.is_sending = False
        return await self._performer.perform(request, self._exchange)

    async def _exchange(self, step: Send, may_go: MayGo) -> Reply | None:
        request = step.request
        self._pacer.refuse_if_stopped()  # it may have waited for others to try the credentials
        if self._is_admitted:
            self._is_admitted = False
            await self._pacer.outwait_pause()  # one may have begun while it waited for others to try the credentials
        elif self._is_following:
            await self._pacer.follow()
        else:
            await self._pacer.admit()
        keep_body = self._keep_body or step.needs_body
        if not self._elsewhere.is_home(request):
            self.is_sending = True
            followed = await self._elsewhere.exchange(request, keep_body=keep_body)
            self.is_sending = False
            return followed
        if self._forwarder is None:
            reply = await self._exchanged(request, keep_body, may_go)
        else:
            reply = await self._forwarder.forward(step, self._handed_on, may_go)
        if reply is None:
            self._is_admitted = True  # the pace has counted it already
            return None
        self._is_following = True
        self._pacer.observe(reply, self._sent_at)
        if reply.response is not None:
            self._gate.heard()
            if reply.response.status == 421:
                self.close()  # it asks for another connection (RFC 9110 section 15.5.20)
        return reply

    async def _handed_on(self, step: Send, may_go: MayGo) -> Reply | None:
        return await self._exchanged(step.request, self._keep_body or step.needs_body, may_go)

    async def _exchanged(self, request: Request, keep_body: bool, may_go: MayGo) -> Reply | None:
        if not may_go():
            return None
        connection = self._connection
        if connection is not None and connection.usable:
            reply = await self._on(connection, request, keep_body)
            if reply.sent is not Sent.NO:
                return reply
            # An idle connection that the server has closed meanwhile is the ordinary end of it, and no attempt.
        connection = self._connection = await self._gate.connect()
        while True:
            self._pacer.refuse_if_stopped()  # a connection may have been long in coming
            if not may_go():
                return None
            reply = await self._on(connection, request, keep_body)
            if isinstance(reply.error, ConnectError):
                raise reply.error  # our certificate was rejected behind the handshake: the origin's state
            if reply.sent is not Sent.NO:
                return reply
            failure = reply.error or PatchwireError("the connection was closed")
            connection = self._connection = await self._gate.connect_after(failure, str(request.origin))

    async def _on(self, connection: Connection, request: Request, keep_body: bool) -> Reply:
        self._sent_at = trio.current_time()
        self.is_sending = True  # and stays so where it is cancelled
        reply = await connection.exchange(request, keep_body=keep_body)
        self.is_sending = False
        return reply
