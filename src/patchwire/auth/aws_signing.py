"""What a request gets to be signed: the same for every algorithm that makes the signature.

A signature is made in stages, each a function of its inputs: canonical request, string to sign, signature.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha256
from typing import Final, Protocol
from urllib.parse import unquote_to_bytes

from msgspec import Struct

from patchwire.auth.aws_canonical import (
    GENERIC,
    NEVER_SIGNED,
    S3,
    UNSIGNED_PAYLOAD,
    PathRules,
    canonical_request,
    strictly_encoded,
)
from patchwire.errors import LocalProtocolError
from patchwire.http.message import Headers, Origin, Request

TERMINATOR: Final = "aws4_request"
LONGEST_EXPIRY: Final = 604_800
"""Seconds that a presigned URL may be good for: seven days."""
S3_FAMILY: Final = frozenset({"s3", "s3express", "s3-object-lambda", "s3-outposts"})
"""Signing names of the services that want the body's hash in a field, or the word that it is not signed."""

OWN_FIELDS: Final = frozenset(
    b"authorization x-amz-content-sha256 x-amz-date x-amz-region-set x-amz-security-token".split()
)
"""Fields (lower case) that are the signature's own: no request may bring them."""
OWN_PARAMETERS: Final = frozenset(
    b"x-amz-algorithm x-amz-content-sha256 x-amz-credential x-amz-date x-amz-expires x-amz-region-set"
    b" x-amz-security-token x-amz-signature x-amz-signedheaders".split()
)
"""Parameters of a query that are the signature's own, decoded and in lower case."""
_hash = re.compile(r"[0-9a-f]{64}").fullmatch
_scope_part = re.compile(r"[A-Za-z0-9._-]+").fullmatch
_region_set = re.compile(r"[A-Za-z0-9*._-]+(?:,[A-Za-z0-9*._-]+)*").fullmatch


class Scope(Struct, frozen=True):
    """What a signature is good for: a service, by its signing name, in a region; with SigV4A a set of regions,
    with commas between, each of which may hold asterisks. LocalProtocolError where these are no names.
    """

    region: str
    service: str

    def __post_init__(self) -> None:
        if not _region_set(self.region):
            raise LocalProtocolError(f"{self.region[:80]!r} is no region")
        if not _scope_part(self.service):
            raise LocalProtocolError(f"{self.service[:80]!r} is no service")


class Terms(Struct, frozen=True):
    """How a service wants its requests signed. `terms_of` gives those of each."""

    path: PathRules = GENERIC
    sends_payload_hash: bool = False
    """Whether X-Amz-Content-Sha256 goes along."""
    signs_payload: bool = True
    """Whether the signature covers the body."""
    signs_token: bool = True
    """Whether it covers the session token, which else is added to the signed request."""
    signed_fields: frozenset[bytes] | None = None
    """The fields to sign (lower case) beside Host and X-Amz-*; None: every one that may be signed."""
    host: bytes | None = None
    """What is signed as Host in place of what is sent, where a proxy in between gives the service another."""
    takes_unsigned: bool = False
    """Whether the service takes a body that is not signed, over https, where it cannot be hashed before it is sent."""

    def __post_init__(self) -> None:
        for name in self.signed_fields or ():
            if name != name.lower():
                raise LocalProtocolError(f"{name.decode('latin-1')!r}: names of signed fields are in lower case")

    @property
    def signs_body_in_query(self) -> bool:
        """Whether a presigned request covers its body. Where a field would have the hash, it has none to have it."""
        return self.signs_payload and not self.sends_payload_hash

    @property
    def sends_hash(self) -> bool:
        """Whether the hash of the body, or that there is none, goes along in a field."""
        return self.sends_payload_hash or self.takes_unsigned or not self.signs_payload


GENERIC_TERMS: Final = Terms()
_TERMS: Final = {
    **dict.fromkeys(S3_FAMILY, Terms(path=S3, sends_payload_hash=True, takes_unsigned=True)),
    "aoss": Terms(sends_payload_hash=True),
    "vpc-lattice-svcs": Terms(signs_payload=False),
}


def terms_of(service: str) -> Terms:
    """How the service with this signing name wants its requests signed."""
    return _TERMS.get(service, GENERIC_TERMS)


class Signer(Protocol):
    """One algorithm with everything that is the same for all requests of a day."""

    @property
    def algorithm(self) -> bytes:
        """As the Authorization field names it."""

    @property
    def scope(self) -> bytes:
        """The credential scope."""

    @property
    def credential(self) -> bytes:
        """Access key and credential scope."""

    @property
    def fields(self) -> Headers:
        """More fields to sign."""

    @property
    def token(self) -> bytes | None:
        """That of the session."""

    def signature(self, text: bytes) -> bytes:
        """Of a string to sign, in lower-case hexadecimal digits."""


