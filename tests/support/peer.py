"""Peers that do on a socket what a test tells them to, in the test's own trio run."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import trio

from patchwire.http.message import Origin

Handler = Callable[[trio.SocketStream], Awaitable[None]]
RESET = b"\x01\x00\x00\x00\x00\x00\x00\x00"
"""SO_LINGER for which closing a socket resets its connection."""


def socket_pair() -> tuple[socket.socket, trio.SocketStream]:
    """Our non-blocking end, and the peer's as a stream."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    return ours, trio.SocketStream(trio.socket.from_stdlib_socket(theirs))


@asynccontextmanager
async def listening(handler: Handler) -> AsyncIterator[Origin]:
    """A TCP server on a free port of 127.0.0.1 that runs `handler` for each connection."""

    async def guarded(stream: trio.SocketStream) -> None:
        try:
            await handler(stream)
        except trio.BrokenResourceError:
            pass
        finally:
            await trio.aclose_forcefully(stream)

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(
            lambda task_status=trio.TASK_STATUS_IGNORED: trio.serve_tcp(
                guarded, 0, host="127.0.0.1", task_status=task_status
            )
        )
        port = listeners[0].socket.getsockname()[1]
        failure: Exception | None = None
        try:
            yield Origin("http", "127.0.0.1", port)
        except Exception as error:  # raised below, outside of the nursery, which would wrap it in a group
            failure = error
        nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure


class RequestReader:
    """Reads requests off a stream, one after the other; only Content-Length frames them."""

    def __init__(self, stream: trio.abc.ReceiveStream) -> None:
        self._stream = stream
        self._buffer = b""
        self.fields: dict[str, str] = {}
        """Those of the last request, by names in lower case."""

    async def next(self) -> tuple[str, str, bytes] | None:
        """Method, target and body; None when the client has closed."""
        while b"\r\n\r\n" not in self._buffer:
            data = await self._stream.receive_some()
            if not data:
                return None
            self._buffer += data
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        first, *fields = head.split(b"\r\n")
        lines = (line.decode("latin-1").partition(":") for line in fields)
        self.fields = {name.lower(): value.strip() for name, _, value in lines}
        length = int(self.fields.get("content-length", "0"))
        while len(self._buffer) < length:
            data = await self._stream.receive_some()
            if not data:
                return None
            self._buffer += data
        body, self._buffer = self._buffer[:length], self._buffer[length:]
        method, target, _ = first.decode("latin-1").split(" ")
        return method, target, body


def reset(stream: trio.SocketStream) -> None:
    """Close with RST instead of FIN."""
    stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    stream.socket.close()
