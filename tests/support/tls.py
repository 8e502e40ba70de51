"""TLS for tests: certificates as settings, and both ends of a connection in this process."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable
from typing import Any

import trio
from OpenSSL import SSL

from patchwire.net.tls_stream import TlsStream, serving_stream
from patchwire.net.wire import TcpWire
from patchwire.settings.tls import Material, TlsSettings
from patchwire.tls.context import client_context, server_context
from patchwire.tls.engine import client_engine, server_engine
from patchwire.tls.material import client_identity
from tests.support.certificates import Authority, Issued
from tests.support.peer import Handler

AUTHORITY = Authority()
LOCALHOST = AUTHORITY.issue("localhost", "127.0.0.1")
TRUSTING = TlsSettings(trust=(Material("ca.pem", AUTHORITY.pem),), system_roots=False)


def trusting(*certificates: bytes, **options: Any) -> TlsSettings:
    """Settings that trust these certificate files, and nothing of the system's."""
    trust = tuple(Material(f"trusted-{number}.pem", each) for number, each in enumerate(certificates))
    return TlsSettings(trust=trust, system_roots=False, **options)


def serving_as(issued: Issued, *client_authorities: Authority) -> SSL.Context:
    """The context of a server with this certificate; with authorities it requires a client's."""
    identity = client_identity(TlsSettings(client_certificate=Material("server.pem", issued.combined_pem)))
    assert identity is not None
    return server_context(identity, [each.certificate for each in client_authorities])


def stream_pair(
    settings: TlsSettings = TRUSTING, host: str = "localhost", server: SSL.Context | None = None
) -> tuple[TlsStream, TlsStream]:
    """A client's end and a server's, connected, the handshake still to be done."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    context = server or serving_as(LOCALHOST)
    client = TlsStream(TcpWire(ours), client_engine(client_context(settings), host))
    return client, TlsStream(TcpWire(theirs), server_engine(context))


def over_tls(handler: Callable[[trio.abc.Stream], Awaitable[None]], server: SSL.Context | None = None) -> Handler:
    """A handler for `listening` that speaks TLS and runs `handler` within it; a failed handshake ends it."""
    context = server or serving_as(LOCALHOST)

    async def handle(stream: trio.SocketStream) -> None:
        async with serving_stream(stream, context) as encrypted:
            await handler(encrypted)

    return handle
