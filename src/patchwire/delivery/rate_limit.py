"""How many requests a second an origin takes: the rate that was asked for, and the one that its refusals teach.

The learned rate follows a cubic curve, as CUBIC (RFC 9438) grows a window: quickly back to where the origin last
refused, nearly flat there, and on from there ever faster. An origin with a fixed limit refuses little so, and one that
has recovered is soon used in full.
"""

from __future__ import annotations

from typing import Final

UNLIMITED: Final = float("inf")
WINDOW: Final = 1.0
"""Seconds over which a rate is measured."""
SHORTEST: Final = 0.25
"""Seconds from one cut to the next: an origin that counts by the second refuses all until its second is over."""
BURST: Final = 0.05
"""Seconds' worth of requests that may leave at once after a pause: what a late timer owes."""
CUT: Final = 0.05
"""By which share below the rate that was refused the rate goes on."""
RETURN: Final = 20.0
"""Seconds until it is back at the rate that was refused."""
FEWEST: Final = 10.0
"""Requests in a second below which what was taken is only a guess of what would be."""
GRAIN: Final = 1e-6
"""Seconds that a wait is longer than it need be, so that no rounding makes it end too early."""
SLOWEST: Final = 0.1
FASTEST: Final = 1e6
"""Requests a second: no slower is learned, and a faster one limits nothing."""


class RateLimit:
    """Whether a request may leave now. All times are seconds on one clock; nothing here reads it."""

    def __init__(self, ceiling: float | None, now: float) -> None:
        self._ceiling = UNLIMITED if ceiling is None else ceiling
        self._refused_at: float | None = None
        """The rate at which the origin last refused; None while no limit is known."""
        self._searching = False
        """Whether that rate was only a guess, from a first burst: then it doubles each second until the next."""
        self._since = now
        """When the rate now in force began: a cut, or the end of a pause."""
        self._cut_at = now
        self._tokens = 1.0
        self._counted_to = now
        self._slot, self._accepted, self._accepted_before = now, 0, 0

    @property
    def is_learned(self) -> bool:
        """Whether the origin's refusals limit the rate, and not the one that was asked for."""
        return self._refused_at is not None

    def rate(self, now: float) -> float:
        """Requests a second that may leave; UNLIMITED where nothing limits them."""
        if self._refused_at is None:
            return self._ceiling
        return min(self._learned(self._refused_at, now), self._ceiling)

    def tokens(self, now: float) -> float:
        """How many requests may leave now."""
        rate = self.rate(now)
        if rate == UNLIMITED:
            return UNLIMITED
        self._tokens = min(max(1.0, rate * BURST), self._tokens + (now - self._counted_to) * rate)
        self._counted_to = now
        return self._tokens

    def take(self, count: int) -> None:
        """So many leave."""
        self._tokens -= count

    def next_at(self, now: float) -> float:
        """When the next may leave, once `tokens` has said that none may now."""
        return now + (1.0 - self._tokens) / self.rate(now) + GRAIN

    def accepted(self, now: float) -> None:
        """A request was answered, and not for coming too soon."""
        self._turn_slots(now)
        self._accepted += 1
        if self._refused_at is not None and now - self._since > RETURN and self.rate(now) > FASTEST:
            self._refused_at = None

    def refused(self, sent_at: float, now: float) -> bool:
        """A request that left at `sent_at` was refused for coming too soon: whether that cuts the rate.

        What left before the last cut says nothing of the rate since; and one cut a window is enough.
        """
        if self._refused_at is not None and (sent_at < self._since or now - self._cut_at < SHORTEST):
            return False
        self._refused_at = max(SLOWEST, self._estimate(now))
        self._cut_at = now
        self._begin(now)
        return True

    def pause(self, until: float) -> None:
        """Nothing leaves before `until`: what is measured begins there."""
        if until > self._since:
            self._begin(until)

    def _begin(self, now: float) -> None:
        self._since = now
        self._slot, self._accepted, self._accepted_before = now, 0, 0
        self._tokens, self._counted_to = 0.0, now  # what left while nothing limited it is not owed

    def _learned(self, refused_at: float, now: float) -> float:
        elapsed = max(0.0, now - self._since)
        if self._searching:
            return refused_at * float(2.0 ** min(elapsed, 60.0))
        distance = (elapsed - RETURN) / RETURN
        return refused_at * (1.0 + CUT * distance * distance * distance)

    def _estimate(self, now: float) -> float:
        """The rate that the origin takes, now that it has refused."""
        whole = now - self._since >= WINDOW
        if self._refused_at is None:
            # It may have taken a burst on credit, or been slow to answer: what was taken by then is tried upwards.
            measured = self._measured(now) if whole else float(self._accepted)
            self._searching = not whole or measured < FEWEST
            return max(1.0, measured)
        rate = self.rate(now)
        if self._searching:
            self._searching = False
            return rate
        return min(rate, max(self._measured(now), rate / 2)) if whole else 0.8 * rate

    def _measured(self, now: float) -> float:
        """Requests that were taken in the second before `now`."""
        self._turn_slots(now)
        return self._accepted + self._accepted_before * (1.0 - (now - self._slot) / WINDOW)

    def _turn_slots(self, now: float) -> None:
        slots = int((now - self._slot) / WINDOW)
        if slots > 0:
            self._accepted_before = self._accepted if slots == 1 else 0
            self._accepted = 0
            self._slot += slots * WINDOW
