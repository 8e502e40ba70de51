"""A certificate in words, for a person who has to decide whether it is the right one."""

from __future__ import annotations

from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from patchwire.tls.identity import is_for_its_host_only, shortened, shown_hosts
from patchwire.tls.verification import fingerprint, moment

DAY: Final = 86_400
NOTICE: Final = 30
"""Days before its end from which on a certificate is worth a warning."""


def describe_certificate(certificate: x509.Certificate, now: float) -> str:
    """Whose it is, who issued it, which hosts it covers, from when until when. `now` in Unix seconds."""
    subject = shortened(certificate.subject.rfc4514_string()) or "no subject"
    own = certificate.issuer == certificate.subject
    issuer = "itself" if own else repr(shortened(certificate.issuer.rfc4514_string()))
    hosts = shown_hosts(certificate)
    names = f", for {hosts}" if hosts else ""
    return f"{subject!r}{names}, issued by {issuer}, {validity(certificate, now)}"


def validity(certificate: x509.Certificate, now: float) -> str:
    """From when until when, and how that stands to `now`."""
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    left = ends.timestamp() - now
    if left < 0:
        return f"ended on {moment(ends)}"
    if begins.timestamp() > now:
        return f"not valid before {moment(begins)}"
    days = int(left // DAY)
    return f"valid until {moment(ends)} ({days} {'day' if days == 1 else 'days'} left)"


def expiry_doubt(certificate: x509.Certificate, now: float, key: str) -> str | None:
    """What is to be done about a certificate of the settings' `key` that is over, or is so within NOTICE days, or has
    not begun; None where there is nothing. `now` in Unix seconds.
    """
    left = certificate.not_valid_after_utc.timestamp() - now
    has_begun = certificate.not_valid_before_utc.timestamp() <= now
    if has_begun and left > NOTICE * DAY:
        return None
    subject = certificate.subject.rfc4514_string() or "no subject"
    remedy = "see to this machine's clock" if not has_begun and left > 0 else "have it renewed, and replace the file"
    return f"{key}: {subject!r} {_in_a_sentence(validity(certificate, now))}; {remedy}"


def _in_a_sentence(validity: str) -> str:
    return validity if validity.startswith("ended") else f"is {validity}"


def describe_trusted(certificate: x509.Certificate, now: float) -> str:
    """The same of a certificate in `trust`, and what it is trusted for."""
    what = "as a server's own certificate" if is_for_its_host_only(certificate) else "as a CA"
    return f"{describe_certificate(certificate, now)}, {what}"


def shown_fingerprint(certificate: x509.Certificate) -> str:
    """Its SHA-256 as browsers and openssl write it."""
    return fingerprint(certificate).hex(":").upper()


def as_pem(certificate: x509.Certificate) -> bytes:
    """The certificate as PEM."""
    return certificate.public_bytes(Encoding.PEM)
