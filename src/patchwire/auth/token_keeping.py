"""Tokens that outlive a process: read and written as one entry, by one process at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Generator
from typing import Final, Protocol

import msgspec
from msgspec import Struct

from patchwire.auth.flow import Answer, Load, Pause, Step
from patchwire.auth.oauth2_terms import Before, Terms, is_same_scope
from patchwire.auth.token import Token
from patchwire.errors import CredentialsError, UnreadableTokenError

LOOK: Final = 0.05
"""Seconds from one look at a lock to the next."""
PATIENCE: Final = 120.0
"""Seconds that another process may take to renew a token."""


class TokenStore(Protocol):
    """One entry that outlives the process; its content is opaque to it, and its functions may block. StorageError,
    from each of them.
    """

    def prepare(self) -> None:
        """Have what writing needs. It may take long: a person may have to unlock a key."""

    def read(self) -> bytes | None:
        """The entry, or None; as long. UnreadableTokenError where it is there and cannot be read."""

    def write(self, content: bytes, *, patiently: bool = False) -> None:
        """Put the content in the entry's place; it is on the disk when this returns. StorageError leaves the old,
        `patiently` after some tries.
        """

    def try_lock(self) -> bool:
        """Whether the entry is this store's alone, until `unlock`."""

    def unlock(self) -> None:
        """Give it up. Does not block."""


class Kept(Struct, frozen=True, omit_defaults=True):
    """An entry: a token, and with what settings it was obtained."""

    token: Token
    scope: str = ""
    """As it was asked for."""
    source: str = ""
    """Origin of the authorization server that has given it."""
    given: str = ""
    """Fingerprint of the refresh token of the settings then."""
    rejected: tuple[str, ...] = ()
    """Fingerprints of access tokens of the settings that were rejected."""
    spending_since: float | None = None
    """Since when its refresh token has been on its way, in Unix seconds: how that ended was not written down."""

    granted: str | None = None
    """The scope behind its refresh token, where that was not asked for: an override made it narrower for a while."""

    def is_for(self, scope: str) -> bool:
        """Whether it was asked for with this scope, in whatever order."""
        return is_same_scope(self.scope, scope)

    def can_give(self, scope: str) -> bool:
        """Whether its refresh token was granted with this scope, and so gives it where none is asked for."""
        return is_same_scope(self.scope if self.granted is None else self.granted, scope)


def entry_for(token: Token, terms: Terms, before: Before, good: Collection[str] = ()) -> Kept:
    """The entry of a token that was obtained on these terms, when of the access tokens of the settings only those in
    `good` were any more.
    """
    of_settings = (before.access_token, terms.access_token)
    texts = dict.fromkeys(each.reveal() for each in of_settings if each is not None)
    rejected = tuple(fingerprint(text) for text in texts if text not in good)
    given = "" if terms.refresh_token is None else fingerprint(terms.refresh_token.reveal())
    return Kept(token, terms.scope, terms.source, given, rejected)


def kept_in(content: bytes) -> Kept:
    """The entry with this content. UnreadableTokenError where it is of another form."""
    try:
        return msgspec.json.decode(content, type=Kept)
    except msgspec.DecodeError:
        raise UnreadableTokenError("the kept token is of a form that is not known here") from None


def fingerprint(secret: str) -> str:
    """What tells a secret from another; it stands in encrypted entries only."""
    return hashlib.sha256(secret.encode("utf-8")).hexdigest()


class TokenKeeping:
    """A store as steps of a flow; without one nothing is kept, and nobody else is waited for."""

    def __init__(self, store: TokenStore | None) -> None:
        self._store = store

    def read(self) -> Generator[Step, Answer, Kept | None]:
        """The entry. UnreadableTokenError."""
        if self._store is None:
            return None
        content = yield Load(self._store.read)
        if content is None:
            return None
        assert isinstance(content, bytes)  # noqa: S101 - what the driver of a flow has promised
        return kept_in(content)

    def lock(self, origin: str) -> Generator[Step, Answer, None]:
        """Wait until no other process renews the token, and writing needs nothing more that may take long."""
        if self._store is None:
            return
        yield Load(self._store.prepare)
        waited = 0.0
        while not (yield Load(self._store.try_lock, is_brief=True)):
            if waited >= PATIENCE:
                problem = f"another process has been renewing this token for {PATIENCE:.0f} seconds: end it"
                raise CredentialsError(problem, origin=origin)
            yield Pause(LOOK)
            waited += LOOK

    def unlock(self) -> None:
        """Let other processes go on."""
        if self._store is not None:
            self._store.unlock()

    def mark(self, kept: Kept) -> Generator[Step, Answer, None]:
        """Write the entry before something is sent: StorageError where that cannot be done, and nothing is lost."""
        if self._store is not None:
            yield Load(_writing(self._store, kept), is_brief=True)

    def keep(self, kept: Kept) -> Generator[Step, Answer, None]:
        """Write the entry, which came of what was sent. StorageError after some tries."""
        if self._store is not None:
            yield Load(_writing(self._store, kept, patiently=True), is_brief=True)


def _writing(store: TokenStore, kept: Kept, *, patiently: bool = False) -> Callable[[], None]:
    content = msgspec.json.encode(kept)
    return lambda: store.write(content, patiently=patiently)
