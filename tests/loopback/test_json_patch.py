from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

import pytest

from patchwire.delivery.json_values import ContentRefusedError, Fault, equal
from patchwire.loopback.json_patch import MAX_COPIED, json_patch
from tests.support.vectors import VECTORS, load, needs_vectors


def corpus() -> list[Any]:
    if VECTORS is None:
        return []
    cases = []
    for name in ("tests", "spec_tests"):
        for number, case in enumerate(load(f"jsonpatch/{name}.json")):
            if "patch" in case and not case.get("disabled"):
                cases.append(pytest.param(case, id=f"{name}-{number}"))
    return cases


@needs_vectors
@pytest.mark.parametrize("case", corpus())
def test_the_json_patch_corpus_is_met(case: dict[str, Any]) -> None:
    before = deepcopy(case["doc"])
    if "error" in case:
        with pytest.raises(ContentRefusedError):
            json_patch(case["doc"], case["patch"])
    else:
        result = json_patch(case["doc"], case["patch"])
        assert equal(result, case.get("expected", result))
    assert case["doc"] == before


# RFC 6902 appendix A
@pytest.mark.parametrize(
    ("document", "operations", "expected"),
    [
        ({"foo": "bar"}, [{"op": "add", "path": "/baz", "value": "qux"}], {"baz": "qux", "foo": "bar"}),
        ({"foo": ["bar", "baz"]}, [{"op": "add", "path": "/foo/1", "value": "qux"}], {"foo": ["bar", "qux", "baz"]}),
        ({"baz": "qux", "foo": "bar"}, [{"op": "remove", "path": "/baz"}], {"foo": "bar"}),
        ({"foo": ["bar", "qux", "baz"]}, [{"op": "remove", "path": "/foo/1"}], {"foo": ["bar", "baz"]}),
        ({"baz": "qux"}, [{"op": "replace", "path": "/baz", "value": "boo"}], {"baz": "boo"}),
        (
            {"foo": {"bar": "baz", "waldo": "fred"}, "qux": {"corge": "grault"}},
            [{"op": "move", "from": "/foo/waldo", "path": "/qux/thud"}],
            {"foo": {"bar": "baz"}, "qux": {"corge": "grault", "thud": "fred"}},
        ),
        (
            {"foo": ["all", "grass", "cows", "eat"]},
            [{"op": "move", "from": "/foo/1", "path": "/foo/3"}],
            {"foo": ["all", "cows", "eat", "grass"]},
        ),
        (
            {"baz": "qux", "foo": ["a", 2, "c"]},
            [{"op": "test", "path": "/baz", "value": "qux"}, {"op": "test", "path": "/foo/1", "value": 2}],
            {"baz": "qux", "foo": ["a", 2, "c"]},
        ),
        ({"foo": "bar"}, [{"op": "add", "path": "/baz", "value": "qux", "xyz": 123}], {"foo": "bar", "baz": "qux"}),
        ({"/": 9, "~1": 10}, [{"op": "test", "path": "/~01", "value": 10}], {"/": 9, "~1": 10}),
        (
            {"foo": ["bar"]},
            [{"op": "add", "path": "/foo/-", "value": ["abc", "def"]}],
            {"foo": ["bar", ["abc", "def"]]},
        ),
        ({"a": 1}, [{"op": "copy", "from": "/a", "path": "/b"}], {"a": 1, "b": 1}),
        ({"a": 1}, [{"op": "replace", "path": "", "value": [1]}], [1]),
        ({"a": 1}, [], {"a": 1}),
    ],
)
def test_the_examples_of_rfc_6902_are_met(document: Any, operations: Any, expected: Any) -> None:
    assert json_patch(document, operations) == expected


