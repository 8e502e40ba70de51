from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchwire.delivery.outcome import Attempt, Outcome
from patchwire.delivery.retry import Again, RetryPolicy, next_attempt
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
    return next_attempt(attempts, idempotent=idempotent, expects=expects, policy=POLICY, now=100.0, jitter=jitter)


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
