"""How many requests may be in flight: more while all goes well, fewer at once when the origin is overloaded.

Additive up, multiplicative down. Overload is what the origin says (429, 503), or answers that take much longer than
they did. Latency that only queues for a busy origin is no overload: with twice as many in flight it doubles.
"""

from __future__ import annotations

from typing import Final

BEGIN: Final = 8
DOWN: Final = 0.7
WINDOW: Final = 1.0
"""Seconds over which latency is averaged."""
FEWEST: Final = 10
"""Answers in a window, below which its mean says nothing."""
RISE: Final = 2.0
"""How many times the usual latency is overload,"""
NOTICEABLE: Final = 0.05
"""and by how many seconds at least: below it is noise of the machine."""
FORGETTING: Final = 0.1
"""How far the usual latency follows a window's mean."""


class Concurrency:
    """The limit on requests in flight, up to `ceiling`. Times are seconds on one clock; nothing here reads it."""

    def __init__(self, ceiling: int, now: float) -> None:
        self._ceiling = ceiling
        self._limit = float(min(BEGIN, ceiling))
        self._opening = True
        """Whether every answer still allows one more, as no overload has been seen yet."""
        self.is_slowed_down = False
        """Whether latency was what last brought it down."""
        self._cut_at = now
        self._usual = 0.0
        self._usual_limit = self._limit
        self._window_began = now
        self._answers = 0
        self._seconds = 0.0

    @property
    def limit(self) -> int:
        """How many requests may be in flight, at least 1."""
        return int(self._limit)

    @property
    def is_cut(self) -> bool:
        """Whether it is below its ceiling because of overload."""
        return not self._opening and int(self._limit) < self._ceiling

    def answered(self, seconds: float, now: float) -> None:
        """A request was answered, `seconds` after it left."""
        if self._limit < self._ceiling:
            self._limit = min(self._ceiling, self._limit + (1.0 if self._opening else 1.0 / self._limit))
        self._answers += 1
        self._seconds += seconds
        if now - self._window_began >= WINDOW:
            self._judge_latency(now)

    def overloaded(self, sent_at: float, now: float) -> None:
        """The origin refused a request that left at `sent_at`. What left before the last cut changes nothing."""
        if sent_at >= self._cut_at:
            self._cut(now, slowed_down=False)

    def _judge_latency(self, now: float) -> None:
        answers, mean = self._answers, self._seconds / self._answers
        self._window_began, self._answers, self._seconds = now, 0, 0.0
        if answers < FEWEST:
            return
        if not self._usual:
            self._usual, self._usual_limit = mean, self._limit
        queueing = self._usual * max(1.0, self._limit / self._usual_limit)
        if mean > RISE * queueing and mean > queueing + NOTICEABLE:
            self._cut(now, slowed_down=True)
        self._usual += FORGETTING * (mean - self._usual)
        self._usual_limit += FORGETTING * (self._limit - self._usual_limit)

    def _cut(self, now: float, *, slowed_down: bool) -> None:
        self._limit = max(1.0, self._limit * DOWN)
        self._opening = False
        self._cut_at = now
        self.is_slowed_down = slowed_down
