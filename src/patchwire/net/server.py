"""The embedded server on a socket: trio moves the bytes, h11 frames them, the application answers.

A connection serves one request after the other. Whatever goes wrong on one of them ends that connection at most.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, MutableMapping
from contextlib import contextmanager, suppress
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Final, Protocol

import h11
import trio
from msgspec import Struct

from patchwire.errors import LocalProtocolError
from patchwire.http.message import Origin, Request, Response, shown_target
from patchwire.loopback.app import Change, refused_asterisk, refused_method
from patchwire.loopback.documents import Document
from patchwire.loopback.ledger import applied_line
from patchwire.loopback.responses import REASONS, finished, problem
from patchwire.net.wire_log import WireLog, field_lines, time_of

if TYPE_CHECKING:
    from OpenSSL import SSL

_RECEIVE_SIZE: Final = 65_536
_MAX_DRAINED: Final = 1_048_576
_FRAMING: Final = frozenset({b"content-length", b"transfer-encoding"})
_CONTINUE: Final = h11.InformationalResponse(status_code=100, headers=[], reason=b"Continue")
_Event = h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]


class Application(Protocol):
    """What the server serves; `patchwire.loopback.app.App` is one."""

    def handle(
        self, request: Request, documents: MutableMapping[str, Document], now: float
    ) -> tuple[Response, Change | None]:
        """The response to a request, and the change to apply."""

    def refuse(self, request: Request, documents: MutableMapping[str, Document], now: float) -> Response | None:
        """The refusal that the head of a request earns by itself, if it does."""


class ServerLimits(Struct, frozen=True):
    """What one connection may take: bytes of a request's head and body, seconds."""

    max_head: int = 65_536
    max_body: int = 16_777_216
    request_timeout: float = 60.0
    """From the wait for a request until its response has been sent."""
    linger_timeout: float = 2.0
    """How long to read on after the last response, so that a reset does not destroy it on its way."""
    closing_timeout: float = 5.0
    """From being told to close to the end of what was under way then."""


DEFAULT_LIMITS: Final = ServerLimits()
LAST_CALL: Final = 0.1
"""Seconds for which a connection that lies idle is left open on closing: a request may be on its way."""


