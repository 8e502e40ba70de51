"""Whether a certificate is that of the host that was asked for (RFC 9525), through service-identity."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Final

from cryptography import x509
from cryptography.x509.oid import NameOID
from service_identity import CertificateError, VerificationError
from service_identity.cryptography import verify_certificate_hostname, verify_certificate_ip_address

UNREADABLE: Final = (
    x509.ExtensionNotFound,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
    ValueError,
    TypeError,
)
"""An extension that is not there, or that is malformed."""


def is_ip_address(host: str) -> bool:
    """Whether the host is written as an IPv4 or IPv6 address, which TLS neither names in SNI nor finds as a name."""
    try:
        ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


def covers(certificate: x509.Certificate, host: str) -> bool:
    """Whether one of the certificate's alternative names is this host; its common name does not count."""
    try:
        if is_ip_address(host):
            verify_certificate_ip_address(certificate, host.partition("%")[0])
        else:
            verify_certificate_hostname(certificate, host)
    except (VerificationError, CertificateError, *UNREADABLE):
        return False
    return True


def is_called(certificate: x509.Certificate, host: str) -> bool:
    """Whether the certificate has no alternative names at all, and the host, without wildcard, as its common name."""
    try:
        certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        return False
    except x509.ExtensionNotFound:
        pass
    except UNREADABLE:
        return False
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return any(str(name.value).lower() == host.lower() for name in names)


def covered(certificate: x509.Certificate) -> list[str]:
    """The host names and addresses that the certificate covers, as it writes them, control characters escaped."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except UNREADABLE:
        return []
    hosts = [name.encode("unicode_escape").decode("ascii") for name in names.get_values_for_type(x509.DNSName)]
    return [*hosts, *map(str, names.get_values_for_type(x509.IPAddress))]


def is_for_its_host_only(certificate: x509.Certificate) -> bool:
    """Whether a trusted certificate is a server's own, which vouches for no other: it is no CA, or it names hosts.

    Tools that sign a server's certificate by itself often call it a CA too (RFC 5280 section 4.2.1.9).
    """
    try:
        is_authority = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except UNREADABLE:
        is_authority = False
    return not is_authority or bool(covered(certificate))
