"""The nonce ledger: which nonce a request uses, and with which count, so that none is ever used twice.

A nonce count says how many requests have used a nonce (RFC 7616 section 3.4), and a server may refuse one that it has
seen, or one that is not the next. Requests that run side by side arrive in any order, so what a server accepts is
found out: at first all share a nonce; where that is refused, a nonce serves one request at a time; where that is
refused too, each request gets a nonce of its own. Nothing waits here: claims are made and settled between two steps.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from enum import Enum, auto
from typing import Final

from msgspec import Struct

from patchwire.auth.digest import Session

MAX_NONCES: Final = 4096
"""Nonces remembered; the oldest goes first, and is not used again."""
PROVEN: Final = 100
"""Requests that a nonce has served side by side, after which its end is no sign that the server minds their order."""
LIVES: Final = 2
"""Requests that a nonce has served one after the other, after which its end is no sign that it is good for one."""
SHORT_LIVES: Final = 3
"""Nonces in a row that ended early, before another use is tried. A server that says `stale` may mean it."""


class Use(Enum):
    """How requests may use a nonce."""

    PARALLEL = auto()
    """Any number at a time."""
    ORDERED = auto()
    """One at a time, so that counts arrive in their order."""
    ONCE = auto()
    """One."""


class End(Enum):
    """What became of a claim."""

    ACCEPTED = auto()
    """The server has accepted the credentials, whatever it thinks of the request."""
    STALE = auto()
    """It asks for the same with another nonce."""
    REJECTED = auto()
    """It does not accept the nonce, its count, or the password."""
    LOST = auto()
    """No answer came."""


class Nonce:
    """A nonce, and what was made of it. Only the ledger changes it."""

    __slots__ = ("accepted", "count", "flying", "has_taught", "is_free", "is_over", "is_shared", "session")

    def __init__(self, session: Session) -> None:
        self.session = session
        self.count = 0
        self.flying = 0
        self.accepted = 0
        self.is_free = False
        self.is_shared = False
        """Whether others may claim it; until it has been accepted only who has brought it may."""
        self.is_over = False
        self.has_taught = False


class Claim(Struct, frozen=True):
    """The right to send one request with this nonce and count, which nobody else ever gets."""

    nonce: Nonce
    count: int
    is_fresh: bool
    """Whether nobody but its owner has used the nonce: a rejection is about the password then."""

    @property
    def session(self) -> Session:
        """What makes the credentials."""
        return self.nonce.session


class Changes:
    """Counts what flows that wait may be waiting for. All ledgers of one authentication share it."""

    __slots__ = ("number",)

    def __init__(self) -> None:
        self.number = 0


class NonceLedger:
    """The nonces of one realm at one origin. Each claim is settled once. Evicted nonces cannot be claimed."""

    def __init__(self, changes: Changes, use: Use = Use.PARALLEL) -> None:
        self.use = use
        self.renewing = 0
        """How many are about to bring a new nonce."""
        self._changes = changes
        self._known: OrderedDict[bytes, Nonce] = OrderedDict()
        self._free: deque[Nonce] = deque(maxlen=MAX_NONCES)  # the most recent last
        self._short_lives = 0

    @property
    def size(self) -> int:
        """How many nonces are remembered."""
        return len(self._known)

    def claim(self) -> Claim | None:
        """The next count of a nonce that is free for use, or None."""
        free = self._free
        while free:
            nonce = free[-1]
            if self.use is Use.PARALLEL and not nonce.is_over:
                return self._claimed(nonce)
            free.pop()
            nonce.is_free = False
            if not nonce.is_over and not nonce.flying and not (nonce.count and self.use is Use.ONCE):
                return self._claimed(nonce)
        return None

    def bring(self, session: Session) -> Claim | None:
        """A claim on the nonce of a challenge that has just come, for who has brought it alone until it is accepted.

        A nonce that is known already goes on counting; None where it is in use, and may serve one request at a time.
        """
        nonce = self._known.get(session.terms.nonce)
        if nonce is None:
            nonce = self._added(session)
        elif nonce.flying and self.use is not Use.PARALLEL:
            return None
        nonce.is_over = False
        return self._claimed(nonce)

    def renew(self, claim: Claim, session: Session) -> None:
        """The server wants the next requests to use this nonce (nextnonce, RFC 7616 section 3.5)."""
        if session.terms.nonce in self._known:
            return
        nonce = self._added(session)
        nonce.is_shared = True
        self._put_back(nonce)
        claim.nonce.is_over = True

    def settle(self, claim: Claim, end: End) -> None:
        """Say what became of a claim."""
        nonce = claim.nonce
        nonce.flying -= 1
        if end is End.ACCEPTED:
            nonce.accepted += 1
            if not nonce.is_shared or self.use is not Use.PARALLEL:
                nonce.is_shared = True
                self._put_back(nonce)
            if nonce.accepted == LIVES and self.use is Use.ORDERED:
                self._short_lives = 0
            return
        if end is not End.LOST:
            self._learn(claim, end)
        if end is not End.LOST or self.use is not Use.PARALLEL or not nonce.is_shared:
            # Whether a count that was lost has arrived is not known, and so not which is the next.
            nonce.is_over = True
        self._changes.number += 1

    def _put_back(self, nonce: Nonce) -> None:
        if self.use is Use.PARALLEL or not nonce.flying:
            if not nonce.is_free and not nonce.is_over:
                nonce.is_free = True
                self._free.append(nonce)
            self._changes.number += 1

    def _claimed(self, nonce: Nonce) -> Claim:
        is_fresh = nonce.count == 0 and not nonce.is_shared
        nonce.count += 1
        nonce.flying += 1
        return Claim(nonce, nonce.count, is_fresh)

    def _added(self, session: Session) -> Nonce:
        if len(self._known) >= MAX_NONCES:
            self._evict()
        nonce = self._known[session.terms.nonce] = Nonce(session)
        return nonce

    def _evict(self) -> None:
        """Forget the nonce that came first, but for the one in use by all."""
        name, oldest = self._known.popitem(last=False)
        if self.use is Use.PARALLEL and self._free and self._free[-1] is oldest:
            self._known[name] = oldest
            name, oldest = self._known.popitem(last=False)
        oldest.is_over = True

    def _learn(self, claim: Claim, end: End) -> None:
        """From a rejection: whether the server minds how its nonces are used."""
        nonce = claim.nonce
        if nonce.has_taught or claim.is_fresh or self.use is Use.ONCE:
            return  # said already; or about the password
        nonce.has_taught = True
        if nonce.accepted >= (PROVEN if self.use is Use.PARALLEL else LIVES):
            self._short_lives = 0
            return
        self._short_lives += 1
        if self._short_lives >= SHORT_LIVES or (end is End.REJECTED and self.use is Use.PARALLEL):
            self.use = Use.ORDERED if self.use is Use.PARALLEL else Use.ONCE
            self._short_lives = 0
