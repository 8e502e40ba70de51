"""Opening a connection as its settings say: through a proxy where there is one, TLS on it for https, and what the wire
log says of it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING

import trio

from patchwire.errors import ConnectError, HandshakeError, TlsError
from patchwire.files.key_log import key_log
from patchwire.files.read import describe
from patchwire.http.message import Origin
from patchwire.net.connection import Connection
from patchwire.net.dial import dial
from patchwire.net.patience import NEVER, Timeouts
from patchwire.net.proxy import ProxySession
from patchwire.net.wire import Wire
from patchwire.net.wire_log import WireLog
from patchwire.settings.connection import ConnectionSettings
from patchwire.settings.proxy import Proxy
from patchwire.settings.tls import TlsSettings
from patchwire.settings.written import Limits

if TYPE_CHECKING:
    from cryptography import x509


async def open_connection(settings: ConnectionSettings, *, wire_log: WireLog | None = None) -> Connection:
    """A single connection to the settings' origin, as an Opener opens it."""
    return await Opener(settings, wire_log).open()


class Opener:
    """Opens connections to the settings' origin and others, for any number of tasks: what the proxy on the way has
    said to one of them, all know.
    """

    def __init__(self, settings: ConnectionSettings, wire_log: WireLog | None = None) -> None:
        self._settings = settings
        self._wire_log = wire_log
        self._timeout = settings.limits.connect_timeout
        self._sessions: dict[Proxy, ProxySession] = {}

    def forwarder(self, origin: Origin) -> ProxySession | None:
        """The proxy that hands on the requests to this origin; None where a connection or a tunnel leads there."""
        return self._session(origin) if origin.scheme == "http" else None

    async def open(self, origin: Origin | None = None, tls: TlsSettings | None = None) -> Connection:
        """A connection to the settings' origin, or another, with the settings' TLS or other, within their
        `connect_timeout` and `tls_timeout`. ConnectError says why there is none; HandshakeError, its child, that TLS
        was not agreed upon; CredentialsRejectedError that the proxy wants other credentials.
        """
        origin = self._settings.origin if origin is None else origin
        started = trio.current_time()
        wire = await self._reach(origin, started)
        if origin.scheme == "https":
            with self._handshake_within(origin, started):
                tls = self._settings.tls if tls is None else tls
                wire = await _over_tls(wire, origin, tls, lambda: self._reach(origin, started))
        connection = self._connection(wire, origin)
        connection.log_opening()
        return connection

    async def server_chain(self) -> list[x509.Certificate]:
        """The certificates that the settings' https origin shows, its own first, whoever issued them. Nothing is sent
        there. ConnectError where it shows none.
        """
        from patchwire.net.tls_stream import TlsStream
        from patchwire.tls.context import unverified_context
        from patchwire.tls.engine import client_engine

        origin = self._settings.origin
        started = trio.current_time()
        engine = client_engine(unverified_context(), origin.host)
        stream = TlsStream(await self._reach(origin, started), engine)
        try:
            with self._handshake_within(origin, started):
                await stream.handshake()
        except (TlsError, OSError) as error:
            if not engine.peer_chain():  # it may have shown its own before it asked for ours
                raise _handshake_error(origin, error) from None
        finally:
            stream.close()
        return engine.peer_chain()

    async def _reach(self, origin: Origin, started: float) -> Wire:
        """A wire on which the origin is spoken to, TLS if it is wanted; or the proxy, for an http origin."""
        session = self._session(origin)
        if session is None:
            return await dial(origin, self._timeout)
        if origin.scheme == "http":
            return await self._reach_proxy(session, origin, started)

        async def connect() -> Connection:
            connection = self._connection(await self._reach_proxy(session, origin, started), session.origin)
            connection.log_opening()
            return connection

        try:
            with trio.fail_at(started + self._timeout):
                return await session.tunnel(origin, connect)
        except trio.TooSlowError:
            problem = f"the proxy {session.origin} opens no tunnel within {self._timeout:g} seconds"
            raise ConnectError(
                f"cannot connect to {origin}: {problem} (limits.connect_timeout)", origin=str(origin)
            ) from None

    async def _reach_proxy(self, session: ProxySession, origin: Origin, started: float) -> Wire:
        proxy = session.origin
        try:
            wire: Wire = await dial(proxy, self._timeout)
            if proxy.scheme == "https":
                # It is not shown the client certificate, which is for those behind it.
                with self._handshake_within(proxy, started):
                    tls = self._settings.tls.without_client_certificate()
                    wire = await _over_tls(wire, proxy, tls, lambda: dial(proxy, self._timeout))
        except ConnectError as error:
            raise type(error)(f"{error} (the proxy on the way to {origin})", origin=error.origin) from None
        return wire

    def _session(self, origin: Origin) -> ProxySession | None:
        proxy = self._settings.proxies.for_origin(origin)
        if proxy is None:
            return None
        session = self._sessions.get(proxy)
        if session is None:
            session = self._sessions[proxy] = ProxySession(proxy, self._wire_log)
        return session

    def _connection(self, wire: Wire, origin: Origin) -> Connection:
        limits = self._settings.limits
        return Connection(
            wire,
            origin,
            limits.for_exchange(),
            _timeouts(limits),
            wire_log=self._wire_log,
            secret_fields=self._settings.secret_fields,
        )

    def _handshake_within(self, origin: Origin, started: float) -> AbstractContextManager[None]:
        """What is left of `connect_timeout`, or `tls_timeout`, which begins now."""
        limit = self._settings.limits.tls_timeout
        if limit is None:
            return _handshake_within(origin, started, self._timeout)
        return _handshake_within(origin, trio.current_time(), limit, "limits.tls_timeout")


def _timeouts(limits: Limits) -> Timeouts:
    request = NEVER if limits.request_timeout is None else limits.request_timeout
    return Timeouts(
        limits.read_timeout, limits.response_timeout, limits.write_timeout, limits.first_byte_timeout, request
    )


async def _over_tls(wire: Wire, origin: Origin, tls: TlsSettings, again: Callable[[], Awaitable[Wire]]) -> Wire:
    """TLS on the wire; on another, which `again` gives, where the peer chokes on a session to resume."""
    # OpenSSL takes as long to load as all the rest: only those who use it wait for it.
    from patchwire.net.tls_stream import TlsStream
    from patchwire.tls.context import client_context
    from patchwire.tls.engine import client_engine

    try:
        context = client_context(tls, key_log())
    except BaseException:
        wire.close()
        raise
    stream = TlsStream(wire, client_engine(context, origin.host, origin.port))
    try:
        await stream.handshake()
    except (TlsError, OSError) as error:
        stream.close()
        if stream.engine.hangs_on_session:  # which closing has made forgotten
            return await _over_tls(await again(), origin, tls, again)
        raise _handshake_error(origin, error) from None
    except BaseException:
        stream.close()
        raise
    return stream


@contextmanager
def _handshake_within(
    origin: Origin, started: float, timeout: float, limit: str = "limits.connect_timeout"
) -> Iterator[None]:
    try:
        with trio.fail_at(started + timeout):
            yield
    except trio.TooSlowError:
        problem = f"no TLS handshake within {timeout:g} seconds ({limit})"
        raise HandshakeError(f"cannot connect to {origin}: {problem}", origin=str(origin)) from None


def _handshake_error(origin: Origin, error: TlsError | OSError) -> HandshakeError:
    problem = str(error) if isinstance(error, TlsError) else f"the TLS handshake broke: {describe(error)}"
    return HandshakeError(f"cannot connect to {origin}: {problem}", origin=str(origin))
