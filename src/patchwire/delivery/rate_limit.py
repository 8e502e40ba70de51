"""How many requests a second an origin takes: the rate that was asked for, and the one that its refusals teach.

What an origin took from one refusal to the next, over the time between, is the rate that it takes, whether it counts
by the second, by the minute, or hands out tokens: both times it had nothing left. Where all is refused for a while,
that time may count too; the origin is asked ever more seldom meanwhile. Only after a first burst this says little:
there the burst is taken for a second's worth if all is refused behind it, as in a window; else it was a few tokens on
credit, and more is tried, ever faster, until the next refusal.

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
"""Seconds for which an origin refuses all, from which on it counts in windows, and is not just out of tokens."""
PROBES: Final = 10.0
"""Requests a second by which an origin that refuses all is asked, at first; each refusal halves them."""
BURST: Final = 0.05
"""Seconds' worth of requests that may leave at once after a pause: what a late timer owes."""
CUT: Final = 0.05
"""By which share below the rate that was refused the rate goes on."""
RETURN: Final = 20.0
"""Seconds until it is back at the rate that was refused."""
FEWEST: Final = 10.0
"""Requests below which what was taken is only a guess of what would be."""
GRAIN: Final = 1e-6
"""Seconds that a wait is longer than it need be, so that no rounding makes it end too early; no time is shorter."""
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
        """Whether that rate was only a guess, from a short burst: then it grows ever faster until the next refusal."""
        self._since = now
        """When the rate now in force began: a cut, the end of a pause, or of all being refused."""
        self._cut_at = now
        self._judged_at = now
        """When it was last refused. What left before says nothing new."""
        self._is_shut = False
        """Whether nothing was taken since the cut."""
        self._probes = UNLIMITED
        """The rate at which it is asked while it takes nothing."""
        self._began, self._taken = now, 0.0
        """The time over which the average is taken, from refusal to refusal, and what the origin took in it."""
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
        return min(self._learned(self._refused_at, now), self._probes, self._ceiling)

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

    def accepted(self, sent_at: float, now: float) -> None:
        """A request that left at `sent_at` was answered, and not for coming too soon."""
        if self._is_shut and sent_at >= self._cut_at:
            self._open(sent_at, now)
        self._turn_slots(now)
        self._accepted += 1
        self._taken += 1
        if self._refused_at is not None and now - self._since > RETURN and self.rate(now) > FASTEST:
            self._refused_at = None

    def refused(self, sent_at: float, now: float) -> bool:
        """A request that left at `sent_at` was refused for coming too soon: whether that cuts the rate."""
        if self._refused_at is not None and sent_at < self._judged_at:
            return False
        cuts = not self._is_shut
        if cuts:
            self._refused_at = max(SLOWEST, self._estimate(now))
            self._is_shut, self._cut_at = True, now
        else:
            self._still_shut(sent_at)
            self._probes = max(SLOWEST, min(PROBES, self._probes / 2))
        self._judged_at = now
        self._begin(now)
        return cuts

    def pause(self, until: float) -> None:
        """Nothing leaves before `until`: what is measured begins there."""
        if until > self._since:
            self._begin(until)
            if self._is_shut:
                self._still_shut(until - WINDOW)  # it was asked for in whole seconds, rounded up

    def _begin(self, now: float) -> None:
        self._since = now
        self._slot, self._accepted, self._accepted_before = now, 0, 0
        self._tokens, self._counted_to = 0.0, now  # what left while nothing limited it is not owed

    def _learned(self, refused_at: float, now: float) -> float:
        elapsed = max(0.0, now - self._since)
        if self._searching:
            return refused_at * float(2.0 ** min(elapsed * elapsed / 8.0, 60.0))
        distance = (elapsed - RETURN) / RETURN
        return refused_at * (1.0 + CUT * distance * distance * distance)

    def _estimate(self, now: float) -> float:
        """The rate that the origin takes, now that it has refused."""
        if self._refused_at is None:
            return self._first_estimate(now)
        seconds, rate = max(GRAIN, now - self._began), self.rate(now)
        if self._searching and seconds >= WINDOW:
            self._searching = False
            return (rate + min(rate, self._measured(now))) / 2  # it has grown meanwhile, and may have used up credit
        self._searching = seconds < WINDOW / 2 and self._taken < FEWEST
        average = self._taken / seconds / (1.0 - CUT / 4)  # the curve lies so far below the rate it comes back to
        return min(rate, max(average, rate / 2))

    def _first_estimate(self, now: float) -> float:
        """What was taken in the last second. If there was none yet, it may have been a burst on credit, or have been
        slow to answer: that is only a guess.
        """
        measured = max(1.0, self._measured(now))
        self._searching = now - self._began < WINDOW or measured < FEWEST
        self._began, self._taken = max(self._began, now - WINDOW), measured
        return measured

    def _open(self, sent_at: float, now: float) -> None:
        """The origin takes requests again, such as that which left at `sent_at`."""
        if self._searching:
            self._refused_at = max(self._refused_at or 0.0, self._taken)  # with what was on its way at the refusal
        self._is_shut, self._probes = False, UNLIMITED
        # What a window lets through at its beginning was not saved up in the time before, as tokens are.
        self._began = self._judged_at if sent_at - self._judged_at < SHORTEST else sent_at
        self._taken = 0.0
        self._begin(now)

    def _still_shut(self, at: float) -> None:
        """Nothing was taken until `at`: it may count by longer than was thought."""
        if self._refused_at is not None and at - self._cut_at >= SHORTEST:
            average = self._taken / max(WINDOW, at - self._began)
            self._refused_at = max(SLOWEST, average if self._searching else min(self._refused_at, average))
            self._searching = False

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
