from __future__ import annotations

import ssl
from contextlib import suppress
from pathlib import Path

import pytest
from OpenSSL import SSL

from patchwire.tls.alerts import NO_CERTIFICATE, REFUSALS, RENEGOTIATION, alert_in, in_words
from tests.support.engines import converse, ends
from tests.support.ssl_server import SslServer, asking_later
from tests.support.tls import LOCALHOST, TRUSTING, serving_as
from tests.tls.test_engine import ADA, CLIENTS, VERSIONS, limited, showing

# The alerts of RFC 8446 section 6, and of RFC 7301, by their numbers.
NUMBERS = {
    10: "unexpected message", 20: "bad record mac", 22: "record overflow", 40: "handshake failure",
    41: "no certificate", 42: "bad certificate", 43: "unsupported certificate", 44: "certificate revoked",
    45: "certificate expired", 46: "certificate unknown", 47: "illegal parameter", 48: "unknown ca",
    49: "access denied", 50: "decode error", 51: "decrypt error", 70: "protocol version",
    71: "insufficient security", 80: "internal error", 86: "inappropriate fallback", 100: "no renegotiation",
    109: "missing extension", 110: "unsupported extension", 112: "unrecognized name", 116: "certificate required",
    120: "no application protocol",
}  # fmt: skip
CERTIFICATE = "tls.client_certificate"
WORDS = {
    "certificate required": f"the server requires a client certificate; name one as {CERTIFICATE}",
    "no certificate": f"the server requires a client certificate; name one as {CERTIFICATE}",
    "handshake failure": "the server ended the handshake: it may require a client certificate"
    f" ({CERTIFICATE}), or other TLS versions and ciphers",
    "bad certificate": f"the server takes our client certificate for damaged, or requires one ({CERTIFICATE})",
    "unsupported certificate": "the server has no use for a client certificate of this kind: its extended key usage"
    f" must allow clients, and its key be of a kind that the server knows ({CERTIFICATE})",
    "certificate unknown": f"the server does not accept our client certificate, and does not tell why ({CERTIFICATE})",
    "unknown ca": "the server does not know the CA of our client certificate",
    "certificate expired": "the server says that our client certificate has expired",
    "certificate revoked": "the server says that our client certificate was revoked",
    "access denied": f"the server knows our client certificate, and denies it access ({CERTIFICATE})",
    "decrypt error": "the server finds a signature or a check value of the handshake wrong: somebody on the way may"
    " have changed it",
    "protocol version": "the server speaks none of the TLS versions from tls.minimum_version on",
    "insufficient security": "the server demands stronger ciphers or keys than it was offered",
    "no application protocol": "the server does not speak HTTP/1.1 on this port (ALPN)",
    "unrecognized name": "the server does not know the host name that it was asked for",
    "internal error": "the server failed in TLS by itself (internal error); its log may say why",
    "illegal parameter": "the server takes what it was sent in the handshake for malformed (illegal parameter)",
    "decode error": "the server takes what it was sent in the handshake for malformed (decode error)",
}


def fatal(number: int) -> bytes:
    """A fatal alert in the open, as a server sends it before it has keys."""
    return bytes([21, 3, 3, 0, 2, 2, number])


@pytest.mark.parametrize("number", NUMBERS)
def test_an_alert_that_answers_the_first_flight_is_told_in_words(number: int) -> None:
    client, _ = ends()
    client.step()
    client.take(fatal(number))
    name = NUMBERS[number]
    assert str(client.fault) == WORDS.get(name, f"the peer ended TLS: {name}")
    assert not client.engine.established


def test_every_alert_on_account_of_a_certificate_has_words() -> None:
    assert set(WORDS) >= REFUSALS
    for alert, words in WORDS.items():
        assert in_words(alert) == words


@pytest.mark.parametrize(
    ("reason", "alert"),
    [
        ("tlsv1 alert unknown ca", "unknown ca"),
        ("sslv3 alert handshake failure", "handshake failure"),  # before OpenSSL 3.2
        ("tls alert handshake failure", "handshake failure"),
        ("tlsv13 alert certificate required", "certificate required"),
        ("tlsv1 unrecognized name", "unrecognized name"),
        ("decryption failed or bad record mac", None),
        ("tls illegal exporter label", None),
        ("no reason given", None),
    ],
)
def test_an_alert_is_told_from_faults_of_our_own_finding(reason: str, alert: str | None) -> None:
    assert alert_in(reason) == alert


@pytest.mark.parametrize("version", VERSIONS)
def test_an_alert_behind_a_handshake_of_both_versions_refuses_none(version: str) -> None:
    # What the server finds wrong is a record of data: the handshake is done, and data may have been read before it.
    client, server = ends(server=limited(serving_as(LOCALHOST), version))
    converse(client, server)
    client.engine.write(b"first")
    converse(client, server)
    assert server.received == b"first"
    client.engine.write(b"second")
    octets = client.engine.outgoing()
    server.take(octets[:-1] + bytes([octets[-1] ^ 1]))
    client.take(server.engine.outgoing())
    assert str(client.fault) == "the peer ended TLS: bad record mac"
    assert client.fault is not None
    assert not client.fault.refuses_handshake


# --- a server that wants a certificate behind the handshake


def test_a_server_cannot_ask_behind_the_handshake_as_that_is_not_offered(tmp_path: Path) -> None:
    # RFC 8446 section 4.6.2: only a client that sends post_handshake_auth may be asked. OpenSSL offers none by itself.
    client, _ = ends(showing(ADA))
    server = SslServer(asking_later(tmp_path, LOCALHOST, CLIENTS))
    server.handshake(client)
    with pytest.raises(ssl.SSLError, match="EXTENSION_NOT_RECEIVED"):
        server.connection.verify_client_post_handshake()
    client.engine.write(b"PATCH")
    assert server.hear(client) == b"PATCH"
    server.connection.write(b"403")
    server.speak(client)
    assert (client.received, client.fault) == (b"403", None)


def test_a_second_handshake_is_refused_at_once_and_what_ends_the_connection_then_says_so() -> None:
    client, server = ends(server=renegotiating())
    converse(client, server)
    assert client.engine.remark is None
    connection = server.engine._ssl
    assert connection.renegotiate()
    with suppress(SSL.WantReadError):
        connection.do_handshake()
    client.take(server.engine.outgoing())
    assert client.fault is None
    refusal = client.engine.outgoing()
    assert refusal[:1] == b"\x15"  # an alert: it waits for nothing else to be written
    assert client.engine.remark == RENEGOTIATION
    client.take(b"")
    assert str(client.fault) == RENEGOTIATION
    assert client.fault is not None
    assert not client.fault.refuses_handshake


def renegotiating() -> SSL.Context:
    """The context of a server that may ask for another handshake, which ours never do."""
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.use_certificate(LOCALHOST.certificate)
    context.use_privatekey(LOCALHOST.key)
    return limited(context, "1.2")


@pytest.mark.parametrize("version", VERSIONS)
def test_a_request_for_a_certificate_that_there_is_none_for_is_remarked(version: str) -> None:
    asking = limited(serving_as(LOCALHOST, CLIENTS), version)
    asking.set_verify(SSL.VERIFY_PEER)
    for settings, remark in ((TRUSTING, NO_CERTIFICATE), (showing(ADA), None)):
        client, server = ends(settings, server=asking)
        assert client.engine.remark is None
        converse(client, server)
        assert client.fault is None
        assert client.engine.remark == remark
        assert server.engine.remark is None
