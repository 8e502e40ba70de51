"""Alerts with which a server ends TLS (RFC 8446 section 6.2), in words: what it means, and the remedy."""

from __future__ import annotations

import re
from typing import Final

REFUSALS: Final = frozenset(
    {
        "bad certificate", "unsupported certificate", "certificate revoked", "certificate expired",
        "certificate unknown", "certificate required", "unknown ca", "access denied", "decrypt error",
        "handshake failure", "no certificate",
    }
)  # fmt: skip
"""With which a server ends a handshake on account of the client's certificate."""
_NAMED: Final = "tls.client_certificate"
_MALFORMED: Final = "the server takes what it was sent in the handshake for malformed"
_IN_WORDS: Final = {
    "certificate required": f"the server requires a client certificate; name one as {_NAMED}",
    "handshake failure": "the server ended the handshake: it may require a client certificate"
    f" ({_NAMED}), or other TLS versions and ciphers",
    "no certificate": f"the server requires a client certificate; name one as {_NAMED}",
    "bad certificate": f"the server takes our client certificate for damaged, or requires one ({_NAMED})",
    "unsupported certificate": "the server has no use for a client certificate of this kind: its extended key usage"
    f" must allow clients, and its key be of a kind that the server knows ({_NAMED})",
    "certificate unknown": f"the server does not accept our client certificate, and does not tell why ({_NAMED})",
    "unknown ca": "the server does not know the CA of our client certificate",
    "certificate expired": "the server says that our client certificate has expired",
    "certificate revoked": "the server says that our client certificate was revoked",
    "access denied": f"the server knows our client certificate, and denies it access ({_NAMED})",
    "decrypt error": "the server finds a signature or a check value of the handshake wrong: somebody on the way may"
    " have changed it",
    "protocol version": "the server speaks none of the TLS versions from tls.minimum_version on",
    "insufficient security": "the server demands stronger ciphers or keys than it was offered",
    "no application protocol": "the server does not speak HTTP/1.1 on this port (ALPN)",
    "unrecognized name": "the server does not know the host name that it was asked for",
    "internal error": "the server failed in TLS by itself (internal error); its log may say why",
    "illegal parameter": f"{_MALFORMED} (illegal parameter)",
    "decode error": f"{_MALFORMED} (decode error)",
}
RENEGOTIATION: Final = (
    "the server asked for a second TLS handshake, which is refused: it may want a client certificate for this path"
    " alone; have it ask for one on the whole virtual host"
)
NO_CERTIFICATE: Final = f"the server asked for a client certificate, and there is none to show ({_NAMED})"
# OpenSSL gives the newer alerts without the word, and nothing else under this prefix.
_alert_in = re.compile(r"(?:tls|sslv3|tlsv1|tlsv13) alert (.+)|tlsv1 (.+)").fullmatch


def alert_in(reason: str) -> str | None:
    """The alert that OpenSSL's reason for a failure tells of, for example "unknown ca"; None where it is another."""
    found = _alert_in(reason)
    return None if found is None else found[1] or found[2]


def in_words(alert: str) -> str:
    """What the alert means to a client."""
    return _IN_WORDS.get(alert, f"the peer ended TLS: {alert}")