async def serve(
    app: Application,
    documents: MutableMapping[str, Document],
    *,
    now: Callable[[], float],
    port: int = 0,
    host: str = "127.0.0.1",
    tls: SSL.Context | None = None,
    record: Callable[[bytes], None] | None = None,
    on_error: Callable[[Exception], None] | None = None,
    wire_log: WireLog | None = None,
    limits: ServerLimits = DEFAULT_LIMITS,
    closing: trio.Event | None = None,
    task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until cancelled, or until `closing` is set: then take no more connections, let go of those that lie idle,
    answer what is under way with Connection: close, and return within the limits' `closing_timeout`.

    `nursery.start` returns the base URL, without a slash at its end, once it answers there.
    With `tls` (`patchwire.tls.context.server_context`) it serves https; a handshake that fails ends its connection.
    Changes are applied to `documents`. `record` is given a line of NDJSON (`patchwire.loopback.ledger`) for each
    change before it is applied; where it raises, nothing is. `on_error` is told of every exception that was no
    client's fault; the request is answered with 500. `wire_log` is given heads as they come and go.
    Raises OSError where the port cannot be bound.
    """
    listeners = await trio.open_tcp_listeners(port, host=host)
    address, bound = listeners[0].socket.getsockname()[:2]
    origin = Origin("http" if tls is None else "https", address, bound)
    server = _Server(app, documents, now, record, on_error, limits, origin, tls, wire_log)
    task_status.started(f"{origin.scheme}://{f'[{address}]' if ':' in address else address}:{bound}")
    async with trio.open_nursery() as connections:
        async with trio.open_nursery() as accepting:
            accepting.start_soon(
                partial(trio.serve_listeners, server.serve_connection, listeners, handler_nursery=connections)
            )
            await (trio.Event() if closing is None else closing).wait()
            accepting.cancel_scope.cancel()
        connections.cancel_scope.deadline = trio.current_time() + limits.closing_timeout
        server.close()


class _Server:
    """What all connections share."""

    def __init__(
        self,
        app: Application,
        documents: MutableMapping[str, Document],
        now: Callable[[], float],
        record: Callable[[bytes], None] | None,
        on_error: Callable[[Exception], None] | None,
        limits: ServerLimits,
        origin: Origin,
        tls: SSL.Context | None,
        wire_log: WireLog | None,
    ) -> None:
        self.app = app
        self.documents = documents
        self.now = now
        self.record = record
        self.on_error = on_error
        self.limits = limits
        self.origin = origin
        self.wire_log = wire_log
        self.is_closing = False
        self._idle: set[trio.CancelScope] = set()
        self._tls = tls
        self._numbers = count(1)

    def close(self) -> None:
        """Let go of the connections that lie idle, each other one behind its next response."""
        self.is_closing = True
        for scope in self._idle:
            scope.deadline = trio.current_time() + LAST_CALL

    @contextmanager
    def idle(self) -> Iterator[trio.CancelScope]:
        """A scope for the wait for a request, which is cancelled when the server closes."""
        with trio.CancelScope() as scope:
            if self.is_closing:
                scope.deadline = trio.current_time() + LAST_CALL
            self._idle.add(scope)
            try:
                yield scope
            finally:
                self._idle.discard(scope)

    async def serve_connection(self, stream: trio.SocketStream) -> None:
        """Serve one connection to its end; raises nothing but Cancelled."""
        try:
            async with self._transport(stream) as transport:
                await _Connection(self, transport, next(self._numbers)).run()
        except (OSError, trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # the client has gone; nothing can be told to it
        except Exception as error:
            self.report(error)

    def _transport(self, stream: trio.SocketStream) -> trio.abc.HalfCloseableStream:
        if self._tls is None:
            return stream
        from patchwire.net.tls_stream import serving_stream  # OpenSSL takes a while to load

        return serving_stream(stream, self._tls)

    def answer(self, request: Request) -> Response:
        """The response, after its change has been recorded and applied. No await: nothing can come between."""
        try:
            response, change = self.app.handle(request, self.documents, self.now())
            if change is not None:
                if self.record is not None:
                    self.record(applied_line(request, response))
                self.documents[change.path] = change.document
        except Exception as error:
            return self.failure(error, request.method)
        return response

    def refuse(self, request: Request) -> Response | None:
        """The refusal that the head of a request earns by itself, if it does."""
        try:
            return self.app.refuse(request, self.documents, self.now())
        except Exception as error:
            return self.failure(error, request.method)

    def failure(self, error: Exception, method: str) -> Response:
        """The 500 for an exception, which is reported."""
        self.report(error)
        return finished(problem(500, "The server failed to handle this request."), method, self.now())

    def report(self, error: Exception) -> None:
        """Tell of an exception that was no client's fault."""
        if self.on_error is not None:
            self.on_error(error)


class _RefusedError(Exception):
    """The request is answered before it has been read to its end."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status)
        self.response = response


class _Connection:
    """One connection and the h11 state of it."""

    def __init__(self, server: _Server, stream: trio.abc.HalfCloseableStream, number: int) -> None:
        self._server = server
        self._number = number
        self._limits = server.limits
        self._stream = stream
        self._h11 = h11.Connection(h11.SERVER, max_incomplete_event_size=self._limits.max_head)
        self._method = ""  # of the request at hand, once it is known

    async def run(self) -> None:
        """Serve requests until the connection must close."""
        goes_on = True
        while goes_on:
            with trio.move_on_after(self._limits.request_timeout) as scope:
                if not await self._is_asked():
                    return
                goes_on = await self._serve_request()
            if scope.cancelled_caught:
                await self._time_out()
                return
        await self._linger()

    async def _is_asked(self) -> bool:
        """Wait for the first octets of a request, or the end of the connection. False: the server closes first."""
        self._method = ""
        if self._h11.trailing_data[0]:
            return True
        with self._server.idle() as scope:
            self._h11.receive_data(bytes(await self._stream.receive_some(_RECEIVE_SIZE)))
        return not scope.cancelled_caught

    async def _serve_request(self) -> bool:
        """Whether the connection may carry another request."""
        try:
            request = await self._read_request()
        except _RefusedError as refusal:
            await self._send(refusal.response, closing=True)
            return False
        except h11.RemoteProtocolError as error:
            status = error.error_status_hint if error.error_status_hint in REASONS else 400
            await self._send(self._problem(status, f"Malformed request: {error}"), closing=True)
            return False
        if request is None:
            return False
        await self._send(self._server.answer(request))
        if self._h11.our_state is not h11.DONE or self._h11.their_state is not h11.DONE:
            return False
        self._h11.start_next_cycle()
        return True

    async def _read_request(self) -> Request | None:
        """The next request with its body; None where the client has closed."""
        head = await self._next_event()
        if not isinstance(head, h11.Request):
            return None
        self._method = head.method.decode("ascii")
        self._log("<", f"{self._method} {shown_target(head.target.decode('ascii'))}", head.headers.raw_items())
        request = self._request(head)
        if self._must_ask_for_body(request):
            refusal = self._server.refuse(request)
            if refusal is not None:
                raise _RefusedError(refusal)
            await self._stream.send_all(self._h11.send(_CONTINUE) or b"")
        body = bytearray()
        while isinstance(event := await self._next_event(), h11.Data):
            body += event.data
            if len(body) > self._limits.max_body:
                raise _RefusedError(self._problem(413, f"Content must not be over {self._limits.max_body} bytes."))
        if not isinstance(event, h11.EndOfMessage):
            return None
        return Request(request.method, request.origin, request.target, request.headers, bytes(body))

    def _request(self, head: h11.Request) -> Request:
        """The request without its body and the fields that frame it."""
        headers = tuple(head.headers.raw_items())
        fields = {name.lower(): value for name, value in headers}
        # h11 bounds a head only while it is incomplete: the limit must not hang on how the bytes were cut.
        if len(head.target) + sum(len(name) + len(value) + 4 for name, value in headers) > self._limits.max_head:
            raise _RefusedError(self._problem(431, f"A head must not be over {self._limits.max_head} bytes."))
        if b"transfer-encoding" in fields and (b"content-length" in fields or head.http_version < b"1.1"):
            # Who reads the one length and who the other see different requests (RFC 9112 section 6.1).
            raise _RefusedError(self._problem(400, "Transfer-Encoding fits neither Content-Length nor HTTP/1.0."))
        if int(fields.get(b"content-length", b"0")) > self._limits.max_body:
            raise _RefusedError(self._problem(413, f"Content must not be over {self._limits.max_body} bytes."))
        kept = tuple((name, value) for name, value in headers if name.lower() not in _FRAMING)
        try:
            if head.target == b"*" and head.method != b"OPTIONS":
                raise _RefusedError(finished(refused_asterisk(self._method), self._method, self._server.now()))
            return Request(self._method, self._server.origin, head.target, kept)
        except LocalProtocolError as error:
            refusal = refused_method(self._method) or problem(400, str(error))
            raise _RefusedError(finished(refusal, self._method, self._server.now())) from None

    def _must_ask_for_body(self, request: Request) -> bool:
        """Whether the client waits for 100 (Continue); an expectation that is not known is refused."""
        expectation = request.header(b"expect")
        if expectation is not None and expectation.lower() != b"100-continue":
            raise _RefusedError(self._problem(417, "The only expectation known here is 100-continue."))
        return self._h11.they_are_waiting_for_100_continue

    async def _next_event(self) -> _Event:
        while True:
            event = self._h11.next_event()
            if event is not h11.NEED_DATA:
                return event
            self._h11.receive_data(bytes(await self._stream.receive_some(_RECEIVE_SIZE)))

    async def _send(self, response: Response, *, closing: bool = False) -> None:
        closing = closing or self._server.is_closing
        headers = [*response.headers, (b"Connection", b"close")] if closing else list(response.headers)
        head = h11.Response(status_code=response.status, headers=headers, reason=response.reason)
        self._log(">", f"{response.status} {response.reason.decode('ascii')}", headers)
        parts = [self._h11.send(head)]
        if response.body:
            parts.append(self._h11.send(h11.Data(data=response.body)))
        parts.append(self._h11.send(h11.EndOfMessage()))
        await self._stream.send_all(b"".join(part for part in parts if part))

    def _log(self, direction: str, first: str, headers: Iterable[tuple[bytes, bytes]]) -> None:
        server = self._server
        if server.wire_log is not None:
            for line in (first, *field_lines(headers, frozenset())):
                server.wire_log(f"{time_of(server.now())} #{self._number} {direction} {line}")

    def _problem(self, status: int, detail: str) -> Response:
        return finished(problem(status, detail), self._method, self._server.now())

    async def _time_out(self) -> None:
        """Say 408 to a client that has begun a request; an idle connection is closed without a word."""
        if self._h11.our_state in (h11.IDLE, h11.SEND_RESPONSE) and (self._method or self._h11.trailing_data[0]):
            with trio.move_on_after(self._limits.linger_timeout), suppress(h11.LocalProtocolError):
                await self._send(self._problem(408, "The request took too long."), closing=True)

    async def _linger(self) -> None:
        """Read on for a while: closing on unread bytes resets the connection, and the response may be lost."""
        with trio.move_on_after(self._limits.linger_timeout):
            await self._stream.send_eof()
            drained = 0
            while drained < _MAX_DRAINED and (data := await self._stream.receive_some(_RECEIVE_SIZE)):
                drained += len(data)
