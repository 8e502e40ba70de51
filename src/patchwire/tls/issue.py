"""Certificates made on the spot: an authority of one's own, and what it issues, for trying things out over TLS."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from patchwire.tls.identity import is_ip_address
from patchwire.tls.material import Identity

LIFETIME: Final = timedelta(days=7)
BEFORE: Final = timedelta(hours=1)
"""Clocks differ."""


class Authority:
    """A certificate authority that lives as long as this object; its key is never written. `now` in Unix seconds."""

    def __init__(self, common_name: str, now: float) -> None:
        self._now = datetime.fromtimestamp(now, UTC)
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name(common_name)
        constraints = x509.BasicConstraints(ca=True, path_length=0)
        self.certificate = self._sign(
            self._name, self._key.public_key(), [(constraints, True), (_usage(ca=True), True)]
        )

    @property
    def pem(self) -> bytes:
        """The authority's certificate."""
        return self.certificate.public_bytes(Encoding.PEM)

    def issue_server(self, hosts: Sequence[str]) -> Identity:
        """What a server of these host names and addresses proves itself with."""
        names = [x509.IPAddress(ip_address(host)) if is_ip_address(host) else x509.DNSName(host) for host in hosts]
        return self._issue(hosts[0], ExtendedKeyUsageOID.SERVER_AUTH, [(x509.SubjectAlternativeName(names), False)])

    def issue_client(self, common_name: str) -> Identity:
        """What a client of this name proves itself with."""
        return self._issue(common_name, ExtendedKeyUsageOID.CLIENT_AUTH, [])

    def _issue(
        self, common_name: str, purpose: x509.ObjectIdentifier, more: list[tuple[x509.ExtensionType, bool]]
    ) -> Identity:
        key = ec.generate_private_key(ec.SECP256R1())
        extensions = [
            (x509.BasicConstraints(ca=False, path_length=None), True),
            (_usage(ca=False), True),
            (x509.ExtendedKeyUsage([purpose]), False),
            *more,
        ]
        return Identity(self._sign(_name(common_name), key.public_key(), extensions), (), key)

    def _sign(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePublicKey,
        extensions: Sequence[tuple[x509.ExtensionType, bool]],
    ) -> x509.Certificate:
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(self._now - BEFORE)
            .not_valid_after(self._now + LIFETIME)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical)
        return builder.sign(self._key, SHA256())


def identity_pem(identity: Identity) -> bytes:
    """The certificate and its key in the open, for a file that only its owner may read."""
    key = identity.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return identity.certificate.public_bytes(Encoding.PEM) + key


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )
