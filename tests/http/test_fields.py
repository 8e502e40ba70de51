from __future__ import annotations

import email.utils
import re
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchwire.http.fields import (
    LONGEST_PAUSE,
    EntityTag,
    FieldSyntaxError,
    comma_list,
    element_end,
    entity_tags,
    http_date,
    media_type,
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
TCHAR = "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
TOKENS = st.text(TCHAR, min_size=1, max_size=6)
COMMAS = st.text(" \t,", max_size=3).map(lambda blank: f",{blank}")
VALUES = st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f"), max_size=9)
OPAQUE = st.text(st.characters(min_codepoint=0x21, max_codepoint=0xFF, exclude_characters='"\x7f'), max_size=9)


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


@pytest.mark.parametrize(("text", "end"), [("a", 1), ("a,b", 1), ("a \t,b", 3), ("a  ", 3)])
def test_an_element_ends_at_its_comma_or_with_the_line(text: str, end: int) -> None:
    assert element_end(text, 1) == end


def test_a_second_word_in_an_element_is_a_missing_comma() -> None:
    with pytest.raises(FieldSyntaxError, match="comma expected at 2"):
        element_end("a b", 1)


@pytest.mark.parametrize(
    ("values", "tokens"),
    [
        ([], []),
        ([b""], []),
        ([b" , \t,"], []),
        ([b"keep-alive"], ["keep-alive"]),
        ([b"Foo, close"], ["Foo", "close"]),
        ([b",foo ,, bar,", b"", b"baz"], ["foo", "bar", "baz"]),
    ],
)
def test_a_list_runs_over_all_its_lines(values: list[bytes], tokens: list[str]) -> None:
    assert comma_list(values) == tokens


@pytest.mark.parametrize(
    ("line", "fault"),
    [(b"a b", "comma expected at 2"), (b"a, @", "token expected at 3"), (b'"a"', "token expected at 0"),
     (b"a;q=1", "comma expected at 1"), (b"\xe4", "token expected at 0")],
)  # fmt: skip
def test_a_list_element_that_is_no_token_is_refused_with_its_position_in_its_line(line: bytes, fault: str) -> None:
    with pytest.raises(FieldSyntaxError, match=fault):
        comma_list([b"good", line])


@given(st.lists(TOKENS, max_size=5), COMMAS, st.booleans())
def test_a_list_that_was_rendered_parses_back(tokens: list[str], comma: str, lines: bool) -> None:
    values = tokens if lines else [comma.join(tokens)]
    assert comma_list([value.encode() for value in values]) == tokens


def naive_list(line: str) -> list[str] | None:
    elements = [element.strip(" \t") for element in line.split(",")]
    tokens = [element for element in elements if element]
    return tokens if all(set(each) <= set(TCHAR) for each in tokens) else None


@given(st.text('ab ,\t"=', max_size=12))
def test_the_list_parser_equals_a_naive_one(line: str) -> None:
    expected = naive_list(line)
    if expected is None:
        with pytest.raises(FieldSyntaxError):
            comma_list([line.encode()])
    else:
        assert comma_list([line.encode()]) == expected


@pytest.mark.parametrize(
    ("value", "tags"),
    [
        (b'"xyzzy"', [(False, "xyzzy")]),
        (b'W/"xyzzy"', [(True, "xyzzy")]),
        (b'""', [(False, "")]),
        (b'"a,b", W/"c"', [(False, "a,b"), (True, "c")]),
        (b',, "a" ,\t"b",', [(False, "a"), (False, "b")]),
        (b'"a\\", "b"', [(False, "a\\"), (False, "b")]),
        (b'"*"', [(False, "*")]),
        (b'"\xe4\xff"', [(False, "\xe4\xff")]),
    ],
)
def test_commas_and_backslashes_inside_an_entity_tag_are_ordinary(value: bytes, tags: list[EntityTag]) -> None:
    assert entity_tags(value) == tags


def test_a_star_alone_stands_for_any_entity_tag() -> None:
    assert entity_tags(b"*") == entity_tags(b" *\t") == "*"


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        (b"", "entity tag expected at 0"),
        (b" ,", "entity tag expected at 2"),
        (b"xyzzy", "entity tag expected at 0"),
        (b'w/"a"', "entity tag expected at 0"),
        (b'W/ "a"', "entity tag expected at 0"),
        (b'"a', "entity tag expected at 0"),
        (b'"a b"', "entity tag expected at 0"),
        (b'"a", *', "entity tag expected at 5"),
        (b"*, *", "entity tag expected at 0"),
        (b'"a" "b"', "comma expected at 4"),
        (b'"a"b"', "comma expected at 3"),
    ],
)
def test_a_list_that_holds_no_entity_tag_where_one_must_stand_is_refused(value: bytes, fault: str) -> None:
    with pytest.raises(FieldSyntaxError, match=fault):
        entity_tags(value)


@given(st.lists(st.tuples(st.booleans(), OPAQUE), min_size=1, max_size=4), COMMAS)
def test_entity_tags_that_were_rendered_parse_back(tags: list[EntityTag], comma: str) -> None:
    texts = [("W/" if weak else "") + f'"{opaque}"' for weak, opaque in tags]
    assert entity_tags(comma.join(texts).encode("latin-1")) == tags


