"""A proxy that does what a test tells it to, in a trio run of its own beside the test. It leads to loopback alone.

A script is asked for each request once its head has come, and says how to go on: with an Answer, a Tunnel, with
Forward or Silence. `answer` makes an Answer; garbage is one too, and so is what comes drop by drop.
"""

from __future__ import annotations

import socket
import ssl
import tempfile
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import trio

from tests.support.beside import beside
from tests.support.octets import EndedError, Head, OctetReader
from tests.support.peer import RESET
from tests.support.tls import LOCALHOST

Address = tuple[str, int]
Framing = Literal["length", "chunked", "close", "none"]
"""How the end of a body is known. With "none" it is not: no field tells of the body, and nothing closes."""

ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}


@dataclass
class Seen:
    """A request as it came, and on which connection, counted from 1. The body has its chunks, if there are any."""

    connection: int
    method: str
    target: str
    fields: list[tuple[str, str]]
    """All field lines in their order, the names as they were spelt."""
    body: bytes = b""

    def values(self, name: str) -> list[str]:
        """The value of each field line of this name, in whatever case."""
        return [value for each, value in self.fields if each.lower() == name.lower()]


@dataclass(frozen=True)
class Answer:
    """These octets as they stand, `pause` seconds before each of them; then the connection goes on, or is closed."""

    octets: bytes
    closing: bool = False
    pause: float = 0.0


@dataclass(frozen=True)
class Tunnel:
    """The head, at once with `early` octets, and a tunnel to the target, or to wherever `at` says.

    It is closed after exactly so many octets in one direction: with FIN, or RST towards the client. Where nobody
    listens, the answer is 502.
    """

    early: bytes = b""
    to_client: int | None = None
    to_server: int | None = None
    reset: bool = False
    at: Address | None = None
    head: bytes = ESTABLISHED


@dataclass(frozen=True)
class Forward:
    """The request in origin form goes to its target, or to wherever `at` says, and the answer to it comes back.

    What speaks to the proxy alone is not handed on. Where nobody listens, the answer is 502.
    """

    at: Address | None = None


@dataclass(frozen=True)
class Silence:
    """No answer at all; what else comes is read, until the client goes."""


Reply = Answer | Tunnel | Forward | Silence
Script = Callable[[Seen], Reply]


def answer(
    status: int,
    *fields: str,
    body: bytes = b"",
    framing: Framing = "length",
    closing: bool = False,
    pause: float = 0.0,
) -> Answer:
    """A whole answer. With `closing` it says Connection: close, which framing by "close" does silently."""
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", *fields]
    if closing:
        lines.append("Connection: close")
    if framing == "length":
        lines.append(f"Content-Length: {len(body)}")
    elif framing == "chunked":
        lines.append("Transfer-Encoding: chunked")
        body = (b"%x\r\n%s\r\n" % (len(body), body) if body else b"") + b"0\r\n\r\n"
    head = "\r\n".join([*lines, "", ""]).encode("latin-1")
    return Answer(head + body, closing or framing == "close", pause)


def openly(seen: Seen) -> Reply:
    """The script that lets everything through."""
    return Tunnel() if seen.method == "CONNECT" else Forward()


def in_turn(*replies: Reply) -> Script:
    """The script that gives these replies to the first requests, and lets the others through."""
    left = deque(replies)
    return lambda seen: left.popleft() if left else openly(seen)


@dataclass
class ScriptedProxy:
    """Its URL, the script, which may be changed at any time, what has come, and what went wrong in it."""

    script: Script
    base_url: str = ""
    seen: list[Seen] = field(default_factory=list)
    connections: int = 0
    failures: list[Exception] = field(default_factory=list)

    @property
    def port(self) -> int:
        """Where it listens."""
        return urlsplit(self.base_url).port or 0


@contextmanager
def scripted_proxy(script: Script = openly, *, tls: bool = False) -> Iterator[ScriptedProxy]:
    """Yield a proxy on a free port of 127.0.0.1. What the script raises ends its connection, and is
    raised here in the end.

    With `tls` it listens over TLS, with the certificate LOCALHOST of `tests.support.tls`, issued by its AUTHORITY.
    """
    proxy = ScriptedProxy(script)
    with beside(partial(_serve, proxy, _server_context() if tls else None)) as base_url:
        proxy.base_url = base_url
        try:
            yield proxy
        finally:
            if proxy.failures:
                raise proxy.failures[0]


def _server_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory(prefix="patchwire-proxy-") as directory:
        file = Path(directory) / "server.pem"
        file.write_bytes(LOCALHOST.combined_pem)
        context.load_cert_chain(file)
    return context


