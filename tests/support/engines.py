"""Both ends of TLS without a socket: what one gives is fed to the other, whole or in pieces."""

from __future__ import annotations

from collections.abc import Iterator

from OpenSSL import SSL

from patchwire.errors import TlsError
from patchwire.settings.tls import TlsSettings
from patchwire.tls.context import client_context
from patchwire.tls.engine import TlsEngine, client_engine, server_engine
from tests.support.tls import LOCALHOST, TRUSTING, serving_as


class End:
    """An engine with what it has read and how it ended."""

    def __init__(self, engine: TlsEngine) -> None:
        self.engine = engine
        self.received = b""
        self.ended = False
        self.fault: TlsError | None = None

    def step(self) -> None:
        """Get on as far as what was fed allows."""
        if self.fault is not None or self.ended:
            return
        try:
            if not self.engine.established and not self.engine.handshake():
                return
            while (plaintext := self.engine.read()) is not None:
                if plaintext == b"":
                    self.ended = True
                    return
                self.received += plaintext
        except TlsError as fault:
            self.fault = fault

    def take(self, data: bytes) -> None:
        """Be fed, and get on."""
        self.engine.feed(data)
        self.step()


def ends(
    settings: TlsSettings = TRUSTING, host: str = "localhost", server: SSL.Context | None = None
) -> tuple[End, End]:
    """The client's and the server's."""
    client = client_engine(client_context(settings), host)
    return End(client), End(server_engine(server or serving_as(LOCALHOST)))


def converse(client: End, server: End, piece: int | None = None) -> None:
    """Carry octets both ways, so many at a time, until neither has any."""
    client.step()
    moved = True
    while moved:
        moved = False
        for sender, receiver in ((client, server), (server, client)):
            for part in _pieces(sender.engine.outgoing(), piece):
                moved = True
                receiver.take(part)


def _pieces(data: bytes, size: int | None) -> Iterator[bytes]:
    for start in range(0, len(data), size or len(data) or 1):
        yield data[start : start + (size or len(data))]
