from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from patchwire.delivery.concurrency import BEGIN, FEWEST, Concurrency


def window(concurrency: Concurrency, begin: float, seconds: float, answers: int = 100) -> None:
    """A second of answers that took so long."""
    for number in range(answers):
        concurrency.answered(seconds, begin + number / answers)
    concurrency.answered(seconds, begin + 1.0)


def test_a_run_begins_with_few_and_each_good_answer_lets_one_more_go_up_to_the_ceiling() -> None:
    concurrency = Concurrency(20, 0.0)
    limits = [concurrency.limit]
    for _ in range(15):
        concurrency.answered(0.01, 0.1)
        limits.append(concurrency.limit)
    assert limits == [*range(BEGIN, 21), 20, 20, 20]
    assert not concurrency.is_cut


def test_a_ceiling_below_the_beginning_stands() -> None:
    assert Concurrency(3, 0.0).limit == 3


def test_a_refusal_cuts_by_three_tenths_and_then_a_whole_round_of_answers_is_worth_one_more() -> None:
    concurrency = Concurrency(100, 0.0)
    for _ in range(92):
        concurrency.answered(0.01, 0.1)
    concurrency.overloaded(0.2, 0.3)
    assert (concurrency.limit, concurrency.is_cut, concurrency.is_slowed_down) == (70, True, False)
    for _ in range(71):
        concurrency.answered(0.01, 0.4)
    assert concurrency.limit == 71


def test_what_left_before_the_last_cut_cuts_no_further() -> None:
    concurrency = Concurrency(8, 0.0)
    concurrency.overloaded(0.0, 1.0)
    concurrency.overloaded(0.5, 1.1)
    assert concurrency.limit == 5
    concurrency.overloaded(1.0, 1.2)
    assert concurrency.limit == 3


@given(st.lists(st.booleans(), max_size=300), st.integers(1, 50))
def test_it_stays_between_one_and_the_ceiling(answers: list[bool], ceiling: int) -> None:
    concurrency = Concurrency(ceiling, 0.0)
    for number, is_good in enumerate(answers):
        now = number / 10
        if is_good:
            concurrency.answered(0.01, now)
        else:
            concurrency.overloaded(now, now)
        assert 1 <= concurrency.limit <= ceiling


def test_a_second_of_answers_that_take_three_times_as_long_is_overload() -> None:
    concurrency = Concurrency(8, 0.0)
    window(concurrency, 0.0, 0.1)
    window(concurrency, 1.0, 0.3)
    assert (concurrency.limit, concurrency.is_cut, concurrency.is_slowed_down) == (5, True, True)


def test_what_is_short_or_is_said_by_few_answers_is_no_overload() -> None:
    concurrency = Concurrency(8, 0.0)
    window(concurrency, 0.0, 0.001)
    window(concurrency, 1.0, 0.04)  # forty times as long, and yet no time
    window(concurrency, 2.0, 5.0, FEWEST - 2)
    assert not concurrency.is_cut


def test_latency_that_stays_becomes_the_usual_one() -> None:
    concurrency = Concurrency(8, 0.0)
    window(concurrency, 0.0, 0.1)
    for second in range(1, 60):
        window(concurrency, float(second), 0.5)
    assert (concurrency.limit, concurrency.is_cut) == (8, False)


def test_latency_that_rises_with_those_in_flight_only_queues() -> None:
    concurrency = Concurrency(64, 0.0)
    window(concurrency, 0.0, 0.1, 10)
    assert concurrency.limit == 19
    window(concurrency, 1.0, 0.35, 200)  # twice 19/8 of what it was would be 0.475
    assert not concurrency.is_cut
