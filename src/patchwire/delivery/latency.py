"""How long answers take: durations in buckets of equal ratio, so that memory does not grow with their number."""

from __future__ import annotations

from math import exp, log
from typing import Final

from msgspec import Struct

SHORTEST: Final = 1e-5
LONGEST: Final = 3600.0
_STEP: Final = 0.05
"""The logarithm of the ratio of a bucket's ends: a percentile is right to 5 %."""
_OFFSET: Final = -log(SHORTEST)
_BUCKETS: Final = int((log(LONGEST) + _OFFSET) / _STEP) + 1


class Bar(Struct, frozen=True):
    """How many durations there were from `low` to `high`, in seconds."""

    low: float
    high: float
    count: int


class Latencies:
    """Durations in seconds, from 10 microseconds to an hour; what is beyond counts as the bound."""

    def __init__(self) -> None:
        self.count = 0
        self.largest = 0.0
        self._sum = 0.0
        self._buckets = [0] * _BUCKETS

    def record(self, seconds: float) -> None:
        """Take one in."""
        self.count += 1
        self._sum += seconds
        if seconds > self.largest:
            self.largest = seconds
        if seconds <= SHORTEST:
            self._buckets[0] += 1
        elif seconds >= LONGEST:
            self._buckets[-1] += 1
        else:
            self._buckets[int((log(seconds) + _OFFSET) / _STEP)] += 1

    @property
    def mean(self) -> float:
        """Their mean; 0.0 where there is none."""
        return self._sum / self.count if self.count else 0.0

    def percentile(self, share: float) -> float:
        """The duration that this share of all, from 0 to 1, does not exceed, to 5 %; 0.0 where there is none."""
        left = share * self.count
        for index, count in enumerate(self._buckets):
            left -= count
            if count and left <= 0:
                return min(_end(index), self.largest)
        return self.largest

    def histogram(self, rows: int = 10) -> list[Bar]:
        """At most so many adjacent ranges of equal ratio, from the shortest to the longest; none where none is."""
        filled = [index for index, count in enumerate(self._buckets) if count]
        if not filled:
            return []
        first, last = filled[0], filled[-1]
        width = -(-(last - first + 1) // rows)
        return [
            Bar(_end(start - 1), _end(start + width - 1), sum(self._buckets[start : start + width]))
            for start in range(first, last + 1, width)
        ]


def _end(index: int) -> float:
    """The upper end of a bucket, which is the lower end of the next."""
    return exp((index + 1) * _STEP - _OFFSET)
