"""A look at the resource that a change is about: GET, with the connection's own fields."""

from __future__ import annotations

from typing import Final

from patchwire.errors import CredentialsRejectedError
from patchwire.http.message import Request
from patchwire.net.connection import Reply
from patchwire.run.sender import Sender

_OF_THE_CHANGE: Final = frozenset({b"content-type", b"if-match", b"expect", b"idempotency-key", b"prefer"})
_ACCEPT: Final = (b"Accept", b"application/json, */*;q=0.1")


async def look(sender: Sender, request: Request, *, keep_body: bool) -> Reply:
    """The reply to a GET for the target of `request`. It raises what the sender raises, and
    CredentialsRejectedError.
    """
    kept = tuple(line for line in request.headers if line[0].lower() not in _OF_THE_CHANGE)
    if request.header(b"accept") is None:
        kept = (*kept, _ACCEPT)
    reply, result = await sender.send(Request("GET", request.origin, request.target, kept), keep_body=keep_body)
    if result is not None and result.refusal is not None:
        raise CredentialsRejectedError(result.refusal, origin=str(request.origin), status=result.response.status)
    return reply
