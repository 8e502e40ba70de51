from __future__ import annotations

import re
from urllib.parse import parse_qsl, unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchwire.delivery.target import join_target
from patchwire.errors import LocalProtocolError
from patchwire.http.message import target_fault


@pytest.mark.parametrize(
    ("base", "path", "expected"),
    [
        (b"/", "a", b"/a"),
        (b"/", "/a", b"/a"),
        (b"/v1", "a", b"/v1/a"),
        (b"/v1/", "/a", b"/v1/a"),
        (b"/v1", "", b"/v1"),
        (b"/v1/", "", b"/v1/"),
        (b"/", "", b"/"),
        (b"/v1", "/", b"/v1/"),
        (b"/v1", "/a/", b"/v1/a/"),
        (b"/v1", "//a", b"/v1//a"),
        (b"/v1", "/a/../b/./c", b"/v1/a/../b/./c"),
        (b"/v1", "/a%2fb%20c", b"/v1/a%2fb%20c"),
        (b"/v1", "/a;x=1,2:@!$&'()*+", b"/v1/a;x=1,2:@!$&'()*+"),
        (b"/v1", "?q=1", b"/v1?q=1"),
        (b"/v1", "/a?q=1?2/3", b"/v1/a?q=1?2/3"),
    ],
)
def test_a_path_follows_the_base_with_one_slash_and_stays_as_written(base: bytes, path: str, expected: bytes) -> None:
    assert join_target(base, b"", path, {}) == expected


def test_queries_go_base_first_then_the_paths_own_then_the_members_encoded() -> None:
    target = join_target(b"/v1", b"api-version=1", "/a?x=%2F", {"dry run": "a&b=c+d", "ü": "/"})
    assert target == b"/v1/a?api-version=1&x=%2F&dry%20run=a%26b%3Dc%2Bd&%C3%BC=%2F"


@pytest.mark.parametrize(
    ("path", "place", "remedy"),
    [
        ("/a b", "character 3, ' '", "/a%20b"),
        ("/a\r\nX: y", r"character 3, '\\r'", "/a%0D%0AX:%20y"),
        ("/zo\u00eb", "character 4, 'ë'", "/zo%C3%AB"),
        ("/100%", "character 5, '%'", "/100%25"),
        ("/50%zz", "character 4, '%'", "/50%25zz"),
        ("/a#b", "character 3, '#'", "/a%23b"),
        ("/a[1]", r"character 3, '\['", "/a%5B1%5D"),
        ("/\U0001f600 x", "character 2", "/%F0%9F%98%80%20x"),
        ("/\x00", "character 2", "/%00"),
    ],
)
def test_a_character_that_is_not_allowed_is_named_with_its_place_and_remedy(
    path: str, place: str, remedy: str
) -> None:
    with pytest.raises(LocalProtocolError, match=place) as caught:
        join_target(b"/", b"", path, {})
    assert f"write {remedy!r}" in str(caught.value)
    assert join_target(b"/", b"", remedy, {}) == remedy.encode()


@given(st.text(max_size=30), st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3))
def test_what_is_joined_is_a_clean_target_and_any_other_path_has_a_remedy_that_works(
    path: str, query: dict[str, str]
) -> None:
    query = {name: value for name, value in query.items() if not re.search("[\ud800-\udfff]", name + value)}
    try:
        target = join_target(b"/v1", b"", path, query)
    except LocalProtocolError as error:
        remedy = re.search(r"write '(.*)'\Z|write \"(.*)\"\Z", str(error), re.DOTALL)
        assert remedy is not None
        mended = (remedy[1] or remedy[2]).encode().decode("unicode_escape")
        target = join_target(b"/v1", b"", mended, {})
        if "%" not in path and "?" not in path and not path.startswith("/"):
            assert unquote_to_bytes(target.removeprefix(b"/v1/")) == path.encode("utf-8", "surrogatepass")
    assert target.startswith(b"/v1")
    assert target_fault(target) is None
    assert not re.search(rb"[\x00-\x20\x7f-\xff#]", target)


PARTS = st.lists(st.sampled_from(["a", "b.c", "..", ".", "%2F", "%20", "%41", "x=1;y", "", ":", "@"]), max_size=4)


@given(PARTS.map("/".join), PARTS.map("/".join), st.booleans(), st.booleans())
def test_between_base_and_path_stands_one_slash_and_both_stay_as_they_are(
    base: str, path: str, base_ends_with_slash: bool, path_begins_with_slash: bool
) -> None:
    base = "/" + base.strip("/")
    path = path.strip("/") or "a"
    joined = join_target(
        base.encode() + b"/" * (base_ends_with_slash and base != "/"),
        b"",
        "/" * path_begins_with_slash + path,
        {},
    )
    assert joined.decode() == base.rstrip("/") + "/" + path


@given(st.dictionaries(st.text(min_size=1, max_size=6), st.text(max_size=6), min_size=1, max_size=3))
def test_members_of_the_query_come_back_from_the_wire_as_they_were_given(query: dict[str, str]) -> None:
    target = join_target(b"/", b"", "a", query)
    assert b"+" not in target
    assert parse_qsl(target.partition(b"?")[2].decode("ascii"), keep_blank_values=True) == list(query.items())


def test_a_question_mark_with_nothing_behind_it_stays_as_it_was_written() -> None:
    assert join_target(b"/v1", b"", "a?", {}) == b"/v1/a?"
