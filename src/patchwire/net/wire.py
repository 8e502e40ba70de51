"""What a connection runs over: bytes handed to the kernel, and evidence of how many it took. TCP, or TLS on it."""

from __future__ import annotations

import socket
from collections.abc import Awaitable
from typing import Any, Final, Protocol

import trio

RECEIVE_SIZE: Final = 65_536


class Wire(Protocol):
    """Nothing here waits but the two that say so. OSError and TlsError say that the wire is broken."""

    @property
    def taken(self) -> int:
        """How many octets the kernel has ever taken: while it stands still, nothing has left."""

    @property
    def remark(self) -> str | None:
        """What of its opening may be why the peer refuses a request, or None."""

    def put(self, data: bytes | memoryview) -> None:
        """Take data to be sent. Only once `flush` has said that nothing is left."""

    def flush(self) -> bool:
        """Hand to the kernel what it takes at once; whether nothing is left."""

    def receive(self) -> bytes | None:
        """What has come: b"" at its end, None when nothing has come yet."""

    def describe(self) -> str:
        """What it is, for the wire log."""

    def close(self) -> None:
        """Close it. Whoever waits is woken with ClosedResourceError."""

    def wait_readable(self) -> Awaitable[None]:
        """Wait until `receive` may have something."""

    def wait_writable(self) -> Awaitable[None]:
        """Wait until `flush` may get on."""


class TcpWire:
    """A connected non-blocking socket, of TCP or a Unix socket, as a wire. trio's own wrapper would cost a checkpoint
    for every call.
    """

    remark: Final = None

    def __init__(self, sock: socket.socket) -> None:
        self.taken = 0
        self.socket = sock
        self._rest: bytes | memoryview = b""

    def put(self, data: bytes | memoryview) -> None:
        """Take data to be sent."""
        self._rest = data

    def flush(self) -> bool:
        """Hand to the kernel what it takes at once; whether nothing is left."""
        rest = self._rest
        if not rest:
            return True
        try:
            taken = self.socket.send(rest)
        except BlockingIOError:
            return False
        self.taken += taken
        if taken == len(rest):
            self._rest = b""
            return True
        self._rest = memoryview(rest)[taken:]
        return False

    def receive(self) -> bytes | None:
        """What has come: b"" at its end, None when nothing has come yet."""
        try:
            return self.socket.recv(RECEIVE_SIZE)
        except BlockingIOError:
            return None

    def describe(self) -> str:
        """Both ends' addresses; of a Unix socket, which has one at most, that it is one."""
        if self.socket.family not in (socket.AF_INET, socket.AF_INET6):
            return "a Unix socket"
        try:
            return f"TCP from {_address(self.socket.getsockname())} to {_address(self.socket.getpeername())}"
        except OSError:
            return "TCP, closed by the peer"

    def close(self) -> None:
        """Close the socket; whoever waits on it is woken."""
        if self.socket.fileno() >= 0:
            trio.lowlevel.notify_closing(self.socket)
            self.socket.close()

    def wait_readable(self) -> Awaitable[None]:
        """Wait until `receive` has something."""
        return trio.lowlevel.wait_readable(self.socket)  # noqa: ASYNC105 - awaited by the caller, one coroutine less

    def wait_writable(self) -> Awaitable[None]:
        """Wait until `flush` gets on."""
        return trio.lowlevel.wait_writable(self.socket)  # noqa: ASYNC105


def _address(name: Any) -> str:
    """An address as the system gives it: host and port first."""
    host, port = name[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
