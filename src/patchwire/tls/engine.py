"""One TLS connection as bytes in and bytes out, over OpenSSL's memory BIOs. It knows no socket.

`feed` what the transport brought, `read` what that means, send what `outgoing` gives after `write`, `handshake` and
whatever has raised: the alert that tells the peer is in it.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from cryptography import x509
from OpenSSL import SSL

from patchwire.errors import TlsError
from patchwire.tls.alerts import NO_CERTIFICATE, REFUSALS, RENEGOTIATION, alert_in, in_words
from patchwire.tls.context import ClientContext
from patchwire.tls.identity import is_ip_address
from patchwire.tls.records import RecordCounter
from patchwire.tls.sessions import Resumption
from patchwire.tls.verification import Verification, moment

RECORD: Final = 16_384
"""Plaintext octets that one record holds at most (RFC 8446 section 5.1)."""
_ROOM: Final = 8192
"""For what a flush holds beside the records that were written: a flight of the handshake, an alert."""
_RECORD_TYPES: Final = frozenset({20, 21, 22, 23})
_NO_TLS: Final = "the peer does not speak TLS on this port"
_PLAIN_HTTP: Final = "the peer speaks plain HTTP on this port; name its TLS port, or write http://"


class TlsEngine:
    """A client's or a server's end. Raises TlsError, after which only `outgoing` is of use."""

    def __init__(
        self,
        connection: SSL.Connection,
        verification: Verification | None = None,
        resumption: Resumption | None = None,
    ) -> None:
        self.established = False
        self.resumed = False
        """Whether a client's handshake, once it is done, has resumed a session (RFC 8446 section 2.2)."""
        self._verification = verification
        self._resumption = resumption  # until the session is kept
        self._ssl = connection
        self._ssl.set_app_data(verification)
        self._first = b""  # what the peer said first: when it is no TLS, it may say what it is
        self._written = 0
        self._counter = RecordCounter()
        self._records = 0  # that have ended since the last read
        self._fault: TlsError | None = None
        self.ended = False
        """Whether the peer will say nothing more: it has said so, or TLS has broken."""

    @property
    def version(self) -> str:
        """For example "TLSv1.3"; meaningful once established."""
        return self._ssl.get_protocol_version_name()

    def peer_chain(self) -> list[x509.Certificate]:
        """The certificates that the peer has sent, its own first; empty before they came."""
        own = self._ssl.get_peer_certificate(as_cryptography=True)
        if own is None:
            return []
        # On the server's side OpenSSL leaves the peer's own certificate out of its chain.
        chain = self._ssl.get_peer_cert_chain(as_cryptography=True) or []
        return [own, *(each for each in chain if each != own)]

    def describe(self) -> str:
        """Version and cipher, whether a session was resumed, and whose certificate the peer has shown for it."""
        chain = self.peer_chain()
        shown = (
            f", {chain[0].subject.rfc4514_string()!r} until {moment(chain[0].not_valid_after_utc)}" if chain else ""
        )
        resumed = " resumed" if self.resumed else ""
        return f"{self.version} {self._ssl.get_cipher_name()}{resumed}{shown}"

    @property
    def remark(self) -> str | None:
        """What of the handshake may be why the server then refuses a request, or None."""
        if self._verification is None or not self.established:
            return None
        if self._verification.refused_renegotiation:
            return RENEGOTIATION
        if self._ssl.get_client_ca_list() and self._ssl.get_certificate() is None:
            return NO_CERTIFICATE
        return None

    @property
    def hangs_on_session(self) -> bool:
        """Whether a session was offered, and no certificate shown instead. OpenSSL has each judged that it is shown:
        so a handshake that is done has resumed the session then, and one that broke may have broken on it.
        """
        if self._resumption is None or self._verification is None:
            return False
        return self._resumption.offered and not self._verification.has_begun

    def abandon(self) -> None:
        """The connection is given up before its handshake is done: forget the sessions that may be why."""
        if self._resumption is not None and self.hangs_on_session:
            self._resumption.disown()

    def handshake(self) -> bool:
        """Take the handshake as far as what was fed allows; whether it is done."""
        try:
            self._ssl.do_handshake()
        except SSL.WantReadError:
            return False
        except SSL.Error as error:
            raise self._broken(error) from None
        self.established = True
        self.resumed = self.hangs_on_session
        self._records = 2  # of what came with the handshake, nobody knows how much is left
        return True

    def feed(self, data: bytes) -> None:
        """What the transport brought; b"" says that it has ended."""
        if not data:
            self._ssl.bio_shutdown()
            return
        if len(self._first) < 5:
            self._first = (self._first + data)[:5]
        self._records += self._counter.feed(data)
        self._ssl.bio_write(data)

    def read(self) -> bytes | None:
        """All plaintext that can be had, None when there is none yet, b"" when the peer has said that it ends.

        An end that the peer has not said is a TlsError: somebody else may have cut the stream.
        """
        if self._fault is not None:
            raise self._fault
        if self.ended:
            return b""
        is_last, self._records = self._records == 1 and self._resumption is None, 0
        pieces = []
        try:
            while True:
                pieces.append(self._ssl.recv(RECORD))
                if is_last:  # what it held is all there is
                    return pieces[0]
        except SSL.WantReadError:
            if not pieces:
                return None
        except SSL.ZeroReturnError:
            self.ended = True
        except SSL.Error as error:
            self.ended = True
            self._fault = self._broken(error)
            if not pieces:
                raise self._fault from None
        if pieces and self._resumption is not None:
            self._resumption.keep()
            self._resumption = None
        return b"".join(pieces)

    def write(self, data: bytes | memoryview) -> None:
        """Encrypt: `outgoing` has it."""
        rest = memoryview(data)
        self._written += len(rest)
        try:
            while rest:  # pyOpenSSL's contexts write a record at a time
                rest = rest[self._ssl.send(rest) :]
        except SSL.Error as error:
            raise self._broken(error) from None

    def outgoing(self) -> bytes:
        """What is to be sent to the peer, each octet given once."""
        size = self._written + self._written // RECORD * 64 + _ROOM
        self._written = 0
        pieces: list[bytes] = []
        try:
            while not pieces or len(pieces[-1]) == size:  # as a rule one is all
                pieces.append(self._ssl.bio_read(size))
        except SSL.WantReadError:
            pass
        return b"".join(pieces)

    def close(self) -> None:
        """Say that no more will be written (close_notify). A connection that ends without spoils its session."""
        with suppress(SSL.Error):  # in mid-handshake, or after a fault: there is nothing to end
            self._ssl.shutdown()

    def _broken(self, error: SSL.Error) -> TlsError:
        if self._verification is not None and self._verification.problem is not None:
            return TlsError(self._verification.problem)
        if self._first and self._first[0] not in _RECORD_TYPES:
            return TlsError(_NO_TLS if self._first != b"HTTP/" else _PLAIN_HTTP)
        if self._verification is not None and self._verification.refused_renegotiation:
            return TlsError(RENEGOTIATION)
        if isinstance(error, SSL.SysCallError):
            if self.established:
                return TlsError("the connection ended without TLS close_notify: what came may be cut")
            return TlsError("the peer closed the connection in the TLS handshake")
        reason = _reason(error)
        alert = alert_in(reason)
        if alert is None:
            return TlsError(f"TLS broke: {reason}")
        # A handshake that resumes asks for no certificate (RFC 8446 section 4.3.2): the alert is about something else.
        is_refusal = alert in REFUSALS and not self.resumed
        # The words are for a client; a server has nothing to mend.
        is_plain = self._verification is None or (alert in REFUSALS and self.resumed)
        said = f"the peer ended TLS: {alert}" if is_plain else in_words(alert)
        return TlsError(said, refuses_handshake=is_refusal and self.version == "TLSv1.3")


def _reason(error: SSL.Error) -> str:
    """OpenSSL's words for it, of its first error."""
    errors = error.args[0] if error.args else None
    return str(errors[0][2]) if isinstance(errors, list) and errors else "no reason given"


def client_engine(context: ClientContext, host: str, port: int | None = None) -> TlsEngine:
    """The client's end of a connection to `host`, whose certificate must cover it.

    With the peer's `port` it resumes a session of the context's, and leaves its own for others to resume.
    """
    connection = SSL.Connection(context.openssl, None)
    name = host.removesuffix(".")  # the root's dot is no part of a name in TLS (RFC 6066 section 3)
    if not is_ip_address(name):
        connection.set_tlsext_host_name(name.encode("ascii"))
    connection.set_connect_state()
    resumption = None
    if port is not None and context.sessions is not None:
        resumption = Resumption(context.sessions, (name, port), connection)
    return TlsEngine(connection, Verification(name, context.trusted, context.pinned), resumption)


def server_engine(context: SSL.Context) -> TlsEngine:
    """The server's end of a connection."""
    connection = SSL.Connection(context, None)
    connection.set_accept_state()
    return TlsEngine(connection)
