"""The pace at which an origin is asked: one state for all who send to it.

What limits it is a rate, the number of requests in flight, a pause that the origin has asked for, and its silence.
Each learns from the answers alone; times are seconds on one clock, which nothing here reads.
"""

from __future__ import annotations

from collections.abc import Collection
from enum import Enum
from typing import Final

from patchwire.delivery.concurrency import Concurrency
from patchwire.delivery.health import Health, Refusals
from patchwire.delivery.rate_limit import UNLIMITED, RateLimit
from patchwire.settings.written import DEFAULT_UNKNOWN_STATUSES

TOO_MANY: Final = 429
UNAVAILABLE: Final = 503
RARE: Final = 0.1
"""Below this share of the answers 503 does not speak of the rate, and without Retry-After not of the origin."""
FORGETTING: Final = 0.005
"""What one answer weighs in that share."""


class Reason(Enum):
    """What holds the pace down."""

    NOTHING = ""
    CEILING = "--rate"
    RATE_REFUSED = "429"
    UNAVAILABLE = "503"
    LATENCY = "latency"
    PAUSE = "Retry-After"
    NO_ANSWER = "no answer"


class Pace:
    """How many requests may leave now, and when the next may. An answer with one of `unknown_statuses` is as good as
    none for what it says of the origin's health.
    """

    def __init__(
        self,
        *,
        rate: float | None,
        concurrency: int,
        now: float,
        unknown_statuses: Collection[int] = DEFAULT_UNKNOWN_STATUSES,
    ) -> None:
        self._rate = RateLimit(rate, now)
        self._concurrency = Concurrency(concurrency, now)
        self.health = Health(concurrency)
        self.refusals = Refusals()
        self._unknown_statuses = unknown_statuses
        self._paused_until = now
        self.refusal = Reason.RATE_REFUSED
        """How the origin refuses, where it does."""
        self._unavailable = 0.0

    def allowance(self, in_flight: int, now: float) -> int:
        """How many more requests may leave now, beside those in flight."""
        room = self.in_flight_limit - in_flight
        if room <= 0 or now < self._held_until():
            return 0
        return int(min(room, self._rate.tokens(now)))

    def take(self, count: int = 1) -> None:
        """So many leave."""
        self._rate.take(count)

    def next_at(self, in_flight: int, now: float) -> float:
        """When `allowance`, which has just said 0, will say more; infinity where only an answer can change it."""
        if in_flight >= self.in_flight_limit:
            return UNLIMITED
        return max(self._held_until(), self._rate.next_at(now))

    def answered(self, status: int, retry_after: float | None, sent_at: float, now: float) -> None:
        """A request that left at `sent_at` got this status; `retry_after` is the pause it asks for, in seconds."""
        is_lost = status in self._unknown_statuses
        if is_lost:
            self.health.lost(now, status)
        else:
            self.health.answered()
        counts = status == TOO_MANY or (status == UNAVAILABLE and self._unavailable > RARE)
        if counts or (status == UNAVAILABLE and retry_after is not None):
            self._refused(status, retry_after, sent_at, now, counts=counts)
        else:
            if not is_lost:
                self.refusals.ended()
            self._rate.accepted(sent_at, now)
            self._concurrency.answered(now - sent_at, now)
        self._unavailable += FORGETTING * ((status == UNAVAILABLE) - self._unavailable)

    def lost(self, now: float) -> None:
        """A request has left and got no answer."""
        self.health.lost(now)

    def paused(self, now: float) -> float:
        """Seconds that are left of a pause which the origin has asked for."""
        return max(0.0, self._paused_until - now)

    def rate(self, now: float) -> float:
        """Requests a second that may leave; infinity where no rate is in force."""
        return self._rate.rate(now)

    @property
    def in_flight_limit(self) -> int:
        """How many requests may be in flight."""
        return 1 if self.health.is_bad else self._concurrency.limit

    @property
    def is_concurrency_cut(self) -> bool:
        """Whether fewer may be in flight than were asked for, because of overload."""
        return self._concurrency.is_cut

    def reason(self, now: float) -> Reason:
        """What holds it down the most."""
        if self.health.is_bad:
            return Reason.NO_ANSWER
        if self.paused(now):
            return Reason.PAUSE
        if self._rate.is_learned:
            return self.refusal
        if self._concurrency.is_cut:
            return Reason.LATENCY if self._concurrency.is_slowed_down else self.refusal
        return Reason.NOTHING if self._rate.rate(now) == UNLIMITED else Reason.CEILING

    def _held_until(self) -> float:
        return max(self._paused_until, self.health.probe_at) if self.health.is_bad else self._paused_until

    def _refused(self, status: int, retry_after: float | None, sent_at: float, now: float, *, counts: bool) -> None:
        self.refusals.refused(retry_after or 0.0, now)
        self.refusal = Reason.RATE_REFUSED if status == TOO_MANY else Reason.UNAVAILABLE
        if counts:
            self._rate.refused(sent_at, now)
        self._concurrency.overloaded(sent_at, now)
        if retry_after:
            self._paused_until = max(self._paused_until, now + retry_after)
            self._rate.pause(self._paused_until)
