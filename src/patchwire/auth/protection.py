"""Protection spaces: for which paths of an origin a challenge can be foreseen."""

from __future__ import annotations

from typing import Final, Generic, TypeVar

from patchwire.http.message import Request

MAX_SPACES: Final = 256
"""Spaces remembered; the oldest goes first, and a request for it waits for its challenge again."""

T = TypeVar("T")


class ProtectionSpaces(Generic[T]):
    """What is known of each space, by the paths that it begins at; the longest that covers a request counts."""

    def __init__(self) -> None:
        self._known: dict[bytes, T] = {}

    def __len__(self) -> int:
        return len(self._known)

    def find(self, request: Request) -> T | None:
        """What is known of the space that covers the request, or None."""
        known = self._known
        if not known:
            return None
        path = path_of(request)
        if path in known:
            return known[path]
        end = path.rfind(b"/")
        while end >= 0:
            found = known.get(path[: end + 1])
            if found is not None:
                return found
            end = path.rfind(b"/", 0, end)
        return None

    def add(self, prefix: bytes, value: T) -> None:
        """The space covers `prefix` and, from its next slash on, what is below it."""
        for each in {prefix, prefix if prefix.endswith(b"/") else prefix + b"/"}:
            self._known.pop(each, None)
            if len(self._known) >= MAX_SPACES:
                del self._known[next(iter(self._known))]
            self._known[each] = value


def path_of(request: Request) -> bytes:
    """The target without its query."""
    return request.target.split(b"?", 1)[0]


def directory_of(request: Request) -> bytes:
    """The path at and below which a challenge can be foreseen, if the server does not say (RFC 7617 section 2.2)."""
    return path_of(request).rpartition(b"/")[0] + b"/"
