from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from patchwire.delivery.health import FEWEST
from patchwire.delivery.pacing import Pace, Reason
from patchwire.delivery.rate_limit import UNLIMITED
from tests.support.pace_simulation import (
    Answer,
    FixedWindows,
    Scripted,
    SimulatedOrigin,
    SlidingWindow,
    TokenBucket,
    count,
    simulate,
)


def pace(rate: float | None = None, concurrency: int = 64) -> Pace:
    return Pace(rate=rate, concurrency=concurrency, now=0.0)


def at_random(share: float, answer: Answer) -> Scripted:
    """An origin that gives this answer to a share of its requests, whatever the pace."""
    random = Random(7)
    return Scripted(lambda now: answer if random.random() < share else Answer())


# --- an origin with a limit


LIMITED: list[tuple[Callable[[], SimulatedOrigin], int]] = [
    (lambda: FixedWindows(1000), 1000),
    (lambda: FixedWindows(100), 100),
    (lambda: FixedWindows(100, told="exact"), 100),
    (lambda: FixedWindows(100, told=None), 100),
    (lambda: FixedWindows(100, told=0.0), 100),
    (lambda: FixedWindows(20), 20),
    (lambda: FixedWindows(5), 5),
    (lambda: SlidingWindow(100, told=None), 100),
    (lambda: SlidingWindow(100, told=1.0), 100),
    (lambda: SlidingWindow(20, told=None), 20),
    (lambda: SlidingWindow(20, told=1.0), 20),
    (lambda: SlidingWindow(5, told=None), 5),
    (lambda: SlidingWindow(5, told=1.0), 5),
    (lambda: TokenBucket(50, 10, told=None), 50),
    (lambda: TokenBucket(50, 50, told=1.0), 50),
    (lambda: TokenBucket(50, 500, told=None), 50),
    (lambda: TokenBucket(10, 1000, told=1.0), 10),
]


@pytest.mark.parametrize(("origin", "limit"), LIMITED)
def test_a_run_settles_in_twenty_seconds_within_a_tenth_of_the_limit_and_is_seldom_refused(
    origin: Callable[[], SimulatedOrigin], limit: int
) -> None:
    traffic = simulate(pace(), origin(), 120.0)
    for begin, end in ((20.0, 60.0), (60.0, 120.0)):
        assert 0.9 * limit < traffic.accepted_rate(begin, end) < 1.1 * limit
    assert traffic.refused_share(60.0, 120.0) < 0.02
    if limit >= 50:
        assert traffic.refused_share(0.0, 120.0) < 0.02


@pytest.mark.parametrize("told", ["exact", None])
def test_a_limit_by_the_minute_is_kept_to_from_the_second_minute_on(told: Literal["exact"] | None) -> None:
    traffic = simulate(pace(), FixedWindows(600, seconds=60.0, told=told), 600.0)
    assert 9.0 < traffic.accepted_rate(120.0, 600.0) <= 10.0
    assert traffic.refused_share(120.0, 600.0) < 0.02


def test_a_limit_that_is_lowered_in_mid_run_is_found_again() -> None:
    wide, narrow = FixedWindows(200), FixedWindows(40)
    traffic = simulate(pace(), Scripted(lambda now: (wide if now < 60 else narrow).ask(now)), 180.0)
    assert 180 < traffic.accepted_rate(30.0, 60.0) <= 200
    assert 36 < traffic.accepted_rate(120.0, 180.0) <= 40
    assert traffic.refused_share(60.0, 180.0) < 0.02


def test_a_limit_that_is_lifted_is_forgotten_in_time() -> None:
    narrow = FixedWindows(50)
    traffic = simulate(pace(), Scripted(lambda now: narrow.ask(now) if now < 20 else Answer()), 160.0)
    assert traffic.accepted_rate(10.0, 20.0) <= 50
    assert traffic.accepted_rate(150.0, 160.0) > 200


