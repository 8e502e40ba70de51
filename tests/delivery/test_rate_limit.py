from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchwire.delivery.rate_limit import FASTEST, PROBES, RETURN, SLOWEST, UNLIMITED, RateLimit


def steady(limit: RateLimit, rate: int, begin: float, seconds: float) -> None:
    """So many accepted requests a second."""
    for number in range(int(rate * seconds)):
        limit.accepted(begin + number / rate, begin + number / rate)


def test_nothing_limits_what_was_neither_asked_for_nor_refused() -> None:
    limit = RateLimit(None, 0.0)
    assert (limit.rate(1.0), limit.tokens(1.0), limit.is_learned) == (UNLIMITED, UNLIMITED, False)


@given(st.floats(0.2, 1e5), st.floats(0.0, 1e7), st.integers(1, 50))
def test_when_the_next_may_leave_one_may_leave(rate: float, now: float, taken: int) -> None:
    limit = RateLimit(rate, now)
    for _ in range(taken):
        limit.tokens(now)
        limit.take(1)
        if limit.tokens(now) < 1:
            now = limit.next_at(now)
            assert limit.tokens(now) >= 1


@pytest.mark.parametrize(("rate", "at_once"), [(0.5, 1), (10.0, 1), (100.0, 5), (10_000.0, 500)])
def test_no_more_than_a_twentieth_of_a_second_is_saved_up(rate: float, at_once: int) -> None:
    assert RateLimit(rate, 0.0).tokens(1000.0) == pytest.approx(at_once)


def test_a_refusal_cuts_to_just_below_what_was_taken_and_the_rate_comes_back_flat_then_faster() -> None:
    limit = RateLimit(None, 0.0)
    steady(limit, 100, 0.0, 3.0)
    assert limit.refused(2.99, 3.0)
    assert limit.is_learned
    taken = limit.rate(3.0) / 0.95
    assert 95 < taken < 105
    assert limit.rate(3.0 + RETURN) == pytest.approx(taken)
    early, late = limit.rate(3.0 + RETURN / 2), limit.rate(3.0 + 3 * RETURN)
    assert 0.99 * taken < early < taken < 1.3 * taken < late


def test_what_left_before_a_cut_and_what_is_refused_just_after_it_cuts_no_further() -> None:
    limit = RateLimit(None, 0.0)
    steady(limit, 100, 0.0, 3.0)
    assert limit.refused(2.99, 3.0)
    rate = limit.rate(3.1)
    assert not limit.refused(2.999, 3.3)
    assert limit.rate(3.1) == rate
    assert not limit.refused(3.05, 3.1)  # as nothing was taken since, it is only asked more seldom
    assert limit.rate(3.1) == PROBES
    limit.accepted(3.2, 3.3)
    assert limit.rate(3.3) == pytest.approx(rate, rel=0.001)


def test_after_a_refusal_nothing_is_owed_for_what_left_while_nothing_limited_it() -> None:
    limit = RateLimit(None, 0.0)
    steady(limit, 1000, 0.0, 2.0)
    limit.take(5000)
    limit.refused(1.999, 2.0)
    assert limit.next_at(2.0) < 2.01


@pytest.mark.parametrize("taken", [0, 1, 3])
def test_a_first_refusal_behind_little_that_was_taken_is_searched_upwards_from(taken: int) -> None:
    limit = RateLimit(None, 0.0)
    steady(limit, max(1, taken), 0.5, taken and 1.0)
    assert limit.refused(0.0, 1.5)
    assert limit.rate(1.5) >= 1.0
    limit.accepted(1.6, 1.6)
    assert limit.rate(6.6) > 8 * limit.rate(1.6)
    steady(limit, 20, 5.6, 1.0)
    assert limit.refused(6.5, 6.6)
    assert limit.rate(6.6) >= 8.0  # the search has ended where it was refused
    assert limit.rate(7.6) < 1.1 * limit.rate(6.6)


def test_a_burst_behind_which_all_is_refused_was_a_window_and_is_kept_to() -> None:
    limit = RateLimit(None, 0.0)
    steady(limit, 1000, 0.0, 0.05)
    limit.refused(0.04, 0.05)
    for _ in range(5):
        limit.accepted(0.04, 0.06)  # they were on their way
    for number in range(5):
        assert not limit.refused(0.15 + number / 10, 0.16 + number / 10)
    limit.accepted(1.1, 1.1)
    assert limit.rate(1.1) == pytest.approx(55 * 0.95)
    assert limit.rate(11.1) < 55


