from __future__ import annotations

import pytest

from patchwire.delivery.json_values import ContentRefusedError, Fault
from patchwire.http.media_types import JSON_PATCH, MERGE_PATCH
from patchwire.loopback.documents import document_of, patched


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
