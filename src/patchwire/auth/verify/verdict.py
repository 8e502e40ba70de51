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


class Refused(Struct, frozen=True):
    """It may not: the status to answer with, what to say, and the fields that ask for credentials."""

    status: int
    reason: str
    headers: Headers = ()


Verdict = Admitted | Refused


class Verifier(Protocol):
    """Who may make a request. `now` in seconds; `entropy` gives octets that nobody can foresee."""

    def judge(self, request: Request, now: float, *, has_body: bool = True) -> Verdict:
        """Whether the request may go on. Without `has_body` only its head is looked at, and nothing is remembered:
        the same request will be judged again.
        """

    def signed(self, request: Request, response: Response, now: float) -> Response:
        """The response to an admitted request, with what proves that it is this server's."""
