"""What the embedded server has applied, one line of NDJSON for each change."""

from __future__ import annotations

from base64 import b64encode

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from patchwire.http.message import Request, Response, shown_target


class AppliedLine(Struct, frozen=True):
    """One applied change as the request asked for it and the response answered it; absent fields are null."""

    method: str
    path: str
    """The target as it was sent, with its query, but for what a presigned one proves itself by."""
    media_type: str | None
    if_match: str | None
    status: int
    etag: str | None
    request_id: str | None
    """The value of X-Request-Id."""
    body: Raw | UnsetType = UNSET
    """The request's body, where it is JSON."""
    body_base64: str | UnsetType = UNSET
    """The request's body, where it is not."""


def applied_line(request: Request, response: Response) -> bytes:
    """The line for a change, with its newline."""
    body, body_base64 = _body(request.body)
    line = AppliedLine(
        method=request.method,
        path=shown_target(request.target.decode("ascii")),
        media_type=_text(request.header(b"content-type")),
        if_match=_text(request.header(b"if-match")),
        status=response.status,
        etag=_text(response.header(b"etag")),
        request_id=_text(request.header(b"x-request-id")),
        body=body,
        body_base64=body_base64,
    )
    return msgspec.json.encode(line) + b"\n"


def _body(body: bytes) -> tuple[Raw | UnsetType, str | UnsetType]:
    try:
        body.decode("utf-8")
        msgspec.json.decode(body)
    except ValueError:
        return UNSET, b64encode(body).decode("ascii")
    # In valid JSON a line break is only ever blank space between tokens, and here it would end the line.
    return Raw(body.replace(b"\r", b" ").replace(b"\n", b" ")), UNSET


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("latin-1")
