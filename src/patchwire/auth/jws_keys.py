"""Private keys as users have them, PEM or JWK, held against the algorithm that is to sign with them (RFC 7518).

cryptography is loaded where a key is read: it takes a while, and most runs sign no token.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode
from typing import TYPE_CHECKING, Final

from patchwire.auth.json_objects import object_in
from patchwire.errors import LocalProtocolError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

    PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey

SHORTEST_RSA: Final = 2048
"""Bits (RFC 7518 sections 3.3 and 3.5)."""

_RSA: Final = f"an RSA key of {SHORTEST_RSA} bits or more"
_ED25519: Final = "an Ed25519 key"
_NEEDED: Final = {
    "RS256": _RSA, "RS384": _RSA, "RS512": _RSA,
    "PS256": _RSA, "PS384": _RSA, "PS512": _RSA,
    "ES256": "an EC key on P-256", "ES384": "an EC key on P-384", "ES512": "an EC key on P-521",
    "EdDSA": _ED25519,
}  # fmt: skip
_CURVES: Final = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}

_base64url = re.compile(r"[A-Za-z0-9_-]+").fullmatch


def private_key(key: str, algorithm: str) -> PrivateKey:
    """The private key in the text: unencrypted PEM (PKCS#8, PKCS#1, SEC1), or a JWK in JSON (RFC 7517).

    LocalProtocolError, in one line without any of the text, where there is none that the algorithm can sign with.
    """
    found = _of_jwk(_members(key), algorithm) if _is_jwk(key) else _of_pem(key)
    if _kind(found) != _NEEDED[algorithm]:
        raise LocalProtocolError(f"{algorithm} needs {_NEEDED[algorithm]}, and the key is {_kind(found)}")
    return found  # type: ignore[return-value]  # the kind says which


def stated_key_id(key: str) -> str | None:
    """The `kid` of a JWK, None for PEM. LocalProtocolError where it is no JSON."""
    key_id = _members(key).get("kid") if _is_jwk(key) else None
    return key_id if isinstance(key_id, str) else None


def _kind(key: PrivateKeyTypes) -> str:
    """As `_NEEDED` names them."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    if isinstance(key, rsa.RSAPrivateKey):
        return _RSA if key.key_size >= SHORTEST_RSA else f"an RSA key of {key.key_size} bits"
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return f"an EC key on {_CURVES.get(key.curve.name, key.curve.name)}"
    return _ED25519 if isinstance(key, ed25519.Ed25519PrivateKey) else "of another kind"


# --- PEM


def _of_pem(text: str) -> PrivateKeyTypes:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        return load_pem_private_key(text.encode("utf-8"), None)
    except TypeError:
        raise LocalProtocolError("the key to sign with is encrypted; give it without a password") from None
    except (ValueError, UnsupportedAlgorithm):
        raise LocalProtocolError(_fault_of_pem(text)) from None


def _fault_of_pem(text: str) -> str:
    if "-----BEGIN " not in text:
        return "the key to sign with is neither PEM (-----BEGIN PRIVATE KEY-----) nor a JWK in JSON"
    if "PRIVATE KEY-----" not in text:
        return "the key to sign with is a public key or a certificate; the private key is needed"
    return "the key to sign with cannot be read: expected PEM of PKCS#8, PKCS#1 or SEC1"


# --- JWK


def _is_jwk(text: str) -> bool:
    return text.lstrip().startswith("{")


def _members(text: str) -> dict[str, object]:
    try:
        return object_in(text.encode("utf-8", "surrogatepass"))
    except ValueError as error:
        raise LocalProtocolError(f"the JWK to sign with cannot be read: {error}") from None


def _of_jwk(jwk: dict[str, object], algorithm: str) -> PrivateKey:
    from cryptography.exceptions import UnsupportedAlgorithm

    kind = jwk.get("kty")
    if kind not in ("RSA", "EC", "OKP"):
        raise LocalProtocolError("the JWK to sign with must have a kty of RSA, EC or OKP")
    if "d" not in jwk:
        raise LocalProtocolError("the JWK to sign with is a public key; the private key is needed")
    _check_use(jwk, algorithm)
    try:
        return _rsa(jwk) if kind == "RSA" else _ec(jwk) if kind == "EC" else _okp(jwk)
    except (ValueError, UnsupportedAlgorithm):
        raise LocalProtocolError(f"the members of the JWK to sign with make no {kind} key") from None


def _check_use(jwk: dict[str, object], algorithm: str) -> None:
    """RFC 7517 sections 4.2 to 4.4: whoever made the key may say what it is for. RFC 9864 calls EdDSA Ed25519."""
    names = (None, algorithm, "Ed25519") if algorithm == "EdDSA" else (None, algorithm)
    operations = jwk.get("key_ops", ["sign"])
    signs = isinstance(operations, list) and "sign" in operations
    if jwk.get("alg") not in names or jwk.get("use") not in (None, "sig") or not signs:
        raise LocalProtocolError(f"the JWK is not meant for {algorithm} (see its alg, use and key_ops)")


def _rsa(jwk: dict[str, object]) -> rsa.RSAPrivateKey:
    """RFC 7518 section 6.3. The primes are found where they are not given; what follows from them is not read."""
    from cryptography.hazmat.primitives.asymmetric import rsa

    n, e, d = (_number(jwk, name) for name in ("n", "e", "d"))
    p, q = (_number(jwk, "p"), _number(jwk, "q")) if "p" in jwk else rsa.rsa_recover_prime_factors(n, e, d)
    dp, dq, qi = rsa.rsa_crt_dmp1(d, p), rsa.rsa_crt_dmq1(d, q), rsa.rsa_crt_iqmp(p, q)
    return rsa.RSAPrivateNumbers(p, q, d, dp, dq, qi, rsa.RSAPublicNumbers(e, n)).private_key()


def _ec(jwk: dict[str, object]) -> ec.EllipticCurvePrivateKey:
    """RFC 7518 section 6.2."""
    from cryptography.hazmat.primitives.asymmetric import ec

    by_name = {"P-256": ec.SECP256R1(), "P-384": ec.SECP384R1(), "P-521": ec.SECP521R1()}
    curve = by_name.get(str(jwk.get("crv")))
    if curve is None:
        raise ValueError("no curve that signs")
    point = ec.EllipticCurvePublicNumbers(_number(jwk, "x"), _number(jwk, "y"), curve)
    return ec.EllipticCurvePrivateNumbers(_number(jwk, "d"), point).private_key()


def _okp(jwk: dict[str, object]) -> ed25519.Ed25519PrivateKey:
    """RFC 8037 section 2."""
    from cryptography.hazmat.primitives.asymmetric import ed25519

    if jwk.get("crv") != "Ed25519":
        raise ValueError("no curve that signs")
    key = ed25519.Ed25519PrivateKey.from_private_bytes(_octets(jwk, "d"))
    if key.public_key().public_bytes_raw() != _octets(jwk, "x"):
        raise ValueError("the public key is another's")
    return key


def _number(jwk: dict[str, object], name: str) -> int:
    return int.from_bytes(_octets(jwk, name), "big")


def _octets(jwk: dict[str, object], name: str) -> bytes:
    """ValueError where the member is missing or no base64url (RFC 7515 section 2)."""
    text = jwk.get(name)
    if not isinstance(text, str) or not _base64url(text):
        raise ValueError("no base64url")
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))
