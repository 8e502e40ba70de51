from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchwire.delivery.outcome import Attempt, Outcome, join, judge, outcome_of
from patchwire.errors import (
    ConnectError,
    ConnectionLostError,
    CredentialsRejectedError,
    HandshakeError,
    IncompleteResponseError,
    LocalProtocolError,
    PatchwireError,
    Sent,
)
from patchwire.http.message import Response

A, R, N, U = Outcome.APPLIED, Outcome.REJECTED, Outcome.NOT_SENT, Outcome.UNKNOWN
ATTEMPTS = st.builds(
    Attempt, st.sampled_from(Outcome), st.sampled_from(Sent), st.none() | st.integers(100, 599), error=st.none()
)


@pytest.mark.parametrize(
    ("status", "outcome"),
    [(200, A), (201, A), (202, A), (204, A), (207, A), (299, A), (300, R), (301, R), (303, U), (304, R), (307, R),
     (400, R), (401, R), (409, R), (412, R), (422, R), (429, R), (500, R), (501, R), (502, U), (503, R), (504, U),
     (599, R), (600, R), (999, R)],
)  # fmt: skip
@pytest.mark.parametrize("sent", list(Sent))
def test_a_complete_final_head_decides(status: int, outcome: Outcome, sent: Sent) -> None:
    assert judge(sent, status, (502, 504)) is outcome


@pytest.mark.parametrize(("sent", "outcome"), [(Sent.NO, N), (Sent.MAYBE, U), (Sent.YES, U)])
def test_without_a_head_only_what_was_sent_decides(sent: Sent, outcome: Outcome) -> None:
    assert judge(sent, None, ()) is outcome


def test_the_statuses_that_leave_it_open_are_a_setting() -> None:
    assert judge(Sent.YES, 503, (503,)) is U
    assert judge(Sent.YES, 502, (503,)) is R


@given(st.lists(ATTEMPTS, min_size=1, max_size=6))
def test_any_interleaving_of_attempts_is_applied_if_one_was_else_unknown_if_one_was_else_the_last(
    attempts: list[Attempt],
) -> None:
    outcomes = [attempt.outcome for attempt in attempts]
    joined = join(attempts)
    assert joined in attempts
    assert joined.outcome is (A if A in outcomes else U if U in outcomes else outcomes[-1])


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_statuses_can_be_added_to_those_that_leave_it_open(status: int) -> None:
    assert judge(Sent.YES, status, (500, 502, 503, 504)) is U


@pytest.mark.parametrize("status", [404, 409, 412, 422])
def test_an_answer_to_a_retry_does_not_end_an_unknown(status: int) -> None:
    first = Attempt(U, Sent.MAYBE, error="connection lost")
    assert join([first, Attempt(R, Sent.YES, status)]) is first
    assert join([first, Attempt(R, Sent.YES, status), Attempt(N, Sent.NO)]) is first


def test_a_later_2xx_ends_an_unknown() -> None:
    applied = Attempt(A, Sent.YES, 204)
    assert join([Attempt(U, Sent.MAYBE), applied]) is applied


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (LocalProtocolError("x"), N),
        (ConnectError("x", origin="http://h"), N),
        (HandshakeError("x", origin="https://h"), N),
        (ConnectionLostError("x", origin="http://h", sent=Sent.NO), N),
        (ConnectionLostError("x", origin="http://h", sent=Sent.MAYBE), U),
        (IncompleteResponseError("x"), U),
        (CredentialsRejectedError("x", origin="http://h", status=401), N),
    ],
)
def test_an_error_has_an_outcome_by_what_is_known_of_its_request(error: PatchwireError, outcome: Outcome) -> None:
    assert outcome_of(error) is outcome


@pytest.mark.parametrize(("status", "outcome"), [(204, A), (404, R), (303, U), (504, U), (500, R)])
def test_a_response_has_an_outcome_by_its_status(status: int, outcome: Outcome) -> None:
    assert outcome_of(Response(status)) is outcome
    assert outcome_of(Response(status), (500, 504)) is (U if status >= 500 else outcome)
