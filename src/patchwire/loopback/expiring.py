"""A memory that forgets: each value for a while, and never more than so many."""

from __future__ import annotations

from collections import OrderedDict
from hashlib import sha256
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Expiring(Generic[Value]):
    """Values by their keys, which are secrets: only hashes of them are kept, so how long a search takes tells nothing.

    A value is held for `lifetime` seconds. Where a further one would make more than `most`, those go whose time is
    over, and then the oldest.
    """

    def __init__(self, lifetime: float, most: int) -> None:
        self._lifetime = lifetime
        self._most = most
        self._held: OrderedDict[bytes, tuple[float, Value]] = OrderedDict()  # in the order in which they came

    def __repr__(self) -> str:
        """Never shows a key or a value."""
        return f"<Expiring with {len(self._held)} of {self._most}>"

    def __len__(self) -> int:
        return len(self._held)

    def put(self, key: str, value: Value, now: float) -> None:
        """Hold the value. `now` is in Unix seconds, here and below."""
        while self._held and (len(self._held) >= self._most or self._first_end() <= now):
            self._held.popitem(last=False)
        self._held[_hash(key)] = (now + self._lifetime, value)

    def get(self, key: str, now: float) -> Value | None:
        """The value, or None where there is none, or none any more."""
        end, value = self._held.get(_hash(key), (now, None))
        return value if now < end else None

    def take(self, key: str, now: float) -> Value | None:
        """The value, which is then no longer held."""
        value = self.get(key, now)
        self._held.pop(_hash(key), None)
        return value

    def _first_end(self) -> float:
        return next(iter(self._held.values()))[0]


def _hash(key: str) -> bytes:
    return sha256(key.encode("utf-8")).digest()
