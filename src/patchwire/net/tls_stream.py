"""TLS over a wire: a wire itself, for connections, and a trio stream for everybody else.

The engine does TLS; here its octets are moved. trio's own SSLStream wants the standard library's ssl.
"""

from __future__ import annotations

import operator
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

import trio
from OpenSSL import SSL

from patchwire.errors import TlsError
from patchwire.net.wire import TcpWire, Wire
from patchwire.tls.engine import TlsEngine, server_engine

PIECE: Final = 262_144
"""How much plaintext `send_all` encrypts at a time, lest a long body holds up the event loop."""


class TlsStream(trio.abc.HalfCloseableStream):
    """The engine's end of a connection over `wire`, which is its own from now on.

    A wire's methods raise OSError and TlsError, a stream's BrokenResourceError with one of these as its cause.
    Cancelling any of them leaves it intact. Closing sends close_notify if all else has been sent and the kernel takes
    it at once; it waits for nothing.
    """

    def __init__(self, wire: Wire, engine: TlsEngine) -> None:
        self.engine = engine
        self._wire = wire
        self._open = True
        self._ended = False  # by us: nothing more may be sent
        self._handshaking = trio.Lock()
        self._unread = True  # what came behind the handshake is in the engine already
        self._is_clear = True  # nothing that was put waits for the kernel
        self._plaintext = b""
        self._busy: set[str] = set()

    @property
    def taken(self) -> int:
        """How many octets the kernel has ever taken, TLS's own among them."""
        return self._wire.taken

    @property
    def remark(self) -> str | None:
        """What of the handshake may be why the peer refuses a request, or None."""
        return self.engine.remark

    def put(self, data: bytes | memoryview) -> None:
        """Encrypt data, to be sent by `flush`. Only after the handshake."""
        self.engine.write(data)
        self._is_clear = False

    def flush(self) -> bool:
        """Hand to the kernel what it takes at once; whether nothing is left."""
        self._is_clear = self._wire.flush()
        if self._is_clear:
            data = self.engine.outgoing()
            if data:
                self._wire.put(data)
                self._is_clear = self._wire.flush()
        return self._is_clear

    def receive(self) -> bytes | None:
        """The plaintext that has come: b"" at its end, None when there is none yet."""
        if self._unread or self.engine.ended:
            self._unread = False
            plaintext = self._read()
            if plaintext is not None:
                return plaintext
        data = self._wire.receive()
        if data is None:
            return None
        self.engine.feed(data)
        return self._read()

    def describe(self) -> str:
        """Protocol, cipher and the peer's certificate, then what it runs over."""
        return f"{self.engine.describe()}; {self._wire.describe()}"

    def close(self) -> None:
        """Say close_notify where the kernel takes it, and close; whoever waits is woken."""
        if self._open:
            self._open = False
            if self._is_clear:  # else part of what was put would follow, after nobody wants it to
                if not self._ended:
                    self.engine.close()
                self._flush_once()
            if not self.engine.established:
                self.engine.abandon()
            self._wire.close()

    async def wait_readable(self) -> None:
        """Wait until `receive` may have something."""
        if self._unread or self.engine.ended:  # the engine has it: nothing more need come
            await trio.lowlevel.checkpoint()
        else:
            await self._wire.wait_readable()

    async def wait_writable(self) -> None:
        """Wait until `flush` may get on."""
        await self._wire.wait_writable()

    async def handshake(self) -> None:
        """Do the handshake, unless it is done. TlsError where it fails; the peer has been told why, if it listens."""
        async with self._handshaking:
            while not self.engine.established:
                try:
                    self.engine.handshake()
                except TlsError:
                    self._flush_once()
                    raise
                try:
                    await self._flush_all()
                except OSError:
                    # A server's session tickets are no part of it: the client may be gone behind what it has sent.
                    if not self.engine.established:
                        raise
                if not self.engine.established:
                    await self._wire.wait_readable()
                    data = self._wire.receive()
                    if data is not None:
                        self.engine.feed(data)

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Encrypt and send all of it."""
        with self._alone("sending"), self._translated():
            await trio.lowlevel.checkpoint()
            await self._be_established()
            rest = memoryview(data)
            if not self._is_clear:
                await self._flush_all()
            while rest:
                self._check_open()
                self.put(rest[:PIECE])
                rest = rest[PIECE:]
                await self._flush_all()

    async def wait_send_all_might_not_block(self) -> None:
        """Wait until the kernel would take something."""
        with self._alone("sending"), self._translated():
            await trio.lowlevel.checkpoint()
            await self._be_established()
            await self._flush_all()
            await self._wire.wait_writable()

    async def send_eof(self) -> None:
        """Say that nothing more will be sent (close_notify); what the peer sends can still be received."""
        with self._alone("sending"):
            await trio.lowlevel.checkpoint()
            if self._ended:
                return
            with self._translated():
                await self._be_established()
                self._ended = True
                self.engine.close()
                await self._flush_all()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Some plaintext, b"" at its end."""
        if max_bytes is not None and operator.index(max_bytes) < 1:
            raise ValueError("max_bytes must be at least 1")
        with self._alone("receiving"), self._translated(sending=False):
            await self._be_established()
            await trio.lowlevel.checkpoint_if_cancelled()
            plaintext = self._plaintext or self.receive()
            if plaintext is not None:
                await trio.lowlevel.cancel_shielded_checkpoint()
            while plaintext is None:
                await self.wait_readable()
                self._check_open()
                plaintext = self.receive()
            piece = plaintext[:max_bytes]
            self._plaintext = plaintext[len(piece) :]
            return piece

    async def aclose(self) -> None:
        """Close it; cancelled or not."""
        self.close()
        await trio.lowlevel.checkpoint()

    async def _be_established(self) -> None:
        if not self.engine.established:  # else the lock would cost a checkpoint each time
            await self.handshake()

    def _read(self) -> bytes | None:
        try:
            plaintext = self.engine.read()
        except TlsError:
            self._flush_once()  # the alert that tells the peer
            raise
        if plaintext is None:
            self._flush_once()  # TLS may have an answer of its own: that there is no second handshake
        return plaintext

    async def _flush_all(self) -> None:
        while not self.flush():
            await self._wire.wait_writable()
            self._check_open()

    def _flush_once(self) -> None:
        with suppress(OSError):
            self.flush()

    def _check_open(self) -> None:
        if not self._open:
            raise trio.ClosedResourceError("this stream is closed")

    @contextmanager
    def _alone(self, doing: str) -> Iterator[None]:
        if doing in self._busy:
            raise trio.BusyResourceError(f"another task is {doing}")
        self._busy.add(doing)
        try:
            yield
        finally:
            self._busy.discard(doing)

    @contextmanager
    def _translated(self, *, sending: bool = True) -> Iterator[None]:
        self._check_open()
        if sending and self._ended:
            raise trio.ClosedResourceError("nothing more may be sent behind send_eof")
        try:
            yield
        except (OSError, TlsError) as error:
            self._check_open()
            raise trio.BrokenResourceError(str(error)) from error


def serving_stream(stream: trio.SocketStream, context: SSL.Context) -> TlsStream:
    """The server's end over an accepted connection, which is its own from now on. The first use does the handshake."""
    sock = socket.socket(fileno=stream.socket.detach())
    sock.setblocking(False)
    return TlsStream(TcpWire(sock), server_engine(context))
