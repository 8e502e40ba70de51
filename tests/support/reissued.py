"""Certificates made from others, with what a test wants different."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

from tests.support.certificates import Authority, Issued


def reissued(
    template: x509.Certificate,
    issuer: Authority | Issued,
    *,
    not_before: datetime | None = None,
    not_after: datetime | None = None,
    extensions: Iterable[x509.Extension[x509.ExtensionType]] | None = None,
    key: CertificatePublicKeyTypes | None = None,
) -> x509.Certificate:
    """The template's subject and key, signed by another issuer, for another time, key or with other extensions."""
    builder = x509.CertificateBuilder(
        issuer.certificate.subject,
        template.subject,
        key or template.public_key(),
        x509.random_serial_number(),
        not_before or template.not_valid_before_utc,
        not_after or template.not_valid_after_utc,
    )
    of_keys = {x509.AuthorityKeyIdentifier.oid} | (set() if key is None else {x509.SubjectKeyIdentifier.oid})
    for extension in template.extensions if extensions is None else extensions:
        if extension.oid not in of_keys:
            builder = builder.add_extension(extension.value, extension.critical)
    by = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key())
    return builder.add_extension(by, critical=False).sign(issuer.key, hashes.SHA256())
