"""Certificates from their octets. What a stranger shows may be malformed anywhere: that is said here, at once."""

from __future__ import annotations

import warnings
from binascii import Error as Base64Error
from binascii import a2b_base64
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.utils import CryptographyDeprecationWarning

from patchwire.tls.identity import UNREADABLE
from patchwire.tls.pem import Block

LABELS = frozenset({"CERTIFICATE", "X509 CERTIFICATE", "TRUSTED CERTIFICATE"})
"""What PEM calls a certificate. A trusted one has OpenSSL's own data behind it."""


def certificate_from_der(octets: bytes) -> x509.Certificate:
    """The certificate. ValueError where it is none, or where its names, dates or extensions cannot be read."""
    with _quiet():
        try:
            return sound(x509.load_der_x509_certificate(octets))
        except x509.InvalidVersion as error:
            raise ValueError(str(error)) from None


def certificate_from_pem(block: Block) -> x509.Certificate:
    """The same of a block whose label is one of LABELS."""
    try:
        octets = a2b_base64(b"".join(block.text.split(b"\n")[1:-2]), strict_mode=True)
    except Base64Error as error:
        raise ValueError(str(error)) from None
    return certificate_from_der(_first_element(octets) if block.label == "TRUSTED CERTIFICATE" else octets)


def sound(certificate: x509.Certificate) -> x509.Certificate:
    """The certificate itself: cryptography reads its parts only when they are asked for, and fails only then.

    ValueError where one of them cannot be read.
    """
    try:
        certificate.version, certificate.subject, certificate.issuer  # noqa: B018
        certificate.not_valid_before_utc, certificate.not_valid_after_utc  # noqa: B018
        certificate.subject.rfc4514_string(), certificate.issuer.rfc4514_string()
    except (x509.InvalidVersion, UnsupportedAlgorithm, TypeError) as error:
        raise ValueError(str(error)) from None
    with _quiet(), suppress(*UNREADABLE):  # what is asked of extensions later says itself where they are malformed
        certificate.extensions  # noqa: B018
    return certificate


def public_octets(certificate: x509.Certificate) -> bytes | None:
    """Its public key, or None where that is of a kind that cryptography does not know."""
    try:
        return certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except (UnsupportedAlgorithm, ValueError):
        return None


def chain_of(leaf: x509.Certificate, certificates: Sequence[x509.Certificate]) -> tuple[x509.Certificate, ...]:
    """The issuers of `leaf` among the certificates, the nearest first, in whatever order these stand."""
    chain: list[x509.Certificate] = []
    current = leaf
    while current.issuer != current.subject:
        above = next((each for each in certificates if each not in (leaf, *chain) and _issued(current, each)), None)
        if above is None:
            break
        chain.append(above)
        current = above
    return tuple(chain)


@contextmanager
def _quiet() -> Iterator[None]:
    """A serial number of 0, as old authorities and appliances have it, is nobody's business here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CryptographyDeprecationWarning)
        yield


def _issued(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except UnsupportedAlgorithm:
        return certificate.issuer == issuer.subject  # the names are all there is to go by
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _first_element(octets: bytes) -> bytes:
    """The first element of a DER sequence of them."""
    if len(octets) < 2 or octets[1] < 0x80:
        return octets
    count = octets[1] & 0x7F
    return octets[: 2 + count + int.from_bytes(octets[2 : 2 + count], "big")]