@pytest.mark.parametrize(
    ("value", "essence", "parameters"),
    [
        (b"text/html", "text/html", {}),
        (b"Application/Merge-Patch+JSON", "application/merge-patch+json", {}),
        (b"text/html;charset=UTF-8", "text/html", {"charset": "UTF-8"}),
        (b'text/html; Charset="utf-8"', "text/html", {"charset": "utf-8"}),
        (b"text/html ;;\t; charset=utf-8 ; ", "text/html", {"charset": "utf-8"}),
        (b'a/b;x="1;y=2\\"";y=3', "a/b", {"x": '1;y=2"', "y": "3"}),
        (b"a/b;x=1;X=2", "a/b", {"x": "1"}),
        (b"a/b \t", "a/b", {}),
    ],
)
def test_a_media_type_is_told_from_its_parameters(value: bytes, essence: str, parameters: dict[str, str]) -> None:
    assert media_type(value) == (essence, parameters)


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        (b"", "token expected at 0"),
        (b" a/b", "token expected at 0"),
        (b"json", "/ expected at 4"),
        (b"a /b", "/ expected at 1"),
        (b"a/ b", "token expected at 2"),
        (b"a/b, c/d", "semicolon expected at 3"),
        (b"a/b c", "semicolon expected at 3"),
        (b"a/b;c", "= expected at 5"),
        (b"a/b;c =d", "= expected at 5"),
        (b"a/b;c= d", "token expected at 6"),
        (b'a/b;c="d', "quoted-string expected at 6"),
        (b"a/b;c=d e", "semicolon expected at 7"),
    ],
)
def test_a_malformed_media_type_is_refused(value: bytes, fault: str) -> None:
    with pytest.raises(FieldSyntaxError, match=fault):
        media_type(value)


@given(TOKENS, TOKENS, st.dictionaries(TOKENS.map(str.lower), VALUES, max_size=4), st.text(" \t;", max_size=3))
def test_a_media_type_that_was_rendered_parses_back(
    main: str, subtype: str, parameters: dict[str, str], blank: str
) -> None:
    text = f"{main}/{subtype}{blank}"
    for name, value in parameters.items():
        text += f';{blank}{name}="' + re.sub(r'(["\\])', r"\\\1", value) + f'"{blank}'
    assert media_type(text.encode("latin-1")) == (f"{main}/{subtype}".lower(), parameters)


@given(st.binary(max_size=40) | st.text('W/"*, ab;=\\', max_size=40).map(str.encode))
def test_any_octets_are_read_or_refused_with_a_position_inside_them(value: bytes) -> None:
    for parse in (lambda octets: comma_list([octets]), entity_tags, media_type):
        try:
            parse(value)
        except FieldSyntaxError as error:
            assert 0 <= error.position <= len(value)


def test_large_fields_are_read_whole() -> None:
    assert len(comma_list([b"a ,\t," * 10_000])) == 10_000
    assert len(entity_tags(b'W/"a,b",' * 10_000)) == 10_000
    assert len(media_type(b"a/b" + b"".join(b'; p%d="\\""' % n for n in range(10_000)))[1]) == 10_000
    for parse, value in ((entity_tags, b'"' + b"a" * 65_000), (media_type, b"a/b" + b"; " * 32_000 + b"@")):
        with pytest.raises(FieldSyntaxError):
            parse(value)


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


@pytest.mark.parametrize(
    ("date", "now", "year"),
    [
        ("Monday, 23-Nov-76 12:00:00", datetime(2026, 11, 23, 12, tzinfo=UTC), 2076),
        ("Monday, 23-Nov-76 12:00:01", datetime(2026, 11, 23, 12, tzinfo=UTC), 1976),
        ("Friday, 01-Jan-00 00:00:00", datetime(2099, 12, 31, tzinfo=UTC), 2100),
        ("Friday, 31-Dec-99 00:00:00", datetime(2100, 1, 1, tzinfo=UTC), 2099),
        ("Tuesday, 29-Feb-28 00:00:00", datetime(2026, 11, 23, tzinfo=UTC), 2028),
    ],
)
def test_the_50_years_are_counted_to_the_second_and_over_the_turn_of_a_century(
    date: str, now: datetime, year: int
) -> None:
    moment = http_date(f"{date} GMT", now.timestamp())
    assert moment is not None
    assert datetime.fromtimestamp(moment, UTC).year == year


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
     (b"9" * 5000, LONGEST_PAUSE), (b"0" * 5000 + b"5", 5.0), (b"00000000000", 0.0),
     (b"4294967296", LONGEST_PAUSE), (b"\xb2", None), (b"\xff", None),
     (b"Mon, 23 Nov 2026 12:00:30 GMT", 30.0), (b"Mon, 23 Nov 2026 11:00:00 GMT", 0.0),
     (b"Fri, 31 Dec 9999 23:59:59 GMT", LONGEST_PAUSE)],
)  # fmt: skip
def test_retry_after_is_seconds_or_a_date(value: bytes, seconds: float | None) -> None:
    assert retry_after(value, NOW) == seconds
