from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec import Struct

from patchwire.settings.faults import fault_of


class Inner(Struct, forbid_unknown_fields=True):
    number: int


class Outer(Struct, forbid_unknown_fields=True):
    inner: Inner
    items: list[Inner] = []
    names: dict[str, int] = {}


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        ({}, "inner: missing"),
        ({"inner": {}}, "inner.number: missing"),
        ({"inner": {"number": 1, "x": 2}}, "inner.x: unknown key; remove it, or correct its spelling"),
        ({"inner": {"number": "x"}}, "inner.number: expected `int`, got `str`"),
        ({"inner": {"number": 1}, "items": [{"number": 1}, {}]}, "items[1].number: missing"),
        ({"inner": {"number": 1}, "names": {"a": "b"}}, "names[...]: expected `int`, got `str`"),
        ([], "expected `object`, got `array`"),
    ],
)
def test_a_fault_is_named_by_its_key(data: Any, fault: str) -> None:
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.convert(data, Outer)
    assert fault_of(caught.value) == fault
