"""Certificates for tests: authorities, leaves of every kind, and the forms in which they are stored."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    pkcs12,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

PrivateKey = ec.EllipticCurvePrivateKey | RSAPrivateKey | Ed25519PrivateKey


@dataclass(frozen=True)
class Issued:
    """A leaf certificate with its key, and the intermediate authorities between it and its root."""

    certificate: x509.Certificate
    key: PrivateKey
    chain: tuple[x509.Certificate, ...] = ()

    @property
    def pem(self) -> bytes:
        """The leaf, then its intermediates, the nearest first; never the root."""
        return b"".join(each.public_bytes(Encoding.PEM) for each in (self.certificate, *self.chain))

    @property
    def key_pem(self) -> bytes:
        """The key as PKCS#8, in the open."""
        return self._key_pem(NoEncryption())

    @property
    def combined_pem(self) -> bytes:
        """The key and the certificates in one text."""
        return self.key_pem + self.pem

    @property
    def der(self) -> bytes:
        """The leaf alone."""
        return self.certificate.public_bytes(Encoding.DER)

    def encrypted_key_pem(self, password: bytes) -> bytes:
        """The key as encrypted PKCS#8."""
        return self._key_pem(BestAvailableEncryption(password))

    def pkcs12(self, password: bytes | None) -> bytes:
        """A PKCS#12 store with the key, the leaf and its intermediates; without a password nothing is encrypted."""
        encryption = NoEncryption() if password is None else BestAvailableEncryption(password)
        return pkcs12.serialize_key_and_certificates(b"test", self.key, self.certificate, self.chain, encryption)

    def _key_pem(self, encryption: KeySerializationEncryption) -> bytes:
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)


class Authority:
    """A certificate authority: a root, or an intermediate where `issuer` signs it."""

    def __init__(self, common_name: str = "patchwire test CA", *, issuer: Authority | None = None) -> None:
        self.key: PrivateKey = _new_key(rsa=False)
        usage = _key_usage(signs_certificates=True, signs_data=False)
        self.certificate = _certificate(common_name, self.key, issuer, [(_basic(ca=True), True), (usage, True)])
        # What goes into a leaf's chain: never the root.
        self.chain: tuple[x509.Certificate, ...] = (self.certificate, *issuer.chain) if issuer else ()

    @property
    def pem(self) -> bytes:
        """This authority's certificate alone."""
        return self.certificate.public_bytes(Encoding.PEM)

    def issue(
        self,
        *names: str,
        client: bool = False,
        server: bool = True,
        not_before: datetime | None = None,
        not_after: datetime | None = None,
        rsa: bool = False,
        common_name: str | None = None,
    ) -> Issued:
        """Issue a leaf for these DNS names and IP addresses; from yesterday, for thirty days."""
        key, common_name = _new_key(rsa), common_name or "".join(names[:1]) or "patchwire test"
        extensions = _leaf_extensions(names, client=client, server=server, ca=False)
        return Issued(_certificate(common_name, key, self, extensions, not_before, not_after), key, self.chain)


def self_signed(
    *names: str,
    ca: bool = False,
    client: bool = False,
    server: bool = True,
    not_before: datetime | None = None,
    not_after: datetime | None = None,
    rsa: bool = False,
    common_name: str | None = None,
) -> Issued:
    """A leaf that its own key has signed; with `ca` it says that it is an authority too."""
    key, common_name = _new_key(rsa), common_name or "".join(names[:1]) or "patchwire test"
    extensions = _leaf_extensions(names, client=client, server=server, ca=ca)
    return Issued(_certificate(common_name, key, None, extensions, not_before, not_after), key)


_Extensions = Sequence[tuple[x509.ExtensionType, bool]]


def _new_key(rsa: bool) -> PrivateKey:
    return generate_private_key(65_537, 2048) if rsa else ec.generate_private_key(ec.SECP256R1())


def _certificate(
    common_name: str,
    key: PrivateKey,
    issuer: Authority | None,
    extensions: _Extensions,
    not_before: datetime | None = None,
    not_after: datetime | None = None,
) -> x509.Certificate:
    """A certificate that the issuer has signed, or the key itself."""
    now = datetime.fromtimestamp(time.time(), UTC)
    start = not_before or min(now, not_after or now) - timedelta(days=1)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    signer = issuer.key if issuer else key
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(not_after or max(now, start) + timedelta(days=30))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    return builder.sign(signer, hashes.SHA256())


def _leaf_extensions(names: Sequence[str], *, client: bool, server: bool, ca: bool) -> _Extensions:
    usage = _key_usage(signs_certificates=ca, signs_data=True)
    extensions: list[tuple[x509.ExtensionType, bool]] = [(_basic(ca=ca), True), (usage, True)]
    purposes = [ExtendedKeyUsageOID.SERVER_AUTH] * server + [ExtendedKeyUsageOID.CLIENT_AUTH] * client
    if purposes:
        extensions.append((x509.ExtendedKeyUsage(purposes), False))
    if names:
        extensions.append((x509.SubjectAlternativeName([_general_name(name) for name in names]), False))
    return extensions


def _basic(*, ca: bool) -> x509.BasicConstraints:
    return x509.BasicConstraints(ca=ca, path_length=None)


def _key_usage(*, signs_certificates: bool, signs_data: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=signs_data,
        content_commitment=False,
        key_encipherment=signs_data,  # what TLS 1.2 asks of RSA without Diffie-Hellman
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
