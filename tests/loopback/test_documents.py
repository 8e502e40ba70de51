from __future__ import annotations

from typing import Any

import pytest

from patchwire.delivery.json_values import ContentRefusedError, Fault
from patchwire.delivery.merge_patch import merge_patch
from patchwire.http.media_types import JSON_PATCH, MERGE_PATCH
from patchwire.loopback.documents import document_of, patched
from tests.support.vectors import VECTORS, load, needs_vectors

# RFC 7396 appendix A
EXAMPLES: list[tuple[Any, Any, Any]] = [
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
]


@pytest.mark.parametrize(("target", "patch", "result"), EXAMPLES)
def test_the_examples_of_rfc_7396_are_met(target: Any, patch: Any, result: Any) -> None:
    assert merge_patch(target, patch) == result


def vectors() -> list[dict[str, Any]]:
    data = load("jsonpatch/merge_patch_rfc7396.json") if VECTORS else {}
    return [case for cases in data.values() if isinstance(cases, list) for case in cases if "result" in case]


@needs_vectors
@pytest.mark.parametrize("case", vectors())
def test_the_merge_patch_corpus_is_met(case: dict[str, Any]) -> None:
    assert merge_patch(case["original"], case["patch"]) == case["result"]


def test_equal_bodies_have_equal_strong_tags() -> None:
    one, same, other = document_of(b"{}"), document_of(b"{}"), document_of(b"{} ")
    assert one.etag == same.etag != other.etag
    assert one.etag.startswith('"')


def test_a_missing_document_counts_as_an_empty_object() -> None:
    assert patched(None, MERGE_PATCH, b'{"a": 1}').body == b'{"a":1}'
    assert patched(document_of(b'{"a": 1}'), JSON_PATCH, b'[{"op": "remove", "path": "/a"}]').body == b"{}"


@pytest.mark.parametrize(
    "patch",
    [b"", b"{", b"{'a': 1}", b'{"a": NaN}', b'{"a": Infinity}', b'{"a": 1e999}', b'{"a": 1, "a": 2}', b'"\xff"',
     b'{"a": "\\ud800"}', b"[" * 100_000, b"{} {}"],
)  # fmt: skip
def test_content_that_is_no_strict_json_is_malformed(patch: bytes) -> None:
    with pytest.raises(ContentRefusedError) as caught:
        patched(document_of(b"{}"), MERGE_PATCH, patch)
    assert caught.value.fault is Fault.MALFORMED


def test_a_document_that_would_nest_too_deeply_is_not_made() -> None:
    deep = b'{"a":' * 400 + b"1" + b"}" * 400
    document = document_of(deep)
    operations = b'[{"op": "copy", "from": "", "path": "' + b"/a" * 399 + b'/a"}]'
    for _ in range(6):
        try:
            document = patched(document, JSON_PATCH, operations)
        except ContentRefusedError as error:
            assert error.fault is Fault.NOT_APPLICABLE or "nested" in str(error)
            return
        operations = operations.replace(b'/a"}]', b"/a" + b"/a" * 400 + b'"}]')
    pytest.fail("nothing stopped the nesting")
