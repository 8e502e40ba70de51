"""What is the same for all requests of a day that have the same fields, and the signature that each of them gets.

Making a signature costs a service nothing that it can save, and a client little that it must: of a batch's requests
only target, body and time differ. So what their fields come to is made once, with marks where time and hash go.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from msgspec import Struct

from patchwire.auth.aws_canonical import UNSIGNED_PAYLOAD, canonical_fields, canonical_text
from patchwire.auth.aws_credentials import AwsCredentials
from patchwire.auth.aws_signing import (
    Scope,
    Signer,
    Terms,
    check_hash,
    check_query,
    fields_to_sign,
    path_and_query,
    payload_hash_of,
    string_to_sign,
)
from patchwire.http.message import Headers, Origin, Request

MOST_FRAMES: Final = 64
MakeSigner = Callable[[AwsCredentials, Scope, str], Signer]
"""What signs all requests of one day (YYYYMMDD)."""
_DATE, _HASH = b"\x00", b"\x01"
"""Marks that no field can hold."""


class Frame(Struct, frozen=True, gc=False):
    """The part of a signature that hangs on neither target nor body nor time."""

    signer: Signer
    terms: Terms
    canonical: bytes
    """The canonical fields, with marks for time and hash."""
    names: bytes
    opening: bytes
    """Of Authorization, all that stands before the signature."""
    added: Headers
    """Fields of the signature that are always the same, signed or not."""
    sends_hash: bool

    def __repr__(self) -> str:
        """A session token stands in it."""
        return f"<Frame of {self.names.decode('latin-1')}>"


class Signed(Struct, frozen=True, gc=False):
    """The fields that sign a request, to be added to it, and the texts of the stages before. One is made for each
    request, and refers to nothing that could refer to it.
    """

    headers: Headers
    canonical: bytes
    text: bytes
    """The string to sign."""

    def __repr__(self) -> str:
        """A session token stands in all of them."""
        return f"<Signed, {len(self.headers)} fields>"


def frame_for(signer: Signer, headers: Headers, origin: Origin, terms: Terms, *, sends_hash: bool) -> Frame:
    """The frame of requests with these fields. LocalProtocolError where they cannot be signed."""
    added: list[tuple[bytes, bytes]] = list(signer.fields)
    late: list[tuple[bytes, bytes]] = []
    if signer.token is not None:
        (added if terms.signs_token else late).append((b"X-Amz-Security-Token", signer.token))
    lines = [*fields_to_sign(headers, origin, terms), (b"x-amz-date", _DATE), *added]
    if sends_hash:
        lines.append((b"x-amz-content-sha256", _HASH))
    canonical, names = canonical_fields(lines)
    opening = b"%b Credential=%b, SignedHeaders=%b, Signature=" % (signer.algorithm, signer.credential, names)
    return Frame(signer, terms, canonical, names, opening, (*added, *late), sends_hash)


def sign_in(frame: Frame, request: Request, date: str, payload_hash: str) -> Signed:
    """The signature of a request with the frame's fields, at a `timestamp` of its signer's day."""
    signer, target = frame.signer, request.target
    if target[:1] != b"/":
        target = path_and_query(target)
    if b"?" in target:
        check_query(target)
    moment = date.encode("ascii")
    fields = frame.canonical.replace(_DATE, moment)
    added: Headers = ((b"X-Amz-Date", moment), *frame.added)
    if frame.sends_hash:
        hashed = payload_hash.encode("ascii")
        fields = fields.replace(_HASH, hashed)
        added = (*added, (b"X-Amz-Content-Sha256", hashed))
    canonical = canonical_text(request.method, target, fields, frame.names, payload_hash, frame.terms.path)
    text = string_to_sign(signer.algorithm, canonical, signer.scope, date)
    return Signed((*added, (b"Authorization", frame.opening + signer.signature(text))), canonical, text)


def sign_with(signer: Signer, request: Request, date: str, terms: Terms, payload_hash: str | None) -> Signed:
    """The request's signature, at a `timestamp` of the signer's day. LocalProtocolError where it cannot be signed."""
    if payload_hash is not None:
        check_hash(payload_hash)
    else:
        payload_hash = payload_hash_of(request.body) if terms.signs_payload else UNSIGNED_PAYLOAD
    sends_hash = terms.sends_hash or payload_hash == UNSIGNED_PAYLOAD
    frame = frame_for(signer, request.headers, request.origin, terms, sends_hash=sends_hash)
    return sign_in(frame, request, date, payload_hash)


class Frames:
    """Frames, found by the fields of a request: of the credentials and the day that were asked for last. It is not for
    several threads.
    """

    def __init__(self, make_signer: MakeSigner, scope: Scope, origin: Origin, terms: Terms) -> None:
        self._make_signer = make_signer
        self._scope = scope
        self._origin = origin
        self._terms = terms
        self._of: tuple[AwsCredentials | None, str] = (None, "")
        self._signer: Signer | None = None
        self._frames: dict[Headers, Frame] = {}

    def find(self, credentials: AwsCredentials, day: str, headers: Headers) -> Frame:
        """The frame for these credentials, on that day (YYYYMMDD). LocalProtocolError as `frame_for`."""
        whose, when = self._of
        if whose is not credentials or when != day:
            self._of, self._frames = (credentials, day), {}
            self._signer = self._make_signer(credentials, self._scope, day)
        frame = self._frames.get(headers)
        if frame is None:
            assert self._signer is not None  # noqa: S101 - there are no credentials without it
            if len(self._frames) >= MOST_FRAMES:
                self._frames.clear()
            terms = self._terms
            frame = frame_for(self._signer, headers, self._origin, terms, sends_hash=terms.sends_hash)
            self._frames[headers] = frame
        return frame
