"""One exchange, a request and its final response, as bytes out and bytes in (RFC 9112).

It stands on h11 and closes what h11 leaves to its user: bytes after the final response are never an answer, limits
do not depend on how the bytes were cut, a body still on its way when the answer comes forbids reuse. It opens no
socket and reads no clock. What goes wrong on the peer's side is an event, not an exception, so that nothing that
came before it is lost.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

import h11
from msgspec import Struct

from patchwire.errors import IncompleteResponseError, LocalProtocolError, RemoteProtocolError
from patchwire.http.chunks import ChunkLines
from patchwire.http.message import Headers, Request
from patchwire.http.request_head import request_head
from patchwire.http.states import TRANSITIONS, State, Step
from patchwire.http.streamed_body import StreamedBody

MAX_INTERIM_RESPONSES = 64
LARGE_BODY = 65_536
"""Octets of a request's body from which on a challenge may have come without all of it having been read. Some proxies
then read no more from the connection, and say nothing of it.
"""
_CHALLENGES = frozenset({401, 407})

_blank_line = re.compile(rb"\n\r?\n").search
_status_line = re.compile(rb"HTTP/1\.[0-9] ").match
_protocol = re.compile(rb"[A-Z]{2,8}[-/][0-9.]{1,4}").match
_quotation = re.compile(r"(?:: | \()?\b(?:b['\"]|bytearray\().*", re.DOTALL)


class Limits(Struct, frozen=True):
    """What a response may take, in bytes, and how long to wait for 100 (Continue), in seconds."""

    max_response_head: int = 65_536
    max_response_body: int = 16_777_216
    continue_timeout: float = 1.0


DEFAULT_LIMITS: Final = Limits()


class InterimResponse(Struct, frozen=True):
    """A 1xx response; the final one is still to come."""

    status: int
    headers: Headers


class ResponseHead(Struct, frozen=True):
    """The complete head of the final response."""

    status: int
    reason: bytes
    headers: Headers
    http_version: bytes


class BodyData(Struct, frozen=True):
    """Octets of the response's body, without their transfer coding."""

    data: bytes


class Complete(Struct, frozen=True):
    """The response has ended as its framing said it would."""

    trailers: Headers


class Failed(Struct, frozen=True):
    """Nothing more will be read: the peer broke the protocol or a limit, or closed too early."""

    error: RemoteProtocolError


Event = InterimResponse | ResponseHead | BodyData | Complete | Failed


_END = h11.EndOfMessage()


@lru_cache(maxsize=64)
def _framing_request(method: str, closes: bool) -> h11.Request:
    """What h11 must know of a request to frame its response: nothing but the method and Connection: close."""
    headers = [("Host", "h"), ("Content-Length", "0"), *([("Connection", "close")] if closes else [])]
    return h11.Request(method=method, target="/", headers=headers)