def test_a_rate_that_was_learned_never_goes_over_the_one_that_was_asked_for() -> None:
    origin = FixedWindows(100)
    traffic = simulate(pace(80.0), Scripted(lambda now: origin.ask(now) if now < 30 else Answer()), 150.0)
    assert traffic.refused == []
    assert 79.0 < traffic.accepted_rate(100.0, 150.0) < 81.0


# --- the rate that was asked for


@settings(max_examples=25)
@given(st.sampled_from([0.5, 3.0, 40.0, 900.0]), st.integers(1, 64))
def test_no_second_has_more_requests_than_were_asked_for_and_none_fewer_than_it_could(rate: float, limit: int) -> None:
    seconds = max(10.0, 4 / rate)
    traffic = simulate(pace(rate, limit), Scripted(), seconds)
    for begin in range(int(seconds)):
        assert count(traffic.sent, begin, begin + 1.0) <= rate * 1.05 + 1
    fastest = limit / 0.02
    assert len(traffic.sent) >= 0.9 * min(rate, fastest) * seconds - 1


def test_what_was_not_used_while_the_origin_was_slow_is_not_sent_in_a_burst_later() -> None:
    def latency(now: float, in_flight: int, random: Random) -> float:
        return 5.0 if now < 1 else 0.01

    traffic = simulate(pace(100.0, 10), Scripted(), 20.0, latency=latency)
    assert count(traffic.sent, 0.0, 5.0) <= 10
    assert all(count(traffic.sent, begin / 10, begin / 10 + 1.0) <= 106 for begin in range(190))


# --- answers that ask for a pause


@pytest.mark.parametrize("status", [429, 503])
def test_nothing_leaves_in_a_pause_that_the_origin_has_asked_for(status: int) -> None:
    traffic = simulate(pace(), Scripted(lambda now: Answer(status, 3.0) if 5 <= now < 5.1 else Answer()), 20.0)
    first, last = traffic.refused[0], traffic.refused[-1]
    assert count(traffic.sent, first + 1e-9, last + 3.0) == 0
    assert last < first + 0.1
    assert count(traffic.sent, last + 3.0, 20.0) > 0


def test_the_longest_pause_of_several_is_kept() -> None:
    held = pace()
    held.answered(503, 10.0, 0.0, 1.0)
    held.answered(503, 2.0, 0.0, 1.5)
    assert held.paused(2.0) == 9.0
    assert held.reason(2.0) is Reason.PAUSE
    assert (held.allowance(0, 10.9), held.paused(10.9) > 0) == (0, True)
    assert held.next_at(0, 2.0) >= 11.0
    assert held.allowance(0, 11.0) > 0


@pytest.mark.parametrize("share", [0.01, 0.05])
def test_an_origin_that_fails_now_and_then_with_503_is_not_slowed_down(share: float) -> None:
    troubled = simulate(pace(), at_random(share, Answer(503)), 20.0)
    assert troubled.accepted_rate(5.0, 20.0) > 0.85 * simulate(pace(), Scripted(), 20.0).accepted_rate(5.0, 20.0)


def test_an_origin_that_answers_503_more_often_is_slowed_down_for() -> None:
    slowed = pace()
    traffic = simulate(slowed, FixedWindowsOf503(100), 60.0)
    assert 90 < traffic.accepted_rate(30.0, 60.0) <= 110
    assert slowed.reason(60.0) is Reason.UNAVAILABLE


class FixedWindowsOf503(FixedWindows):
    """One that says 503, and nothing else, where others say 429."""

    def ask(self, now: float) -> Answer:
        answer = super().ask(now)
        return Answer(503) if answer.status == 429 else answer


# --- requests in flight


