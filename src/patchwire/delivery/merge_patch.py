"""Merge patches (RFC 7396): knowing one, applying it, and seeing whether it has been applied."""

from __future__ import annotations

from patchwire.delivery.json_values import ContentRefusedError, Json, equal, parse_json
from patchwire.http.media_types import MERGE_PATCH
from patchwire.http.message import Request


def is_merge_patch(request: Request) -> bool:
    """Whether the request's body is one, by its media type."""
    return (request.header(b"content-type") or b"").partition(b";")[0].strip().lower() == MERGE_PATCH.encode()


def merge_patch(target: Json, patch: Json) -> Json:
    """`target` changed as RFC 7396 section 2 says. Neither argument is modified; parts of both may be shared."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge_patch(merged.get(name), value)
    return merged


def is_applied(document: bytes, patch: bytes) -> bool | None:
    """Whether the document is as the merge patch makes it; whoever made it so.

    None where that cannot be told: either is no JSON, or the patch changes nothing in any document.
    """
    try:
        change = parse_json(patch)
        if change == {}:
            return None
        before = parse_json(document)
        return equal(merge_patch(before, change), before)
    except (ContentRefusedError, RecursionError):
        return None
