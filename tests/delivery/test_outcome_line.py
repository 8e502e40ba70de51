from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchwire.delivery.answer import Answer
from patchwire.delivery.outcome import Attempt, Outcome, join, untraced
from patchwire.delivery.outcome_line import attempt_of, held_line, outcome_line
from patchwire.delivery.record import RecordParser
from patchwire.errors import Sent
from patchwire.files.outcomes import encode
from patchwire.settings.connection import parse_connection, resolve

A, R, N, U = Outcome.APPLIED, Outcome.REJECTED, Outcome.NOT_SENT, Outcome.UNKNOWN
RECORD = RecordParser(resolve("c", parse_connection("c", {"base_url": "http://h"}), {})).parse(
    b'{"id":"r1","path":"/a","body":{},"properties":{"k":1.50}}', 3
)
ATTEMPTS = st.builds(
    Attempt, st.sampled_from(Outcome), st.sampled_from(Sent), st.none() | st.integers(100, 599), error=st.none()
)


def test_a_line_tells_the_deciding_attempt_and_how_many_there_were() -> None:
    attempts = [Attempt(U, Sent.MAYBE, error="cut"), Attempt(R, Sent.YES, 409)]
    assert encode(outcome_line(RECORD, attempts, 0.12345678)) == (
        b'{"seq":3,"id":"r1","path":"/a","outcome":"unknown","status":null,"attempts":2,"etag":null,'
        b'"seconds":0.123457,"error":"cut","properties":{"k":1.50}}'
    )


@pytest.mark.parametrize(("status", "mark"), [(202, b'"pending":true'), (207, b'"partial":true')])
def test_202_and_207_are_marked(status: int, mark: bytes) -> None:
    assert mark in encode(outcome_line(RECORD, [Attempt(A, Sent.YES, status)], 0.0))


def test_a_held_record_names_its_holder_and_had_no_attempt() -> None:
    line = held_line(RECORD, "r0")
    assert (line.outcome, line.error, line.attempts, line.status) == ("not_sent", "held by r0", 0, None)


def test_a_held_record_keeps_its_properties() -> None:
    assert b'"properties":{"k":1.50}' in encode(held_line(RECORD, "r0"))


def test_the_head_decides_and_what_befell_the_body_stands_beside_it() -> None:
    line = outcome_line(RECORD, [Attempt(A, Sent.YES, 200, etag='"v4"', error="body cut short")], 0.0)
    assert (line.outcome, line.status, line.etag, line.error) == ("applied", 200, '"v4"', "body cut short")


@given(st.lists(ATTEMPTS, min_size=1, max_size=4), st.lists(ATTEMPTS, max_size=4), st.integers(1, 9))
def test_attempts_of_earlier_runs_count_and_are_joined_with_those_of_this_one(
    earlier: list[Attempt], now: list[Attempt], before: int
) -> None:
    taken_up = msgspec.structs.replace(RECORD, earlier=tuple(earlier), attempts_before=before)
    line = outcome_line(taken_up, now, 0.0)
    decisive = join([*earlier, *now])
    assert (line.outcome, line.status) == (decisive.outcome.value, decisive.status)
    assert line.attempts == before + len(now)


def test_what_a_look_at_the_resource_has_found_decides() -> None:
    seen = Attempt(A, Sent.YES, error="seen by GET")
    line = outcome_line(RECORD, [Attempt(U, Sent.MAYBE, error="cut")], 0.0, verified=seen)
    assert (line.outcome, line.error, line.attempts) == ("applied", "seen by GET", 1)


@pytest.mark.parametrize(
    ("attempt", "error"),
    [
        (Attempt(U, Sent.MAYBE, error="cut"), "cut; --verify: the GET was answered with 404"),
        (Attempt(U, Sent.YES, 504), "answered with 504; --verify: the GET was answered with 404"),
        (Attempt(A, Sent.YES, 204), None),
    ],
)
def test_why_a_look_could_not_end_the_doubt_is_added_to_what_stays_unknown(
    attempt: Attempt, error: str | None
) -> None:
    assert outcome_line(RECORD, [attempt], 0.0, note="the GET was answered with 404").error == error


def test_a_response_that_is_kept_stands_behind_everything_else() -> None:
    answers = [Answer({"server": "s"}, '{"n": 1}', None), Answer({}, "AA==", "base64")]
    text, binary = (
        encode(outcome_line(RECORD, [Attempt(A, Sent.YES, 200, answer=answer)], 0.0)) for answer in answers
    )
    assert text.endswith(b'"properties":{"k":1.50},"response_headers":{"server":"s"},"response":"{\\"n\\": 1}"}')
    assert binary.endswith(b'"response_headers":{},"response":"AA==","response_encoding":"base64"}')


@given(ATTEMPTS)
def test_of_an_attempt_that_was_told_all_comes_back_but_what_went_over_the_wire(attempt: Attempt) -> None:
    told = attempt_of(outcome_line(RECORD, [attempt], 0.0))
    expected = untraced(attempt.outcome, attempt.error, attempt.status, attempt.etag)
    assert told == expected
    assert (told.bytes_sent, told.bytes_received, told.reused) == (None, None, None)


@pytest.mark.parametrize("answer", [Answer({"server": "s"}, "text", None), Answer({}, "AA==", "base64")])
def test_its_response_comes_back_too(answer: Answer) -> None:
    line = outcome_line(RECORD, [Attempt(U, Sent.YES, 502, answer=answer)], 0.0)
    assert attempt_of(line).answer == answer


def test_a_later_look_replaces_what_an_earlier_one_has_found() -> None:
    first = outcome_line(RECORD, [Attempt(U, Sent.MAYBE, error="cut")], 0.0, note="404")
    again = msgspec.structs.replace(RECORD, earlier=(attempt_of(first),), attempts_before=1)
    assert outcome_line(again, [], 0.0, note="503").error == "cut; --verify: 503"
