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

MAX_NONCES: Final = 1024
"""Nonces remembered, of all realms; the oldest goes first. One that comes back after that is taken for a new one."""
PROVEN: Final = 100
"""Requests that a nonce has served side by side, after which its end is no sign that the server minds their order."""
LIVES: Final = 2
"""Requests that a nonce has served one after the other, after which its end is no sign that it is good for one."""
SHORT_LIVES: Final = 3
"""Nonces in a row that ended early, before another use is tried. A server that says `stale` may mean it."""
FIRST_TRIAL: Final = 64
"""Requests with a nonce each after which a nonce is used again, to see; and twice as many after each time in vain."""
LAST_TRIAL: Final = 4096


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

    __slots__ = (
        "accepted",
        "count",
        "flying",
        "has_taught",
        "is_free",
        "is_over",
        "is_retired",
        "is_shared",
        "session",
        "was_crowded",
    )

    def __init__(self, session: Session) -> None:
        self.session: Session | None = session
        """None once it is forgotten."""
        self.count = 0
        self.flying = 0
        self.was_crowded = False
        """Whether requests have ever used it side by side."""
        self.accepted = 0
        self.is_free = False
        """Whether it lies among those that are free for use."""
        self.is_shared = False
        """Whether others may claim it; until it has been accepted only who has brought it may."""
        self.is_over = False
        """Whether it is no good any more."""
        self.is_retired = False
        """Whether another has taken its place: it is good for claims that were made already."""
        self.has_taught = False

    def is_good(self) -> bool:
        """Whether a claim on it that was made a while ago may still be used."""
        return not self.is_over


class Claim(Struct, frozen=True):
    """The right to send one request with this nonce and count, which nobody else ever gets."""

    nonce: Nonce
    session: Session
    """What makes the credentials."""
    count: int
    is_fresh: bool
    """Whether nobody but its owner has used the nonce: a rejection is about the password then."""
    is_brought: bool
    """Whether the nonce has just come with a challenge."""


class NonceMemory:
    """The nonces of one origin, whatever realm they came with. `changes` counts what waiting flows may wait for."""

    def __init__(self) -> None:
        self.changes = 0
        self._known: OrderedDict[bytes, Nonce] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def find(self, name: bytes) -> Nonce | None:
        """What is known of a nonce."""
        return self._known.get(name)

    def add(self, session: Session) -> Nonce:
        """Remember a nonce that has just come. The oldest that nobody is using makes room for it."""
        if len(self._known) >= MAX_NONCES:
            self._evict()
        nonce = self._known[session.terms.nonce] = Nonce(session)
        return nonce

    def _evict(self) -> None:
        for _ in range(len(self._known)):
            name, oldest = self._known.popitem(last=False)
            is_live = oldest.is_free and oldest.count > 1 and not (oldest.is_over or oldest.is_retired)
            if not oldest.flying and not is_live:
                break
            self._known[name] = oldest
        else:
            _, oldest = self._known.popitem(last=False)
        oldest.is_over = True
        oldest.session = None


