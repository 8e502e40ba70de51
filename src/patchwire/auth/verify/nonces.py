"""A server's nonces: made and checked with nothing but a key, and their counts in a bounded window.

A nonce holds when it was made, and a tag that only the key can make. What has been used is remembered: for each nonce
the highest count and which of those just below it have come. Where memory ends, the nonce that was made first goes,
and all that are older count as stale: no count is ever accepted twice.
"""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from enum import Enum, auto
from typing import Final, Literal

DEFAULT_LIFETIME: Final = 300.0
"""Seconds."""
MAX_NONCES: Final = 10_000
WINDOW: Final = 1024
"""Counts may come out of order by this much."""

Uses = Literal["parallel", "ordered", "once"]
"""How a nonce may be used: in any order within the window; with each count one above the last; for one request."""


class Finding(Enum):
    """What is found of a nonce and its count."""

    GOOD = auto()
    FOREIGN = auto()
    """Not one of ours."""
    STALE = auto()
    """Ours, and its time is over."""
    REPLAYED = auto()
    """Its count has come before, or out of turn."""


class _Seen:
    __slots__ = ("highest", "made", "window")

    def __init__(self, made: float) -> None:
        self.made = made
        self.highest = 0
        self.window = 0  # bit n: highest - n has come


class ServerNonces:
    """`key` is secret; `entropy` gives octets that nobody can foresee; `lifetime` in seconds."""

    def __init__(
        self,
        key: bytes,
        entropy: Callable[[int], bytes],
        *,
        lifetime: float = DEFAULT_LIFETIME,
        uses: Uses = "parallel",
        most: int = MAX_NONCES,
    ) -> None:
        self.uses = uses
        self._key = key
        self._entropy = entropy
        self._lifetime = lifetime
        self._most = most
        self._seen: dict[bytes, _Seen] = {}
        self._forgotten = float("-inf")  # made before: stale

    def make(self, now: float) -> bytes:
        """A nonce that has never been."""
        made = int(now * 1000).to_bytes(6, "big") + self._entropy(12)
        return urlsafe_b64encode(made + self._tag(made))

    def find(self, nonce: bytes, count: int | None, now: float) -> Finding:
        """What is to be said of a request with this nonce and count (None: it has none), which is not remembered."""
        made = self._made(nonce)
        if made is None:
            return Finding.FOREIGN
        if not made <= now < made + self._lifetime:
            return Finding.STALE
        seen = self._seen.get(nonce)
        if seen is None:
            if made <= self._forgotten:
                return Finding.STALE
            return Finding.GOOD if count in (None, 1) or self.uses == "parallel" else Finding.REPLAYED
        return Finding.GOOD if self._is_new(seen, count) else self._repeated()

    def use(self, nonce: bytes, count: int | None) -> None:
        """Remember a use that `find` has found good, and whose credentials were right."""
        made = self._made(nonce)
        assert made is not None  # noqa: S101 - it was found good
        seen = self._seen.get(nonce)
        if seen is None:
            if len(self._seen) >= self._most:
                self._forget()
            seen = self._seen[nonce] = _Seen(made)
        number = seen.highest + 1 if count is None else count
        if number > seen.highest:
            seen.window = ((seen.window << (number - seen.highest)) | 1) & ((1 << WINDOW) - 1)
            seen.highest = number
        else:
            seen.window |= 1 << (seen.highest - number)

    def age(self, nonce: bytes, now: float) -> float:
        """Which part of its life is over, from 0 to 1."""
        made = self._made(nonce)
        return 1.0 if made is None else (now - made) / self._lifetime

    def _repeated(self) -> Finding:
        return Finding.STALE if self.uses == "once" else Finding.REPLAYED

    def _is_new(self, seen: _Seen, count: int | None) -> bool:
        if self.uses == "once":
            return False
        if count is None:
            return True
        if self.uses == "ordered":
            return count == seen.highest + 1
        if count > seen.highest:
            return count - seen.highest < WINDOW
        return seen.highest - count < WINDOW and not seen.window >> (seen.highest - count) & 1

    def _forget(self) -> None:
        """The half that was made first."""
        by_age = sorted(self._seen.items(), key=lambda item: item[1].made)
        for nonce, seen in by_age[: len(by_age) // 2 + 1]:
            self._forgotten = max(self._forgotten, seen.made)
            del self._seen[nonce]

    def _made(self, nonce: bytes) -> float | None:
        """When the nonce was made; None where it is not one of ours."""
        try:
            octets = urlsafe_b64decode(nonce)
        except ValueError:
            return None
        made, tag = octets[:18], octets[18:]
        if urlsafe_b64encode(octets) != nonce or not hmac.compare_digest(tag, self._tag(made)):
            return None
        return int.from_bytes(made[:6], "big") / 1000

    def _tag(self, made: bytes) -> bytes:
        return hmac.digest(self._key, made, "sha256")[:18]
