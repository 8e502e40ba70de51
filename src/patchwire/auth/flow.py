"""Authentication as a generator: who speaks first, and what is said next, without any I/O.

A flow yields what it needs next and is sent the answer, until it returns its FlowResult:

    Send      make one exchange, and send its Response; None, having sent nothing, where `is_good` said no
    Wait      None, once the authentication's `generation` has changed (never where one request follows the other)
    HashBody  the hash of the body that is not in the request, or None
    Load      what its `read` returns, called where it may block; what it raises is thrown into the flow
    Ask       the Response to a request of the authentication's own; the PatchwireError in its place is thrown in
    Pause     None, after so many seconds
    Tell      None, at once

Preemptive and challenge-driven authentication differ only in the first request that is yielded. The driver, in
whatever HTTP stack, closes the flow in `finally`. What outlives one request belongs to the object that made it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from enum import Enum, auto
from typing import Protocol

from msgspec import Struct
from msgspec.structs import replace

from patchwire.auth.challenge import Challenge, parse
from patchwire.http.message import Request, Response


class Body(Enum):
    """Where a request's body comes from, and so whether it can be sent twice."""

    IN_REQUEST = auto()
    """It is the request's `body`."""
    REPLAYABLE = auto()
    """A file, or a factory: it is read while it is sent, as often as it must be."""
    ONE_SHOT = auto()
    """It can be read once. A request that would read it a second time is never sent."""


class Send(Struct, frozen=True):
    """Send this request now, and resume the flow with its response."""

    request: Request
    needs_body: bool = False
    """Whether the flow looks at the response's body."""
    after_rejection: bool = False
    """Whether credentials have just been rejected: these must go out alone, lest many attempts lock an account."""
    is_good: Callable[[], bool] | None = None
    """Where there is one and it says no before the request has left, the driver sends nothing and resumes the flow
    with None.
    """


class Wait(Struct, frozen=True):
    """Resume the flow with None once the authentication's `generation` is no longer this one."""

    generation: int


class HashBody(Struct, frozen=True):
    """Resume the flow with the hash of the body, which is not in the request, in lower-case hexadecimal digits; with
    None where it cannot be read beforehand. `algorithm` as hashlib calls it.
    """

    algorithm: str


class Load(Struct, frozen=True):
    """Resume the flow with what `read` returns, which may block; throw into it what that raises. What `is_brief`
    is not given up half-way: who is cancelled meanwhile goes on when it has come to its end.
    """

    read: Callable[[], object]
    is_brief: bool = False


class Ask(Struct, frozen=True):
    """Send a request of the authentication's own, such as one for a token, wherever it goes: as it is, over a
    connection with the TLS settings of the other requests, client certificate included. Resume the flow with its
    Response, or throw into it the PatchwireError that says why there is none. It is no part of the request that the
    flow is for, whatever comes of it. Who is cancelled meanwhile waits for it a while, lest what it brings be lost.
    """

    request: Request


class Pause(Struct, frozen=True):
    """Resume the flow with None after so many seconds."""

    seconds: float


class Tell(Struct, frozen=True):
    """Something for the log, which holds no secret; resume the flow with None at once."""

    text: str


Step = Send | Wait | HashBody | Load | Ask | Pause | Tell
Answer = object
"""A Response, a hash, what was read, or None."""


class FlowResult(Struct, frozen=True):
    """The response that counts. `refusal` says why the server does not accept the credentials, when it does not:
    to go on sending them may lock an account. `doubt` says why the response may come from somebody who does not know
    the password: then nothing is known of the request, and it must not be sent again. `note` says what else is to be
    said of the response. `proves` says whether the response shows that the credentials are good, where a scheme
    knows more of that than the status tells.
    """

    response: Response
    refusal: str | None = None
    doubt: str | None = None
    note: str | None = None
    proves: bool | None = None

    @property
    def shows_acceptance(self) -> bool:
        """Whether the server has accepted the credentials, and this shows it."""
        if self.refusal is not None or self.doubt is not None:
            return False
        return accepts(self.response) if self.proves is None else self.proves


_SHOWN = 4
_LONGEST = 120
_ABOUT_THE_CHANGE = frozenset({403, 409, 412, 415, 422, 428})


def accepts(response: Response) -> bool:
    """Whether an answer to a request with credentials says that they were good: a 2xx, or a 4xx that a server gives
    only to whom it knows (RFC 9110 section 13.2.1). A 404 or a 400 it may give to anybody.
    """
    return 200 <= response.status <= 299 or response.status in _ABOUT_THE_CHANGE


Flow = Generator[Step, Answer, FlowResult]


class Authentication(Protocol):
    """What every scheme offers."""

    @property
    def generation(self) -> int:
        """It grows whenever a flow that waits may find something new."""

    def flow(self, request: Request, body: Body = Body.IN_REQUEST) -> Flow:
        """A new flow for one request."""


def send(step: Send | Ask) -> Generator[Step, Answer, Response]:
    """Yield the step; the response to it."""
    answer = yield step
    assert isinstance(answer, Response)  # noqa: S101 - what the driver of a flow has promised
    return answer


def as_a_stranger(request: Request) -> Flow:
    """The conversation for a request to another origin, which is shown no credentials."""
    return FlowResult((yield from send(Send(request))))


def send_held_back(step: Send, body: Body) -> Generator[Step, Answer, Response]:
    """Yield the step for a request that may be challenged; the response to it. A body that is not in memory waits for
    100 (Continue), so that the challenge comes before it has gone. To send the request without it first would not do:
    that might be taken for the change.
    """
    request = step.request
    if body is Body.IN_REQUEST or request.header(b"expect") is not None:
        return (yield from send(step))
    response = yield from send(holding_back(step))
    if response.status == 417:  # it knows no expectations, and has not acted (RFC 9110 section 15.5.18)
        return (yield from send(step))
    return response


def holding_back(step: Send) -> Send:
    """The step, whose body waits for 100 (Continue)."""
    return replace(step, request=step.request.with_header(b"Expect", b"100-continue"))


class NoAuthentication:
    """Sends every request as it is. A 401 to a request with an Authorization field of its own is a refusal."""

    generation = 0

    def flow(self, request: Request, body: Body = Body.IN_REQUEST) -> Flow:  # noqa: ARG002 - it is sent once
        """The conversation for one request: one request, one response."""
        response = yield from send(Send(request))
        if response.status != 401:
            return FlowResult(response)
        if request.header(b"authorization") is not None:
            return FlowResult(response, "the Authorization field of this connection was rejected")
        offered = offers(parse(response.all_values(b"www-authenticate")))
        return FlowResult(response, note=f"the server asks for {offered}")


def offers(challenges: Iterable[Challenge]) -> str:
    """The schemes of challenges, each once, for a person."""
    schemes = some_of(challenge.scheme[:80].title() for challenge in challenges)
    return f"{schemes} authentication" if schemes else "credentials, and names no scheme"


def some_of(names: Iterable[str]) -> str:
    """The first of these, each once, and how many more there are; a peer may make them as long as it likes."""
    each = list(dict.fromkeys(names))
    more = f" and {len(each) - _SHOWN} more" if len(each) > _SHOWN else ""
    return ", ".join(name[:_LONGEST] for name in each[:_SHOWN]) + more
