"""Servers of the standard library's TLS without a socket, for what pyOpenSSL's cannot do."""

from __future__ import annotations

import ssl
from pathlib import Path

from tests.support.certificates import Authority, Issued
from tests.support.engines import End


class SslServer:
    """The server's end: what came from the client is fed, what goes to it is taken."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.connection = context.wrap_bio(self._incoming, self._outgoing, server_side=True)

    def handshake(self, client: End) -> None:
        """Both ends do their handshake."""
        while True:
            client.step()
            self._incoming.write(client.engine.outgoing())
            try:
                self.connection.do_handshake()
            except ssl.SSLWantReadError:
                self.speak(client)
            else:
                self.speak(client)
                return

    def hear(self, client: End) -> bytes:
        """What the client has written."""
        self._incoming.write(client.engine.outgoing())
        return self.connection.read(65_536)

    def speak(self, client: End) -> None:
        """The client gets what the server has for it, if anything."""
        octets = self._outgoing.read()
        if octets:
            client.take(octets)


def asking_later(directory: Path, certificate: Issued, clients: Authority) -> ssl.SSLContext:
    """A context that would ask for a client certificate behind the handshake (RFC 8446 section 4.6.2)."""
    (directory / "server.pem").write_bytes(certificate.combined_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "server.pem")
    context.load_verify_locations(cadata=clients.pem.decode())
    context.verify_mode = ssl.CERT_REQUIRED
    context.post_handshake_auth = True
    return context
