"""Every error that patchwire raises, under one root.

An error says whose fault it was, and carries what a program needs to react: never a secret.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum


class Sent(Enum):
    """What is known about whether a request reached its peer."""

    NO = "no"
    """No byte of it was accepted by a send call."""
    MAYBE = "maybe"
    """Bytes were handed over; nothing came back that proves what became of them."""
    YES = "yes"
    """The peer answered it with a complete final response head."""


class PatchwireError(Exception):
    """The root of all errors of this library. `sent` says what is known about the request that it ended."""

    sent: Sent = Sent.NO


class LocalProtocolError(PatchwireError):
    """The caller asked for something that HTTP does not allow; nothing was sent because of it."""


class RemoteProtocolError(PatchwireError):
    """The peer broke the protocol, or a limit that protects us from it. `origin` is empty where none is known."""

    origin: str = ""
    sent: Sent = Sent.MAYBE


class IncompleteResponseError(RemoteProtocolError):
    """The peer closed the connection before its response was complete (RFC 9112 section 8)."""


class UnprovenResponseError(RemoteProtocolError):
    """The response may come from somebody who does not know the password (RFC 7616 section 3.5)."""


class TransportError(PatchwireError):
    """The connection failed. `sent` says what is known about the request that was on it."""

    def __init__(self, message: str, *, origin: str, sent: Sent) -> None:
        super().__init__(message)
        self.origin = origin
        self.sent = sent


class ConnectError(TransportError):
    """No connection could be opened: refused, unreachable, unresolvable or too slow."""

    def __init__(self, message: str, *, origin: str) -> None:
        super().__init__(message, origin=origin, sent=Sent.NO)


class HandshakeError(ConnectError):
    """TLS was not agreed upon: a certificate that is not trusted, an alert, a peer that does not speak it.

    Also where the peer of a new TLS 1.3 connection rejects our certificate after the request has left: what it never
    admitted it has not read (RFC 8446 section 4.4.2.4).
    """


class ConnectionLostError(TransportError):
    """The connection broke while a request was on it."""


class ReadTimeoutError(TransportError):
    """The peer took longer than one of the limits allows; the message names it."""


class TlsError(PatchwireError):
    """What the TLS engine cannot go on from. `origin` is not known to it; who drives it says more.

    `refuses_handshake`: the peer's alert ends the handshake, of which it has not seen the end yet itself.
    """

    def __init__(self, message: str, *, refuses_handshake: bool = False) -> None:
        super().__init__(message)
        self.refuses_handshake = refuses_handshake


class CredentialsError(PatchwireError):
    """There are no credentials to send; nothing was sent without them."""

    def __init__(self, message: str, *, origin: str) -> None:
        super().__init__(message)
        self.origin = origin


class CredentialsRejectedError(CredentialsError):
    """The server refused credentials that it had been given; sending more of them may lock the account."""

    def __init__(self, message: str, *, origin: str, status: int) -> None:
        super().__init__(message, origin=origin)
        self.status = status


class TokenError(CredentialsError):
    """An authorization server gave no token (RFC 6749 section 5.2). `status` is that of its answer, `code` the error
    code in it, empty where there is none.
    """

    def __init__(self, message: str, *, origin: str, status: int, code: str = "") -> None:
        super().__init__(message, origin=origin)
        self.status = status
        self.code = code

    @property
    def is_final(self) -> bool:
        """Whether the same request would be refused again; some servers refuse with 200."""
        if self.code in ("server_error", "temporarily_unavailable"):
            return False
        return self.code != "" if self.status == 200 else 400 <= self.status <= 499 and self.status not in (408, 429)


class CallbackError(PatchwireError):
    """What came to the redirect URI gives no authorization code (RFC 6749 section 4.1.2): the server refused, or it is
    not the answer to our request. `code` is the server's error code, empty where the fault is not its refusal.
    """

    def __init__(self, message: str, *, code: str = "") -> None:
        super().__init__(message)
        self.code = code


class OriginError(PatchwireError):
    """An origin as a whole cannot be worked with, for the time being or as the run is set up; `origin` names it."""

    def __init__(self, message: str, *, origin: str) -> None:
        super().__init__(message)
        self.origin = origin


class RunLimitError(PatchwireError):
    """A run has stopped itself at a limit that was set for it: failures, their rate, or time."""


class InputError(PatchwireError):
    """What the user wrote cannot be used: `place` names file and line or key, the text the remedy."""

    def __init__(self, place: str, problem: str) -> None:
        super().__init__(f"{place}: {problem}" if place else problem)
        self.place = place
        self.problem = problem


class SettingsError(InputError):
    """A connection file, a secret or an option is wrong."""


class RecordError(InputError):
    """A record cannot be read or makes no valid request."""


class InvalidRecordsError(InputError):
    """Lines of the input make no valid records: how many, and `faults`, the first of them."""

    def __init__(self, number: int, faults: Sequence[RecordError]) -> None:
        more = f"; and {number - len(faults):,} more" if number > len(faults) else ""
        super().__init__("", "; ".join(map(str, faults)) + f"{more}: nothing was sent")
        self.number = number
        self.faults = faults


class JournalError(InputError):
    """A journal is in use, belongs to something else, or no longer fits its records."""


class StorageError(PatchwireError):
    """A local file could not be written (disk full, no permission); what was written before stands."""


class JournalLostError(StorageError):
    """The journal of a run is gone: what it knew, no resume will know."""


class UnreadableTokenError(StorageError):
    """What the token store holds cannot be read: it is damaged, or its key is gone or another one."""
