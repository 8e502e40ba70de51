"""AWS Signature Version 4: HMAC-SHA256 with a key made for one day, region and service.

    canonical_request -> string_to_sign -> signature, with signing_key; sign does them all

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

from __future__ import annotations

import hmac
from functools import lru_cache
from hashlib import sha256
from typing import Any, Final

from msgspec import Struct

from patchwire.auth import aws_signing
from patchwire.auth.aws_canonical import UNSIGNED_PAYLOAD, CanonicalRequest, PathRules, canonical_request
from patchwire.auth.aws_credentials import AwsCredentials
from patchwire.auth.aws_frame import sign_with
from patchwire.auth.aws_signing import TERMINATOR, Scope, Signer, Terms, presigned, terms_of, timestamp
from patchwire.errors import LocalProtocolError
from patchwire.http.message import Headers, Request

__all__ = [
    "ALGORITHM",
    "UNSIGNED_PAYLOAD",
    "AwsCredentials",
    "CanonicalRequest",
    "PathRules",
    "Scope",
    "Terms",
    "canonical_request",
    "credential_scope",
    "presign",
    "sign",
    "signature",
    "signing_key",
    "string_to_sign",
    "terms_of",
]

ALGORITHM: Final = "AWS4-HMAC-SHA256"
KEYS_KEPT: Final = 16
"""Signing keys that `sign` remembers, while the program lives; which one is told by everything that it is made of."""
_INNER, _OUTER = (bytes(octet ^ pad for octet in range(256)) for pad in (0x36, 0x5C))


def credential_scope(scope: Scope, date: str) -> str:
    """Date (YYYYMMDD), region and service, as they stand behind the access key."""
    if "," in scope.region or "*" in scope.region:
        raise LocalProtocolError(f"{scope.region!r} is a set of regions, which needs SigV4A")
    return f"{date}/{scope.region}/{scope.service}/{TERMINATOR}"


def string_to_sign(canonical: bytes, scope: Scope, now: float) -> bytes:
    """The text to sign for a canonical request, at `now` in Unix seconds."""
    date = timestamp(int(now))
    where = credential_scope(scope, date[:8]).encode("ascii")
    return aws_signing.string_to_sign(ALGORITHM.encode("ascii"), canonical, where, date)


def signing_key(secret_key: str, date: str, scope: Scope) -> bytes:
    """The key for one day (YYYYMMDD), region and service. 32 octets."""
    key = f"AWS4{secret_key}".encode("ascii")
    for part in (date, scope.region, scope.service, TERMINATOR):
        key = hmac.digest(key, part.encode("ascii"), "sha256")
    return key


def signature(key: bytes, text: bytes) -> str:
    """Of a string to sign, in lower-case hexadecimal digits."""
    return hmac.digest(key, text, "sha256").hex()


def sign(
    request: Request,
    credentials: AwsCredentials,
    scope: Scope,
    now: float,
    *,
    terms: Terms | None = None,
    payload_hash: str | None = None,
) -> Headers:
    """The fields to add to the request: X-Amz-Date, Authorization, and those that credentials and service ask for.

    `now` in Unix seconds. `terms` are the service's own unless given; `payload_hash`, the SHA-256 of the body in
    lower-case hexadecimal digits or UNSIGNED-PAYLOAD, that of the request's body. LocalProtocolError where the
    request has a signature already.
    """
    terms = terms_of(scope.service) if terms is None else terms
    date = timestamp(int(now))
    return sign_with(remembered_signer(credentials, scope, date[:8]), request, date, terms, payload_hash).headers


def presign(
    request: Request,
    credentials: AwsCredentials,
    scope: Scope,
    now: float,
    expires: int,
    *,
    terms: Terms | None = None,
) -> Request:
    """The request with its signature in the query, good for `expires` seconds from `now`.

    Every field that may be signed is, and must be sent. LocalProtocolError as `sign`, or where `expires` is not
    1 to 604,800.
    """
    terms = terms_of(scope.service) if terms is None else terms
    date = timestamp(int(now))
    return presigned(remembered_signer(credentials, scope, date[:8]), request, date, expires, terms)


class _Hmac(Struct, frozen=True):
    """The key as the two hashes that begin with it, as RFC 2104 section 4 has it: each text costs half as much."""

    algorithm: bytes
    scope: bytes
    credential: bytes
    token: bytes | None
    inner: Any
    outer: Any
    fields: Headers = ()

    def __repr__(self) -> str:
        return "<signing key>"

    def signature(self, text: bytes) -> bytes:
        inner, outer = self.inner.copy(), self.outer.copy()
        inner.update(text)
        outer.update(inner.digest())
        proof: str = outer.hexdigest()
        return proof.encode("ascii")


def signer(credentials: AwsCredentials, scope: Scope, date: str) -> Signer:
    """What signs all requests of one day (YYYYMMDD)."""
    where = credential_scope(scope, date)
    token = credentials.session_token
    key = signing_key(credentials.secret_key, date, scope).ljust(64, b"\x00")
    return _Hmac(
        ALGORITHM.encode("ascii"),
        where.encode("ascii"),
        f"{credentials.access_key}/{where}".encode("ascii"),
        None if token is None else token.encode("ascii"),
        sha256(key.translate(_INNER)),
        sha256(key.translate(_OUTER)),
    )


remembered_signer = lru_cache(maxsize=KEYS_KEPT)(signer)
