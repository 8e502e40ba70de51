"""Authentication as a generator: who speaks first, and what is said next, without any I/O.

A flow yields the request to send and is sent the response, until it returns its FlowResult. Preemptive and
challenge-driven authentication differ only in the first request that it yields. Its driver, in whatever HTTP stack,
closes it in `finally`. What outlives one request belongs to the object whose `flow` method made the generator.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Protocol

from msgspec import Struct

from patchwire.http.message import Request, Response


class Send(Struct, frozen=True):
    """Send this request now, and resume the flow with its response."""

    request: Request


class FlowResult(Struct, frozen=True):
    """The response that counts. `refusal` says why the server does not accept the credentials, when it does not:
    to go on sending them may lock an account.
    """

    response: Response
    refusal: str | None = None


_PUT_OFF = frozenset({407, 408, 421, 425, 429})


def accepts(response: Response) -> bool:
    """Whether an answer to a request with credentials says that they were good: a 2xx, or a 4xx about the rest."""
    status = response.status
    return 200 <= status <= 299 or (400 <= status <= 499 and status != 401 and status not in _PUT_OFF)


Flow = Generator[Send, Response, FlowResult]


class Authentication(Protocol):
    """What every scheme offers."""

    def flow(self, request: Request) -> Flow:
        """A new flow for one request."""


class NoAuthentication:
    """Sends every request as it is. A 401 to a request with an Authorization field of its own is a refusal."""

    def flow(self, request: Request) -> Flow:
        """The conversation for one request: one request, one response."""
        response = yield Send(request)
        if request.header(b"authorization") is None:
            return FlowResult(response)
        if response.status == 401:
            return FlowResult(response, "the Authorization field of this connection was rejected")
        return FlowResult(response)
