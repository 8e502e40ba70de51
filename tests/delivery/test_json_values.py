from __future__ import annotations

import pytest

from patchwire.delivery.json_values import ContentRefusedError, Fault, Json, equal, parse_json


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b'{"a": [1, 1.5, true, null, "x"]}', {"a": [1, 1.5, True, None, "x"]}),
        (b" 1 ", 1),
        (b"123456789012345678901234567890", 123456789012345678901234567890),
        (b"1e2", 100.0),
        ('"\u00e9"'.encode(), "\u00e9"),
        (b'"\\u00e9"', "\u00e9"),
        (b'"\\ud83d\\ude00"', "\U0001f600"),
        (b'{"": {"": 1}}', {"": {"": 1}}),
    ],
)
def test_a_json_text_is_read_as_its_value(text: bytes, value: Json) -> None:
    assert parse_json(text) == value


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "no JSON"),
        (b"{", "no JSON"),
        (b"{} {}", "no JSON"),
        (b"'a'", "no JSON"),
        (b"[1,]", "no JSON"),
        (b"NaN", "NaN is no JSON number"),
        (b"[-Infinity]", "-Infinity is no JSON number"),
        (b"1e400", "1e400 is beyond double precision"),
        (b"-1e400", "beyond double precision"),
        (b"9" * 5000, "no JSON"),
        (b'{"a": 1, "a": 1}', "names a member twice"),
        (b'[{"b": {"a": 1, "\\u0061": 2}}]', "names a member twice"),
        (b'"a\xff"', "octet 3 is not UTF-8"),
        ("\ufeff{}".encode(), "no JSON"),
        ("{}".encode("utf-16"), "octet 1 is not UTF-8"),
        (b'"\\ud800"', "unpaired surrogate"),
        (b'{"\\udc00": 1}', "unpaired surrogate"),
        (b"[" * 100_000, "nested too deeply"),
        (b"[" * 100_000 + b"]" * 100_000, "nested too deeply"),
        (b'{"a":' * 100_000, "nested too deeply"),
    ],
)
def test_what_two_readers_could_take_differently_is_malformed(text: bytes, said: str) -> None:
    with pytest.raises(ContentRefusedError, match=said) as caught:
        parse_json(text)
    assert caught.value.fault is Fault.MALFORMED
    assert caught.value.operation is None


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (1, 1.0),
        (0, -0.0),
        (True, True),
        (None, None),
        ("", ""),
        ({"a": 1, "b": [2]}, {"b": [2.0], "a": 1}),
        ([], []),
    ],
)
def test_equal_values_are_equal(left: Json, right: Json) -> None:
    assert equal(left, right)
    assert equal(right, left)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (1, True),
        (0, False),
        (1.0, True),
        (False, None),
        (0, None),
        (True, False),
        ("1", 1),
        ([1], [True]),
        ({"a": [{"b": 0}]}, {"a": [{"b": False}]}),
        ({"a": 1}, {"a": 1, "b": 1}),
        ({"a": None}, {"b": None}),
        ([1, 2], [2, 1]),
        ([1], [1, 1]),
        ([], {}),
        ({}, None),
        (2**53, 2**53 + 1),
        (float(2**53), 2**53 + 1),
    ],
)
def test_values_that_json_tells_apart_are_not_equal(left: Json, right: Json) -> None:
    assert not equal(left, right)
    assert not equal(right, left)
