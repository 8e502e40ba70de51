from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchwire.auth.protection import MAX_SPACES, ProtectionSpaces, directory_of
from patchwire.http.message import Origin, Request

ORIGIN = Origin("http", "h", 80)


def request(target: str) -> Request:
    return Request("OPTIONS" if target == "*" else "PATCH", ORIGIN, target.encode())


@pytest.mark.parametrize(
    ("prefix", "target", "covers"),
    [("/", "/a/b", True), ("/a", "/a", True), ("/a", "/a/b?c", True), ("/a", "/ab", False), ("/a/", "/a/b", True),
     ("/a/", "/a", False), ("/a/b", "/a", False), ("/", "*", False), ("/a", "/b?/a/", False)],
)  # fmt: skip
def test_a_space_covers_its_path_and_what_is_below(prefix: str, target: str, covers: bool) -> None:
    spaces: ProtectionSpaces[str] = ProtectionSpaces()
    assert spaces.find(request(target)) is None
    spaces.add(prefix.encode(), "realm")
    assert (spaces.find(request(target)) == "realm") is covers


def test_the_longest_prefix_counts() -> None:
    spaces: ProtectionSpaces[str] = ProtectionSpaces()
    for prefix, value in ((b"/", "all"), (b"/a/b/", "deep"), (b"/a/", "a")):
        spaces.add(prefix, value)
    assert [spaces.find(request(target)) for target in ("/x", "/a/x", "/a/b/c/d", "/a/b")] == ["all", "a", "deep", "a"]


def test_spaces_are_bounded_and_the_oldest_goes() -> None:
    spaces: ProtectionSpaces[int] = ProtectionSpaces()
    for number in range(MAX_SPACES + 1):
        spaces.add(b"/%d/" % number, number)
    assert len(spaces) == MAX_SPACES
    assert (spaces.find(request("/0/x")), spaces.find(request("/1/x"))) == (None, 1)


@given(st.from_regex(r"(/[ab]{0,2}){1,4}", fullmatch=True), st.from_regex(r"(/[ab]{0,2}){1,4}", fullmatch=True))
def test_a_space_covers_what_begins_with_its_segments(prefix: str, path: str) -> None:
    spaces: ProtectionSpaces[str] = ProtectionSpaces()
    spaces.add(prefix.encode(), "realm")
    expected = path == prefix or path.startswith(prefix if prefix.endswith("/") else prefix + "/")
    assert (spaces.find(request(path)) is not None) is expected


@pytest.mark.parametrize(("target", "directory"), [("/a/b?c/d", b"/a/"), ("/a", b"/"), ("/a/", b"/a/")])
def test_the_directory_of_a_path_ends_with_its_last_slash(target: str, directory: bytes) -> None:
    assert directory_of(request(target)) == directory
