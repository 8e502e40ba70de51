"""Records: one line of input, one change. A JSON body keeps the very bytes that stand in the line."""

from __future__ import annotations

from base64 import b64decode
from binascii import Error as Base64Error
from hashlib import blake2b

import msgspec
from msgspec import Struct

from patchwire.delivery.target import join_target
from patchwire.errors import LocalProtocolError, RecordError
from patchwire.http.fields import FieldSyntaxError, entity_tags
from patchwire.http.media_types import JSON_PATCH, MERGE_PATCH
from patchwire.http.message import Headers, Request
from patchwire.settings.connection import OF_A_RECORD, ConnectionSettings
from patchwire.settings.faults import fault_of

OF_THE_CONNECTION = frozenset({"host", "authorization", "proxy-authorization", "connection", "upgrade"})


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

    def digest(self) -> bytes:
        """16 octets that tell whether the line is still the one that was sent."""
        return line_digest(self.line)


def line_digest(line: bytes) -> bytes:
    """BLAKE2b, 16 octets, of a line without the blanks around it."""
    return blake2b(line.strip(), digest_size=16).digest()


class RecordParser:
    """Makes records of lines for one connection."""

    def __init__(self, connection: ConnectionSettings) -> None:
        self._connection = connection
        self._base_headers: Headers = tuple(
            (name, value.reveal().encode("latin-1")) for name, value in connection.headers
        )
        self._decode = msgspec.json.Decoder(Line).decode

    def parse(self, line: bytes, seq: int) -> Record:
        """The record in `line`. RecordError, its place still empty, names the member and the remedy."""
        try:
            line.decode("utf-8")
            members = self._decode(line)
            request = self._request(members)
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
        connection = self._connection
        try:
            target = join_target(connection.base_path, connection.base_query, members.path, members.query)
        except LocalProtocolError as error:
            raise RecordError("", f"path: {error}") from None
        body, media_type = _body(members)
        headers = [*self._base_headers, (b"Content-Type", _octets("media_type", media_type))]
        if members.if_match is not None:
            _check_tags(members.if_match)
            headers.append((b"If-Match", _octets("if_match", members.if_match)))
        try:
            request = Request("PATCH", connection.origin, target, tuple(headers), body)
            return self._with_own_fields(request, members.headers) if members.headers else request
        except LocalProtocolError as error:
            raise RecordError("", str(error)) from None

    def _with_own_fields(self, request: Request, fields: dict[str, str]) -> Request:
        for name, value in fields.items():
            if name.lower() in OF_THE_CONNECTION:
                raise RecordError("", f"headers.{name}: belongs to the connection file, not to a record")
            if name.lower() in OF_A_RECORD:
                raise RecordError("", f"headers.{name}: write it as the member {OF_A_RECORD[name.lower()]}")
            request = request.with_header(_octets("headers", name), _octets(f"headers.{name}", value))
        return request


def with_body(record: Record, body: bytes) -> Record:
    """The record with the body that was read from its `body_file`."""
    request = record.request
    whole = Request(request.method, request.origin, request.target, request.headers, body)
    return msgspec.structs.replace(record, request=whole, body_file=None)


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
    media_type = members.media_type or _implied_media_type(raw)
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


def _check_tags(if_match: str) -> None:
    try:
        entity_tags(_octets("if_match", if_match))
    except FieldSyntaxError:
        quoted = msgspec.json.encode(f'"{if_match}"').decode()
        raise RecordError("", f"if_match: no entity tag, which has quotes of its own; write {quoted}") from None


def _implied_media_type(body: bytes) -> str | None:
    return {b"{": MERGE_PATCH, b"[": JSON_PATCH}.get(body[:1])


def _octets(member: str, text: str) -> bytes:
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError as error:
        raise RecordError("", f"{member}: {text[error.start]!r} cannot stand in a header field") from None
