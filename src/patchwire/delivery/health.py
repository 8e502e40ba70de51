"""Whether an origin answers at all. One that breaks connection after connection is asked by one request at a time.

A request that got no answer is unknown for good, so an origin in trouble must not be fed with more of them. The same
holds for an answer which says no more than that, such as the 502 of a gateway that has lost its server.

One that answers, but takes nothing, does no harm; yet a run must not go on for days against it.
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
        self._statuses: set[int | None] = set()
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

    @property
    def trouble(self) -> str:
        """What came of them, as in "the origin {trouble}"."""
        statuses = " or ".join(str(status) for status in sorted(self._statuses - {None}, key=str))
        if not statuses:
            return f"has ended {self._losses} connections in a row without an answer"
        others = ", or ended the connection" if None in self._statuses else ""
        return f"has answered {self._losses} requests in a row with nothing but {statuses}{others}"

    def bad_for(self, now: float) -> float:
        """Seconds since the first request that got no answer; 0 while the origin is in no trouble."""
        return now - self._lost_since if self.is_bad else 0.0

    def answered(self) -> None:
        """An answer came: all is well."""
        if self._losses:
            self._losses, self._delay = 0, FIRST_DELAY
            self._statuses.clear()

    def lost(self, now: float, status: int | None = None) -> None:
        """A request has left, and its connection ended without an answer; or with this status, which is none."""
        if not self._losses:
            self._lost_since = now
        self._losses += 1
        self._statuses.add(status)
        if self.is_bad:
            self._probe_at = now + self._delay
            self._delay = min(LONGEST_DELAY, 2 * self._delay)


class Refusals:
    """The refusals for coming too soon since an origin last took a request. Times as with Health."""

    def __init__(self) -> None:
        self._count = 0
        self._since = 0.0
        self._excused_until = 0.0
        self._excused = 0.0

    @property
    def count(self) -> int:
        """How many there were."""
        return self._count

    def ended(self) -> None:
        """The origin has taken a request."""
        self._count = 0

    def refused(self, pause: float, now: float) -> None:
        """One more, which asks for a pause of so many seconds."""
        if not self._count:
            self._since = self._excused_until = now
            self._excused = 0.0
        self._count += 1
        until = max(self._excused_until, now + pause)
        self._excused += until - max(self._excused_until, now)
        self._excused_until = until

    def lasting(self, now: float) -> float:
        """Seconds for which it has refused all without asking for a pause; 0 while that is only a few requests."""
        if self._count < FEWEST:
            return 0.0
        return max(0.0, now - self._since - self._excused)
