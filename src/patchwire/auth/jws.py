"""Signed JSON Web Tokens (RFC 7519) as compact JSON Web Signatures (RFC 7515), with the algorithms of RFC 7518 section
3 and EdDSA (RFC 8037).

Its own code rather than PyJWT, which loads urllib.request, and with it socket and ssl: nothing that signs needs them.
"""

from __future__ import annotations

import hmac
import json
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from patchwire.auth.jws_keys import private_key, stated_key_id
from patchwire.errors import LocalProtocolError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    from patchwire.auth.jws_keys import PrivateKey

ALGORITHMS: Final = (
    "HS256", "HS384", "HS512",
    "RS256", "RS384", "RS512",
    "PS256", "PS384", "PS512",
    "ES256", "ES384", "ES512",
    "EdDSA",
)  # fmt: skip


def sign(claims: Mapping[str, object], key: str, algorithm: str, key_id: str | None = None) -> str:
    """A JWT with these claims, in compact form (RFC 7515 section 7.1).

    `key` is the shared secret for HS*, and for the others a private key: PEM (PKCS#8, PKCS#1, SEC1; not encrypted) or
    a JWK in JSON (RFC 7517). `key_id` goes into the header as `kid`; without one, that of the JWK, where it has one.
    LocalProtocolError where the key cannot be used, as `check_key`, or the claims are no JSON.
    """
    signed = _signer(key, algorithm)
    key_id = key_id or (None if _is_shared(algorithm) else stated_key_id(key))
    header = {"alg": algorithm, "typ": "JWT"} | ({"kid": key_id} if key_id else {})
    text = f"{_part(header)}.{_part(dict(claims))}"
    return f"{text}.{base64url(signed(text.encode('ascii')))}"


def signature(text: bytes, key: str, algorithm: str) -> bytes:
    """Of a signing input (RFC 7515 section 5.1). LocalProtocolError as `sign`."""
    return _signer(key, algorithm)(text)


def check_key(key: str, algorithm: str) -> None:
    """LocalProtocolError, in one line without any of the key, where it cannot be used with the algorithm.

    A secret for HS* may be shorter than the hash, although RFC 7518 section 3.2 forbids it: which secret a client has
    is the server's choice, and most servers choose short ones. Its text stands for its octets in UTF-8, and for others
    as Python reads them from the environment (PEP 383).
    """
    _signer(key, algorithm)


def base64url(octets: bytes) -> str:
    """Base64url without padding (RFC 7515 section 2)."""
    return urlsafe_b64encode(octets).rstrip(b"=").decode("ascii")


def _part(members: Mapping[str, object]) -> str:
    try:
        text = json.dumps(members, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        raise LocalProtocolError("the claims of a token must be JSON (RFC 7519 section 4)") from None
    return base64url(text.encode("ascii"))


def _is_shared(algorithm: str) -> bool:
    return algorithm.startswith("HS")


def _signer(key: str, algorithm: str) -> Callable[[bytes], bytes]:
    """What signs with the key. All faults of the key show here."""
    if algorithm not in ALGORITHMS:
        raise LocalProtocolError(f"{algorithm[:40]!r} is no algorithm to sign with; there are {', '.join(ALGORITHMS)}")
    if not _is_shared(algorithm):
        return _asymmetric(private_key(key, algorithm), algorithm)
    secret = _secret(key)
    return lambda text: hmac.digest(secret, text, f"sha{algorithm[2:]}")


def _secret(key: str) -> bytes:
    if not key:
        raise LocalProtocolError("the secret to sign with is empty")
    try:
        return key.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise LocalProtocolError("the secret to sign with is no text that UTF-8 can hold") from None


def _asymmetric(key: PrivateKey, algorithm: str) -> Callable[[bytes], bytes]:
    """The signature of each kind of key; the key fits the algorithm."""
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    if isinstance(key, rsa.RSAPrivateKey):
        return _rsa(key, algorithm)
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return _ecdsa(key, algorithm)
    return key.sign


def _rsa(key: rsa.RSAPrivateKey, algorithm: str) -> Callable[[bytes], bytes]:
    """RSASSA-PKCS1-v1_5, or RSASSA-PSS with MGF1 and a salt as long as the hash (RFC 7518 sections 3.3 and 3.5)."""
    from cryptography.hazmat.primitives.asymmetric import padding

    digest = _hash(algorithm)
    scheme = padding.PSS(padding.MGF1(digest), digest.digest_size) if algorithm[0] == "P" else padding.PKCS1v15()
    return lambda text: key.sign(text, scheme, digest)


def _ecdsa(key: ec.EllipticCurvePrivateKey, algorithm: str) -> Callable[[bytes], bytes]:
    """r and s, each as long as the order of the curve, and not DER (RFC 7518 section 3.4)."""
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

    scheme, size = _ecdsa_scheme(_hash(algorithm)), (key.key_size + 7) // 8

    def sign_text(text: bytes) -> bytes:
        return b"".join(number.to_bytes(size, "big") for number in decode_dss_signature(key.sign(text, scheme)))

    return sign_text


def _ecdsa_scheme(digest: hashes.HashAlgorithm) -> ec.ECDSA:
    """Deterministic, as RFC 8725 section 3.2 recommends, where the OpenSSL under cryptography can (3.2)."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ec

    try:
        return ec.ECDSA(digest, deterministic_signing=True)
    except UnsupportedAlgorithm:
        return ec.ECDSA(digest)


def _hash(algorithm: str) -> hashes.HashAlgorithm:
    from cryptography.hazmat.primitives import hashes

    by_size = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}
    return by_size[algorithm[2:]]
