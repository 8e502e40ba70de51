"""One proxy, for all who go through it: its credentials, requests that it hands on, and tunnels."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec

from patchwire.auth.flow import Send
from patchwire.auth.proxy import ProxyAuthentication
from patchwire.auth.role import PROXY
from patchwire.errors import ConnectError, CredentialsRejectedError, PatchwireError
from patchwire.http.message import Origin, Request
from patchwire.net.body import BodySource
from patchwire.net.connection import Connection, Reply
from patchwire.net.perform import MayGo, Performer, SendStep
from patchwire.net.sources import cnonce
from patchwire.net.wire import Wire
from patchwire.net.wire_log import WireLog
from patchwire.settings.proxy import Proxy


class ProxySession:
    """What is known of the proxy by now. LocalProtocolError where its credentials cannot be sent."""

    def __init__(self, proxy: Proxy, wire_log: WireLog | None = None) -> None:
        self.origin = proxy.origin
        credentials = proxy.credentials()
        self._performer = Performer(
            ProxyAuthentication(credentials, cnonce, proxy.authentication),
            carries_credentials=credentials is not None,
            wire_log=wire_log,
            role=PROXY,
        )

    async def forward(
        self, step: Send, send: SendStep, may_go: MayGo, source: BodySource | None = None
    ) -> Reply | None:
        """What comes of a step that the proxy hands on, sent by `send` in absolute form and with what the proxy wants
        to see. None where it was withdrawn before it went. A reply with a `refusal` is the proxy's own.

        CredentialsRejectedError, with nothing sent, once the proxy has rejected the credentials.
        """

        async def through(outer: Send, may_go_through: MayGo) -> Reply | None:
            reply = None
            if may_go():
                whole = msgspec.structs.replace(outer, needs_body=outer.needs_body or step.needs_body)
                reply = await send(whole, lambda: may_go_through() and may_go())
            if reply is None and not may_go():
                raise _WithdrawnError
            return reply

        try:
            reply, result = await self._performer.perform(_in_absolute_form(step.request), through, source)
        except _WithdrawnError:
            return None
        refusal = None if result is None else result.refusal
        return reply if refusal is None else msgspec.structs.replace(reply, refusal=refusal)

    async def tunnel(self, origin: Origin, connect: Callable[[], Awaitable[Connection]]) -> Wire:
        """A wire to the origin through the proxy (RFC 9110 section 9.3.6), to which `connect` opens a connection, and
        another where it closes one.

        ConnectError where there is none, CredentialsRejectedError where the proxy does not accept the credentials.
        """
        connection: Connection | None = None

        async def send(step: Send, may_go: MayGo) -> Reply | None:
            nonlocal connection
            if connection is None or not connection.is_quiet():
                connection = await connect()
            return await connection.exchange(step.request) if may_go() else None

        try:
            reply, result = await self._performer.perform(_connect_request(origin), send)
            wire = None if connection is None else connection.take_tunnel()
            if wire is not None:
                return wire
        finally:
            if connection is not None:
                connection.close()
        raise self._failure(origin, reply, None if result is None else result.refusal)

    def _failure(self, origin: Origin, reply: Reply, refusal: str | None) -> PatchwireError:
        problem = f"cannot connect to {origin}: the proxy {self.origin}"
        response = reply.response
        if refusal is not None and response is not None:
            problem = f"cannot connect to {origin}: {refusal}"
            return CredentialsRejectedError(problem, origin=str(self.origin), status=response.status)
        if response is None:
            return ConnectError(f"{problem}: {reply.error}", origin=str(origin))
        if 200 <= response.status <= 299:
            return ConnectError(f"{problem} speaks in the tunnel before it was asked", origin=str(origin))
        said = f"{response.status} {response.reason.decode('latin-1')}".rstrip()
        return ConnectError(f"{problem} answers CONNECT with {said}", origin=str(origin))


class _WithdrawnError(Exception):
    """The step is not to go any more."""


def _in_absolute_form(request: Request) -> Request:
    """The request as a proxy is sent it (RFC 9112 section 3.2.2)."""
    if not request.target.startswith(b"/"):
        return request
    target = str(request.origin).encode("ascii") + request.target
    return Request(request.method, request.origin, target, request.headers, request.body)


def _connect_request(origin: Origin) -> Request:
    """The request for a tunnel: host and port, also where that is the scheme's own (RFC 9112 section 3.2.3)."""
    host = f"[{origin.host}]" if ":" in origin.host else origin.host
    authority = f"{host}:{origin.port}".encode("ascii")
    return Request("CONNECT", origin, authority, ((b"Host", authority),))
