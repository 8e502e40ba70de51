"""Requests with the token of a session: sent at once or when asked, and renewed once where a server rejects it."""

from __future__ import annotations

from collections.abc import Generator, Sequence

from patchwire.auth.bearer import authorization, rejected_by
from patchwire.auth.challenge import Challenge, parse
from patchwire.auth.flow import (
    Answer,
    Body,
    Flow,
    FlowResult,
    Send,
    Step,
    Tell,
    as_a_stranger,
    offers,
    send_held_back,
)
from patchwire.auth.oauth2_session import TokenSession
from patchwire.auth.protection import ProtectionSpaces, directory_of
from patchwire.auth.quoting import hiding
from patchwire.auth.token import TokenState
from patchwire.http.message import Origin, Request, Response

MOST = 3
"""Tokens that may end on the way before one is taken to be rejected."""
_OF_THE_REQUEST = frozenset({"invalid_request", "insufficient_scope"})
"""Errors that another token would not end (RFC 6750 section 3.1)."""


class OAuth2Authentication:
    """Sends the session's token to `origin` alone: at once when `preemptive`, else from the first challenge on within
    its protection space.
    """

    def __init__(self, session: TokenSession, origin: Origin, *, preemptive: bool) -> None:
        self._session = session
        self._origin = origin
        self._preemptive = preemptive
        self._spaces: ProtectionSpaces[bool] = ProtectionSpaces()
        self._field = (-1, b"")

    @property
    def generation(self) -> int:
        """It grows whenever a flow that waits may find something new."""
        return self._session.generation

    def flow(self, request: Request, body: Body = Body.IN_REQUEST) -> Flow:
        """The conversation for one request. Its result names a refusal when the server does not take a token that was
        renewed for it. CredentialsError where there is none.
        """
        if request.origin != self._origin:
            return (yield from as_a_stranger(request))
        if not (self._preemptive or self._spaces.find(request)):
            response = yield from send_held_back(Send(request), body)
            asked = parse(response.all_values(b"www-authenticate"))
            if response.status != 401:
                return FlowResult(response)
            if _bearer(asked) is None:
                return FlowResult(response, _no_use(asked))
            yield Tell(f"the server asks for {offers(asked)}; chosen: Bearer")
        return (yield from self._with_token(request))

    def _with_token(self, request: Request) -> Flow:
        tokens = list[str]()
        while True:
            state, response = yield from self._sent(request)
            assert state.token is not None  # noqa: S101 - what is in force has one
            tokens.append(state.token.access_token)
            if response.status != 401:
                if not self._preemptive:
                    self._spaces.add(directory_of(request), True)
                return _judged(response, tokens)
            asked = parse(response.all_values(b"www-authenticate"))
            challenge = _bearer(asked)
            said = rejected_by(challenge, hide=hiding(tokens))
            if challenge is not None and challenge.get("error") in _OF_THE_REQUEST:
                return FlowResult(response, note=said, proves=False)
            # A token that has ended on the way says nothing of the one behind it.
            if len(tokens) > MOST or (len(tokens) > 1 and self._session.is_current(state.generation)):
                return FlowResult(response, _no_use(asked) if asked and challenge is None else said)
            yield Tell(said)
            self._session.reject(state.generation)

    def _sent(self, request: Request) -> Generator[Step, Answer, tuple[TokenState, Response]]:
        """The response to the request with the token in force, and that."""
        session = self._session
        generation = -1

        def is_good() -> bool:
            """It may wait for its turn, or for a connection, until another token is in force."""
            return session.is_current(generation)

        while True:
            state = session.at_hand()
            if state is None:
                state = yield from session.current()
            generation = state.generation
            answer = yield Send(request.with_header(b"Authorization", self._value(state)), is_good=is_good)
            if answer is not None:
                assert isinstance(answer, Response)  # noqa: S101 - what the driver of a flow has promised
                return state, answer

    def _value(self, state: TokenState) -> bytes:
        generation, field = self._field
        if generation != state.generation:
            assert state.token is not None  # noqa: S101 - what is in force has one
            field = authorization(state.token.access_token)
            self._field = (state.generation, field)
        return field


def _bearer(asked: Sequence[Challenge]) -> Challenge | None:
    return next((challenge for challenge in asked if challenge.scheme == "bearer"), None)


def _no_use(asked: Sequence[Challenge]) -> str:
    return f"the server asks for {offers(asked)}, this connection has a bearer token of OAuth 2.0"


def _judged(response: Response, tokens: Sequence[str]) -> FlowResult:
    """A scope that is not enough is about the request, and so shows that the token is good."""
    if response.status != 403:
        return FlowResult(response)
    challenge = _bearer(parse(response.all_values(b"www-authenticate")))
    if challenge is None or challenge.get("error") != "insufficient_scope":
        return FlowResult(response)
    needed = challenge.get("scope")
    more = f": it needs {hiding(tokens)(needed)[:200]!r} (oauth2.scope)" if needed else " (oauth2.scope)"
    return FlowResult(response, note=f"the token's scope is not enough{more}")
