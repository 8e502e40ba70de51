"""Opening a connection as its settings say: TCP, TLS on it for https, and what the wire log says of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

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

if TYPE_CHECKING:
    from cryptography import x509


async def open_connection(settings: ConnectionSettings, *, wire_log: WireLog | None = None) -> Connection:
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
        response_timeout=settings.limits.response_timeout,
    )
    connection.log_opening()
    return connection


async def open_wire(origin: Origin, connect_timeout: float, tls: TlsSettings) -> Wire:
    """A connected wire to the origin: with the handshake done, within `connect_timeout` seconds in all, for https."""
    started = trio.current_time()
    wire = await dial(origin, connect_timeout)
    if origin.scheme == "http":
        return wire
    with _handshake_within(origin, started, connect_timeout):
        return await _over_tls(wire, origin, tls)


async def server_chain(origin: Origin, connect_timeout: float) -> list[x509.Certificate]:
    """The certificates that an https origin shows, its own first, whoever issued them. Nothing is sent there.

    ConnectError where it shows none.
    """
    from patchwire.net.tls_stream import TlsStream
    from patchwire.tls.context import unverified_context
    from patchwire.tls.engine import client_engine

    started = trio.current_time()
    engine = client_engine(unverified_context(), origin.host)
    stream = TlsStream(await dial(origin, connect_timeout), engine)
    try:
        with _handshake_within(origin, started, connect_timeout):
            await stream.handshake()
    except (TlsError, OSError) as error:
        if not engine.peer_chain():  # it may have shown its own before it asked for ours
            raise _handshake_error(origin, error) from None
    finally:
        stream.close()
    return engine.peer_chain()


async def _over_tls(wire: Wire, origin: Origin, tls: TlsSettings) -> Wire:
    # OpenSSL takes as long to load as all the rest: only those who use it wait for it.
    from patchwire.net.tls_stream import TlsStream
    from patchwire.tls.context import client_context
    from patchwire.tls.engine import client_engine

    stream = TlsStream(wire, client_engine(client_context(tls), origin.host))
    try:
        await stream.handshake()
    except (TlsError, OSError) as error:
        stream.close()
        raise _handshake_error(origin, error) from None
    except BaseException:
        stream.close()
        raise
    return stream


@contextmanager
def _handshake_within(origin: Origin, started: float, connect_timeout: float) -> Iterator[None]:
    try:
        with trio.fail_at(started + connect_timeout):
            yield
    except trio.TooSlowError:
        problem = f"no TLS handshake within {connect_timeout:g} seconds (limits.connect_timeout)"
        raise HandshakeError(f"cannot connect to {origin}: {problem}", origin=str(origin)) from None


def _handshake_error(origin: Origin, error: TlsError | OSError) -> HandshakeError:
    problem = str(error) if isinstance(error, TlsError) else f"the TLS handshake broke: {describe(error)}"
    return HandshakeError(f"cannot connect to {origin}: {problem}", origin=str(origin))
