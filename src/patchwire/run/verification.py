"""Settling what is unknown by looking at the resource: a merge patch's effect can be seen."""

from __future__ import annotations

from typing import Final

import trio

from patchwire.delivery.merge_patch import is_applied, is_merge_patch
from patchwire.delivery.outcome import Attempt, Outcome
from patchwire.errors import Sent
from patchwire.http.message import Request
from patchwire.run.look import look
from patchwire.run.sender import Sender

SECOND_LOOK: Final = 1.0
"""Seconds: a server that has lost its client may still be at work on what it was sent."""
NOT_THERE: Final = "a GET does not show the change"


async def verified(sender: Sender, request: Request, stop: trio.Event, *, just_sent: bool) -> Attempt | str:
    """An applied attempt, where a GET shows what the merge patch asks for; else why the doubt stays.

    What was `just_sent` may still be on its way: then a second look is taken. It raises what `look` raises.
    """
    if not is_merge_patch(request):
        return "only a merge patch can be verified"
    seen = await _seen(sender, request)
    if seen == NOT_THERE and just_sent:
        with trio.move_on_after(SECOND_LOOK):
            await stop.wait()
        seen = await _seen(sender, request)
    return seen


async def _seen(sender: Sender, request: Request) -> Attempt | str:
    reply = await look(sender, request, keep_body=True)
    response = reply.response
    if response is None or response.error is not None:
        return f"the GET to verify it failed: {reply.error}"
    if response.status != 200:
        return f"the GET to verify it was answered with {response.status}"
    shows = is_applied(response.body, request.body)
    if shows is None:
        return "a GET cannot show such a change"
    if not shows:
        return NOT_THERE
    etag = response.header(b"etag")
    tag = None if etag is None else etag.decode("latin-1")
    return Attempt(Outcome.APPLIED, Sent.MAYBE, etag=tag, error="verified: a GET shows the change")
