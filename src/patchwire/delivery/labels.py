"""What a request carries so that it can be told from all others: a key for its change, an id for its attempt.

Both follow from the journal's identity and the record's number, so a resume after a kill knows them again.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

from msgspec import Struct

from patchwire.delivery.record import Record
from patchwire.http.message import Request

KEY_FIELD: Final = b"Idempotency-Key"


def idempotency_key(journal: str, seq: int, digest: bytes) -> str:
    """32 hexadecimal digits: the same for every attempt at this record, another for any other line or journal."""
    return blake2b(f"{journal} {seq} ".encode() + digest, digest_size=16).hexdigest()


def request_id(journal: str, seq: int) -> str:
    """What the ids of all attempts at a record begin with."""
    return f"{journal}-{seq}"


class Labels(Struct, frozen=True, kw_only=True):
    """The fields that one run adds to its requests."""

    journal: str
    """The journal's identity."""
    run: int
    """How many runs of the journal there have been with this one."""
    idempotency_key: bool = False
    """Whether each record is sent with a key, which the service promises to honour
    (draft-ietf-httpapi-idempotency-key-header)."""
    request_id_header: str | None = None

    def keyed(self, record: Record) -> Request:
        """The record's request with its Idempotency-Key, where one is to be sent; one of its own stands."""
        request = record.request
        if not self.idempotency_key or request.header(KEY_FIELD.lower()) is not None:
            return request
        key = idempotency_key(self.journal, record.seq, record.digest())
        return request.with_header(KEY_FIELD, b'"%s"' % key.encode())

    def identified(self, request: Request, seq: int, attempt: int) -> Request:
        """The request with the id of this attempt, by its number from 1, where ids are to be sent."""
        if self.request_id_header is None:
            return request
        value = f"{request_id(self.journal, seq)}-{self.run}.{attempt}"
        return request.with_header(self.request_id_header.encode(), value.encode())
