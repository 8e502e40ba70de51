"""A server in a process of its own that misbehaves as it is told, and keeps its own record of what it has applied.

The record is a file of lines: what happened, the target, and the body; written before a byte of the answer leaves, it
survives the server. Targets below /missing/ are answered 404; everything else is applied.
"""

from __future__ import annotations

import json
import os
import random
import socket
import time
from argparse import ArgumentParser, Namespace
from collections import Counter
from email.utils import formatdate
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from patchwire.net.tls_stream import TlsStream
from patchwire.net.wire import TcpWire
from patchwire.tls.context import server_context
from patchwire.tls.engine import server_engine
from patchwire.tls.issue import Authority
from tests.support.peer import RESET, RequestReader

if TYPE_CHECKING:
    from OpenSSL import SSL

CUTS = ("before", "applied", "head", "body", "idle")
"""Where a connection may be cut: before the change is applied, behind that, within the answer's head, within its body,
and behind a whole answer that has promised nothing of the kind."""


class Manner(Namespace):
    """How it behaves: the options of its command line."""

    port: int
    record: Path
    authority: Path | None
    limit: int
    cut: float
    slow: float
    busy: float
    outage: tuple[int, float]


class _End:
    """The server's end of one connection, which it may cut."""

    def __init__(self, stream: trio.SocketStream, context: SSL.Context | None) -> None:
        if context is None:
            self.stream: trio.abc.Stream = stream
            self._socket: socket.socket | trio.socket.SocketType = stream.socket
            self._close = stream.socket.close
        else:
            sock = socket.socket(fileno=stream.socket.detach())
            sock.setblocking(False)
            wire = TcpWire(sock)
            self.stream = TlsStream(wire, server_engine(context))
            self._socket, self._close = sock, wire.close

    def cut(self, *, reset: bool = False) -> None:
        """Close it with FIN or RST, and without a farewell of TLS."""
        if reset:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self._close()


class _Server:
    def __init__(self, manner: Manner, context: SSL.Context | None) -> None:
        self._manner = manner
        self._context = context
        self._record = os.open(manner.record, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._versions: Counter[str] = Counter()
        self._requests = 0
        self._window_ends = 0.0
        self._in_window = 0
        self._up = trio.CancelScope()

    async def run(self) -> None:
        """Serve for ever; between being up and up again there may be an outage."""
        listeners = await trio.open_tcp_listeners(self._manner.port, host="127.0.0.1")
        port: int = listeners[0].socket.getsockname()[1]
        scheme = "http" if self._context is None else "https"
        print(json.dumps({"listening": f"{scheme}://127.0.0.1:{port}"}), flush=True)
        while True:
            with self._up:
                await trio.serve_listeners(self._handle, listeners)
            self._up = trio.CancelScope()
            await trio.sleep(self._manner.outage[1])
            listeners = await trio.open_tcp_listeners(port, host="127.0.0.1")

    async def _handle(self, stream: trio.SocketStream) -> None:
        end = _End(stream, self._context)
        reader = RequestReader(end.stream)
        try:
            while (request := await reader.next()) is not None:
                _, target, body = request
                if not await self._answer(end, target, body):
                    return
        except trio.BrokenResourceError:
            pass
        except trio.Cancelled:
            self._note("cut", "outage")
            raise
        finally:
            end.cut()

    async def _answer(self, end: _End, target: str, body: bytes) -> bool:
        """Whether the connection goes on."""
        manner = self._manner
        self._requests += 1
        if self._requests == manner.outage[0]:
            self._note("outage")
            self._up.cancel()
        place = random.choice(CUTS) if random.random() < manner.cut else ""
        await trio.sleep(random.random() * manner.slow / 2)
        if place == "before":
            return self._cut(end, place)
        refusal = self._refusal(target)
        if refusal:
            await end.stream.send_all(refusal)
            return True
        head, content = self._apply(target, body)
        await trio.sleep(random.random() * manner.slow / 2)
        answer = head + content
        ends = {"applied": 0, "head": random.randrange(1, len(head)), "body": len(head)}
        await end.stream.send_all(answer[: ends.get(place, len(answer))])
        return self._cut(end, place) if place else True

    def _apply(self, target: str, body: bytes) -> tuple[bytes, bytes]:
        self._note("applied", target, body.decode())
        self._versions[target] += 1
        version = self._versions[target]
        content = b'{"version": %d}' % version
        return _head("200 OK", len(content), f'ETag: "v{version}"'), content

    def _refusal(self, target: str) -> bytes:
        """The answer to a request that is not acted upon, b"" for all others."""
        if target.startswith("/missing/"):
            self._note("missing", target)
            return _head("404 Not Found", 0)
        if self._manner.limit and not self._is_within_limit():
            self._note("refused", target)
            return _head("429 Too Many Requests", 0, "Retry-After: 1")
        if random.random() < self._manner.busy:
            self._note("busy", target)
            return _head("503 Service Unavailable", 0, *_dates(time.time()))
        return b""

    def _is_within_limit(self) -> bool:
        now = time.monotonic()
        if now >= self._window_ends:
            self._window_ends, self._in_window = now + 1, 0
        self._in_window += 1
        return self._in_window <= self._manner.limit

    def _cut(self, end: _End, place: str) -> bool:
        self._note("cut", place)
        end.cut(reset=random.random() < 0.5)
        return False

    def _note(self, *columns: str) -> None:
        os.write(self._record, "\t".join(columns).encode() + b"\n")


def _dates(now: float) -> tuple[str, str]:
    return f"Date: {formatdate(now, usegmt=True)}", f"Retry-After: {formatdate(now + 1, usegmt=True)}"


def _head(status: str, length: int, *fields: str) -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", f"Content-Length: {length}", *fields, "", ""]).encode()


def _manner() -> Manner:
    parser = ArgumentParser(prog="python -m tests.support.unruly", description=__doc__)
    add = parser.add_argument
    add("--port", type=int, default=0, help="0: a free one")
    add("--record", type=Path, required=True, metavar="FILE", help="is appended to")
    add("--authority", type=Path, metavar="FILE", help="serve over TLS, and leave the CA there")
    add("--limit", type=int, default=0, metavar="R", help="take at most R a second, answer 429 to more")
    add("--cut", type=float, default=0.0, metavar="P", help="cut the connection of a request so probably")
    add("--slow", type=float, default=0.0, metavar="S", help="take up to S seconds for each request")
    add("--busy", type=float, default=0.0, metavar="P", help="answer 503 with a date so probably")
    add("--outage", type=_outage, default=(0, 0.0), metavar="N,S", help="go away at request N, for S seconds")
    return parser.parse_args(namespace=Manner())


def _outage(text: str) -> tuple[int, float]:
    after, seconds = text.split(",")
    return int(after), float(seconds)


def main() -> None:
    """Run the server."""
    manner = _manner()
    context = None
    if manner.authority is not None:
        authority = Authority("unruly", time.time())
        manner.authority.write_bytes(authority.pem)
        context = server_context(authority.issue_server(["127.0.0.1"]), [])
    trio.run(_Server(manner, context).run)


if __name__ == "__main__":
    main()
