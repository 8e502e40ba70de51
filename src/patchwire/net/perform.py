"""Driving authentication flows over connections: the trio side of auth/flow.py."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from functools import partial
from typing import Final

import msgspec
import trio

from patchwire.auth.flow import (
    Answer,
    Ask,
    Authentication,
    Body,
    FlowResult,
    HashBody,
    Load,
    Pause,
    Send,
    Tell,
    Wait,
)
from patchwire.auth.quoting import SECRET_FIELDS
from patchwire.auth.role import SERVER, Role
from patchwire.errors import LocalProtocolError, Sent, UnprovenResponseError
from patchwire.http.message import Request, Response
from patchwire.http.redirects import FOLLOWABLE, Redirects, redirected
from patchwire.net.aside import Aside
from patchwire.net.body import BodySource
from patchwire.net.connection import Reply
from patchwire.net.credentials import CredentialsGate
from patchwire.net.sources import now
from patchwire.net.wire_log import WireLog, printable, time_of

SPENT: Final = (
    "the server wants other credentials after it has read the body, which came from a stream and cannot be read "
    "again; send it with preemptive credentials, or give it as bytes or a file"
)
SECRETS: Final = frozenset(name.encode() for name in SECRET_FIELDS)
MayGo = Callable[[], bool]
SendStep = Callable[[Send, MayGo], Awaitable[Reply | None]]
"""Sends a step's request. Right before it does it asks whether it still may; where not, it sends nothing and returns
None, to be called again.
"""


class Performer:
    """Drives the flows of one authentication, for any number of tasks side by side."""

    def __init__(
        self,
        authentication: Authentication,
        aside: Aside | None = None,
        *,
        carries_credentials: bool,
        redirects: Redirects | None = None,
        secret_fields: Collection[bytes] = (),
        wire_log: WireLog | None = None,
        role: Role = SERVER,
    ) -> None:
        self._authentication = authentication
        self._aside = Aside.that_asks_nobody() if aside is None else aside
        self._gate = CredentialsGate(needed=carries_credentials, role=role)
        self._redirects = redirects
        self._secret_fields = frozenset({*SECRETS, *secret_fields})
        self._wire_log = wire_log
        self.unproven = 0
        """Answers in a row, the last among them, that did not prove what they must."""
        self._generation = authentication.generation
        self._waiting = trio.lowlevel.ParkingLot()

    async def perform(
        self, request: Request, send: SendStep, source: BodySource | None = None
    ) -> tuple[Reply, FlowResult | None]:
        """The reply to the last request, and the result of its flow, which is missing where no response came.

        A response that refuses the credentials has an `error` that says so. One whose sender has not proven what it
        must is no response: the reply has an UnprovenResponseError in its place. Raises what `send` raises,
        CredentialsError, StorageError (a token that cannot be kept) and LocalProtocolError.
        """
        first, hops, reply, result = request.origin, 0, None, None
        while True:
            try:
                reply, result = await self._converse(request, send, source, reply)
            except LocalProtocolError as error:
                if reply is None:
                    raise
                return _with_error(reply, f"the redirect is not followed: {error}"), result
            response = reply.response
            if response is None or self._redirects is None or response.status not in FOLLOWABLE:
                return reply, result
            onward = redirected(request, response, self._redirects, self._secret_fields)
            if isinstance(onward, Request):
                hops += 1
                if request.origin != first and onward.origin == first:
                    onward = f"{response.status} is not followed: it leads back from another origin"
                elif hops > self._redirects.limit:
                    onward = f"redirected more than {self._redirects.limit} times (redirects.limit)"
                elif source is not None and source.is_spent:
                    onward = f"{response.status} is not followed: the body came from a stream and has gone"
            if not isinstance(onward, Request):
                return _with_error(reply, onward), result
            self._tell(Tell(f"{response.status}: goes on to {onward.origin.url(onward.target.decode('ascii'))}"))
            request = onward

    async def _converse(
        self, request: Request, send: SendStep, source: BodySource | None, before: Reply | None
    ) -> tuple[Reply, FlowResult | None]:
        flow = self._authentication.flow(request, _body_of(source))
        conversation = _Conversation(self._gate, send, before)
        result = None
        try:
            step = next(flow)
            while True:
                answer: Answer = None
                failure = None
                if isinstance(step, Send):
                    if source is not None and source.is_spent and conversation.has_spoken:
                        return _spent(conversation.last)
                    answer = await conversation.say(step)
                    if answer is None and conversation.failed is not None:
                        return conversation.failed, None
                    if answer is not None and conversation.last.refusal is not None:  # by the proxy on the way
                        return _refused(conversation.last, conversation.last.refusal)
                elif isinstance(step, Wait):
                    conversation.step_back()  # who is waited for may need the turn
                    await self._wait(step)
                elif isinstance(step, HashBody):
                    answer = None if source is None else await source.hash(step.algorithm)
                elif isinstance(step, Load | Ask | Pause):
                    answer, failure = await self._aside.take(step)
                elif isinstance(step, Tell):
                    self._tell(step)
                try:
                    step = flow.send(answer) if failure is None else flow.throw(failure)
                except StopIteration as stop:
                    result = stop.value
                    self.unproven = 0 if result.doubt is None else self.unproven + 1
                    return _proven(conversation.last, result)
                self._wake()
        finally:
            flow.close()
            conversation.end(result)
            self._wake()

    def _wake(self) -> None:
        """Let those go on who wait for a change of the shared state, where there has been one."""
        if self._authentication.generation != self._generation:
            self._generation = self._authentication.generation
            self._waiting.unpark_all()

    async def _wait(self, step: Wait) -> None:
        self._wake()
        while self._authentication.generation == step.generation:
            await self._waiting.park()

    def _tell(self, step: Tell) -> None:
        if self._wire_log is not None:
            self._wire_log(f"{time_of(now())} * {printable(step.text.encode('utf-8'))}")


class _Conversation:
    """One flow's part in the turns that credentials take."""

    __slots__ = ("_alone", "_exchanged", "_gate", "_last", "_send", "_step", "failed")

    def __init__(self, gate: CredentialsGate, send: SendStep, exchanged: Reply | None) -> None:
        self._gate = gate
        self._send = send
        self._alone = False
        self._step: Send | None = None
        self._last: Reply | None = None
        self._exchanged = exchanged
        self.failed: Reply | None = None
        """A reply without a response."""

    @property
    def has_spoken(self) -> bool:
        """Whether there was an exchange."""
        return self._last is not None

    @property
    def last(self) -> Reply:
        """The last reply with a response."""
        assert self._last is not None  # noqa: S101 - a flow ends with a response
        return self._last

    async def say(self, step: Send) -> Response | None:
        """The response; None where there is none, or where the step was no longer good and nothing was sent."""
        reply = None
        while reply is None:
            if not self._alone:
                self._alone = await self._gate.enter(step)
            reply = await self._send(step, partial(self._may_go, step))
            if reply is None and not _is_good(step):
                return None
        if self._exchanged is not None:  # one attempt, over several exchanges: its evidence is theirs together
            earlier = self._exchanged
            reply = msgspec.structs.replace(
                reply,
                bytes_sent=reply.bytes_sent + earlier.bytes_sent,
                bytes_received=reply.bytes_received + earlier.bytes_received,
            )
        self._step, self._exchanged = step, reply
        if reply.response is None:
            self.failed = reply
        else:
            self._last = reply
        return reply.response

    def step_back(self) -> None:
        """Let others have their turn."""
        if self._alone:
            self._alone = False
            self._gate.leave(None)

    def end(self, result: FlowResult | None) -> None:
        """`result` is there where the flow has come to its end."""
        step = self._step
        if result is not None and result.refusal is not None and step is not None and self._gate.is_shown_by(step):
            self._gate.reject(result.response.status)
        if self._alone:
            self._gate.leave(result)

    def _may_go(self, step: Send) -> bool:
        return (self._alone or self._gate.lets_through(step)) and _is_good(step)