class Exchange:
    """Drive it so: send what `bytes_to_send` gives, say `all_sent`, feed `receive` until it has `ended`.

    With `streamed` the request's body comes piece by piece: once the state is SENDING, send what `body_piece` gives
    for each, then what `end_body` gives, and say `all_sent`.

    `receive` may be called at any time after the first `bytes_to_send`; a response may well come early.
    A call that does not fit the state raises LocalProtocolError.
    """

    def __init__(
        self, request: Request, limits: Limits = DEFAULT_LIMITS, *, streamed: StreamedBody | None = None
    ) -> None:
        self.request = request
        self.limits = limits
        self.state = State.READY
        self.continue_deadline: float | None = None
        """When to stop waiting for 100 (Continue) and call `bytes_to_send` again, on the clock of `now`."""
        self.surplus = b""
        """Bytes that came behind a complete response. They answer nothing (RFC 9112 section 9.2)."""
        self._h11 = h11.Connection(h11.CLIENT)
        self._streamed = streamed
        self._unsent = True
        self._head = bytearray()  # what has come of a head that is not whole yet
        self._searched = 0
        self._interim_count = 0
        self._body_length = 0
        self._chunks: ChunkLines | None = None
        self._must_close = False

    @property
    def ended(self) -> bool:
        """Whether no more events will come."""
        return self.state is State.COMPLETE or self.state is State.FAILED

    @property
    def reusable(self) -> bool:
        """Whether the connection may carry another exchange after this one (RFC 9112 section 9.3)."""
        return (
            self.state is State.COMPLETE
            and not self._unsent
            and not self._must_close
            and not self.surplus
            and self._h11.our_state is h11.DONE
            and self._h11.their_state is h11.DONE
        )

    @property
    def opened_tunnel(self) -> bool:
        """Whether what follows on the connection is not HTTP: CONNECT was answered with 2xx. Nothing has followed yet,
        since the client speaks first in what is tunnelled (RFC 9110 section 9.3.6).
        """
        return self.state is State.COMPLETE and not self.surplus and self._h11.their_state is h11.SWITCHED_PROTOCOL

    def bytes_to_send(self, now: float) -> bytes:
        """What is to be sent now, each octet given once; b"" when there is nothing (yet). `now` in seconds."""
        if self.state is State.READY:
            return self._start(now)
        if self.state is State.HOLDING and self.continue_deadline is not None and now >= self.continue_deadline:
            self._step(Step.RELEASE)
            return self._send_body()
        return b""

    def body_piece(self, data: bytes) -> bytes:
        """A piece of a streamed body, as it goes on the wire. LocalProtocolError beyond its announced length."""
        return self._body_stream().piece(data)

    def end_body(self) -> bytes:
        """What ends a streamed body on the wire. LocalProtocolError where it is shorter than announced."""
        end = self._body_stream().end()
        self._h11.send(_END)
        return end

    def all_sent(self) -> None:
        """Say that the kernel has taken everything that was given; of a streamed body, when it has ended."""
        if self._streamed is not None and not self._streamed.ended and self.state is State.SENDING:
            return
        self._step(Step.ALL_SENT)
        self._unsent = self.state is State.HOLDING or self.state is State.REFUSED

    def receive(self, data: bytes) -> list[Event]:
        """The events in `data`, which follows what was received before; b"" says that the peer has closed.

        The last event of an exchange is Complete or Failed; bytes that come later are kept in `surplus`.
        """
        if self.state is State.READY:
            raise LocalProtocolError("no response can come before its request")
        events: list[Event] = []
        if self.state is State.COMPLETE:
            self.surplus += data
            self._must_close = True
            return events
        if self.state is State.FAILED:
            return events
        try:
            if not data:
                self._receive_eof(events)
            elif self.state in (State.HOLDING, State.SENDING, State.WAITING):
                self._receive_head(data, events)
            else:
                self._receive_body(data, events)
        except h11.RemoteProtocolError as error:
            # What h11 quotes may be our credentials, sent back by a server that echoes: it must reach no log.
            self._fail(RemoteProtocolError(f"malformed response: {_quotation.sub('', str(error))}"), events)
        except RemoteProtocolError as error:
            self._fail(error, events)
        return events

    def _step(self, step: Step) -> None:
        state = TRANSITIONS.get((self.state, step))
        if state is None:
            raise LocalProtocolError(f"{step.name} does not fit an exchange that is {self.state.name}")
        self.state = state

    def _start(self, now: float) -> bytes:
        request = self.request
        head, expects, closes = request_head(request, self._streamed)
        self._h11.send(_framing_request(request.method, closes))
        if expects:
            self.continue_deadline = now + self.limits.continue_timeout
            self._step(Step.START_HOLDING)
            return head
        self._step(Step.START)
        return head + self._send_body()

    def _send_body(self) -> bytes:
        if self._streamed is not None:
            return b""
        self._h11.send(_END)
        return self.request.body

    def _body_stream(self) -> StreamedBody:
        if self._streamed is None or self.state not in (State.SENDING, State.EARLY):
            raise LocalProtocolError(f"an exchange that is {self.state.name} takes no piece of a body")
        return self._streamed

    def _receive_head(self, data: bytes, events: list[Event]) -> None:
        buffer: bytes | bytearray = data
        if self._head:
            self._head += data
            buffer = self._head
        limit = self.limits.max_response_head
        while True:
            found = _blank_line(buffer, self._searched)
            end = found.end() if found else len(buffer)
            if end > limit:
                raise RemoteProtocolError(f"response head over {limit} bytes (limits.max_response_head)")
            if not found:
                self._head = buffer if isinstance(buffer, bytearray) else bytearray(buffer)
                self._searched = max(0, end - 2)
                return
            self._head, self._searched = bytearray(), 0
            head, buffer = bytes(buffer[:end]), bytes(buffer[end:])
            if self._take_head(head, events):
                self._receive_body(buffer, events)
                return

    def _take_head(self, head: bytes, events: list[Event]) -> bool:
        """Whether this was the final head."""
        if not _status_line(head):
            spoken = _protocol(head)
            raise RemoteProtocolError("no HTTP/1 status line" + (f" but {spoken[0].decode()}" if spoken else ""))
        self._h11.receive_data(head)
        event = self._h11.next_event()
        if isinstance(event, h11.Response):
            self._take_final_head(event, events)
            return True
        assert isinstance(event, h11.InformationalResponse)  # noqa: S101 - a whole head is one or the other
        self._interim_count += 1
        if self._interim_count > MAX_INTERIM_RESPONSES:
            raise RemoteProtocolError(f"more than {MAX_INTERIM_RESPONSES} interim responses")
        self._step(Step.INTERIM)
        if event.status_code == 100 and self.state is State.HOLDING:
            self.continue_deadline = float("-inf")
        events.append(InterimResponse(event.status_code, tuple(event.headers.raw_items())))
        return False

    def _take_final_head(self, event: h11.Response, events: list[Event]) -> None:
        self._step(Step.HEAD)
        status = event.status_code
        headers = tuple(event.headers.raw_items())
        names = [name.lower() for name, _ in headers]
        if b"transfer-encoding" in names:
            # Both lengths: the coding wins, and nothing that follows can be trusted (RFC 9112 section 6.3).
            self._must_close = b"content-length" in names
            if self.request.method != "HEAD" and status not in (204, 304):
                self._chunks = ChunkLines(self.limits.max_response_head)
        if status in _CHALLENGES and (self._streamed is not None or len(self.request.body) >= LARGE_BODY):
            self._must_close = True
        events.append(ResponseHead(status, bytes(event.reason), headers, bytes(event.http_version)))

    def _receive_body(self, data: bytes, events: list[Event]) -> None:
        fault = None
        if self._chunks is not None:
            data, fault = self._chunks.feed(data)
        if data:
            self._h11.receive_data(data)
        self._pull(events)
        if fault is not None:
            raise RemoteProtocolError(f"malformed response: {fault}")

    def _pull(self, events: list[Event]) -> None:
        while True:
            event = self._h11.next_event()
            if isinstance(event, h11.Data):
                self._take_data(bytes(event.data), events)
            elif isinstance(event, h11.EndOfMessage):
                self._end(tuple(event.headers.raw_items()), events)
                return
            elif event is h11.PAUSED:  # a tunnel has opened: what follows is not HTTP
                self._end((), events)
                return
            else:
                return

    def _take_data(self, data: bytes, events: list[Event]) -> None:
        limit = self.limits.max_response_body
        room = limit - self._body_length
        self._body_length += len(data)
        if data[:room]:
            events.append(BodyData(data[:room]))
        if len(data) > room:
            raise RemoteProtocolError(f"response body over {limit} bytes (limits.max_response_body)")

    def _end(self, trailers: Headers, events: list[Event]) -> None:
        self._step(Step.END)
        self.surplus = bytes(self._h11.trailing_data[0])
        if self._chunks is not None:
            self.surplus += self._chunks.surplus
        events.append(Complete(trailers))

    def _receive_eof(self, events: list[Event]) -> None:
        if self.state in (State.HOLDING, State.SENDING, State.WAITING):
            part = "within" if self._head else "before"
            raise IncompleteResponseError(f"the peer closed the connection {part} its response head")
        self._must_close = True
        self._h11.receive_data(b"")
        try:
            self._pull(events)
        except h11.RemoteProtocolError:
            raise IncompleteResponseError("the peer closed the connection within its response body") from None

    def _fail(self, error: RemoteProtocolError, events: list[Event]) -> None:
        self._step(Step.FAIL)
        events.append(Failed(error))
