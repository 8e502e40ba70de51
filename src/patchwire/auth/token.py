"""An access token through its life: a frozen state, and one pure function that takes it on.

    absent -> refreshing -> fresh -> expiring -> expired
                 ^            |         |           |
                 +--- rejected, or too old ---------+

Time turns a fresh token into one that is expiring, which still serves while another is asked for, and then expired.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

MARGIN: Final = 60.0
"""Seconds before its end from which on another token is asked for."""
SHARE: Final = 0.2
"""The margin of a token that lives for a short time, as a share of that."""
PAUSE: Final = 5.0
"""Seconds from one failure to renew a token that still serves to the next try; a share of what is left, if shorter."""


class Token(Struct, frozen=True, omit_defaults=True):
    """What a token endpoint has given. `expires_at` in Unix seconds by our clock and `lifetime` in seconds, where it
    said; `extra` holds the members of its answer that have no meaning here.
    """

    access_token: str
    expires_at: float | None = None
    lifetime: float | None = None
    refresh_token: str | None = None
    scope: str | None = None
    extra: dict[str, Any] = {}

    def __repr__(self) -> str:
        """Never shows a token."""
        refresh = "" if self.refresh_token is None else ", refresh_token=***"
        return f"Token(access_token=***{refresh}, expires_at={self.expires_at})"

    def serves(self, now: float) -> bool:
        """Whether it has not ended, as far as is known."""
        return self.expires_at is None or now < self.expires_at

    def is_fresh(self, now: float) -> bool:
        """Whether it will not end soon."""
        if self.expires_at is None:
            return True
        margin = MARGIN if self.lifetime is None else min(MARGIN, SHARE * self.lifetime)
        return now < self.expires_at - margin


class Phase(Enum):
    """Where a token stands."""

    ABSENT = auto()
    FRESH = auto()
    EXPIRING = auto()
    """It serves, and it is time to ask for another."""
    EXPIRED = auto()
    REFRESHING = auto()
    """Another is being asked for."""
    REJECTED = auto()


class TokenState(Struct, frozen=True):
    """A token, and what became of it. `generation` grows with each new one."""

    token: Token | None = None
    generation: int = 0
    is_refreshing: bool = False
    is_rejected: bool = False
    retry_at: float = float("-inf")
    """When to ask for another again, in Unix seconds, after that has failed, or has given one that is about to end."""

    def phase(self, now: float) -> Phase:
        """Where the token stands at that moment."""
        if self.is_refreshing:
            return Phase.REFRESHING
        if self.token is None:
            return Phase.ABSENT
        if self.is_rejected:
            return Phase.REJECTED
        if self.token.is_fresh(now):
            return Phase.FRESH
        return Phase.EXPIRING if self.token.serves(now) else Phase.EXPIRED

    def serves(self, now: float) -> bool:
        """Whether there is a token that can be sent, also while another is being asked for."""
        return self.token is not None and not self.is_rejected and self.token.serves(now)

    def is_due(self, now: float) -> bool:
        """Whether another is to be asked for now, and nobody does."""
        phase = self.phase(now)
        if phase is Phase.EXPIRING:
            return not self.retry_at - PAUSE <= now < self.retry_at  # a clock that is set back ends the pause
        return phase in (Phase.ABSENT, Phase.EXPIRED, Phase.REJECTED)


class Began(Struct, frozen=True):
    """Somebody asks for another token."""


class Obtained(Struct, frozen=True):
    """It has come."""

    token: Token


class Failed(Struct, frozen=True):
    """None has come."""


class Rejected(Struct, frozen=True):
    """A server did not take the token of this generation."""

    generation: int


Event = Began | Obtained | Failed | Rejected


def step(state: TokenState, event: Event, now: float) -> TokenState:
    """The state behind the event. A rejection of a token that has been replaced meanwhile changes nothing."""
    match event:
        case Began():
            return replace(state, is_refreshing=True)
        case Obtained(token=token):
            return TokenState(token, state.generation + 1, retry_at=now + _pause(token, now))
        case Failed():
            return replace(state, is_refreshing=False, retry_at=now + _pause(state.token, now))
    return replace(state, is_rejected=True) if event.generation == state.generation else state


def _pause(token: Token | None, now: float) -> float:
    """Short enough that a token which lives for a short time is asked for again before its end."""
    if token is None or token.expires_at is None:
        return PAUSE
    return min(PAUSE, max(0.0, (token.expires_at - now) / 4))
