"""Records: one line of input, one change. A JSON body keeps the very bytes that stand in the line."""

from __future__ import annotations

from base64 import b64decode
from binascii import Error as Base64Error
from hashlib import blake2b
from typing import Final

import msgspec
from msgspec import Struct

from patchwire.delivery.outcome import Attempt
from patchwire.delivery.request import RequestMaker, implied_media_type
from patchwire.errors import LocalProtocolError, RecordError
from patchwire.http.message import Request
from patchwire.settings.connection import ConnectionSettings
from patchwire.settings.faults import fault_of

DIGEST_SIZE: Final = 16


class Line(Struct, forbid_unknown_fields=True):
    """The members of a record, as they may stand in its line."""

    path: str
    id: str | int | None = None
    query: dict[str, str] = {}
    headers: dict[str, str] = {}
    body: msgspec.Raw = msgspec.Raw()
    body_text: str | None = None
    body_base64: str | None = None
    body_file: str | None = None
    media_type: str | None = None
    if_match: str | None = None
    idempotent: bool = False
    properties: msgspec.Raw = msgspec.Raw()


class Record(Struct):
    """A change to make. `seq`, its number in the input from 0, is its identity; `id` is a label."""

    seq: int
    id: str
    path: str
    lane: bytes
    """The target's path: records of one lane are never in flight together."""
    request: Request
    idempotent: bool
    properties: bytes
    """JSON that travels to the outcome; b"" where there is none."""
    body_file: str | None
    """Where the body is still to be read from, relative to the input."""
    line: bytes
    """The record as it stood in the input."""
    earlier: tuple[Attempt, ...] = ()
    """The attempt that makes it unknown, where an earlier run has left it so."""
    attempts_before: int = 0
    """How many attempts earlier runs have made."""
    body_digest: bytes = b""
    """That of a body which was read from its own file."""

    def digest(self) -> bytes:
        """16 octets that tell whether the line is still the one that was sent; 16 more do so for a `body_file`."""
        return line_digest(self.line) + self.body_digest


def line_digest(line: bytes) -> bytes:
    """BLAKE2b, 16 octets, of a line without the blanks around it."""
    return _digest(line.strip())


def _digest(octets: bytes) -> bytes:
    return blake2b(octets, digest_size=DIGEST_SIZE).digest()


class RecordParser:
    """Makes records of lines for one connection."""

    def __init__(self, connection: ConnectionSettings) -> None:
        self._maker = RequestMaker(connection)
        self._decode = msgspec.json.Decoder(Line).decode

    def parse(self, line: bytes, seq: int) -> Record:
        """The record in `line`. RecordError, its place still empty, names the member and the remedy."""
        try:
            line.decode("utf-8")
            members = self._decode(line)
            request = self._request(members)
        except LocalProtocolError as error:
            raise RecordError("", str(error)) from None
        except msgspec.ValidationError as error:
            fault = fault_of(error)
            hint = "; each line is one record, one JSON object" if fault.startswith("expected `object`") else ""
            raise RecordError("", fault + hint) from None
        except msgspec.DecodeError as error:
            raise RecordError("", f"not valid JSON: {error}") from None
        except UnicodeDecodeError as error:
            raise RecordError("", f"not UTF-8: byte {error.start + 1} of the line is invalid") from None
        except RecursionError:
            raise RecordError("", "nested too deeply") from None
        return Record(
            seq=seq,
            id=str(seq) if members.id is None else str(members.id),
            path=members.path,
            lane=request.target.partition(b"?")[0],
            request=request,
            idempotent=members.idempotent,
            properties=bytes(members.properties),
            body_file=members.body_file,
            line=line,
        )

    def _request(self, members: Line) -> Request:
        body, media_type = _body(members)
        return self._maker.make(
            "PATCH",
            members.path,
            body=body,
            media_type=media_type,
            if_match=members.if_match,
            query=members.query,
            headers=members.headers,
        )


def with_body(record: Record, body: bytes) -> Record:
    """The record with the body that was read from its `body_file`."""
    request = record.request
    whole = Request(request.method, request.origin, request.target, request.headers, body)
    return msgspec.structs.replace(record, request=whole, body_file=None, body_digest=_digest(body))


def _body(members: Line) -> tuple[bytes, str]:
    raw = bytes(members.body)
    given = [
        name
        for name, present in (
            ("body", raw != b""),
            ("body_text", members.body_text is not None),
            ("body_base64", members.body_base64 is not None),
            ("body_file", members.body_file is not None),
        )
        if present
    ]
    if len(given) != 1:
        problem = f"has {' and '.join(given)}" if given else "has no body"
        raise RecordError("", f"{problem}; give one of body, body_text, body_base64, body_file")
    media_type = members.media_type or implied_media_type(raw)
    if media_type is None:
        raise RecordError("", f"media_type: missing; {given[0]} implies none unless it is a JSON object or array")
    if members.body_text is not None:
        raw = members.body_text.encode("utf-8")
    elif members.body_base64 is not None:
        try:
            raw = b64decode(members.body_base64, validate=True)
        except (Base64Error, ValueError):
            raise RecordError("", "body_base64: not valid base64") from None
    return raw, media_type
