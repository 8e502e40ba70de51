from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchwire.delivery.outcome import Attempt, Outcome
from patchwire.delivery.retry import Again, RetryPolicy, next_attempt, postponement
from patchwire.errors import Sent

POLICY = RetryPolicy(max_attempts=4, base_delay=1.0, max_delay=3.0, max_retry_after=60.0)
ATTEMPTS = st.builds(
    Attempt,
    st.sampled_from(Outcome),
    st.sampled_from(Sent),
    st.none() | st.sampled_from([200, 401, 404, 408, 409, 412, 417, 421, 425, 429, 500, 502, 503]),
    retry_after=st.none() | st.floats(0, 1000),
)


def after(*attempts: Attempt, idempotent: bool = False, expects: bool = False, jitter: float = 0.5) -> Again | None:
    return next_attempt(attempts, resendable=idempotent, expects=expects, policy=POLICY, now=100.0, jitter=jitter)


def rejected(status: int, retry_after: float | None = None) -> Attempt:
    return Attempt(Outcome.REJECTED, Sent.YES, status, retry_after=retry_after)


NOT_SENT = Attempt(Outcome.NOT_SENT, Sent.NO)
UNKNOWN = Attempt(Outcome.UNKNOWN, Sent.MAYBE)


@given(st.lists(ATTEMPTS, min_size=1, max_size=6), st.booleans(), st.floats(0, 1))
def test_what_may_have_been_applied_is_never_resent_unless_it_is_idempotent(
    attempts: list[Attempt], expects: bool, jitter: float
) -> None:
    again = after(*attempts, expects=expects, jitter=jitter)
    if attempts[-1].outcome in (Outcome.APPLIED, Outcome.UNKNOWN) or len(attempts) >= POLICY.max_attempts:
        assert again is None
    if again is not None:
        assert 100.0 <= again.at <= 100.0 + max(POLICY.max_delay, POLICY.max_retry_after)


def test_what_was_applied_is_not_resent_even_if_idempotent() -> None:
    assert after(Attempt(Outcome.APPLIED, Sent.YES, 200), idempotent=True) is None


def test_what_was_not_sent_goes_out_again_at_once_and_then_with_growing_delays() -> None:
    assert after(NOT_SENT) == Again(100.0)
    assert after(NOT_SENT, NOT_SENT, jitter=1.0) == Again(103.0)
    assert after(NOT_SENT, NOT_SENT, jitter=0.0) == Again(100.0)
    assert after(NOT_SENT, NOT_SENT, NOT_SENT, NOT_SENT) is None


def test_an_unknown_attempt_is_resent_only_if_idempotent() -> None:
    assert after(UNKNOWN) is None
    assert after(UNKNOWN, idempotent=True, jitter=0.5) == Again(101.0)


@pytest.mark.parametrize("status", [408, 421, 425, 429])
def test_an_answer_that_asks_for_another_try_gets_one(status: int) -> None:
    assert after(rejected(status), jitter=0.5) == Again(101.0)
    assert after(rejected(status, 7.0)) == Again(107.0)


@pytest.mark.parametrize("status", [400, 401, 404, 409, 412, 415, 422, 428, 500, 503])
def test_any_other_answer_stands(status: int) -> None:
    assert after(rejected(status)) is None


def test_503_is_resent_only_when_it_names_a_time() -> None:
    assert after(rejected(503, 2.0)) == Again(102.0)


def test_a_server_that_asks_for_too_long_a_pause_is_not_waited_for() -> None:
    assert after(rejected(429, 60.0)) == Again(160.0)
    assert after(rejected(429, 60.5)) is None


def test_a_refused_expectation_is_dropped_once() -> None:
    assert after(rejected(417), expects=True) == Again(100.0, without_expect=True)
    assert after(rejected(417, 3.0), expects=True) == Again(103.0, without_expect=True)
    assert after(rejected(417), expects=False) is None


