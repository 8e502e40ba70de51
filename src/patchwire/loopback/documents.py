"""JSON documents as they are served, and the two ways to patch them (RFC 7396, RFC 6902)."""

from __future__ import annotations

from hashlib import blake2b

import msgspec
from msgspec import Struct

from patchwire.delivery.json_values import ContentRefusedError, Fault, parse_json
from patchwire.delivery.merge_patch import merge_patch
from patchwire.http.media_types import MERGE_PATCH
from patchwire.loopback.json_patch import json_patch


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
