"""Certificates with keys of every kind, constraints, and weaknesses, made from those of an ordinary authority."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from tests.support.certificates import Authority, Issued, PrivateKey
from tests.support.reissued import reissued

KEYS: Final[dict[str, Callable[[], PrivateKey]]] = {
    "RSA 2048": lambda: rsa.generate_private_key(65_537, 2048),
    "P-256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "P-384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "Ed25519": ed25519.Ed25519PrivateKey.generate,
}
"""Kinds of keys that servers and clients have."""
_SHA256_WITH_RSA, _SHA1_WITH_RSA = b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b", b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x05"
_SHA1_INFO: Final = bytes.fromhex("3021300906052b0e03021a05000414")
"""The DigestInfo of SHA-1, up to the digest (RFC 8017 section 9.2)."""


def with_key(issued: Issued, authority: Authority, key: PrivateKey) -> Issued:
    """The same leaf with another key."""
    return Issued(reissued(issued.certificate, authority, key=key.public_key()), key, issued.chain)


def limited(authority: Authority, issuer: Authority, extension: x509.ExtensionType) -> x509.Certificate:
    """The authority's certificate with an extension that limits it, in place of its own of that kind."""
    kept = [each for each in authority.certificate.extensions if each.oid != extension.oid]
    return reissued(authority.certificate, issuer, extensions=[*kept, x509.Extension(extension.oid, True, extension)])


def below(authority: Authority, above: x509.Certificate, *names: str) -> Issued:
    """A leaf of the authority, whose certificate is `above`."""
    leaf = authority.issue(*names)
    return Issued(leaf.certificate, leaf.key, (above,))


def rsa_authority() -> Authority:
    """A root with an RSA key."""
    authority = Authority("RSA root")
    authority.key = KEYS["RSA 2048"]()
    authority.certificate = reissued(authority.certificate, authority, key=authority.key.public_key())
    return authority


def signed_with_sha1(issued: Issued, authority: Authority) -> Issued:
    """The leaf of an RSA authority, its signature made with SHA-1, which cryptography no longer makes."""
    key = authority.key
    assert isinstance(key, rsa.RSAPrivateKey)
    signed = issued.certificate.tbs_certificate_bytes.replace(_SHA256_WITH_RSA, _SHA1_WITH_RSA)
    digest = _SHA1_INFO + hashlib.sha1(signed, usedforsecurity=False).digest()
    numbers, size = key.private_numbers(), key.key_size // 8
    padded = b"\x00\x01" + b"\xff" * (size - len(digest) - 3) + b"\x00" + digest
    signature = pow(int.from_bytes(padded), numbers.d, numbers.public_numbers.n).to_bytes(size)
    der = issued.certificate.public_bytes(Encoding.DER).replace(_SHA256_WITH_RSA, _SHA1_WITH_RSA)
    weak = x509.load_der_x509_certificate(der[: -len(signature)] + signature)
    return Issued(weak, issued.key, issued.chain)
