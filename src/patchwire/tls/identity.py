"""Whether a certificate is that of the host that was asked for (RFC 9525), through service-identity."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Final

from cryptography import x509
from cryptography.x509.oid import NameOID
from service_identity import CertificateError, VerificationError
from service_identity.cryptography import verify_certificate_hostname, verify_certificate_ip_address

from patchwire.http.idn import readable_host

MOST: Final = 10
"""How many of a certificate's names a message holds; some have hundreds."""
LONGEST: Final = 200
"""Characters that a message gives to one name: what a stranger shows may be of any length."""
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
        return _has_wildcard_for(certificate, host)
    return True


def _has_wildcard_for(certificate: x509.Certificate, host: str) -> bool:
    """Whether a wildcard stands for the first label of the host, which is an A-label. service-identity lets none, as
    RFC 6125 would not have it stand for a part of one; RFC 9525 section 6.3 lets it stand for whole labels alone.
    """
    label, _, above = host.lower().partition(".")
    wildcards = (name.lower() for name in covered(certificate))
    return label.startswith("xn--") and "." in above and f"*.{above}" in wildcards


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


def shown_hosts(certificate: x509.Certificate) -> str:
    """What it covers, for a message: the first names alone where there are many, A-labels with their readable form."""
    names = covered(certificate)
    hidden = len(names) - MOST
    shown = [shown_host(name) for name in names[:MOST]]
    return ", ".join(shown) + (f" ... and {hidden} more" if hidden > 0 else "")


def shown_host(name: str) -> str:
    """The name as it is, for example xn--bcher-kva.example, and how people write it behind: (bücher.example)."""
    readable = readable_host(name)
    return shortened(name) if readable is None else f"{shortened(name)} ({shortened(readable)})"


def shortened(text: str) -> str:
    """The text, or its beginning where it is longer than a message should be."""
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def is_for_its_host_only(certificate: x509.Certificate) -> bool:
    """Whether a trusted certificate is a server's own, which vouches for no other: it is no CA, or it names hosts.

    Tools that sign a server's certificate by itself often call it a CA too (RFC 5280 section 4.2.1.9).
    """
    try:
        is_authority = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except UNREADABLE:
        is_authority = False
    return not is_authority or bool(covered(certificate))
