"""The server's certificate chain, as OpenSSL has judged it, in words: what is wrong with it, and the remedy.

OpenSSL builds and checks the chain; what is asked here beside it is that the certificate is the host's own, and that
a certificate which is trusted as a server's vouches for nobody else.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from OpenSSL import SSL, crypto

from patchwire.http.idn import readable_host
from patchwire.tls.certificates import certificate_from_der
from patchwire.tls.identity import UNREADABLE, covers, is_called, shortened, shown_hosts

_NO_RENEGOTIATION: Final = 100
"""The alert (RFC 5246 section 7.2.2)."""
# The numbers of <openssl/x509_vfy.h>, of which pyOpenSSL names none.
_NOT_YET_VALID, _EXPIRED, _WRONG_PURPOSE, _REVOKED = 9, 10, 26, 23
_NO_TRUSTED_ROOT: Final = frozenset({2, 18, 19, 20, 21, 27})
_IN_WORDS: Final = {
    7: "has a signature that is not its issuer's",
    25: "has more CAs below it than it allows",
    28: "is rejected by the trust that its root is given",
    32: "was issued with a key that must not sign certificates",
    34: "has a critical extension that OpenSSL does not know",
    _REVOKED: "was revoked",
    47: "has a name beyond those that its CA may vouch for",
    48: "has a name that its CA must not vouch for",
    66: "has a key that is too weak",
    67: "was issued with a key that is too weak",
    68: "was signed with a digest that is too weak",
    79: "is no CA, and yet has issued one",
}
_PURPOSES: Final = {
    "1.3.6.1.5.5.7.3.1": "servers",
    "1.3.6.1.5.5.7.3.2": "clients",
    "1.3.6.1.5.5.7.3.3": "code signing",
    "1.3.6.1.5.5.7.3.4": "e-mail",
    "1.3.6.1.5.5.7.3.8": "time stamping",
    "1.3.6.1.5.5.7.3.9": "OCSP signing",
}


class Verification:
    """One handshake's check of its peer. `problem` says why the chain was refused, once it was."""

    def __init__(self, host: str, trusted: frozenset[bytes], pinned: frozenset[bytes]) -> None:
        self.problem: str | None = None
        self.refused_renegotiation = False
        """Whether the server has asked for a second handshake of TLS 1.2, and was told that there is none."""
        self.has_begun = False
        """Whether the peer has shown a certificate."""
        self._host = host
        self._trusted = trusted
        self._pinned = pinned

    def check(self, certificate: x509.Certificate, error: int, depth: int, ok: bool) -> bool:
        """Whether the handshake may go on past this certificate; 0 is the depth of the server's own."""
        self.has_begun = True
        if self.problem is None:
            self.problem = self._fault(certificate, error, depth, ok)
        return self.problem is None

    def _fault(self, certificate: x509.Certificate, error: int, depth: int, ok: bool) -> str | None:
        if not ok:
            return describe(certificate, error, depth)
        if depth > 0 and fingerprint(certificate) in self._pinned:
            issuer = shortened(certificate.subject.rfc4514_string())
            return f"its certificate was issued by {issuer!r}, which tls.trust holds as a server's: for its host only"
        if depth == 0 and not self._is_the_hosts(certificate):
            readable = readable_host(self._host)
            host = repr(self._host) if readable is None else f"{self._host!r} ({readable})"
            return f"its certificate does not cover {host}; it covers {shown_hosts(certificate) or 'no host at all'}"
        return None

    def _is_the_hosts(self, certificate: x509.Certificate) -> bool:
        if covers(certificate, self._host):
            return True
        # Old servers' own certificates have a common name alone. It counts only where this very one is trusted.
        return fingerprint(certificate) in self._trusted and is_called(certificate, self._host)


def verify_callback(connection: SSL.Connection, certificate: crypto.X509, error: int, depth: int, ok: int) -> bool:
    """What OpenSSL calls for each certificate; the connection's application data is its Verification."""
    verification = connection.get_app_data()
    if not isinstance(verification, Verification):
        return False
    try:
        shown = certificate_from_der(crypto.dump_certificate(crypto.FILETYPE_ASN1, certificate))
        return verification.check(shown, error, depth, bool(ok))
    except Exception as fault:  # whatever a stranger shows, the answer is a refusal
        verification.problem = f"a certificate that it shows cannot be read: {fault}"
        return False


def information_callback(connection: SSL.Connection, where: int, code: int) -> None:
    """What OpenSSL calls at each step: here it is the alert with which it refuses a second handshake that counts."""
    if where == SSL.SSL_CB_WRITE_ALERT and code & 0xFF == _NO_RENEGOTIATION:
        verification = connection.get_app_data()
        if isinstance(verification, Verification):
            verification.refused_renegotiation = True


def fingerprint(certificate: x509.Certificate) -> bytes:
    """Its SHA-256."""
    return certificate.fingerprint(SHA256())


def describe(certificate: x509.Certificate, error: int, depth: int) -> str:
    """What OpenSSL's verification error `error` says about this certificate at this depth."""
    subject = shortened(certificate.subject.rfc4514_string()) or "without a subject"
    whose = "its certificate" if depth == 0 else f"the certificate {subject!r} above its own"
    if error == _EXPIRED:
        return f"{whose} ended on {moment(certificate.not_valid_after_utc)}"
    if error == _NOT_YET_VALID:
        return f"{whose} is not valid before {moment(certificate.not_valid_before_utc)}; see to this machine's clock"
    if error == _WRONG_PURPOSE:
        return f"{whose} is not for servers: its extended key usage allows {_purposes(certificate)}"
    if error in _NO_TRUSTED_ROOT:
        return f"{whose}, {_untrusted(certificate)} (patchwire check --export-certificate)"
    return f"{whose} {_IN_WORDS.get(error, f'was refused by OpenSSL with error {error}')}"


def _untrusted(certificate: x509.Certificate) -> str:
    """Who issued it, and what to trust. It is the last of the chain: its issuer is not among those that were sent."""
    if certificate.issuer == certificate.subject:
        return "signed by itself, leads to no trusted root; add its CA, or the server's own certificate, to tls.trust"
    issuer = shortened(certificate.issuer.rfc4514_string()) or "an issuer without a name"
    missing = "leads to no trusted root, and the server does not send the certificate of that issuer"
    return f"issued by {issuer!r}, {missing}; add it, or the server's own certificate, to tls.trust"


def moment(time: datetime) -> str:
    """A time as messages write it."""
    return time.strftime("%Y-%m-%d %H:%M:%S UTC")


def _purposes(certificate: x509.Certificate) -> str:
    try:
        usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except UNREADABLE:
        return "other uses"
    return shortened(", ".join(_PURPOSES.get(usage.dotted_string, usage.dotted_string) for usage in usages))
