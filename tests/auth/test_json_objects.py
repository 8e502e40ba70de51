from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchwire.auth.json_objects import object_in


def test_an_object_is_read() -> None:
    assert object_in('{"a": [1, 2.5, null, true, {"b": "é"}]}'.encode()) == {"a": [1, 2.5, None, True, {"b": "é"}]}


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        (b"", "no JSON from line 1, column 1 on"),
        (b"<html>", "no JSON from line 1, column 1 on"),
        (b'{"a":1}\n{"b":2}', "no JSON from line 2, column 1 on"),
        (b"\xef\xbb\xbf{}", "no JSON from line 1, column 1 on"),
        (b'{"canary":"\xff"}', "octet 12 is not UTF-8"),
        ('{"a":1}'.encode("utf-16"), "octet 1 is not UTF-8"),
        (b'["canary"]', "no JSON object"),
        (b'{"canary":1,"canary":1}', "a name is given twice in one object"),
        (b'{"a":[{"b":1,"b":2}]}', "a name is given twice in one object"),
        (b'{"a":NaN}', "NaN and Infinity are no JSON"),
        (b'{"a":-Infinity}', "NaN and Infinity are no JSON"),
        (b'{"a":' + b"[" * 100_000, "nested too deeply"),
        (b'{"a":' * 100_000, "nested too deeply"),
    ],
)
def test_what_is_none_is_refused_in_one_line_that_quotes_nothing(octets: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as caught:
        object_in(octets)
    assert str(caught.value) == reason


def test_a_number_of_many_digits_is_refused() -> None:
    with pytest.raises(ValueError, match="limit"):
        object_in(b'{"a":' + b"1" * 5000 + b"}")


@given(st.binary(max_size=60))
def test_octets_never_raise_anything_else(octets: bytes) -> None:
    try:
        assert isinstance(object_in(octets), dict)
    except ValueError as error:
        assert str(error).isprintable()
