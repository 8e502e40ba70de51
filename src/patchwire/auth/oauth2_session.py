"""The token of a connection: one for all its requests, renewed by one of them at a time."""

from __future__ import annotations

from collections.abc import Generator
from typing import Final

from msgspec.structs import replace

from patchwire.auth.flow import Answer, Step, Tell, Wait
from patchwire.auth.oauth2_source import TokenSource
from patchwire.auth.oauth2_terms import is_same_scope
from patchwire.auth.token import Began, Failed, Obtained, Rejected, TokenState, step
from patchwire.errors import CredentialsError, StorageError, TokenError

LEAST: Final = 1.0
"""Seconds for which a new token is taken to serve, however long it was on its way: else it might never be tried."""


class TokenSession:
    """`source` has another token, whenever one is needed."""

    def __init__(self, source: TokenSource) -> None:
        self._source = source
        self._clock = source.exchange.clock
        self._state = TokenState()
        self._failures = 0
        self._failure: CredentialsError | StorageError | None = None
        self.generation = 0
        """It grows whenever who waits may find something new."""

    @property
    def state(self) -> TokenState:
        """The token that is in force, and what became of it."""
        return self._state

    def at_hand(self) -> TokenState | None:
        """The state, where its token serves and it is nobody's turn to renew it."""
        state, now = self._state, self._clock()
        return state if state.serves(now) and not state.is_due(now) else None

    def is_current(self, generation: int) -> bool:
        """Whether a request with the token of this generation may go."""
        state = self._state
        return state.generation == generation and state.serves(self._clock())

    def current(self) -> Generator[Step, Answer, TokenState]:
        """The state with a token to send, renewed first where it is time for that.

        CredentialsError or StorageError where there is none.
        """
        while True:
            state = self.at_hand()
            if state is not None:
                return state
            if self._state.is_refreshing:
                yield from self._waited()
            else:
                yield from self._renewed()

    def reject(self, generation: int) -> None:
        """A server did not take the token of this generation."""
        state = step(self._state, Rejected(generation), self._clock())
        if state is not self._state:
            self._state = state
            self.generation += 1

    def _waited(self) -> Generator[Step, Answer, None]:
        """What fails for who asks fails for all who wait for it."""
        failures = self._failures
        yield Wait(self.generation)
        serves = self._state.serves(self._clock())  # somebody may have had more luck since
        if self._failure is not None and self._failures > failures and not serves:
            raise _another(self._failure)

    def _renewed(self) -> Generator[Step, Answer, None]:
        clock, problem = self._clock, ""
        self._state = step(self._state, Began(), clock())
        try:
            token = yield from self._source.another(self._state)
            wanted = self._source.exchange.terms.scope
            if token.scope is not None and wanted and not is_same_scope(token.scope, wanted):
                yield Tell(f"the scope that was granted is {token.scope!r}, where {wanted!r} was asked for")
            if not token.serves(clock()):
                token = replace(token, expires_at=clock() + LEAST)
            self._state = step(self._state, Obtained(token), clock())
        except (CredentialsError, StorageError) as error:
            if not self._state.serves(clock()):
                self._failures += 1
                self._failure = error
                raise
            problem = str(error)
        finally:
            if self._state.is_refreshing:
                self._state = step(self._state, Failed(), clock())
            self.generation += 1
        if problem:
            yield Tell(f"the token that is about to end could not be renewed: {problem}")


def _another(error: CredentialsError | StorageError) -> CredentialsError | StorageError:
    """The same error for somebody else, with a traceback of their own."""
    match error:
        case TokenError():
            return TokenError(str(error), origin=error.origin, status=error.status, code=error.code)
        case CredentialsError():
            return CredentialsError(str(error), origin=error.origin)
    return StorageError(str(error))