@pytest.mark.parametrize("status", range(300, 600))
def test_of_all_refusals_only_those_that_ask_for_another_try_are_resent(status: int) -> None:
    asks = status in (408, 421, 425, 429)
    assert (after(rejected(status)) is not None) is asks
    assert (after(rejected(status, 1.0)) is not None) is (asks or status == 503)


@given(st.sampled_from([408, 421, 425, 429, 503]), st.floats(0, 200), st.floats(0, 1), st.integers(1, 3))
def test_a_pause_that_the_server_names_is_kept_to_the_second_or_not_waited_for(
    status: int, pause: float, jitter: float, attempts: int
) -> None:
    again = after(*[rejected(status, pause)] * attempts, jitter=jitter)
    assert again == (Again(100.0 + pause) if pause <= POLICY.max_retry_after else None)


@given(st.lists(ATTEMPTS, min_size=1, max_size=12), st.booleans(), st.booleans())
def test_attempts_are_bounded_whatever_comes(coming: list[Attempt], idempotent: bool, expects: bool) -> None:
    made: list[Attempt] = []
    for attempt in coming * POLICY.max_attempts:
        made.append(attempt)
        if after(*made, idempotent=idempotent, expects=expects) is None:
            break
    assert len(made) <= POLICY.max_attempts


@pytest.mark.parametrize(("attempts", "ceiling"), [(1, 0.4), (2, 0.8), (3, 1.6), (4, 3.2)])
def test_delays_double_from_the_base_up_to_the_longest(attempts: int, ceiling: float) -> None:
    def last_moment(policy: RetryPolicy) -> Again | None:
        made = [Attempt(Outcome.UNKNOWN, Sent.MAYBE)] * attempts
        return next_attempt(made, resendable=True, expects=False, policy=policy, now=0.0, jitter=1.0)

    assert last_moment(RetryPolicy()) == Again(ceiling)
    assert last_moment(RetryPolicy(max_delay=0.5)) == Again(min(ceiling, 0.5))


@given(st.lists(ATTEMPTS, min_size=1, max_size=6), st.floats(0, 1))
def test_a_record_that_is_driven_by_the_policy_is_never_resent_behind_an_attempt_that_may_have_changed_something(
    coming: list[Attempt], jitter: float
) -> None:
    made: list[Attempt] = []
    for attempt in coming:
        made.append(attempt)
        if after(*made, jitter=jitter) is None:
            break
    assert all(attempt.outcome in (Outcome.NOT_SENT, Outcome.REJECTED) for attempt in made[:-1])


def test_an_unknown_attempt_is_not_forgotten_when_a_later_one_was_not_sent() -> None:
    made = [Attempt(Outcome.UNKNOWN, Sent.MAYBE), Attempt(Outcome.NOT_SENT, Sent.NO)]
    assert after(*made, idempotent=False) is None
    assert after(*made, idempotent=True) is not None


def test_what_was_applied_is_never_resent_whatever_came_behind_it() -> None:
    made = [Attempt(Outcome.APPLIED, Sent.YES, 200), Attempt(Outcome.NOT_SENT, Sent.NO)]
    assert after(*made, idempotent=True) is None


def test_delays_stay_finite_after_thousands_of_attempts() -> None:
    made = [Attempt(Outcome.NOT_SENT, Sent.NO)] * 5000
    policy = RetryPolicy(max_attempts=10_000)
    again = next_attempt(made, resendable=True, expects=False, policy=policy, now=0.0, jitter=1.0)
    assert again == Again(policy.max_delay)


@pytest.mark.parametrize(
    ("last", "seconds"),
    [
        (rejected(503, 61.0), 61.0),
        (rejected(429, 3600.0), 3600.0),
        (rejected(408, 3600.0), 3600.0),
        (Attempt(Outcome.NOT_SENT, Sent.NO, 401, retry_after=90.0), 90.0),
        (rejected(503, 60.0), None),
        (rejected(503), None),
        (rejected(404, 3600.0), None),
        (UNKNOWN, None),
    ],
)
def test_a_pause_too_long_to_be_waited_for_puts_off_what_asks_for_another_try(
    last: Attempt, seconds: float | None
) -> None:
    assert postponement(last, POLICY) == seconds
