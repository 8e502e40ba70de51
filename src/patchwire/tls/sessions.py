"""TLS sessions for a client to resume (RFC 8446 section 2.2, RFC 5246 section 7.3): a handshake with less to it.

A resumed session is not verified anew: no certificate is shown. So a store belongs to one context, and with it to one
identity, one trust and one choice of versions; a session gets into it only from a connection of that context, whose
handshake has verified the certificate for the very host that it is kept under, or resumed a session of which that is
true. How long a session may be resumed its server says, and OpenSSL heeds it: seven days at most (RFC 8446 section
4.6.1). Data is never sent along with the handshake (0-RTT): it can be replayed, and PATCH is not idempotent.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from threading import Lock
from typing import Final

from OpenSSL import SSL

PEERS: Final = 64
"""How many peers are remembered; the one that was heard of the longest ago goes first."""
PER_PEER: Final = 8
"""How many tickets of one peer are kept, the newest."""

Peer = tuple[str, int]
"""Host and port."""


class Sessions:
    """The sessions of one context, of all its connections in all threads. It forgets what is too much."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Peer, deque[tuple[SSL.Session, bool]]] = OrderedDict()
        self._lock = Lock()

    def keep(self, peer: Peer, session: SSL.Session, *, once: bool) -> None:
        """Keep a session, to be taken `once` (RFC 8446 appendix C.4) or, as the peer's only one, many times."""
        with self._lock:
            kept = self._kept.setdefault(peer, deque(maxlen=PER_PEER))
            self._kept.move_to_end(peer)
            if not once:
                kept.clear()
            kept.append((session, once))
            if len(self._kept) > PEERS:
                self._kept.popitem(last=False)

    def take(self, peer: Peer) -> SSL.Session | None:
        """The newest session of this peer, or None."""
        with self._lock:
            kept = self._kept.get(peer)
            if not kept:
                return None
            session, once = kept.pop()
            if not once:
                kept.append((session, once))
            return session

    def forget(self, peer: Peer) -> None:
        """Drop what is kept of this peer."""
        with self._lock:
            self._kept.pop(peer, None)


class Resumption:
    """One connection's dealings with the store."""

    def __init__(self, sessions: Sessions, peer: Peer, connection: SSL.Connection) -> None:
        self._sessions = sessions
        self._peer = peer
        self._connection = connection
        session = sessions.take(peer)
        self.offered = session is not None
        """Whether the handshake will ask for a session to be resumed; the server may always decline."""
        if session is not None:
            connection.set_session(session)

    def keep(self) -> None:
        """Keep the connection's session. Only once plaintext came: the tickets of TLS 1.3 come before it, and who
        sends it has accepted our certificate.
        """
        session = self._connection.get_session()
        if session is not None:
            once = self._connection.get_protocol_version_name() == "TLSv1.3"
            self._sessions.keep(self._peer, session, once=once)

    def disown(self) -> None:
        """Forget the sessions of this peer, which may have choked on the one that was offered."""
        self._sessions.forget(self._peer)