def _refused(reply: Reply, refusal: str) -> tuple[Reply, FlowResult | None]:
    assert reply.response is not None  # noqa: S101 - it is the response that refuses
    return reply, FlowResult(reply.response, refusal)


def _is_good(step: Send) -> bool:
    return step.is_good is None or step.is_good()


def _body_of(source: BodySource | None) -> Body:
    if source is None:
        return Body.IN_REQUEST
    return Body.REPLAYABLE if source.is_replayable else Body.ONE_SHOT


def _spent(reply: Reply) -> tuple[Reply, FlowResult | None]:
    reply = _with_error(reply, SPENT)
    assert reply.response is not None  # noqa: S101 - who goes on has had one
    return reply, FlowResult(reply.response)


def _with_error(reply: Reply, problem: str | None) -> Reply:
    assert reply.response is not None  # noqa: S101 - it is a response that has a problem
    return msgspec.structs.replace(reply, response=msgspec.structs.replace(reply.response, error=problem))


def _proven(reply: Reply, result: FlowResult) -> tuple[Reply, FlowResult | None]:
    reply = msgspec.structs.replace(reply, response=result.response)
    said = result.refusal or result.note
    if said is not None:
        return _with_error(reply, said), result
    if result.doubt is None:
        return reply, result
    problem = f"answered with {result.response.status}, but {result.doubt}"
    error = UnprovenResponseError(problem)
    error.sent = Sent.MAYBE
    return msgspec.structs.replace(reply, response=None, sent=Sent.MAYBE, error=error), result
