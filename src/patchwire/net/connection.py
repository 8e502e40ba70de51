"""One connection: a wire, the exchange on it, and the evidence of what was sent and seen.

It belongs to one task at a time. What happens to a request is returned as a Reply, not raised: the evidence is the
point. Whatever ends badly, cancellation too, closes the wire.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from itertools import count
from typing import Final

import trio
from msgspec import Struct

from patchwire.errors import (
    ConnectionLostError,
    HandshakeError,
    PatchwireError,
    ReadTimeoutError,
    RemoteProtocolError,
    Sent,
    TlsError,
)
from patchwire.http.exchange import (
    BodyData,
    Event,
    Exchange,
    Failed,
    InterimResponse,
    ResponseHead,
)
from patchwire.http.exchange import Limits as ExchangeLimits
from patchwire.http.keep_alive import idle_until
from patchwire.http.message import Origin, Request, Response
from patchwire.http.states import State
from patchwire.http.streamed_body import StreamedBody
from patchwire.net.body import BodySource
from patchwire.net.patience import NEVER, Patience, Timeouts
from patchwire.net.sources import now
from patchwire.net.wire import Wire
from patchwire.net.wire_log import WireLog, field_lines, printable, sent_head, time_of

PIECE: Final = 262_144
"""How much of a long body is handed to the wire at a time."""
_REFUSALS: Final = (400, 403)
"""With which servers answer who shows them no client certificate."""
_numbers = count(1)


class Reply(Struct, frozen=True):
    """What came of a request.

    `response` is there once a complete final head was read; `error` says what went wrong, also beside a response
    whose body was cut.
    """

    response: Response | None
    sent: Sent
    error: PatchwireError | None
    bytes_sent: int
    bytes_received: int
    reused: bool
    refusal: str | None = None
    """Why the proxy on the way does not accept our credentials for it; the response is its own then."""


class _Inbox:
    """What has been read of a response so far."""

    __slots__ = ("body", "error", "head")

    def __init__(self) -> None:
        self.head: ResponseHead | None = None
        self.body: list[bytes] = []
        self.error: PatchwireError | None = None


async def _pieces(rest: memoryview) -> AsyncGenerator[memoryview, None]:
    for start in range(0, len(rest), PIECE):
        yield rest[start : start + PIECE]


async def _framed(source: BodySource, exchange: Exchange) -> AsyncGenerator[bytes, None]:
    async with aclosing(source.pieces()) as pieces:
        async for data in pieces:
            if exchange.ended:
                return
            framed = exchange.body_piece(data)
            if framed:
                yield framed
    if not exchange.ended:
        yield exchange.end_body()


class Connection:
    """Takes over a connected wire. `deadline` is for a Deadlines watch to look at.

    `timeouts` are what a peer may take; a number is that of its longest silence, in seconds.
    """

    def __init__(
        self,
        wire: Wire,
        origin: Origin,
        limits: ExchangeLimits,
        timeouts: Timeouts | float,
        *,
        wire_log: WireLog | None = None,
        secret_fields: frozenset[bytes] = frozenset(),
    ) -> None:
        self.origin = origin
        self.deadline = NEVER
        self.number = next(_numbers)
        self._tunnel: Wire | None = None
        self._wire = wire
        self._limits = limits
        self._patience = Patience(timeouts if isinstance(timeouts, Timeouts) else Timeouts(timeouts))
        self._wire_log = wire_log
        self._secret_fields = secret_fields
        self._keep_body = True
        self._open = True
        self._expired = False
        self._fault: OSError | TlsError | None = None
        self._exchanges = 0
        self._idle_until = NEVER
        self._taken_before = 0
        self._bytes_received = 0

    @property
    def usable(self) -> bool:
        """Whether another request may go out on it, as far as is known without asking the kernel."""
        return self._open

    def is_quiet(self) -> bool:
        """Whether a connection, idle or new, is fit for use: a FIN, a 408 or stray bytes make it unfit, and close it.

        What arrives before a request answers nothing (RFC 9112 section 9.2). One that has been idle for nearly as
        long as its server lets it be is unfit as well.
        """
        if not self._open:
            return False
        try:
            if self._wire.receive() is None and trio.current_time() < self._idle_until:
                return True
        except (OSError, TlsError) as error:
            self._fault = error
        self.close()
        return False

    def describe(self) -> str:
        """Where it leads and what it runs over, for a person."""
        return f"{self.origin} ({self._wire.describe()})"

    def log_opening(self) -> None:
        """Tell the wire log what the connection is."""
        if self._wire_log is not None:
            self._log("=", [f"connected to {self.describe()}"])

    def close(self) -> None:
        """Close the wire. Closing twice is harmless; a task that waits on it is woken."""
        if self._open or self._tunnel is not None:
            self._open, self._tunnel = False, None
            self._wire.close()

    def take_tunnel(self) -> Wire | None:
        """The wire, which is the taker's from now on, once a CONNECT has made a tunnel of it."""
        wire, self._tunnel = self._tunnel, None
        return wire

    def expire(self) -> None:
        """The deadline has passed: the exchange under way ends with a ReadTimeoutError."""
        self._expired = True
        self.deadline = NEVER
        self.close()

    async def exchange(self, request: Request, source: BodySource | None = None, *, keep_body: bool = True) -> Reply:
        """Send the request and read its final response. A connection that is not quiet sends nothing.

        Without `keep_body` the response's body is read to its end and dropped.

        `source` gives the body in place of the request's own; what it raises closes the connection and is raised.
        Raises LocalProtocolError, with nothing sent, when the request cannot be put on the wire.
        """
        streamed = None if source is None else StreamedBody(source.length)
        exchange = Exchange(request, self._limits, streamed=streamed)
        now = trio.current_time()
        outgoing = exchange.bytes_to_send(now)
        self._bytes_received = 0
        self._keep_body = keep_body
        inbox = _Inbox()
        quiet = self.is_quiet()
        self._taken_before = self._wire.taken  # a close_notify of ours has gone before it: no part of the request
        if not quiet:
            inbox.error = self.unfit_error()
            return self._reply(inbox)
        if self._wire_log is not None:
            self._log(">", sent_head(outgoing, self._secret_fields))
        self._patience.begin(now)
        try:
            await self._send(outgoing, exchange, inbox, now)
            if exchange.state is State.HOLDING:
                await self._hold_body(exchange, inbox)
            if source is not None and exchange.state is State.SENDING:
                await self._send_pieces(_framed(source, exchange), exchange, inbox)
            while not exchange.ended:
                await self._wire.wait_readable()
                self._receive(exchange, inbox)
        except (OSError, TlsError, trio.ClosedResourceError) as error:
            inbox.error = self._transport_error(error, inbox)
        except BaseException as error:
            if isinstance(error, PatchwireError):  # of the body's source: part of the request may have left before
                error.sent = self._sent(inbox)
            self.close()
            raise
        self.deadline = NEVER
        reply = self._reply(inbox)  # before closing, which may still send: TLS says goodbye
        self._exchanges += 1
        if exchange.opened_tunnel:
            self._open, self._tunnel = False, self._wire
        elif not exchange.reusable or (inbox.head is not None and self._remark(inbox.head) is not None):
            self.close()
        elif inbox.head is not None:
            self._idle_until = idle_until(inbox.head.headers, trio.current_time())
        return reply

    async def _send(self, data: bytes, exchange: Exchange, inbox: _Inbox, now: float) -> None:
        first = data if len(data) <= PIECE else memoryview(data)[:PIECE]
        self._wire.put(first)
        if self._flush(exchange, inbox) and first is data:
            exchange.all_sent()
            self.deadline = self._patience.taken(now)
        else:
            self.deadline = self._patience.taking(now)
            await self._send_pieces(_pieces(memoryview(data)[len(first) :]), exchange, inbox)

    def _flush(self, exchange: Exchange, inbox: _Inbox) -> bool:
        """Whether the kernel has taken all of it. A send that fails may do so behind an answer that says why."""
        try:
            return self._wire.flush()
        except OSError:
            with suppress(OSError):
                self._receive(exchange, inbox)
            if exchange.ended:
                return False
            raise

    async def _send_pieces(
        self, pieces: AsyncGenerator[bytes | memoryview, None], exchange: Exchange, inbox: _Inbox
    ) -> None:
        """Send a long body while reading, since the final response may come before the body has gone out."""
        failure: Exception | None = None
        async with aclosing(pieces), trio.open_nursery() as nursery:

            async def push() -> None:
                nonlocal failure
                try:
                    await self._push(pieces, exchange)
                except (OSError, trio.ClosedResourceError):
                    return  # ends the sending only: a response may have come before the connection broke
                except Exception as error:
                    failure = error
                nursery.cancel_scope.cancel()

            nursery.start_soon(push)
            try:
                while not exchange.ended:
                    await self._wire.wait_readable()
                    self._receive(exchange, inbox)
            except (OSError, TlsError, trio.ClosedResourceError) as error:
                failure = error
            nursery.cancel_scope.cancel()
        if failure is not None:
            raise failure

    async def _push(self, pieces: AsyncGenerator[bytes | memoryview, None], exchange: Exchange) -> None:
        wire, patience = self._wire, self._patience
        while True:
            while not wire.flush():
                await wire.wait_writable()
                self.deadline = patience.taking(trio.current_time())
            if exchange.state is State.SENDING:  # else the answer has begun, and is waited for
                self.deadline = patience.filling()
            piece = await anext(pieces, None)
            self.deadline = patience.taking(trio.current_time())
            if piece is None:
                break
            wire.put(piece)
        if not exchange.ended:
            exchange.all_sent()
            if exchange.state is State.WAITING:  # else the answer has begun already
                self.deadline = patience.taken(trio.current_time())

    async def _hold_body(self, exchange: Exchange, inbox: _Inbox) -> None:
        """Wait for 100 (Continue), a final response, or the deadline; then send the body unless it was refused."""
        self.deadline = self._patience.holding(trio.current_time())
        while exchange.state is State.HOLDING:
            deadline = exchange.continue_deadline
            with trio.move_on_at(NEVER if deadline is None else deadline):
                await self._wire.wait_readable()
                self._receive(exchange, inbox)
            now = trio.current_time()
            body = exchange.bytes_to_send(now)
            if body:
                await self._send(body, exchange, inbox, now)

    def _receive(self, exchange: Exchange, inbox: _Inbox) -> None:
        data = self._wire.receive()
        if data is None:
            return
        self._bytes_received += len(data)
        for event in exchange.receive(data):
            self._take(event, inbox)
        self.deadline = self._patience.heard(trio.current_time(), self.deadline, answered=inbox.head is not None)

    def _take(self, event: Event, inbox: _Inbox) -> None:
        if isinstance(event, BodyData):
            if self._keep_body:
                inbox.body.append(event.data)
        elif isinstance(event, ResponseHead):
            inbox.head = event
            self._log_head(event)
        elif isinstance(event, Failed):
            inbox.error = event.error
        elif isinstance(event, InterimResponse):
            self._log_head(event)

    def _reply(self, inbox: _Inbox) -> Reply:
        head = inbox.head
        response = None
        if head is not None:
            error = str(inbox.error) if inbox.error else self._remark(head)
            response = Response(head.status, head.headers, b"".join(inbox.body), head.reason, error)
        bytes_sent = self._wire.taken - self._taken_before
        sent = self._sent(inbox)
        if isinstance(inbox.error, RemoteProtocolError):  # the exchange, which found it, knows neither
            inbox.error.sent, inbox.error.origin = sent, str(self.origin)
        return Reply(response, sent, inbox.error, bytes_sent, self._bytes_received, self._exchanges > 0)

    def _remark(self, head: ResponseHead) -> str | None:
        """What of TLS may be why the server refuses the request; it would refuse others on this connection too."""
        return self._wire.remark if head.status in _REFUSALS else None

    def _sent(self, inbox: _Inbox) -> Sent:
        """From the first octet on that the kernel took, the request may have reached its peer."""
        if inbox.head is not None:
            return Sent.YES
        if isinstance(inbox.error, HandshakeError) or self._wire.taken == self._taken_before:
            return Sent.NO
        return Sent.MAYBE

    def unfit_error(self) -> PatchwireError:
        """Why the connection is not quiet, once it is not."""
        if isinstance(self._fault, TlsError) and self._exchanges == 0:
            return HandshakeError(f"{self.origin}: {self._fault}", origin=str(self.origin))
        problem = f"{self.origin} closed the connection, or spoke before it was asked"
        return ConnectionLostError(problem, origin=str(self.origin), sent=Sent.NO)

    def _transport_error(self, error: OSError | TlsError | trio.ClosedResourceError, inbox: _Inbox) -> PatchwireError:
        origin = str(self.origin)
        if isinstance(error, TlsError):
            # Rejected by a handshake that has let nothing through: what went out with it, nobody has read.
            if error.refuses_handshake and self._exchanges == 0 and self._bytes_received == 0:
                return HandshakeError(f"{origin}: {error}", origin=origin)
            return ConnectionLostError(f"{origin}: {error}", origin=origin, sent=self._sent(inbox))
        sent = self._sent(inbox)
        if self._expired:
            return ReadTimeoutError(self._patience.complaint(origin, trio.current_time()), origin=origin, sent=sent)
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "closed"
        problem = f"the connection to {origin} broke: {reason[:1].lower()}{reason[1:]}"
        return ConnectionLostError(problem, origin=origin, sent=sent)

    def _log_head(self, head: ResponseHead | InterimResponse) -> None:
        if self._wire_log is not None:
            reason = printable(head.reason) if isinstance(head, ResponseHead) else ""
            self._log("<", [f"{head.status} {reason}".rstrip(), *field_lines(head.headers, self._secret_fields)])

    def _log(self, direction: str, lines: list[str]) -> None:
        if self._wire_log is not None:
            for line in lines:
                self._wire_log(f"{time_of(now())} #{self.number} {direction} {line}")
