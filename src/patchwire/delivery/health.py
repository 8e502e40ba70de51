"""Whether an origin answers at all. One that breaks connection after connection is asked by one request at a time.

A request that got no answer is unknown for good, so an origin in trouble must not be fed with more of them.
"""

from __future__ import annotations

from typing import Final

FEWEST: Final = 16
"""So many requests in a row, and twice as many as may be in flight, get no answer before the origin is in trouble."""
FIRST_DELAY: Final = 0.1
LONGEST_DELAY: Final = 5.0


class Health:
    """The losses since the last answer. Times are seconds on one clock; nothing here reads it."""

    def __init__(self, concurrency: int) -> None:
        self._tolerated = max(FEWEST, 2 * concurrency)
        self._losses = 0
        self._lost_since = 0.0
        self._probe_at = 0.0
        self._delay = FIRST_DELAY

    @property
    def is_bad(self) -> bool:
        """Whether the origin is in trouble."""
        return self._losses >= self._tolerated

    @property
    def probe_at(self) -> float:
        """When the next request may leave, while it is."""
        return self._probe_at

    @property
    def losses(self) -> int:
        """Requests without an answer since the last answer."""
        return self._losses

    def bad_for(self, now: float) -> float:
        """Seconds since the first request that got no answer; 0 while the origin is in no trouble."""
        return now - self._lost_since if self.is_bad else 0.0

    def answered(self) -> None:
        """An answer came: all is well."""
        if self._losses:
            self._losses, self._delay = 0, FIRST_DELAY

    def lost(self, now: float) -> None:
        """A request has left, and its connection ended without an answer."""
        if not self._losses:
            self._lost_since = now
        self._losses += 1
        if self.is_bad:
            self._probe_at = now + self._delay
            self._delay = min(LONGEST_DELAY, 2 * self._delay)