class NonceLedger:
    """The nonces of one realm. Each claim is settled once."""

    def __init__(self, memory: NonceMemory, use: Use = Use.PARALLEL) -> None:
        self.use = use
        self.renewing = 0
        """How many are about to bring a new nonce."""
        self._memory = memory
        self._free: deque[Nonce] = deque(maxlen=MAX_NONCES)  # the most recent last
        self._short_lives = 0
        self._trial_after = FIRST_TRIAL
        self._until_trial = FIRST_TRIAL

    def claim(self) -> Claim | None:
        """The next count of a nonce that is free for use, or None."""
        free = self._free
        while free:
            nonce = free[-1]
            is_live = not (nonce.is_over or nonce.is_retired)
            if is_live and self.use is Use.PARALLEL:
                return self._claimed(nonce)
            free.pop()
            nonce.is_free = False
            if is_live and not nonce.flying and not (nonce.count and self.use is Use.ONCE):
                return self._claimed(nonce)
        return None

    def bring(self, session: Session) -> Claim | None:
        """A claim on the nonce of a challenge that has just come, for who has brought it alone until it is accepted.

        A nonce that is known already goes on counting; None where it is in use, and may serve one request at a time.
        """
        nonce = self._memory.find(session.terms.nonce)
        if nonce is None:
            nonce = self._memory.add(session)
        elif nonce.flying and self.use is not Use.PARALLEL:
            return None
        elif nonce.is_over:  # the server gives it another life
            nonce.session, nonce.accepted, nonce.is_over, nonce.has_taught = session, 0, False, False
        nonce.is_retired = False
        return self._claimed(nonce, is_brought=True)

    def renew(self, claim: Claim, session: Session) -> None:
        """The server wants the next requests to use this nonce (nextnonce, RFC 7616 section 3.5)."""
        if self._memory.find(session.terms.nonce) is not None:
            return
        nonce = self._memory.add(session)
        nonce.is_shared = True
        self._put_back(nonce)
        claim.nonce.is_retired = True

    def settle(self, claim: Claim, end: End) -> None:
        """Say what became of a claim."""
        nonce = claim.nonce
        nonce.flying -= 1
        if end is End.ACCEPTED:
            nonce.accepted += 1
            if self.use is not Use.PARALLEL:
                self._learn_success(nonce)
            if not nonce.is_free or self.use is not Use.PARALLEL:
                nonce.is_shared = True
                self._put_back(nonce)
            return
        if end is not End.LOST:
            self._learn_failure(claim, end)
        if end is not End.LOST or self.use is not Use.PARALLEL or not nonce.is_shared:
            # Whether a count that was lost has arrived is not known, and so not which is the next.
            nonce.is_over = True
        self._memory.changes += 1

    def _put_back(self, nonce: Nonce) -> None:
        if self.use is Use.PARALLEL or not nonce.flying:
            if not (nonce.is_free or nonce.is_over or nonce.is_retired):
                nonce.is_free = True
                self._free.append(nonce)
            self._memory.changes += 1

    def _claimed(self, nonce: Nonce, *, is_brought: bool = False) -> Claim:
        assert nonce.session is not None  # noqa: S101 - what is forgotten is over
        is_fresh = nonce.count == 0 and not nonce.is_shared
        nonce.count += 1
        nonce.flying += 1
        if nonce.flying > 1:
            nonce.was_crowded = True
        return Claim(nonce, nonce.session, nonce.count, is_fresh, is_brought)

    def _learn_success(self, nonce: Nonce) -> None:
        if self.use is Use.ORDERED:
            if nonce.accepted == LIVES:
                self._short_lives = 0
                self._trial_after = FIRST_TRIAL
            return
        self._until_trial -= 1
        if self._until_trial <= 0:
            # What has led here may have been a restart, or pauses longer than a nonce lives. One failure leads back.
            self.use = Use.ORDERED
            self._short_lives = SHORT_LIVES - 1
            self._trial_after = min(LAST_TRIAL, 2 * self._trial_after)

    def _learn_failure(self, claim: Claim, end: End) -> None:
        """From a rejection: whether the server minds how its nonces are used."""
        nonce = claim.nonce
        if nonce.has_taught or claim.is_fresh or self.use is Use.ONCE:
            return  # said already; or about the password
        if self.use is Use.PARALLEL and not nonce.was_crowded:
            return  # it came in order
        nonce.has_taught = True
        if nonce.accepted >= (PROVEN if self.use is Use.PARALLEL else LIVES):
            self._short_lives = 0
            return
        self._short_lives += 1
        if self._short_lives >= SHORT_LIVES or (end is End.REJECTED and self.use is Use.PARALLEL):
            self.use = Use.ORDERED if self.use is Use.PARALLEL else Use.ONCE
            self._short_lives = 0
            self._until_trial = self._trial_after
