"""Contexts: what every connection with the same settings shares. Made once, cached, never changed after.

Only the sessions beside a client's come and go.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Final

from cryptography import x509
from OpenSSL import SSL, crypto

from patchwire.errors import SettingsError
from patchwire.settings.tls import TlsSettings
from patchwire.tls.identity import is_for_its_host_only
from patchwire.tls.material import Identity, client_identity, trusted_certificates
from patchwire.tls.sessions import Sessions
from patchwire.tls.verification import fingerprint, information_callback, verify_callback

_VERSIONS: Final = {"1.2": SSL.TLS1_2_VERSION, "1.3": SSL.TLS1_3_VERSION}
KeyLog = Callable[[bytes], None]
"""Takes one line of a key log (RFC 9850), without its end."""
_OPTIONS: Final = SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION


class ClientContext:
    """OpenSSL's context for a client, and the certificates that are trusted for their own hosts only."""

    __slots__ = ("openssl", "pinned", "sessions", "trusted")

    def __init__(
        self, openssl: SSL.Context, trusted: Sequence[x509.Certificate] = (), sessions: Sessions | None = None
    ) -> None:
        self.openssl = openssl
        self.sessions = sessions
        """What its connections may resume; None where none may."""
        self.trusted = frozenset(map(fingerprint, trusted))
        """Fingerprints of all that is trusted beside the system's roots."""
        self.pinned = frozenset(fingerprint(each) for each in trusted if is_for_its_host_only(each))
        """Fingerprints of those among them that vouch for no other."""


@lru_cache(maxsize=64)
def client_context(settings: TlsSettings, key_log: KeyLog | None = None) -> ClientContext:
    """The context for these settings; equal settings get the same one. SettingsError names the file at fault.

    `key_log` is given the secrets of each connection: with them, whoever has its octets can read what they say.
    """
    identity = client_identity(settings)
    trusted = trusted_certificates(settings)
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    _restrict(context, _VERSIONS[settings.minimum_version])
    context.set_alpn_protos([b"http/1.1"])
    if settings.system_roots:
        context.set_default_verify_paths()
    _trust(context, trusted)
    context.set_verify(SSL.VERIFY_PEER, verify_callback)
    context.set_info_callback(information_callback)
    if identity is not None:
        _use(context, identity, "tls.client_certificate")
    if key_log is not None:
        context.set_keylog_callback(lambda _, line: key_log(line))
    return ClientContext(context, trusted, Sessions())


def unverified_context() -> ClientContext:
    """A context that takes any server's certificate: to look at it, and never to send anything, or keep a session."""
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    _restrict(context, SSL.TLS1_2_VERSION)
    context.set_verify(SSL.VERIFY_NONE)
    return ClientContext(context)


def server_context(identity: Identity, client_authorities: Sequence[x509.Certificate] = ()) -> SSL.Context:
    """The context of a server that proves itself with `identity`.

    With `client_authorities` it requires a client certificate that one of them has issued.
    """
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    _restrict(context, SSL.TLS1_2_VERSION)
    context.set_session_id(b"patchwire")
    _use(context, identity, "server certificate")
    if client_authorities:
        _trust(context, client_authorities)
        for each in client_authorities:
            context.add_client_ca(each)
        context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT)
    return context


def _restrict(context: SSL.Context, minimum: int) -> None:
    context.set_min_proto_version(minimum)
    context.set_options(_OPTIONS)
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)  # an idle connection holds no record buffers


def _trust(context: SSL.Context, certificates: Sequence[x509.Certificate]) -> None:
    store = context.get_cert_store()
    if store is None:
        raise SettingsError("tls", "OpenSSL gives no certificate store")
    # What the user trusts is an anchor, also where it is a server's own certificate or an intermediate CA.
    store.set_flags(crypto.X509StoreFlags.PARTIAL_CHAIN)
    for certificate in certificates:
        store.add_cert(crypto.X509.from_cryptography(certificate))


def _use(context: SSL.Context, identity: Identity, place: str) -> None:
    try:
        context.use_certificate(identity.certificate)
        for issuer in identity.chain:
            context.add_extra_chain_cert(issuer)
        context.use_privatekey(identity.key)
    except SSL.Error as error:
        reason = error.args[0][0][2] if error.args and error.args[0] else "no reason given"
        raise SettingsError(place, f"OpenSSL does not take the certificate or its key: {reason}") from None
