"""What an origin shows of its entity tags: whether it honours If-Match, and whether a tag can be sent back at all."""

from __future__ import annotations

from typing import Final

from patchwire.errors import RemoteProtocolError
from patchwire.http.fields import entity_tags
from patchwire.http.message import Request, Response

PRECONDITION_FAILED: Final = 412
ENOUGH: Final = 3
"""So many times an origin may refuse the very tag that it has just given, before this is its way."""


def is_strong(tag: bytes) -> bool:
    """Whether this is one entity tag, and a strong one: only such a one ever matches in If-Match."""
    try:
        tags = entity_tags(tag)
    except RemoteProtocolError:
        return False
    return tags != "*" and len(tags) == 1 and not tags[0][0]


class Validators:
    """The evidence of one origin's tags, over all its answers."""

    def __init__(self) -> None:
        self.are_honoured = False
        """Whether If-Match has been seen at work: an answer of 412 to it, or a change answered with a strong tag."""
        self._has_matched = False
        self._refused_own = 0

    @property
    def never_match(self) -> bool:
        """Whether the origin refuses its own tags, time after time."""
        return not self._has_matched and self._refused_own >= ENOUGH

    @property
    def are_proven(self) -> bool:
        """Whether a tag that the origin gave has matched."""
        return self._has_matched

    def learn(self, request: Request, response: Response) -> None:
        """Take in the answer to a PATCH."""
        if self.are_honoured and self._has_matched:
            return
        applied = 200 <= response.status <= 299
        if request.header(b"if-match") is not None:
            self._has_matched = self._has_matched or applied
            self.are_honoured = self.are_honoured or response.status == PRECONDITION_FAILED
        if applied and not self.are_honoured:
            tag = response.header(b"etag")
            self.are_honoured = tag is not None and is_strong(tag)

    def refuses_its_own(self) -> None:
        """A tag was refused that is still the one that the origin gives."""
        self._refused_own += 1
