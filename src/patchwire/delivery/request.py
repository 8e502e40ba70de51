"""From what a person asks for to the request that goes on the wire: the connection's fields, the target, the body."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from patchwire.auth.aws_signing import check_query, is_of_signature
from patchwire.delivery.target import join_target
from patchwire.errors import LocalProtocolError
from patchwire.http.fields import FieldSyntaxError, entity_tags
from patchwire.http.media_types import JSON_PATCH, MERGE_PATCH
from patchwire.http.message import Headers, Request
from patchwire.settings.checks import OF_A_RECORD
from patchwire.settings.connection import ConnectionSettings

OF_THE_CONNECTION: Final = frozenset({"host", "authorization", "proxy-authorization", "connection", "upgrade"})
_NONE: Final[Mapping[str, str]] = {}


class RequestMaker:
    """Makes requests for one connection."""

    def __init__(self, connection: ConnectionSettings) -> None:
        self._connection = connection
        self._is_signed = connection.aws is not None
        self._base_headers: Headers = tuple(
            (name, value.reveal().encode("latin-1")) for name, value in connection.headers
        )

    def make(
        self,
        method: str,
        path: str,
        *,
        body: bytes = b"",
        media_type: str | None = None,
        if_match: str | None = None,
        query: Mapping[str, str] = _NONE,
        headers: Mapping[str, str] = _NONE,
    ) -> Request:
        """The request. LocalProtocolError begins with the part that is at fault: "path: ...", "if_match: ..."."""
        connection = self._connection
        try:
            target = join_target(connection.base_path, connection.base_query, path, query)
        except LocalProtocolError as error:
            raise LocalProtocolError(f"path: {error}") from None
        if self._is_signed and b"?" in target:
            check_query(target)
        lines = list(self._base_headers)
        if media_type is not None:
            lines.append((b"Content-Type", _octets("media_type", media_type)))
        if if_match is not None:
            _check_tags(if_match)
            lines.append((b"If-Match", _octets("if_match", if_match)))
        request = Request(method, connection.origin, target, tuple(lines), body)
        return self._with_own_fields(request, headers) if headers else request

    def _with_own_fields(self, request: Request, fields: Mapping[str, str]) -> Request:
        for name, value in fields.items():
            if self._is_signed and is_of_signature(name):
                raise LocalProtocolError(f"headers.{name}: is the signature's own: leave it out")
            if name.lower() in OF_THE_CONNECTION:
                raise LocalProtocolError(f"headers.{name}: belongs to the connection, not to one of its requests")
            if name.lower() in OF_A_RECORD:
                raise LocalProtocolError(f"headers.{name}: give it as {OF_A_RECORD[name.lower()]}")
            request = request.with_header(_octets("headers", name), _octets(f"headers.{name}", value))
        return request


def implied_media_type(body: bytes) -> str | None:
    """What a JSON body is without being told: an object a merge patch, an array a JSON Patch, else nothing."""
    return {b"{": MERGE_PATCH, b"[": JSON_PATCH}.get(body[:1])


def _check_tags(if_match: str) -> None:
    try:
        tags = entity_tags(_octets("if_match", if_match))
    except FieldSyntaxError:
        quoted = msgspec.json.encode(f'"{if_match}"').decode()
        raise LocalProtocolError(f"if_match: no entity tag, which has quotes of its own; write {quoted}") from None
    if tags != "*" and any(weak for weak, _ in tags):
        raise LocalProtocolError("if_match: a weak tag matches nothing there (RFC 9110 section 13.1.1); leave it out")


def _octets(part: str, text: str) -> bytes:
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError as error:
        raise LocalProtocolError(f"{part}: {text[error.start]!r} cannot stand in a header field") from None
