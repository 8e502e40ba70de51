"""Basic authentication (RFC 7617): user name and password, encoded and not encrypted."""

from __future__ import annotations

from base64 import b64encode

from msgspec import Struct

from patchwire.auth.challenge import parse as parse_challenges
from patchwire.auth.flow import Flow, FlowResult, Send
from patchwire.errors import LocalProtocolError
from patchwire.http.message import Origin, Request

MAX_SPACES = 256
"""Protection spaces remembered; beyond them a request waits for its challenge again."""


class Credentials(Struct, frozen=True):
    """A user name and a password."""

    user: str
    password: str

    def __post_init__(self) -> None:
        if ":" in self.user:
            raise LocalProtocolError("a user name for Basic must not hold a colon (RFC 7617 section 2)")
        for part, text in (("user name", self.user), ("password", self.password)):
            if any(character < " " or character == "\x7f" for character in text):
                raise LocalProtocolError(f"the {part} holds a control character (RFC 7617 section 2)")

    def __repr__(self) -> str:
        """Never shows the password."""
        return f"Credentials(user={self.user!r}, password=***)"


def authorization(credentials: Credentials) -> bytes:
    """The value of the Authorization field, in UTF-8 (RFC 7617 section 2.1)."""
    return b"Basic " + b64encode(f"{credentials.user}:{credentials.password}".encode())


class ProtectionSpaces(Struct, frozen=True):
    """Where credentials have been accepted: origins with the path prefixes that RFC 7617 section 2.2 derives."""

    known: frozenset[tuple[Origin, bytes]] = frozenset()

    def covers(self, request: Request) -> bool:
        """Whether a challenge for this request can be foreseen."""
        path = request.target.split(b"?", 1)[0]
        return any(origin == request.origin and path.startswith(prefix) for origin, prefix in self.known)

    def including(self, request: Request) -> ProtectionSpaces:
        """With the space that this request has shown; unchanged when MAX_SPACES are known."""
        if len(self.known) >= MAX_SPACES:
            return self
        prefix = request.target.split(b"?", 1)[0].rpartition(b"/")[0] + b"/"
        return ProtectionSpaces(self.known | {(request.origin, prefix)})


class BasicAuthentication:
    """Sends credentials at once when `preemptive`, else from the first challenge on within its protection space.

    Credentials go to `origin` alone.
    """

    def __init__(self, credentials: Credentials, origin: Origin, *, preemptive: bool) -> None:
        self._credentials = credentials
        self._value = authorization(credentials)
        self._origin = origin
        self._preemptive = preemptive
        self._spaces = ProtectionSpaces()

    def flow(self, request: Request) -> Flow:
        """The conversation for one request. Its result names a refusal when the server rejects the credentials."""
        if request.origin != self._origin:
            return FlowResult((yield Send(request)))
        authorized = request.with_header(b"Authorization", self._value)
        if not (self._preemptive or self._spaces.covers(request)):
            response = yield Send(request)
            if response.status != 401:
                return FlowResult(response)
            offered = parse_challenges(response.all_values(b"www-authenticate"))
            if not any(offer.scheme == "basic" for offer in offered):
                schemes = ", ".join(offer.scheme for offer in offered) or "no scheme at all"
                return FlowResult(response, f"the server offers {schemes}, this connection has Basic")
        response = yield Send(authorized)
        if response.status == 401:
            return FlowResult(response, f"user {self._credentials.user!r} or its password was rejected (Basic)")
        self._spaces = self._spaces.including(request)
        return FlowResult(response)