@pytest.mark.parametrize(
    ("operations", "fault"),
    [
        ({"op": "add"}, Fault.MALFORMED),
        ([1], Fault.MALFORMED),
        ([{"op": "spam", "path": "/a"}], Fault.MALFORMED),
        ([{"path": "/a", "value": 1}], Fault.MALFORMED),
        ([{"op": ["add"], "path": "/a", "value": 1}], Fault.MALFORMED),
        ([{"op": "add", "path": "/a"}], Fault.MALFORMED),
        ([{"op": "add", "value": 1}], Fault.MALFORMED),
        ([{"op": "add", "path": "a", "value": 1}], Fault.MALFORMED),
        ([{"op": "add", "path": "/~2", "value": 1}], Fault.MALFORMED),
        ([{"op": "move", "path": "/a"}], Fault.MALFORMED),
        ([{"op": "test", "path": "/n", "value": True}], Fault.TEST_FAILED),
        ([{"op": "test", "path": "/none", "value": None}], Fault.TEST_FAILED),
        ([{"op": "test", "path": "/nested/0", "value": {"x": True}}], Fault.TEST_FAILED),
        ([{"op": "remove", "path": "/none"}], Fault.NOT_APPLICABLE),
        ([{"op": "remove", "path": ""}], Fault.NOT_APPLICABLE),
        ([{"op": "replace", "path": "/none", "value": 1}], Fault.NOT_APPLICABLE),
        ([{"op": "add", "path": "/none/x", "value": 1}], Fault.NOT_APPLICABLE),
        ([{"op": "add", "path": "/n/x", "value": 1}], Fault.NOT_APPLICABLE),
        ([{"op": "add", "path": "/list/9", "value": 1}], Fault.NOT_APPLICABLE),
        ([{"op": "add", "path": "/list/01", "value": 1}], Fault.NOT_APPLICABLE),
        ([{"op": "add", "path": "/list/-1", "value": 1}], Fault.NOT_APPLICABLE),
        ([{"op": "add", "path": "/list/1_0", "value": 1}], Fault.NOT_APPLICABLE),
        ([{"op": "add", "path": "/list/\u0661", "value": 1}], Fault.NOT_APPLICABLE),
        ([{"op": "remove", "path": "/list/-"}], Fault.NOT_APPLICABLE),
        ([{"op": "remove", "path": "/list/9"}], Fault.NOT_APPLICABLE),
        ([{"op": "move", "from": "/nested", "path": "/nested/0"}], Fault.NOT_APPLICABLE),
        ([{"op": "copy", "from": "/none", "path": "/a"}], Fault.NOT_APPLICABLE),
    ],
)  # fmt: skip
@pytest.mark.parametrize("before", [[], [{"op": "add", "path": "/list/0", "value": 0}]])
def test_a_faulty_operation_anywhere_leaves_the_document_as_it_was(operations: Any, fault: Fault, before: Any) -> None:
    document: Any = {"n": 1, "list": [1, 2, 3], "nested": [{"x": 1}]}
    untouched = deepcopy(document)
    whole = [*before, *operations] if isinstance(operations, list) else operations
    with pytest.raises(ContentRefusedError) as caught:
        json_patch(document, whole)
    assert caught.value.fault is fault or (fault is Fault.NOT_APPLICABLE and before)
    assert document == untouched


@pytest.mark.parametrize(
    ("document", "source", "path"),
    [([1, 2], "/0", "/2"), ([[1], [2]], "/0", "/1/-"), ({"a": {"b": 1}}, "/a", "/a/c"), ({"a": 1}, "", "/b")],
)
def test_a_move_to_where_nothing_is_once_its_value_is_taken_out_is_not_applicable(
    document: Any, source: str, path: str
) -> None:
    before = deepcopy(document)
    with pytest.raises(ContentRefusedError) as caught:
        json_patch(document, [{"op": "move", "from": source, "path": path}])
    assert caught.value.fault is Fault.NOT_APPLICABLE
    assert document == before


@pytest.mark.parametrize(
    ("document", "source", "path", "expected"),
    [
        (["s", 5, {}], "/0", "/1/y", [5, {"y": "s"}]),
        ([1, 2, 3], "/0", "/2", [2, 3, 1]),
        ({"a": [1]}, "/a", "", [1]),
        ({"a": {"b": 1}}, "/a/b", "/a", {"a": 1}),
        ({"a": [1]}, "/a", "/a", {"a": [1]}),
        ({"a": [1]}, "", "", {"a": [1]}),
    ],
)
def test_a_move_lands_in_what_the_removal_leaves(document: Any, source: str, path: str, expected: Any) -> None:
    assert json_patch(document, [{"op": "move", "from": source, "path": path}]) == expected


def test_1_equals_1_0_and_neither_equals_true() -> None:
    assert equal({"a": [1, {"b": 0}]}, {"a": [1.0, {"b": 0.0}]})
    pairs: Any = ((1, True), (0, False), ([1], [True]), ({"a": 0}, {"a": False}), ([1], [1, 2]), (None, False))
    for left, right in pairs:
        assert not equal(left, right)


def test_a_value_that_is_added_is_not_changed_by_what_follows() -> None:
    value: dict[str, Any] = {"inner": []}
    operations: Any = [{"op": "add", "path": "/x", "value": value}, {"op": "add", "path": "/x/inner/-", "value": 1}]
    assert json_patch({}, operations) == {"x": {"inner": [1]}}
    assert value == {"inner": []}


def test_a_patch_that_copies_without_end_is_refused() -> None:
    document: Any = {"a": "x" * 1_000_000}
    operations: Any = [{"op": "copy", "from": "", "path": "/b"}] * 30
    with pytest.raises(ContentRefusedError, match=f"copies more than {MAX_COPIED} bytes"):
        json_patch(document, operations)
    assert len(json.dumps(document)) < 2_000_000
