"""A run of workers at a pace against a simulated origin, on a clock that only its events move."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush
from random import Random
from typing import Literal, NamedTuple, Protocol

from patchwire.delivery.pacing import Pace

GRAIN = 1e-6
"""Seconds by which a wait lasts at least: a time that no timer can hit is not waited for again and again."""


class Answer(NamedTuple):
    """What an origin says; a status of None stands for a connection that ends without an answer."""

    status: int | None = 204
    retry_after: float | None = None


class SimulatedOrigin(Protocol):
    """What judges requests by when they arrive."""

    def ask(self, now: float) -> Answer:
        """The answer to a request that arrives now."""
        ...


class Scripted:
    """An origin whose answer depends on nothing but the time."""

    def __init__(self, ask: Callable[[float], Answer] = lambda now: Answer()) -> None:
        self.ask = ask


class FixedWindows:
    """`limit` requests in each window of `seconds`, counted from 0; `told` is the Retry-After, None for none."""

    def __init__(self, limit: int, *, seconds: float = 1.0, told: float | Literal["exact"] | None = 1.0) -> None:
        self._limit = limit
        self._seconds = seconds
        self._told = told
        self._window = -1
        self._count = 0

    def ask(self, now: float) -> Answer:
        """204 to the first `limit` of a window, 429 to the others."""
        window = int(now / self._seconds)
        if window != self._window:
            self._window, self._count = window, 0
        self._count += 1
        if self._count <= self._limit:
            return Answer()
        return Answer(429, (window + 1) * self._seconds - now if self._told == "exact" else self._told)


class SlidingWindow:
    """`limit` requests in any `seconds`; those that were refused do not count. `told` is the Retry-After."""

    def __init__(self, limit: int, *, seconds: float = 1.0, told: float | None) -> None:
        self._seconds = seconds
        self._told = told
        self._taken: deque[float] = deque([float("-inf")] * limit, maxlen=limit)

    def ask(self, now: float) -> Answer:
        """204 where the last `limit` that were taken reach further back than the window, else 429."""
        if now - self._taken[0] < self._seconds:
            return Answer(429, self._told)
        self._taken.append(now)
        return Answer()


class TokenBucket:
    """A bucket of `burst` tokens that `limit` a second flow into; `told` is the Retry-After, None for none."""

    def __init__(self, limit: float, burst: float, *, told: float | None) -> None:
        self._limit = limit
        self._burst = self._tokens = burst
        self._told = told
        self._filled_at = 0.0

    def ask(self, now: float) -> Answer:
        """204 where there is a token, 429 where there is none."""
        self._tokens = min(self._burst, self._tokens + (now - self._filled_at) * self._limit)
        self._filled_at = now
        if self._tokens < 1.0:
            return Answer(429, self._told)
        self._tokens -= 1.0
        return Answer()


class Traffic(NamedTuple):
    """When requests left, and when answers came, by what they were; each list in order."""

    sent: list[float]
    accepted: list[float]
    refused: list[float]
    lost: list[float]

    def accepted_rate(self, begin: float, end: float) -> float:
        """Accepted requests a second, from `begin` until before `end`."""
        return count(self.accepted, begin, end) / (end - begin)

    def refused_share(self, begin: float, end: float) -> float:
        """Which share of the answers were refusals, from `begin` until before `end`."""
        refused, accepted = count(self.refused, begin, end), count(self.accepted, begin, end)
        return refused / (refused + accepted)


def count(times: list[float], begin: float, end: float) -> int:
    """How many of these times, in order, are from `begin` until before `end`."""
    return bisect_left(times, end) - bisect_left(times, begin)


def simulate(
    pace: Pace,
    origin: SimulatedOrigin,
    seconds: float,
    *,
    latency: Callable[[float, int, Random], float] = lambda now, in_flight, random: random.uniform(0.002, 0.02),
    watch: Callable[[float], None] = lambda now: None,
) -> Traffic:
    """Send from 0 until `seconds` as soon as `pace` lets it, with an unlimited supply of requests.

    `latency` tells how long a request takes, there and back, that leaves now as one of so many in flight. `watch` sees
    each moment at which something happened.
    """
    random = Random(1)
    traffic = Traffic([], [], [], [])
    arriving: list[tuple[float, int, float, float]] = []
    coming: list[tuple[float, int, float, Answer]] = []
    now, number, in_flight = 0.0, 0, 0
    while now < seconds:
        allowance = pace.allowance(in_flight, now)
        for _ in range(allowance):
            pace.take()
            number, in_flight = number + 1, in_flight + 1
            whole = latency(now, in_flight, random)
            heappush(arriving, (now + whole / 2, number, now, whole))
            traffic.sent.append(now)
        leaves_at = now if pace.allowance(in_flight, now) else max(pace.next_at(in_flight, now), now + GRAIN)
        arrives_at = arriving[0][0] if arriving else float("inf")
        comes_at = coming[0][0] if coming else float("inf")
        now = max(now, min(leaves_at, arrives_at, comes_at))
        if arrives_at <= now:
            at, order, sent_at, whole = heappop(arriving)
            heappush(coming, (at + whole / 2, order, sent_at, origin.ask(now)))
        elif comes_at <= now:
            _, _, sent_at, answer = heappop(coming)
            in_flight -= 1
            _hear(pace, traffic, answer, sent_at, now)
        watch(now)
    return traffic


def _hear(pace: Pace, traffic: Traffic, answer: Answer, sent_at: float, now: float) -> None:
    if answer.status is None:
        pace.lost(now)
        traffic.lost.append(now)
    else:
        pace.answered(answer.status, answer.retry_after, sent_at, now)
        (traffic.accepted if answer.status < 300 else traffic.refused).append(now)
