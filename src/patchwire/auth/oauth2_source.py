"""Where another token comes from. In this order: the settings, until theirs is rejected; the one that is kept; and
what the authorization server gives for the refresh token or, for grants that need nobody, for the grant itself.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final, TypeVar

from msgspec.structs import replace

from patchwire.auth import oauth2
from patchwire.auth.flow import Answer, Step, Tell
from patchwire.auth.oauth2_exchange import TokenExchange
from patchwire.auth.oauth2_terms import NEEDS_A_PERSON, Before
from patchwire.auth.secret import Secret
from patchwire.auth.token import Token, TokenState
from patchwire.auth.token_keeping import Kept, TokenKeeping, entry_for, fingerprint
from patchwire.errors import CredentialsError, StorageError, TokenError

T = TypeVar("T")
_OF_THE_CLIENT: Final = frozenset({"invalid_client", "unauthorized_client", "invalid_scope", "unsupported_grant_type"})
"""Errors that a new grant would not end."""


class TokenSource:
    """`exchange` asks on the terms in force; `before` is what was said before any override of them. `origin` is whom
    the tokens are for, for errors.
    """

    def __init__(
        self, exchange: TokenExchange, keeping: TokenKeeping, origin: str, before: Before | None = None
    ) -> None:
        terms = exchange.terms
        self.exchange = exchange
        self._before = Before(terms.access_token, terms.scope, terms.source) if before is None else before
        self._keeping = keeping
        self._origin = origin
        self._given = {each.reveal() for each in (self._before.access_token, terms.access_token) if each}
        """Access tokens of the settings that have not been rejected."""
        self._rejected: set[str] = set()
        """Access tokens that were, lest one that is kept be taken again."""
        self._refused: dict[str, str] = {}
        """What is not tried again, by the refresh token or "" for the grant, and why."""
        self._unkept: tuple[Kept, Kept | None] | None = None
        """What was given, and is not written down yet; and what stood in its place."""

    def another(self, held: TokenState) -> Generator[Step, Answer, Token]:
        """A token other than the one that is held, kept before it is used. CredentialsError, StorageError."""
        if held.is_rejected and held.token is not None:
            self._given.discard(held.token.access_token)
            self._rejected.add(held.token.access_token)
        if self._unkept is None:
            token = self._usable((yield from self._read()), held)
            if token is not None:
                return token
        try:
            yield from self._if_it_can_be(self._keeping.lock(self._origin))
            if self._unkept is not None:
                yield from self._keep_late(*self._unkept)
            kept = yield from self._read()  # another process may have renewed it meanwhile
            token = self._usable(kept, held)
            return (yield from self._asked(kept, held)) if token is None else token
        finally:
            self._keeping.unlock()

    def _read(self) -> Generator[Step, Answer, Kept | None]:
        """The entry, where it was obtained for what is wanted now."""
        kept = yield from self._if_it_can_be(self._keeping.read())
        if kept is None or kept.source not in (self.exchange.terms.source, self._before.source):
            return None  # a token is of use to those for whom it was made, and their secrets are no one else's
        self._given -= {each for each in self._given if fingerprint(each) in kept.rejected}
        wanted = self.exchange.terms.scope
        if kept.is_for(wanted) or kept.is_for(self._before.scope):
            return kept
        if self._given:
            return None
        if kept.granted is not None and (kept.can_give(wanted) or kept.can_give(self._before.scope)):
            return replace(kept, token=replace(kept.token, expires_at=0.0))  # it is the refresh token that is of use
        change = f"the scope has changed from {kept.scope!r} to {wanted!r}"
        if self._needs_a_person:
            raise CredentialsError(f"{change}: {self.exchange.terms.remedy}", origin=self._origin)
        yield Tell(f"{change}: another token is asked for")
        return None

    def _usable(self, kept: Kept | None, held: TokenState) -> Token | None:
        """A token that nobody needs to be asked for, other than the one that is to be renewed."""
        now, former = self.exchange.clock(), held.token
        found = [_from_settings(self._before.access_token, self._given)]
        if kept is not None and kept.token.serves(now) and kept.token.access_token not in self._rejected:
            found.append(kept.token)
        found.append(_from_settings(self.exchange.terms.access_token, self._given))
        return next(
            (each for each in found if each and (not former or each.access_token != former.access_token)), None
        )

    def _asked(self, kept: Kept | None, held: TokenState) -> Generator[Step, Answer, Token]:
        """A new token, which is kept before it is used."""
        refresh_token = self._refresh_token(kept)
        if refresh_token is not None and refresh_token not in self._refused:
            try:
                return (yield from self._refreshed(refresh_token, kept))
            except TokenError as error:
                error = self._lost(error, kept) if self._needs_a_person else error
                self._note(refresh_token, error)
                if self._needs_a_person:
                    raise error from None
                yield Tell(f"the refresh token does not serve: {error}")
        if self._needs_a_person or "" in self._refused:
            raise CredentialsError(self._missing(refresh_token, held), origin=self._origin)
        try:
            token = yield from self.exchange.token(self.exchange.own_grant)
        except TokenError as error:
            self._note("", error)
            raise
        yield from self._keep(self._entry(token), kept)
        return token

    def _refreshed(self, refresh_token: str, kept: Kept | None) -> Generator[Step, Answer, Token]:
        """What the refresh token gives; that it is on its way is written down first."""
        terms, clock = self.exchange.terms, self.exchange.clock
        wanted = "" if kept is None or kept.can_give(terms.scope) else terms.scope
        entry = self._entry(Token("", 0.0, refresh_token=refresh_token)) if kept is None else kept
        marked = replace(entry, spending_since=clock())
        yield from self._if_it_can_be(self._keeping.mark(marked))
        try:
            token = yield from self.exchange.token(lambda _: oauth2.refresh(refresh_token, wanted))
        except TokenError:
            with suppress(StorageError):
                yield from self._keeping.mark(entry)  # how it ended is known
            raise
        if token.refresh_token is None:
            token = replace(token, refresh_token=refresh_token)
        granted = (entry.scope if entry.granted is None else entry.granted) if wanted else None
        yield from self._keep(replace(self._entry(token), granted=granted), marked)
        return token

    def _keep_late(self, kept: Kept, former: Kept | None) -> Generator[Step, Answer, None]:
        """Unless another has been put there meanwhile, such as by patchwire authorize."""
        if (yield from self._if_it_can_be(self._keeping.read())) == former:
            yield from self._keep(kept, former)
        self._unkept = None

    def _keep(self, kept: Kept, former: Kept | None) -> Generator[Step, Answer, None]:
        """Whoever gives up half-way, or finds that it cannot be, leaves it to the next."""
        self._unkept = kept, former
        try:
            write = self._keeping.keep if self._needs_a_person else self._keeping.mark
            yield from self._if_it_can_be(write(kept))
        except StorageError as error:
            raise StorageError(
                f"{error}; the new token is not used before it is kept, and lost with this process"
            ) from None
        self._unkept = None

    def _if_it_can_be(self, steps: Generator[Step, Answer, T]) -> Generator[Step, Answer, T | None]:
        """What a store gives. Where it fails, and a token can be had without it, that is told and no more."""
        try:
            return (yield from steps)
        except StorageError as error:
            if self._needs_a_person and not self._given:
                raise
            yield Tell(f"tokens are not kept: {error}")
            return None

    def _entry(self, token: Token) -> Kept:
        return entry_for(token, self.exchange.terms, self._before, self._given)

    def _refresh_token(self, kept: Kept | None) -> str | None:
        """That of the settings, until it has given another; a new one there counts again."""
        terms = self.exchange.terms
        if terms.grant_type in ("client_credentials", "jwt_bearer"):
            return None
        given = terms.refresh_token
        is_behind_it = kept is not None and kept.source == terms.source and kept.given == _fingerprint(given)
        if kept is not None and is_behind_it and kept.token.refresh_token:
            return kept.token.refresh_token
        return None if given is None else given.reveal()

    @property
    def _needs_a_person(self) -> bool:
        return self.exchange.terms.grant_type in NEEDS_A_PERSON

    def _note(self, what: str, error: TokenError) -> None:
        """What is refused is not asked for again: it would be again, and may lock an account."""
        if error.is_final:
            self._refused[what] = str(error)

    def _lost(self, error: TokenError, kept: Kept | None) -> TokenError:
        """What is said where only a person can help."""
        said = str(error)
        if error.code == "invalid_grant" and kept is not None and kept.spending_since is not None:
            at = datetime.fromtimestamp(kept.spending_since, UTC)
            said += f"; a refresh that began at {at:%Y-%m-%d %H:%M:%S} UTC was cut off, and may have spent the grant"
        if error.is_final and error.code not in _OF_THE_CLIENT:
            said += f": {self.exchange.terms.remedy}"
        return TokenError(said, origin=error.origin, status=error.status, code=error.code)

    def _missing(self, refresh_token: str | None, held: TokenState) -> str:
        """Why nothing is asked."""
        terms = self.exchange.terms
        if "" in self._refused:
            return f"not asked for a token again: {self._refused['']}"
        if refresh_token is not None:
            return f"not asked for a token again: {self._refused[refresh_token]}"
        if held.token is None:
            return f"there is no token yet: {terms.remedy}"
        ended = "was rejected" if held.is_rejected else "has ended"
        return f"the token {ended}, and there is no refresh token: {terms.remedy}"


def _from_settings(secret: Secret | None, good: set[str]) -> Token | None:
    return None if secret is None or secret.reveal() not in good else Token(secret.reveal())


def _fingerprint(secret: Secret | None) -> str:
    return "" if secret is None else fingerprint(secret.reveal())
