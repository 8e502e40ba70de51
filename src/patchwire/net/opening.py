"""Opening a connection as its settings say: TCP, TLS on it for https, and what the wire log says of it."""

from __future__ import annotations

import trio

from patchwire.errors import HandshakeError, TlsError
from patchwire.files.read import describe
from patchwire.http.message import Origin
from patchwire.net.connection import Connection
from patchwire.net.dial import dial
from patchwire.net.wire import Wire
from patchwire.net.wire_log import WireLog
from patchwire.settings.connection import ConnectionSettings
from patchwire.settings.tls import TlsSettings


async def open_connection(
    settings: ConnectionSettings, *, wire_log: WireLog | None = None, keep_bodies: bool = True
) -> Connection:
    """A connection to the settings' origin, within their `connect_timeout`. ConnectError says why there is none;
    HandshakeError, its child, that TLS was not agreed upon.
    """
    wire = await open_wire(settings.origin, settings.limits.connect_timeout, settings.tls)
    connection = Connection(
        wire,
        settings.origin,
        settings.limits.for_exchange(),
        settings.limits.read_timeout,
        wire_log=wire_log,
        secret_fields=settings.secret_fields,
        keep_bodies=keep_bodies,
    )
    connection.log_opening()
    return connection


async def open_wire(origin: Origin, connect_timeout: float, tls: TlsSettings) -> Wire:
    """A connected wire to the origin: with the handshake done, within `connect_timeout` seconds in all, for https."""
    deadline = trio.current_time() + connect_timeout
    wire = await dial(origin, connect_timeout)
    if origin.scheme == "http":
        return wire
    with trio.CancelScope(deadline=deadline) as scope:
        return await _over_tls(wire, origin, tls)
    assert scope.cancelled_caught  # noqa: S101 - or the wire was returned
    problem = f"no TLS handshake within {connect_timeout:g} seconds (limits.connect_timeout)"
    raise HandshakeError(f"cannot connect to {origin}: {problem}", origin=str(origin))


async def _over_tls(wire: Wire, origin: Origin, tls: TlsSettings) -> Wire:
    # OpenSSL takes as long to load as all the rest: only those who use it wait for it.
    from patchwire.net.tls_stream import TlsStream
    from patchwire.tls.context import client_context
    from patchwire.tls.engine import client_engine

    stream = TlsStream(wire, client_engine(client_context(tls), origin.host))
    try:
        await stream.handshake()
    except BaseException as error:
        stream.close()
        if not isinstance(error, (TlsError, OSError)):
            raise
        problem = str(error) if isinstance(error, TlsError) else f"the TLS handshake broke: {describe(error)}"
        raise HandshakeError(f"cannot connect to {origin}: {problem}", origin=str(origin)) from None
    return stream
