"""A server that cuts its first connection at one octet: behind so many that it has read, or so many that it has sent.

Octets are those on TCP: over TLS its records and its handshake count. Later connections are served to their end.
"""

from __future__ import annotations

import re
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from itertools import cycle
from typing import Final

import trio
from OpenSSL import SSL

from patchwire.errors import TlsError
from patchwire.tls.engine import TlsEngine, server_engine
from tests.support.peer import RESET

SIZE: Final = 65_536
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)


class How(Enum):
    """What a client sees behind the last octet."""

    FIN = "fin"
    RESET = "reset"
    SILENCE = "silence"


@dataclass(frozen=True)
class Cut:
    """Where: behind so many octets `read` from the client or `sent` to it, the other being None."""

    how: How
    read: int | None = None
    sent: int | None = None


@dataclass(frozen=True)
class Answer:
    """One response: interim heads, the final head, its body as it stands on the wire."""

    head: bytes
    body: bytes = b""
    interim: bytes = b""
    closes: bool = False
    """Whether the connection's end is the body's."""

    @property
    def before_body(self) -> bytes:
        """All that comes before the body."""
        return self.interim + self.head

    def pieces(self) -> list[bytes]:
        """What is sent at a time, and over TLS is one record: heads and body, each in two."""
        parts = (self.before_body, self.body)
        halves = [half for part in parts for half in (part[: len(part) // 2], part[len(part) // 2 :])]
        return [half for half in halves if half]


@dataclass(frozen=True)
class Mark:
    """What the server has done, and how many octets it had read and sent by then."""

    what: str
    read: int
    sent: int


Answering = Callable[[bytes], Answer]
"""Gives the answer to a request, by its head."""


class CutError(Exception):
    """The octet has been reached."""


class Cutter:
    """A handler for `listening`. Without a cut it serves all connections; `slowly` it reads octet by octet, so that
    its marks are exact.
    """

    def __init__(
        self, answering: Answering, cut: Cut | None = None, context: SSL.Context | None = None, *, slowly: bool = False
    ) -> None:
        self.marks: list[Mark] = []
        self.seen = 0
        """All octets that came over the first connection, also behind the cut where it could still read."""
        self._answering = answering
        self._cut = cut
        self._context = context
        self._slowly = slowly
        self._connections = 0

    async def __call__(self, stream: trio.SocketStream) -> None:
        """Serve one connection."""
        self._connections += 1
        first = self._connections == 1
        sock = socket.socket(fileno=stream.socket.detach())
        sock.setblocking(False)
        line = _Line(sock, self._cut if first else None, 1 if self._slowly else SIZE)
        try:
            await self._serve(line, self.marks if first else [])
        except CutError:
            await line.cut()
        except (OSError, TlsError):
            pass  # the client has gone
        finally:
            if first:
                self.seen = line.seen
            line.close()

    async def _serve(self, line: _Line, marks: list[Mark]) -> None:
        channel = _Channel(line, None if self._context is None else server_engine(self._context))
        async for what in channel.handshake():
            marks.append(Mark(what, line.read, line.sent))
        while (head := await channel.request()) is not None:
            marks.append(Mark("request", line.read, line.sent))
            answer = self._answering(head)
            for piece in answer.pieces():
                channel.send(piece)
                marks.append(Mark("piece", line.read, line.sent))
            if answer.closes:
                channel.end()
                marks.append(Mark("end", line.read, line.sent))
                return


class _Line:
    """The server's end of a TCP connection, which counts. Sending and cutting let nobody else run between them."""

    def __init__(self, sock: socket.socket, cut: Cut | None, at_a_time: int) -> None:
        self.read = 0
        self.sent = 0
        self.seen = 0
        self._socket = sock
        self._cut = cut
        self._at_a_time = at_a_time

    async def receive(self) -> bytes:
        """What has come, b"" at its end."""
        room = self._room(None if self._cut is None else self._cut.read, self.read)
        data = await self._receive(min(self._at_a_time, room))
        self.read += len(data)
        self._room(None if self._cut is None else self._cut.read, self.read)
        return data

    def send(self, data: bytes) -> None:
        """Send it all, or as much as comes before the cut."""
        limit = None if self._cut is None else self._cut.sent
        piece = data[: self._room(limit, self.sent)]
        taken = self._socket.send(piece) if piece else 0
        assert taken == len(piece)  # answers are small
        self.sent += taken
        self._room(limit, self.sent)

    async def cut(self) -> None:
        """Do it, and read until the client has closed where that is possible."""
        assert self._cut is not None
        if self._cut.how is How.RESET:
            with suppress(OSError):  # it may have read nothing yet of what counts as seen
                self.seen += len(self._socket.recv(SIZE))
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            return
        with suppress(OSError):
            if self._cut.how is How.FIN:
                self._socket.shutdown(socket.SHUT_WR)
            while await self._receive(SIZE):
                pass

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    async def _receive(self, most: int) -> bytes:
        while True:
            await trio.lowlevel.wait_readable(self._socket)
            with suppress(BlockingIOError):
                data = self._socket.recv(most)
                self.seen += len(data)
                return data

    @staticmethod
    def _room(limit: int | None, done: int) -> int:
        if limit is None:
            return SIZE
        if done >= limit:
            raise CutError
        return limit - done


class _Channel:
    """Requests and answers over a line, in TLS where there is an engine."""

    def __init__(self, line: _Line, engine: TlsEngine | None) -> None:
        self._line = line
        self._engine = engine
        self._buffer = b""

    async def handshake(self) -> AsyncIterator[str]:
        """Up to the client's last octet of it, and the tickets that follow; a mark for each flight of ours."""
        engine = self._engine
        while engine is not None and not engine.established:
            engine.handshake()
            if self._flush():
                yield "flight"
            if not engine.established:
                engine.feed(await self._line.receive())

    async def request(self) -> bytes | None:
        """The head of the next request, whose body has come too; None where the client has closed."""
        while (size := _request_size(self._buffer)) is None:
            data = await self._receive()
            if not data:
                return None
            self._buffer += data
        request, self._buffer = self._buffer[:size], self._buffer[size:]
        return request.partition(b"\r\n\r\n")[0]

    def send(self, data: bytes) -> None:
        """Send it, over TLS as one record."""
        if self._engine is None:
            self._line.send(data)
        else:
            self._engine.write(data)
            self._flush()

    def end(self) -> None:
        """Say that nothing follows, where there is a way to say it."""
        if self._engine is not None:
            self._engine.close()
            self._flush()

    async def _receive(self) -> bytes:
        if self._engine is None:
            return await self._line.receive()
        while (data := self._engine.read()) is None:  # it may have come with the end of the handshake
            self._engine.feed(await self._line.receive())
        return data

    def _flush(self) -> bool:
        """Send what TLS has to say; whether it had anything."""
        assert self._engine is not None
        data = self._engine.outgoing()
        if data:
            self._line.send(data)
        return bool(data)


def _request_size(data: bytes) -> int | None:
    """Octets of the first request in `data`, None where it is not whole."""
    head, blank, rest = data.partition(b"\r\n\r\n")
    if not blank:
        return None
    found = _LENGTH.search(head + b"\r\n")
    if found:
        body = int(found[1])
    else:
        end = rest.find(b"0\r\n\r\n")  # in chunks, without a trailer
        if end < 0:
            return None
        body = end + 5
    size = len(head) + 4 + body
    return size if len(data) >= size else None


def every_cut(marks: Sequence[Mark], behind: Mark | None = None) -> list[Cut]:
    """In each way, behind each octet of a conversation that goes so where nobody cuts it; or those behind a mark."""
    start = Mark("nothing", 0, 0) if behind is None else behind
    return [cut for how in How for cut in _cuts(start, marks[-1], [how])]


def by_turns(start: Mark, end: Mark) -> list[Cut]:
    """Behind each octet between two marks, in each way by turns."""
    return _cuts(start, end, list(How))


def _cuts(start: Mark, end: Mark, hows: Sequence[How]) -> list[Cut]:
    turns = cycle(hows)
    return [Cut(next(turns), read=octets) for octets in range(start.read + 1, end.read + 1)] + [
        Cut(next(turns), sent=octets) for octets in range(start.sent + 1, end.sent + 1)
    ]
