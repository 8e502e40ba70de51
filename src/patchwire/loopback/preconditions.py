"""Preconditions on a document's entity tag (RFC 9110 section 13)."""

from __future__ import annotations

from patchwire.http.fields import FieldSyntaxError, entity_tags
from patchwire.http.message import Request, Response
from patchwire.loopback.documents import Document
from patchwire.loopback.responses import problem


def failed_precondition(request: Request, document: Document | None) -> Response | None:
    """The 412, 304 or 400 that a precondition of the request gives, else None; None for `document` means missing.

    If-Match compares strongly, If-None-Match weakly, in that order (section 13.2.2). Fields about dates are ignored,
    since documents have none (sections 13.1.3 and 13.1.4). A list that is none is answered with 400: taking it as
    absent would make the change that it was to guard.
    """
    current = document.etag.strip('"') if document is not None else None
    try:
        matches = _matches(request, b"if-match", current, weak=False)
        none_matches = _matches(request, b"if-none-match", current, weak=True)
    except ValueError as error:
        return problem(400, str(error))
    tag = ((b"ETag", document.etag.encode("ascii")),) if document is not None else ()
    if matches is False:
        return problem(412, "If-Match names no current entity tag of this document.", tag)
    if none_matches:
        if request.method in ("GET", "HEAD"):
            return Response(304, tag)
        return problem(412, "If-None-Match names the current entity tag of this document.", tag)
    return None


def _matches(request: Request, name: bytes, current: str | None, *, weak: bool) -> bool | None:
    """Whether the field names the current tag; None where it is absent. ValueError where it is malformed."""
    values = request.all_values(name)
    if not values:
        return None
    try:
        tags = entity_tags(b", ".join(values))
    except FieldSyntaxError:
        raise ValueError(f"{name.decode('ascii')} holds neither * nor a list of entity tags.") from None
    if tags == "*":
        return current is not None
    return current in [opaque for is_weak, opaque in tags if weak or not is_weak]