async def _serve(proxy: ScriptedProxy, context: ssl.SSLContext | None, task_status: trio.TaskStatus[str]) -> None:
    async def serve_one(transport: trio.SocketStream) -> None:
        proxy.connections += 1
        try:
            stream: trio.abc.Stream = transport
            if context is not None:
                stream = trio.SSLStream(transport, context, server_side=True, https_compatible=True)
            await _Conversation(proxy, proxy.connections, transport, stream).run()
            await stream.aclose()
        except (trio.BrokenResourceError, EndedError):
            pass  # the client has gone
        except Exception as error:  # raised from here, the cancellation in the end might take its place
            proxy.failures.append(error)
        finally:
            await trio.aclose_forcefully(transport)

    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listeners[0].socket.getsockname()[1]
    task_status.started(f"http://127.0.0.1:{port}" if context is None else f"https://localhost:{port}")
    await trio.serve_listeners(serve_one, listeners)


class _Conversation:
    """One connection of a client."""

    def __init__(
        self, proxy: ScriptedProxy, number: int, transport: trio.SocketStream, stream: trio.abc.Stream
    ) -> None:
        self._proxy = proxy
        self._number = number
        self._transport = transport
        self._stream = stream
        self._reader = OctetReader(stream)

    async def run(self) -> None:
        """Until it is to be closed; raises EndedError where the client ends it."""
        goes_on = True
        while goes_on:
            head = await self._reader.head()
            method, target, _ = head.line.split(" ", 2)
            seen = Seen(self._number, method, target, head.fields)
            self._proxy.seen.append(seen)
            goes_on = await self._reply(self._proxy.script(seen), head, seen)

    async def _reply(self, reply: Reply, head: Head, seen: Seen) -> bool:
        """Whether the connection goes on."""
        match reply:
            case Answer():
                return await self._answer(reply, head, seen)
            case Forward():
                return await self._forward(reply, head, seen)
            case Tunnel():
                await self._tunnel(reply, seen)
            case Silence():
                while await self._stream.receive_some():
                    pass
        return False

    async def _answer(self, reply: Answer, head: Head, seen: Seen) -> bool:
        # Who waits for 100 is answered without the body, and may send it or not: what follows has no meaning.
        waits = head.says("expect", "100-continue")
        if not waits:
            seen.body = await self._reader.body(head)
        if reply.pause:
            for octet in reply.octets:
                await trio.sleep(reply.pause)
                await self._stream.send_all(bytes([octet]))
        else:
            await self._stream.send_all(reply.octets)
        return not (waits or reply.closing or head.says("connection", "close"))

    async def _forward(self, reply: Forward, head: Head, seen: Seen) -> bool:
        if head.says("expect", "100-continue"):
            await self._stream.send_all(b"HTTP/1.1 100 Continue\r\n\r\n")
        seen.body = await self._reader.body(head)
        url = urlsplit(seen.target)
        behind = await _reached(reply.at or (url.hostname or "", url.port or 80))
        if behind is None:
            await self._stream.send_all(answer(502).octets)
            return not head.says("connection", "close")
        async with behind:
            path = (url.path or "/") + (f"?{url.query}" if url.query else "")
            onward = head.without("expect").handed_on(f"{seen.method} {path} HTTP/1.1", "Connection: close")
            await behind.send_all(onward + seen.body)
            reader = OctetReader(behind)
            result = await reader.head()
            body = await reader.answer_body(result, seen.method)
            await self._stream.send_all(result.handed_on(result.line) + body)
        return result.is_framed(seen.method) and not head.says("connection", "close")

    async def _tunnel(self, reply: Tunnel, seen: Seen) -> None:
        host, _, port = seen.target.rpartition(":")
        behind = await _reached(reply.at or (host.strip("[]"), int(port)))
        if behind is None:
            await self._stream.send_all(answer(502, closing=True).octets)
            return
        async with behind:
            await self._stream.send_all(reply.head + reply.early)
            async with trio.open_nursery() as nursery:
                close = nursery.cancel_scope.cancel
                nursery.start_soon(_relay, self._stream, behind, reply.to_server, close, self._reader.taken())
                nursery.start_soon(_relay, behind, self._stream, reply.to_client, close)
        if reply.reset:
            self._transport.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            await trio.aclose_forcefully(self._transport)
            raise EndedError


async def _reached(address: Address) -> trio.SocketStream | None:
    if address[0] not in _LOOPBACK:
        return None
    try:
        return await trio.open_tcp_stream(*address)
    except OSError:
        return None


async def _relay(
    source: trio.abc.Stream, sink: trio.abc.Stream, limit: int | None, close: Callable[[], None], first: bytes = b""
) -> None:
    """Hand on until the source ends, which the sink learns, or the limit is reached, when all is closed."""
    try:
        while limit is None or limit > 0:
            data = first or await source.receive_some()
            if not data:
                if isinstance(sink, trio.SocketStream):
                    await sink.send_eof()
                    return
                break  # there is no half of TLS to close
            first = b""
            await sink.send_all(data[:limit])
            limit = None if limit is None else limit - len(data)
    except trio.BrokenResourceError:
        pass
    close()