def test_an_origin_that_does_well_gets_as_many_as_were_asked_for_and_no_more() -> None:
    free = pace(concurrency=40)
    seen: list[int] = []

    def latency(now: float, in_flight: int, random: Random) -> float:
        seen.append(in_flight)
        return 0.01

    simulate(free, Scripted(), 5.0, latency=latency)
    assert max(seen) == seen[-1] == 40
    assert free.reason(5.0) is Reason.NOTHING
    assert (free.rate(5.0), free.in_flight_limit, free.is_concurrency_cut) == (UNLIMITED, 40, False)


def test_an_origin_that_chokes_on_many_gets_fewer_until_it_has_recovered() -> None:
    def latency(now: float, in_flight: int, random: Random) -> float:
        return 0.02 if now < 5 or now > 15 else 0.02 + 0.4 * random.random()

    choked = pace(concurrency=64)
    limits: list[int] = []
    simulate(choked, Scripted(), 15.0, latency=latency, watch=lambda now: limits.append(choked.in_flight_limit))
    assert min(limits[len(limits) // 2 :]) < 40
    recovering = pace(concurrency=64)
    simulate(recovering, Scripted(), 60.0, latency=latency)
    assert recovering.in_flight_limit == 64


def test_latency_that_only_queues_for_a_busy_origin_is_no_overload() -> None:
    queueing = pace(concurrency=64)
    simulate(queueing, Scripted(), 20.0, latency=lambda now, in_flight, random: 0.01 * max(1.0, in_flight / 8))
    assert not queueing.is_concurrency_cut


def test_rising_latency_is_named_where_it_is_what_holds_the_run_down() -> None:
    slowed = pace(concurrency=16)
    simulate(slowed, Scripted(), 6.0, latency=lambda now, in_flight, random: 0.01 if now < 4 else 0.5)
    assert slowed.is_concurrency_cut
    assert slowed.reason(6.0) is Reason.LATENCY


def test_a_refusal_is_named_where_it_has_cut_the_requests_in_flight_alone() -> None:
    cut = pace(concurrency=16)
    for number in range(100):
        cut.answered(200, None, number / 100, number / 100 + 0.001)
    cut.answered(503, 0.0, 2.0, 2.001)  # a pause of no length: too rare to speak of the rate
    assert (cut.rate(3.0), cut.is_concurrency_cut) == (UNLIMITED, True)
    assert cut.reason(3.0) is Reason.UNAVAILABLE


# --- an origin that does not answer


def test_an_origin_that_breaks_every_connection_is_asked_by_one_request_at_a_time_ever_more_seldom() -> None:
    broken = pace(concurrency=8)
    flights: list[int] = []

    def latency(now: float, in_flight: int, random: Random) -> float:
        flights.append(in_flight)
        return 0.01

    traffic = simulate(broken, Scripted(lambda now: Answer(None)), 60.0, latency=latency)
    assert len(traffic.lost) < FEWEST + 8 + 25
    assert flights[-10:] == [1] * 10
    assert broken.reason(60.0) is Reason.NO_ANSWER
    assert broken.health.bad_for(60.0) > 59
    assert broken.in_flight_limit == 1
    assert broken.allowance(0, 60.0) in (0, 1)


def test_after_one_answer_all_may_go_again() -> None:
    recovering = pace(concurrency=8)
    traffic = simulate(recovering, Scripted(lambda now: Answer(None) if now < 10 else Answer()), 20.0)
    assert recovering.in_flight_limit == 8
    assert recovering.reason(20.0) is Reason.NOTHING
    assert traffic.accepted_rate(16.0, 20.0) > 300


@pytest.mark.parametrize("statuses", [[502], [502, 504]])
def test_an_origin_that_gives_nothing_but_unknown_outcomes_is_asked_like_one_that_does_not_answer(
    statuses: list[int],
) -> None:
    random = Random(3)
    gateway = pace(concurrency=8)
    traffic = simulate(gateway, Scripted(lambda now: Answer(random.choice(statuses))), 60.0)
    assert len(traffic.sent) < FEWEST + 8 + 25
    assert gateway.in_flight_limit == 1
    assert gateway.reason(60.0) is Reason.NO_ANSWER
    assert gateway.health.bad_for(60.0) > 59


def test_a_gateway_that_fails_now_and_then_is_not_slowed_down() -> None:
    troubled = simulate(pace(), at_random(0.2, Answer(502)), 20.0)
    assert len(troubled.sent) > 0.95 * len(simulate(pace(), Scripted(), 20.0).sent)


def test_which_statuses_leave_an_outcome_unknown_is_the_callers_choice() -> None:
    chosen = Pace(rate=None, concurrency=8, now=0.0, unknown_statuses=[503])
    for number in range(FEWEST):
        chosen.answered(502, None, number, number + 0.1)
    assert not chosen.health.is_bad
    for number in range(FEWEST):
        chosen.answered(503, 5.0, number, number + 0.1)
    assert chosen.health.is_bad
    assert chosen.paused(FEWEST) > 0  # it has asked for one all the same


def test_a_pause_holds_also_for_what_probes_an_origin_in_trouble() -> None:
    troubled = pace(concurrency=1)
    troubled.answered(503, 100.0, 0.0, 1.0)
    for number in range(FEWEST):
        troubled.lost(2.0 + number)
    assert troubled.next_at(0, 20.0) >= 101.0
    assert troubled.allowance(0, 100.9) == 0
    assert troubled.allowance(0, 101.0) == 1


# --- an origin that takes nothing


def longest_refusal(origin: SimulatedOrigin, seconds: float, *, concurrency: int = 64) -> float:
    """The most seconds for which it has refused all of its own accord."""
    asked = pace(concurrency=concurrency)
    longest = 0.0

    def watch(now: float) -> None:
        nonlocal longest
        longest = max(longest, asked.refusals.lasting(now))

    simulate(asked, origin, seconds, watch=watch)
    return longest


@pytest.mark.parametrize("status", [429, 503])
def test_an_origin_that_refuses_all_stands_still_for_as_long_as_it_does_so(status: int) -> None:
    assert longest_refusal(Scripted(lambda now: Answer(status)), 300.0) > 280.0


@pytest.mark.parametrize("concurrency", [1, 8, 64])
@pytest.mark.parametrize("told", ["exact", None])
def test_an_origin_that_counts_by_the_minute_never_stands_still_for_two(
    told: Literal["exact"] | None, concurrency: int
) -> None:
    assert longest_refusal(FixedWindows(600, seconds=60.0, told=told), 1800.0, concurrency=concurrency) < 70.0


def test_a_pause_that_the_origin_asks_for_is_no_standstill() -> None:
    assert longest_refusal(Scripted(lambda now: Answer(429, 30.0)), 1200.0) < 1200.0 - 20 * 30.0


def test_an_answer_that_says_nothing_of_the_origin_ends_no_standstill() -> None:
    refused = pace()
    for number in range(2 * FEWEST):
        refused.answered(502 if number % 2 else 429, None, number, number + 0.1)
    assert refused.refusals.lasting(40.0) == pytest.approx(39.9)


# --- what is said of it


@pytest.mark.parametrize(
    ("trouble", "reason"),
    [
        (lambda each: None, Reason.CEILING),
        (lambda each: each.answered(429, None, 0.0, 1.0), Reason.RATE_REFUSED),
        (lambda each: each.answered(429, 5.0, 0.0, 1.0), Reason.PAUSE),
    ],
)
def test_the_reason_is_what_holds_it_down_the_most(trouble: Callable[[Pace], None], reason: Reason) -> None:
    limited = pace(10.0)
    trouble(limited)
    assert limited.reason(2.0) is reason


def test_where_all_that_may_be_are_in_flight_only_an_answer_lets_more_go() -> None:
    full = pace(concurrency=2)
    assert full.allowance(2, 0.0) == 0
    assert full.next_at(2, 0.0) == UNLIMITED
