"""AWS Signature Version 4A: ECDSA over P-256, with a key that is good in every region of a set.

The private key is derived from access key and secret, so that the service, which has only the public one, cannot
sign. The signature is deterministic (RFC 6979): the same inputs give the same octets.
"""

from __future__ import annotations

import hmac
from functools import lru_cache
from typing import Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from msgspec import Struct

from patchwire.auth import aws_signing
from patchwire.auth.aws_canonical import CanonicalRequest, canonical_request
from patchwire.auth.aws_credentials import AwsCredentials
from patchwire.auth.aws_frame import sign_with
from patchwire.auth.aws_signing import TERMINATOR, Scope, Signer, Terms, presigned, terms_of, timestamp
from patchwire.errors import LocalProtocolError
from patchwire.http.message import Headers, Request

__all__ = [
    "ALGORITHM",
    "AwsCredentials",
    "CanonicalRequest",
    "Scope",
    "Terms",
    "canonical_request",
    "credential_scope",
    "presign",
    "private_key",
    "sign",
    "signature",
    "string_to_sign",
    "verify",
]

ALGORITHM: Final = "AWS4-ECDSA-P256-SHA256"
KEYS_KEPT: Final = 16
"""Keys that are remembered while the program lives."""

_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def credential_scope(scope: Scope, date: str) -> str:
    """Date (YYYYMMDD) and service, as they stand behind the access key; the regions are in X-Amz-Region-Set."""
    return f"{date}/{scope.service}/{TERMINATOR}"


def string_to_sign(canonical: bytes, scope: Scope, now: float) -> bytes:
    """The text to sign for a canonical request, at `now` in Unix seconds."""
    date = timestamp(int(now))
    where = credential_scope(scope, date[:8]).encode("ascii")
    return aws_signing.string_to_sign(ALGORITHM.encode("ascii"), canonical, where, date)


@lru_cache(maxsize=KEYS_KEPT)
def private_key(access_key: str, secret_key: str) -> ec.EllipticCurvePrivateKey:
    """The key that access key and secret stand for (a key derivation in counter mode, NIST SP 800-108).

    LocalProtocolError in the one case in some 2^8000 where there is none.
    """
    for counter in range(1, 255):
        candidate = _candidate(access_key, secret_key, counter)
        if candidate <= _ORDER - 2:
            return ec.derive_private_key(candidate + 1, ec.SECP256R1())
    raise LocalProtocolError("this access key and secret make no SigV4A key")


def signature(key: ec.EllipticCurvePrivateKey, text: bytes) -> str:
    """Of a string to sign: DER, in lower-case hexadecimal digits.

    LocalProtocolError where the OpenSSL under cryptography is older than 3.2, which cannot sign without chance.
    """
    return key.sign(text, _deterministic()).hex()


def verify(key: ec.EllipticCurvePublicKey, proof: str, text: bytes) -> bool:
    """Whether it is a signature of the text, by any maker."""
    try:
        key.verify(bytes.fromhex(proof), text, ec.ECDSA(hashes.SHA256()))
    except (InvalidSignature, ValueError):
        return False
    return True


def sign(
    request: Request,
    credentials: AwsCredentials,
    scope: Scope,
    now: float,
    *,
    terms: Terms | None = None,
    payload_hash: str | None = None,
) -> Headers:
    """The fields to add to the request, as `sigv4.sign`, with X-Amz-Region-Set; `scope.region` may be a set."""
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
    """The request with its signature in the query, as `sigv4.presign`."""
    terms = terms_of(scope.service) if terms is None else terms
    date = timestamp(int(now))
    return presigned(remembered_signer(credentials, scope, date[:8]), request, date, expires, terms)


@lru_cache(maxsize=1)
def _deterministic() -> ec.ECDSA:
    try:
        return ec.ECDSA(hashes.SHA256(), deterministic_signing=True)
    except UnsupportedAlgorithm:
        raise LocalProtocolError("SigV4A needs a cryptography that is built with OpenSSL 3.2 or later") from None


class _Ecdsa(Struct, frozen=True):
    algorithm: bytes
    scope: bytes
    credential: bytes
    token: bytes | None
    fields: Headers
    key: ec.EllipticCurvePrivateKey

    def __repr__(self) -> str:
        return "<signing key>"

    def signature(self, text: bytes) -> bytes:
        return signature(self.key, text).encode("ascii")


def signer(credentials: AwsCredentials, scope: Scope, date: str) -> Signer:
    """What signs all requests of one day (YYYYMMDD)."""
    where = credential_scope(scope, date)
    token = credentials.session_token
    return _Ecdsa(
        ALGORITHM.encode("ascii"),
        where.encode("ascii"),
        f"{credentials.access_key}/{where}".encode("ascii"),
        None if token is None else token.encode("ascii"),
        ((b"X-Amz-Region-Set", scope.region.encode("ascii")),),
        private_key(credentials.access_key, credentials.secret_key),
    )


def _candidate(access_key: str, secret_key: str, counter: int) -> int:
    context = access_key.encode("ascii") + bytes([counter])
    fixed = b"\x00\x00\x00\x01" + ALGORITHM.encode("ascii") + b"\x00" + context + (256).to_bytes(4, "big")
    return int.from_bytes(hmac.digest(f"AWS4A{secret_key}".encode("ascii"), fixed, "sha256"), "big")


remembered_signer = lru_cache(maxsize=KEYS_KEPT)(signer)
