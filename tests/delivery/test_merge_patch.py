from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchwire.delivery.json_values import Json
from patchwire.delivery.merge_patch import is_applied, is_merge_patch, merge_patch
from patchwire.http.message import request_to
from tests.support.vectors import VECTORS, load, needs_vectors

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text("ab", max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab", max_size=2), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [  # RFC 7396 appendix A
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "b"}, ["c"], ["c"]),
        ({"a": "foo"}, None, None),
        ({"a": "foo"}, "bar", "bar"),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_a_patch_makes_of_a_target_what_the_rfc_says(target: Json, patch: Json, result: Json) -> None:
    assert merge_patch(target, patch) == result


def vectors() -> list[dict[str, Any]]:
    data = load("jsonpatch/merge_patch_rfc7396.json") if VECTORS else {}
    return [case for cases in data.values() if isinstance(cases, list) for case in cases if "result" in case]


@needs_vectors
@pytest.mark.parametrize("case", vectors())
def test_the_merge_patch_corpus_is_met(case: dict[str, Any]) -> None:
    assert merge_patch(case["original"], case["patch"]) == case["result"]


@given(VALUES, VALUES)
def test_a_patch_once_applied_is_seen_and_changes_nothing_again(target: Json, patch: Json) -> None:
    before = json.dumps([target, patch])
    merged = merge_patch(target, patch)
    assert merge_patch(merged, patch) == merged
    assert json.dumps([target, patch]) == before
    assert is_applied(json.dumps(merged).encode(), json.dumps(patch).encode()) is (None if patch == {} else True)


@pytest.mark.parametrize(
    ("document", "patch", "applied"),
    [
        (b'{"a": 1}', b'{"a": 1}', True),
        (b'{"a": 1.0}', b'{"a": 1}', True),
        (b'{"a": true}', b'{"a": 1}', False),
        (b'{"a": 1, "b": 2}', b'{"b": null}', False),
        (b'{"a": 1}', b'{"b": null}', True),
        (b"[]", b'{"a": null}', False),
        (b'{"a": 1}', b"{}", None),
        (b"not json", b'{"a": 1}', None),
        (b"", b'{"a": 1}', None),
        (b'{"a": 1}', b'{"a": ', None),
        (b"[" * 100_000, b'{"a": 1}', None),
    ],
)
def test_an_effect_is_seen_not_seen_or_cannot_be_told(document: bytes, patch: bytes, applied: bool | None) -> None:
    assert is_applied(document, patch) is applied


def test_a_document_too_deep_to_be_followed_cannot_be_told() -> None:
    deep = b'{"a":' * 400 + b"1" + b"}" * 400
    assert is_applied(deep, deep) in (True, None)
    deeper = b'{"a":' * 900 + b"1" + b"}" * 900
    assert is_applied(deeper, deeper) in (True, None)


@pytest.mark.parametrize(
    ("media_type", "is_one"),
    [
        ("application/merge-patch+json", True),
        ("Application/Merge-Patch+JSON ; charset=utf-8", True),
        ("application/json-patch+json", False),
        ("application/merge-patch+jsonx", False),
        (None, False),
    ],
)
def test_a_merge_patch_is_known_by_its_media_type(media_type: str | None, is_one: bool) -> None:
    headers = [("Content-Type", media_type)] if media_type else []
    assert is_merge_patch(request_to("PATCH", "http://h/", headers=headers, body=b"{}")) is is_one
