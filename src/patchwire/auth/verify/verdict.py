"""What every verifier says of a request."""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct

from patchwire.http.message import Headers, Request, Response


class Admitted(Struct, frozen=True):
    """The request may go on, for this user. A `provisional` verdict hangs on the body: nothing may be said of what the
    request is about before that has come.
    """

    user: str
    provisional: bool = False

    def signed(self, response: Response, now: float) -> Response:  # noqa: ARG002 - most schemes prove nothing
        """The response to the request, with what proves that it is this server's. `now` in Unix seconds."""
        return response


class Refused(Struct, frozen=True):
    """It may not: the status to answer with, what to say, and the fields that ask for credentials. `content` is a
    media type and a body that say it in the scheme's own form.
    """

    status: int
    reason: str
    headers: Headers = ()
    content: tuple[str, bytes] | None = None

    def __repr__(self) -> str:
        """What is said may hold what was signed, with the token of a session."""
        return f"<Refused {self.status}>"


Verdict = Admitted | Refused


class Verifier(Protocol):
    """Who may make a request."""

    def judge(self, request: Request, now: float, *, has_body: bool = True) -> Verdict:
        """Whether the request may go on; what can be used once, such as a nonce count, is used up then. Without
        `has_body` only its head is looked at, and nothing is used up: the same request will be judged again. `now` in
        Unix seconds.
        """
