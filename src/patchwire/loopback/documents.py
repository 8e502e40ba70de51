"""JSON documents as they are served, and the two ways to patch them (RFC 7396, RFC 6902)."""

from __future__ import annotations

from hashlib import blake2b

import msgspec
from msgspec import Struct

from patchwire.http.media_types import MERGE_PATCH
from patchwire.loopback.json_patch import json_patch
from patchwire.loopback.json_values import ContentRefusedError, Fault, Json, parse_json


class Document(Struct, frozen=True):
    """A JSON document as it is served: its bytes, and the strong entity tag that follows from them."""

    body: bytes
    etag: str


def document_of(body: bytes) -> Document:
    """The document with this body. Equal bodies have equal tags (RFC 9110 section 8.8.3)."""
    return Document(body, f'"{blake2b(body, digest_size=12).hexdigest()}"')


def patched(document: Document | None, media_type: str, patch: bytes) -> Document:
    """The document that `patch` makes of `document`; None, a missing one, counts as an empty object.

    `media_type` is MERGE_PATCH or JSON_PATCH. Raises ContentRefusedError.
    """
    change = parse_json(patch)
    target = parse_json(document.body) if document is not None else {}
    apply = merge_patch if media_type == MERGE_PATCH else json_patch
    try:
        return document_of(msgspec.json.encode(apply(target, change)))
    except RecursionError:
        raise ContentRefusedError(Fault.NOT_APPLICABLE, "the document would be nested too deeply") from None


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