def is_of_signature(name: str) -> bool:
    """Whether the field (in any case) is the signature's own: no request may bring it."""
    return name.lower().encode("utf-8") in OWN_FIELDS


def check_query(target: bytes) -> None:
    """LocalProtocolError where the target has a signature in its query already."""
    for parameter in target.partition(b"?")[2].split(b"&"):
        name = parameter.partition(b"=")[0]
        if unquote_to_bytes(name).lower() in OWN_PARAMETERS:
            raise LocalProtocolError(f"query: {name.decode('ascii')} is the signature's own: leave it out")


@lru_cache(maxsize=8)
def timestamp(seconds: int) -> str:
    """Unix seconds as X-Amz-Date has them, such as 20150830T123600Z."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y%m%dT%H%M%SZ")


def payload_hash_of(body: bytes) -> str:
    """SHA-256 in lower-case hexadecimal digits."""
    return sha256(body).hexdigest()


def presigned(signer: Signer, request: Request, date: str, expires: int, terms: Terms) -> Request:
    """The request with a signature in its target's query, good for `expires` seconds.

    LocalProtocolError where the request cannot be signed, or the time is not 1 to LONGEST_EXPIRY.
    """
    if not 1 <= expires <= LONGEST_EXPIRY:
        raise LocalProtocolError(f"a presigned request is good for 1 to {LONGEST_EXPIRY} seconds, not {expires}")
    check_query(request.target)
    moment = date.encode("ascii")
    lines = fields_to_sign(request.headers, request.origin, terms)
    names = b";".join(sorted({name.lower() for name, _ in lines}))
    parameters = [
        (b"X-Amz-Algorithm", signer.algorithm),
        (b"X-Amz-Credential", signer.credential),
        (b"X-Amz-Date", moment),
        (b"X-Amz-Expires", b"%d" % expires),
        (b"X-Amz-SignedHeaders", names),
        *signer.fields,
    ]
    late: list[tuple[bytes, bytes]] = []
    if signer.token is not None:
        (parameters if terms.signs_token else late).append((b"X-Amz-Security-Token", signer.token))
    target = _with_query(request.target, parameters)
    payload_hash = payload_hash_of(request.body) if terms.signs_body_in_query else UNSIGNED_PAYLOAD
    canonical = canonical_request(request.method, path_and_query(target), lines, payload_hash, terms.path)
    proof = signer.signature(string_to_sign(signer.algorithm, canonical.text, signer.scope, date))
    target = _with_query(target, [*late, (b"X-Amz-Signature", proof)])
    return Request(request.method, request.origin, target, request.headers, request.body)


def string_to_sign(algorithm: bytes, canonical: bytes, scope: bytes, date: str) -> bytes:
    """The text that is signed: the canonical request's hash, bound to algorithm, time and credential scope."""
    return b"\n".join((algorithm, date.encode("ascii"), scope, sha256(canonical).hexdigest().encode("ascii")))


def check_hash(payload_hash: str) -> None:
    """LocalProtocolError unless it is one, or says that there is none."""
    if payload_hash != UNSIGNED_PAYLOAD and not _hash(payload_hash):
        raise LocalProtocolError("a payload hash is 64 hexadecimal digits in lower case, or UNSIGNED-PAYLOAD")


def path_and_query(target: bytes) -> bytes:
    """The target in the form in which a service reads it (RFC 9112 section 3.2).

    LocalProtocolError where there is none, as for * and an authority.
    """
    if target[:1] == b"/":
        return target
    _, absolute, rest = target.partition(b"://")
    if not absolute:
        raise LocalProtocolError(f"a request for {target.decode('ascii')} cannot be signed")
    authority = re.split(rb"[/?]", rest, maxsplit=1)[0]
    return rest[len(authority) :] or b"/"


def fields_to_sign(headers: Headers, origin: Origin, terms: Terms) -> list[tuple[bytes, bytes]]:
    """Those of a request's fields that are signed, and Host. LocalProtocolError where one is the signature's own."""
    lines = []
    host = terms.host
    only = terms.signed_fields
    for line in headers:
        name = line[0].lower()
        if name in OWN_FIELDS:
            raise LocalProtocolError(f"field {line[0].decode('ascii')!r} is the signature's own: leave it out")
        if name == b"host":
            if host is None:
                host = line[1]
        elif name not in NEVER_SIGNED and (only is None or name in only or name.startswith(b"x-amz-")):
            lines.append((name, line[1]))
    lines.append((b"host", _authority(origin) if host is None else host))
    return lines


@lru_cache(maxsize=64)
def _authority(origin: Origin) -> bytes:
    return origin.authority.encode("ascii")


def _with_query(target: bytes, parameters: list[tuple[bytes, bytes]]) -> bytes:
    added = b"&".join([name + b"=" + strictly_encoded(value) for name, value in parameters])
    _, begun, query = target.partition(b"?")
    mark = b"?" if not begun else b"" if not query or query.endswith(b"&") else b"&"
    return target + mark + added
