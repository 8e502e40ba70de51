from __future__ import annotations

import pytest

from patchwire.delivery.health import FEWEST, LONGEST_DELAY, Health, Refusals


@pytest.mark.parametrize(("concurrency", "tolerated"), [(1, FEWEST), (8, FEWEST), (50, 100)])
def test_so_many_losses_in_a_row_are_trouble_and_one_answer_ends_it(concurrency: int, tolerated: int) -> None:
    health = Health(concurrency)
    for number in range(tolerated):
        assert not health.is_bad
        assert health.bad_for(50.0) == 0.0
        health.lost(10.0 + number)
    assert health.is_bad
    assert (health.losses, health.bad_for(50.0)) == (tolerated, 40.0)
    health.answered()
    assert (health.is_bad, health.losses, health.bad_for(60.0)) == (False, 0, 0.0)


def test_probes_come_ever_more_seldom_and_never_more_than_some_seconds_apart() -> None:
    health = Health(1)
    for _ in range(FEWEST):
        health.lost(0.0)
    pauses = []
    for number in range(10):
        pauses.append(round(health.probe_at - number, 3))
        health.lost(number + 1.0)
    assert pauses == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, *[LONGEST_DELAY] * 4]


def test_probes_begin_anew_after_an_answer() -> None:
    health = Health(1)
    for _ in range(FEWEST + 5):
        health.lost(0.0)
    health.answered()
    for _ in range(FEWEST):
        health.lost(100.0)
    assert health.probe_at == pytest.approx(100.1)
    assert health.bad_for(101.0) == 1.0


def test_answers_between_losses_keep_it_well() -> None:
    health = Health(1)
    for number in range(10 * FEWEST):
        health.lost(float(number))
        if number % FEWEST == FEWEST - 2:
            health.answered()
        assert not health.is_bad


@pytest.mark.parametrize(
    ("statuses", "said"),
    [
        ([None], "has ended 16 connections in a row without an answer"),
        ([502], "has answered 16 requests in a row with nothing but 502"),
        ([504, 502], "has answered 16 requests in a row with nothing but 502 or 504"),
        ([504, None], "has answered 16 requests in a row with nothing but 504, or ended the connection"),
    ],
)
def test_what_came_of_the_requests_since_the_last_answer_is_said(statuses: list[int | None], said: str) -> None:
    health = Health(1)
    health.lost(0.0)
    health.lost(0.0, 500)
    health.answered()
    for number in range(FEWEST):
        health.lost(1.0 + number, statuses[number % len(statuses)])
    assert health.trouble == said


def test_refusals_last_from_the_first_until_a_request_is_taken() -> None:
    refusals = Refusals()
    assert refusals.lasting(100.0) == 0.0
    for number in range(FEWEST):
        assert refusals.lasting(100.0) == 0.0
        refusals.refused(0.0, 10.0 + number)
    assert (refusals.count, refusals.lasting(100.0)) == (FEWEST, 90.0)
    refusals.ended()
    assert (refusals.count, refusals.lasting(100.0)) == (0, 0.0)
    for _ in range(FEWEST):
        refusals.refused(0.0, 200.0)
    assert refusals.lasting(201.0) == 1.0


def test_pauses_that_were_asked_for_do_not_count_and_none_is_excused_twice() -> None:
    refusals = Refusals()
    for number in range(FEWEST):
        refusals.refused(20.0, 10.0 + number / 2)  # the last until 37.5
    assert refusals.lasting(30.0) == 0.0
    assert refusals.lasting(37.5) == 0.0
    refusals.refused(5.0, 40.0)
    assert refusals.lasting(45.0) == 2.5
    refusals.refused(1.0, 50.0)
    assert refusals.lasting(51.0) == 7.5
