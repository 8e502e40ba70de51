"""If-Match where the record gives none: the entity tag is fetched first, and anew where it has gone stale."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from patchwire.delivery.merge_patch import is_merge_patch
from patchwire.delivery.outcome import Attempt, Outcome
from patchwire.delivery.validators import Validators, is_strong
from patchwire.errors import Sent
from patchwire.http.message import Request, Response
from patchwire.net.sources import now
from patchwire.run.look import look
from patchwire.run.sender import Sender

ASKS_TO_WAIT: Final = frozenset({408, 425, 429, 503})
NEVER_MATCH: Final = "the origin still gives the very tag that it has refused: its tags never match"


class Unfetched(Struct, frozen=True):
    """There is no tag: the attempt that this makes, and whether another may bring one."""

    attempt: Attempt
    is_final: bool


class Preconditions:
    """What one run does about If-Match. With `fetches`, records without a tag of their own get the current one; after
    a 412 a merge patch is then sent again with a tag fetched anew, `refetches` times at most.
    """

    def __init__(self, validators: Validators, *, fetches: bool, refetches: int) -> None:
        self.validators = validators
        self.fetches = fetches
        self._refetches = refetches

    def lacks_tag(self, request: Request) -> bool:
        """Whether a tag is to be fetched before this request goes out."""
        return self.fetches and request.header(b"if-match") is None

    async def fetch(self, sender: Sender, request: Request) -> bytes | Unfetched:
        """The resource's strong tag, asked for with GET. It raises what `look` raises."""
        reply = await look(sender, request, keep_body=False)
        response = reply.response
        if response is None:
            return _unfetched(f"the GET for its entity tag failed: {reply.error}", is_final=False)
        if response.status != 200:
            return _refused(response)
        tag = response.header(b"etag")
        if tag is None:
            return _unfetched("there is no entity tag to send as If-Match", is_final=True)
        if not is_strong(tag):
            text = tag.decode("latin-1")
            return _unfetched(f"its entity tag {text} is weak or malformed: no If-Match would match it", is_final=True)
        return tag

    async def renewed(self, sender: Sender, request: Request, renewals: int) -> tuple[Request | None, str | None]:
        """After a 412 to a fetched tag: the request with the tag that holds now, where it may go out again; and what
        is wrong with the origin's tags, where that shows. It raises what `look` raises.
        """
        may_go_again = renewals < self._refetches and is_merge_patch(request)
        if not may_go_again and (self.validators.are_proven or self.validators.never_match):
            return None, None
        tag = await self.fetch(sender, request)
        if isinstance(tag, Unfetched):
            return None, tag.attempt.error
        if tag == request.header(b"if-match"):
            self.validators.refuses_its_own()
            return None, NEVER_MATCH
        return (request.with_header(b"If-Match", tag) if may_go_again else None), None


def _refused(response: Response) -> Unfetched:
    asks_to_wait = response.status in ASKS_TO_WAIT
    attempt = Attempt(
        Outcome.NOT_SENT,
        Sent.NO,
        error=f"the GET for its entity tag was answered with {response.status}",
        retry_after=response.retry_after(now()) if asks_to_wait else None,
    )
    return Unfetched(attempt, is_final=not asks_to_wait)


def _unfetched(problem: str, *, is_final: bool) -> Unfetched:
    return Unfetched(Attempt(Outcome.NOT_SENT, Sent.NO, error=problem), is_final)