def test_the_longer_all_is_refused_the_more_seldom_it_is_asked_and_the_lower_is_what_it_takes() -> None:
    limit = RateLimit(None, 0.0)
    steady(limit, 1000, 0.0, 0.6)
    limit.refused(0.59, 0.6)
    rates, now = [], 0.6
    while now < 60.0:
        now = limit.next_at(now)
        limit.refused(now, now)
        rates.append(limit.rate(now))
    assert rates[:4] == [PROBES, PROBES / 2, PROBES / 4, PROBES / 8]
    assert rates[-1] == SLOWEST
    limit.accepted(60.0, 60.1)
    assert 9.0 < limit.rate(60.1) < 12.0


def test_a_pause_that_is_asked_for_shows_how_long_it_counts_by() -> None:
    limit = RateLimit(None, 0.0)
    steady(limit, 1000, 0.0, 0.6)
    limit.refused(0.59, 0.6)
    limit.pause(60.0)
    limit.accepted(60.1, 60.1)
    assert limit.rate(60.1) == pytest.approx(600 / 59 * 0.95)


def test_a_rate_that_is_refused_again_is_what_was_taken_since_the_last_time() -> None:
    limit = RateLimit(None, 0.0)
    steady(limit, 100, 0.0, 3.0)
    limit.refused(2.99, 3.0)
    steady(limit, 60, 3.0, 10.0)
    assert limit.refused(12.99, 13.0)
    assert limit.rate(13.0) == pytest.approx(60 * 0.95, rel=0.03)


def test_one_refusal_never_more_than_halves_what_was_learned() -> None:
    limit = RateLimit(None, 0.0)
    steady(limit, 100, 0.0, 3.0)
    limit.refused(2.99, 3.0)
    limit.accepted(3.1, 3.1)
    before = limit.rate(8.0)
    assert limit.refused(7.0, 8.0)  # nothing more was taken in five seconds
    assert limit.rate(8.0) == pytest.approx(before / 2 * 0.95)


def test_answers_that_come_within_one_tick_of_the_clock_are_taken_in() -> None:
    limit = RateLimit(None, 0.0)
    limit.refused(1.0, 1.0)
    limit.accepted(1.0, 1.0)
    assert limit.refused(1.0, 1.0)
    assert limit.rate(1.0) > 0.0


def test_no_rate_below_the_slowest_is_learned() -> None:
    limit = RateLimit(None, 0.0)
    now = 0.0
    for _ in range(40):
        now += 2.0
        limit.refused(now, now)
    assert SLOWEST * 0.94 < limit.rate(now) < SLOWEST


def test_a_rate_that_has_grown_beyond_all_measure_is_no_limit_any_more() -> None:
    limit = RateLimit(None, 0.0)
    steady(limit, 1000, 0.0, 2.0)
    limit.refused(1.999, 2.0)
    limit.accepted(2.0, 2.0)
    now = 2.0
    while limit.rate(now) <= FASTEST:
        now += 10.0
    assert limit.is_learned
    limit.accepted(now, now)
    assert (limit.is_learned, limit.rate(now)) == (False, UNLIMITED)


def test_a_search_that_nothing_refuses_stays_a_finite_rate() -> None:
    limit = RateLimit(None, 0.0)
    limit.refused(0.0, 0.1)
    assert limit.rate(1e9) < UNLIMITED


def test_what_was_asked_for_bounds_what_was_learned() -> None:
    limit = RateLimit(5.0, 0.0)
    steady(limit, 100, 0.0, 2.0)
    limit.refused(1.99, 2.0)
    assert limit.rate(2.0) == 5.0


def test_a_pause_puts_off_what_is_measured_and_an_earlier_one_changes_nothing() -> None:
    limit = RateLimit(10.0, 0.0)
    limit.pause(5.0)
    limit.pause(3.0)
    assert limit.tokens(5.0) == 0.0
    assert limit.next_at(5.0) == pytest.approx(5.1, abs=1e-5)


def test_accepted_requests_of_long_ago_say_nothing_of_the_rate_now() -> None:
    limit = RateLimit(None, 0.0)
    steady(limit, 1000, 0.0, 1.0)
    steady(limit, 20, 10.0, 2.0)
    limit.refused(11.9, 12.0)
    assert 15 < limit.rate(12.0) < 25
