from __future__ import annotations

import email.utils
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchwire.http.fields import (
    LONGEST_PAUSE,
    FieldSyntaxError,
    http_date,
    quoted_string,
    retry_after,
    skip_blanks,
    skip_separators,
    token,
    token_or_quoted_string,
)
from tests.support.vectors import VECTORS, load, needs_vectors

NOW = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC).timestamp()
END_OF_1999 = 946_684_799.0


def test_a_token_ends_where_its_characters_end() -> None:
    assert token("ab-c=d", 0) == ("ab-c", 4)
    assert token("ab-c=d", 5) == ("d", 6)


@pytest.mark.parametrize(("text", "position"), [("", 0), ("=a", 0), ("a b", 1), ("é", 0), ("a", 1)])
def test_where_no_token_stands_the_error_names_the_position(text: str, position: int) -> None:
    with pytest.raises(FieldSyntaxError, match=f"token expected at {position}") as caught:
        token(text, position)
    assert caught.value.position == position


@pytest.mark.parametrize(
    ("text", "value", "end"),
    [
        ('""', "", 2),
        ('"a b"c', "a b", 5),
        (r'"\"\\\a"', '"\\a', 8),
        ('"\xe4\t"', "\xe4\t", 4),
        ('"a,b=c"', "a,b=c", 7),
    ],
)
def test_quoted_pairs_are_undone_once(text: str, value: str, end: int) -> None:
    assert quoted_string(text, 0) == (value, end)
    assert token_or_quoted_string(text, 0) == (value, end)


@pytest.mark.parametrize("text", ["", "a", '"', '"a', '"\\"', '"\x00"', '"\x7f"', '"\\\x01"', '"\r\n"'])
def test_an_unterminated_or_dirty_quoted_string_is_refused(text: str) -> None:
    with pytest.raises(FieldSyntaxError, match="quoted-string expected at 0"):
        quoted_string(text, 0)


def test_blanks_are_skipped_but_commas_only_between_elements() -> None:
    assert skip_blanks(" \t ,a", 0) == 3
    assert skip_separators(" \t ,, a", 0) == 6
    assert skip_blanks("a", 0) == skip_separators("a", 0) == 0


@pytest.mark.parametrize(
    "text", ["Fri, 31 Dec 1999 23:59:59 GMT", "Friday, 31-Dec-99 23:59:59 GMT", "Fri Dec 31 23:59:59 1999"]
)
def test_the_three_forms_of_a_date_mean_the_same(text: str) -> None:
    assert http_date(text, NOW) == END_OF_1999


def test_the_example_of_rfc_9110_is_read() -> None:
    expected = datetime(1994, 11, 6, 8, 49, 37, tzinfo=UTC).timestamp()
    for text in ("Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"):
        assert http_date(text, NOW) == expected


@pytest.mark.parametrize(("year", "expected"), [("76", 2076), ("77", 1977), ("26", 2026), ("00", 2000)])
def test_a_year_of_two_digits_is_at_most_50_years_ahead(year: str, expected: int) -> None:
    moment = http_date(f"Monday, 01-Jun-{year} 00:00:00 GMT", NOW)
    assert moment is not None
    assert datetime.fromtimestamp(moment, UTC).year == expected


def test_a_leap_second_is_the_second_after_59() -> None:
    assert http_date("Sat, 31 Dec 2016 23:59:60 GMT", NOW) == datetime(2017, 1, 1, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    "text",
    ["", "soon", "Fri, 32 Dec 1999 23:59:59 GMT", "Fri, 31 Foo 1999 23:59:59 GMT", "Fri, 31 Dec 1999 24:00:00 GMT",
     "Fri, 31 Dec 1999 23:59:59 CET", "Fri, 31 Dec 1999 23:59:59 GMT ", "Fri, 30 Feb 2024 00:00:00 GMT",
     "Fri, 01 Jan 0000 00:00:00 GMT"],
)  # fmt: skip
def test_what_is_no_date_is_none(text: str) -> None:
    assert http_date(text, NOW) is None


@given(st.integers(0, 4_000_000_000))
def test_a_date_that_was_formatted_is_read_back(seconds: int) -> None:
    assert http_date(email.utils.formatdate(seconds, usegmt=True), NOW) == seconds


EXPECTATIONS: dict[str, float | None] = {
    "120 s": 120.0,
    "0 s": 0.0,
    "until that date; past: 0": 0.0,
    "ignored": None,
    "capped": LONGEST_PAUSE,
    "rfc850: accepted": 0.0,
    "asctime: accepted": 0.0,
}


@needs_vectors
@pytest.mark.parametrize(
    "case",
    load("patch/problem_and_retry_cases.json")["retry_after"] if VECTORS else [],
    ids=lambda case: str(case["value"]),
)
def test_the_retry_after_corpus_is_met(case: dict[str, Any]) -> None:
    assert retry_after(case["value"].encode(), NOW) == EXPECTATIONS[case["expect"]]


@pytest.mark.parametrize(
    ("value", "seconds"),
    [(b"0", 0.0), (b"120", 120.0), (b"-1", None), (b"1.5", None), (b"1_0", None), (b"", None), (b" 1", None),
     (b"9" * 5000, LONGEST_PAUSE), (b"4294967296", LONGEST_PAUSE), (b"\xb2", None), (b"\xff", None),
     (b"Mon, 23 Nov 2026 12:00:30 GMT", 30.0), (b"Mon, 23 Nov 2026 11:00:00 GMT", 0.0),
     (b"Fri, 31 Dec 9999 23:59:59 GMT", LONGEST_PAUSE)],
)  # fmt: skip
def test_retry_after_is_seconds_or_a_date(value: bytes, seconds: float | None) -> None:
    assert retry_after(value, NOW) == seconds
