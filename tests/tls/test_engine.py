from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from OpenSSL import SSL

from patchwire.errors import TlsError
from patchwire.http.message import split_url
from patchwire.settings.tls import Material, TlsSettings
from tests.support.certificates import Authority, Issued
from tests.support.engines import End, converse, ends
from tests.support.tls import AUTHORITY, LOCALHOST, TRUSTING, serving_as, trusting

CLIENTS = Authority("clients")
ADA = CLIENTS.issue(client=True, server=False, common_name="ada")
STRANGER = Authority("another authority").issue(client=True, server=False)
LONG = bytes(range(256)) * 400
VERSIONS = {"1.2": SSL.TLS1_2_VERSION, "1.3": SSL.TLS1_3_VERSION}
NO_CERTIFICATE = "the server requires a client certificate; name one as tls.client_certificate"
PLAIN_HTTP = "the peer speaks plain HTTP on this port; name its TLS port, or write http://"
NO_TLS = "the peer does not speak TLS on this port"


def limited(context: SSL.Context, version: str) -> SSL.Context:
    context.set_min_proto_version(VERSIONS[version])
    context.set_max_proto_version(VERSIONS[version])
    return context


def showing(certificate: Issued) -> TlsSettings:
    return trusting(AUTHORITY.pem, client_certificate=Material("client.pem", certificate.combined_pem))


def connected(version: str = "1.3") -> tuple[End, End]:
    client, server = ends(server=limited(serving_as(LOCALHOST), version))
    converse(client, server)
    assert client.engine.established
    assert server.engine.established
    return client, server


# --- the handshake, and data


@pytest.mark.parametrize("piece", [None, 1, 2, 7, 1000])
@pytest.mark.parametrize("version", VERSIONS)
def test_however_the_octets_are_cut_both_get_what_the_other_has_written(version: str, piece: int | None) -> None:
    client, server = ends(server=limited(serving_as(LOCALHOST), version))
    converse(client, server, piece)
    assert client.engine.version == server.engine.version == f"TLSv{version}"
    client.engine.write(LONG)
    server.engine.write(LONG[::-1])
    converse(client, server, piece)
    client.engine.close()
    server.engine.close()
    converse(client, server, piece)
    assert (client.received, server.received) == (LONG[::-1], LONG)
    assert client.ended
    assert server.ended


@given(data=st.data(), texts=st.lists(st.binary(max_size=70_000), max_size=3))
def test_any_writes_in_any_cut_arrive_in_order(data: st.DataObject, texts: list[bytes]) -> None:
    client, server = connected()
    for text in texts:
        client.engine.write(text)
    client.engine.close()
    octets = client.engine.outgoing()
    while octets:
        size = data.draw(st.integers(1, len(octets)))
        server.take(octets[:size])
        octets = octets[size:]
    assert server.received == b"".join(texts)
    assert server.ended


@given(cut=st.floats(0, 1, exclude_max=True), version=st.sampled_from(sorted(VERSIONS)))
def test_a_stream_that_ends_before_close_notify_is_a_fault_wherever_it_is_cut(cut: float, version: str) -> None:
    client, server = connected(version)
    client.engine.write(LONG)
    client.engine.close()
    octets = client.engine.outgoing()
    server.take(octets[: int(cut * len(octets))])
    server.take(b"")
    assert LONG.startswith(server.received)
    assert not server.ended
    assert str(server.fault) == "the connection ended without TLS close_notify: what came may be cut"


@given(place=st.floats(0, 1, exclude_max=True), flip=st.integers(1, 255), version=st.sampled_from(sorted(VERSIONS)))
def test_what_was_changed_on_the_way_never_arrives(place: float, flip: int, version: str) -> None:
    client, server = connected(version)
    client.engine.write(LONG)
    octets = bytearray(client.engine.outgoing())
    octets[int(place * len(octets))] ^= flip
    server.take(bytes(octets))
    server.take(b"")
    assert server.fault is not None
    assert LONG.startswith(server.received)
    assert server.received != LONG


def test_a_fault_stays_and_the_peer_is_told_of_it() -> None:
    client, server = connected()
    client.engine.write(b"x" * 100)
    octets = client.engine.outgoing()
    server.take(octets[:-1] + bytes([octets[-1] ^ 1]))
    first = str(server.fault)
    with pytest.raises(TlsError, match="^TLS broke: decryption failed or bad record mac$"):
        server.engine.read()
    assert first == "TLS broke: decryption failed or bad record mac"
    client.take(server.engine.outgoing())
    assert str(client.fault) == "the peer ended TLS: bad record mac"
    assert client.fault is not None
    assert not client.fault.refuses_handshake


def test_what_came_whole_before_a_fault_is_read_before_it() -> None:
    client, server = connected()
    client.engine.write(b"whole")
    server.engine.feed(client.engine.outgoing() + b"\x17\x03\x03\x00\x05wrong")
    assert server.engine.read() == b"whole"
    with pytest.raises(TlsError, match="^TLS broke: "):
        server.engine.read()


def test_nothing_is_read_behind_close_notify() -> None:
    client, server = connected()
    client.engine.close()
    server.take(client.engine.outgoing() + b"GET / HTTP/1.1\r\n")
    assert server.ended
    assert server.engine.read() == b""
    server.engine.write(b"still to be had")
    client.take(server.engine.outgoing())
    assert client.received == b"still to be had"


def test_octets_are_given_once() -> None:
    client, _ = connected()
    client.engine.write(b"x")
    assert client.engine.outgoing()
    assert client.engine.outgoing() == b""


def test_closing_before_the_handshake_is_no_fault() -> None:
    client, _ = ends()
    client.engine.close()
    assert not client.engine.established


def test_the_wire_log_is_told_version_cipher_and_certificate() -> None:
    client, server = connected()
    end = f"{LOCALHOST.certificate.not_valid_after_utc:%Y-%m-%d %H:%M:%S} UTC"
    assert client.engine.describe() == f"TLSv1.3 TLS_AES_256_GCM_SHA384, 'CN=localhost' until {end}"
    assert server.engine.describe() == "TLSv1.3 TLS_AES_256_GCM_SHA384"
    assert client.engine.peer_chain() == [LOCALHOST.certificate]
    assert server.engine.peer_chain() == []


def test_a_session_ticket_is_no_data() -> None:
    client, server = ends()
    client.step()
    server.take(client.engine.outgoing())
    client.take(server.engine.outgoing())
    server.take(client.engine.outgoing())
    tickets = server.engine.outgoing()
    assert tickets
    client.take(tickets)
    assert (client.received, client.fault, client.ended) == (b"", None, False)


# --- versions


def test_a_server_of_1_2_is_refused_where_1_3_is_the_minimum() -> None:
    client, server = ends(trusting(AUTHORITY.pem, minimum_version="1.3"), server=limited(serving_as(LOCALHOST), "1.2"))
    converse(client, server)
    assert str(client.fault) == "the server speaks none of the TLS versions from tls.minimum_version on"
    assert server.fault is not None


def test_nothing_older_than_1_2_is_spoken() -> None:
    old = serving_as(LOCALHOST)
    old.set_min_proto_version(SSL.TLS1_VERSION)
    old.set_max_proto_version(SSL.TLS1_1_VERSION)
    client, server = ends(server=old)
    converse(client, server)
    assert client.fault is not None
    assert not client.engine.established


# --- names


def names_asked_for(host: str, certificate: Issued) -> list[bytes | None]:
    context, names = serving_as(certificate), []
    context.set_tlsext_servername_callback(lambda connection: names.append(connection.get_servername()))
    client, server = ends(host=host, server=context)
    converse(client, server)
    assert client.engine.established, client.fault
    assert client.fault is None
    return names


def test_a_host_name_is_asked_for() -> None:
    assert names_asked_for("localhost", LOCALHOST) == [b"localhost"]


def test_a_host_with_a_dot_behind_it_is_asked_for_and_covered_without() -> None:
    # RFC 6066 section 3: "without a trailing dot".
    assert names_asked_for("localhost.", LOCALHOST) == [b"localhost"]


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "2001:db8::7", "fe80::1%lo"])
def test_an_address_is_not_asked_for_but_must_be_covered(address: str) -> None:
    certificate = AUTHORITY.issue(address.partition("%")[0])
    assert names_asked_for(address, certificate) == [None]


def test_a_wildcard_certificate_serves_each_host_below() -> None:
    certificate = AUTHORITY.issue("*.example.com")
    assert names_asked_for("api.example.com", certificate) == [b"api.example.com"]
    for host in ("example.com", "a.b.example.com"):
        client, server = ends(host=host, server=serving_as(certificate))
        converse(client, server)
        assert str(client.fault) == f"its certificate does not cover {host!r}; it covers *.example.com"


def test_a_host_beyond_ascii_is_asked_for_by_its_a_labels() -> None:
    host = split_url("https://www.bücher.example/")[0].host
    for name in ("www.xn--bcher-kva.example", "*.xn--bcher-kva.example"):
        assert names_asked_for(host, AUTHORITY.issue(name)) == [b"www.xn--bcher-kva.example"]
    client, server = ends(host=host, server=serving_as(AUTHORITY.issue("www.xn--strae-oqa.example")))
    converse(client, server)
    assert str(client.fault) == (
        "its certificate does not cover 'www.xn--bcher-kva.example' (www.bücher.example);"
        " it covers www.xn--strae-oqa.example (www.straße.example)"
    )


def test_http_1_1_is_what_is_offered() -> None:
    offered: list[list[bytes]] = []

    def choose(connection: SSL.Connection, protocols: list[bytes]) -> bytes:
        offered.append(protocols)
        return protocols[0]

    context = serving_as(LOCALHOST)
    context.set_alpn_select_callback(choose)
    client, server = ends(server=context)
    converse(client, server)
    assert client.engine.established
    assert offered == [[b"http/1.1"]]


# --- peers that speak something else


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        (b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n", PLAIN_HTTP),
        (b"SSH-2.0-OpenSSH_9.2p1\r\n", NO_TLS),
        (b"220 mail.example.com ESMTP\r\n", NO_TLS),
        (b"\x00" * 30, NO_TLS),
    ],
)
@pytest.mark.parametrize("piece", [1, 3, 4, 100])
def test_a_peer_that_does_not_speak_tls_is_told_for_what_it_is(said: bytes, problem: str, piece: int) -> None:
    client, _ = ends()
    client.step()
    for start in range(0, len(said), piece):
        client.take(said[start : start + piece])
    assert str(client.fault) == problem


@given(said=st.binary(max_size=300))
def test_garbage_never_makes_a_connection(said: bytes) -> None:
    client, _ = ends()
    client.step()
    client.take(said)
    client.take(b"")
    assert client.fault is not None
    assert not client.engine.established


@given(said=st.binary(min_size=5, max_size=300).filter(lambda text: text[0] not in (20, 21, 22, 23) and text[1] != 3))
def test_garbage_that_is_no_tls_record_is_said_to_be_no_tls(said: bytes) -> None:
    client, _ = ends()
    client.step()
    client.take(said)
    assert str(client.fault) == (PLAIN_HTTP if said.startswith(b"HTTP/") else NO_TLS)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.9])
def test_an_end_within_the_servers_flight_is_an_end_in_the_handshake(version: str, share: float) -> None:
    client, server = ends(server=limited(serving_as(LOCALHOST), version))
    client.step()
    server.take(client.engine.outgoing())
    flight = server.engine.outgoing()
    client.take(flight[: int(share * len(flight))])
    client.take(b"")
    assert str(client.fault) == "the peer closed the connection in the TLS handshake"


# --- the client's certificate


@pytest.mark.parametrize("version", VERSIONS)
def test_the_right_client_certificate_is_accepted(version: str) -> None:
    client, server = ends(showing(ADA), server=limited(serving_as(LOCALHOST, CLIENTS), version))
    converse(client, server)
    assert client.engine.established
    assert (client.fault, server.fault) == (None, None)
    assert server.engine.peer_chain() == [ADA.certificate]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_client_certificate_brings_its_intermediates(version: str) -> None:
    lower = Authority("lower", issuer=Authority("upper", issuer=CLIENTS))
    certificate = lower.issue(client=True, server=False)
    client, server = ends(showing(certificate), server=limited(serving_as(LOCALHOST, CLIENTS), version))
    converse(client, server)
    assert (client.fault, server.fault) == (None, None)
    assert server.engine.peer_chain() == [certificate.certificate, *certificate.chain]


def test_a_server_that_asks_for_nothing_gets_no_client_certificate() -> None:
    client, server = ends(showing(ADA))
    converse(client, server)
    assert client.engine.established
    assert server.engine.peer_chain() == []


REFUSED = [
    (TRUSTING, NO_CERTIFICATE),
    (showing(STRANGER), "the server does not know the CA of our client certificate"),
]


@pytest.mark.parametrize(("settings", "problem"), REFUSED)
def test_under_1_3_a_refusal_comes_behind_the_clients_handshake_and_says_that_it_refuses(
    settings: TlsSettings, problem: str
) -> None:
    client, server = ends(settings, server=limited(serving_as(LOCALHOST, CLIENTS), "1.3"))
    client.step()
    server.take(client.engine.outgoing())
    client.take(server.engine.outgoing())
    assert client.engine.established
    assert client.fault is None
    client.engine.write(b"PATCH / HTTP/1.1\r\n")
    converse(client, server)
    assert server.fault is not None
    assert server.received == b""
    assert str(client.fault) == problem
    assert client.fault is not None
    assert client.fault.refuses_handshake


@pytest.mark.parametrize("settings", [TRUSTING, showing(STRANGER)])
def test_under_1_2_a_refusal_comes_within_the_handshake(settings: TlsSettings) -> None:
    client, server = ends(settings, server=limited(serving_as(LOCALHOST, CLIENTS), "1.2"))
    converse(client, server)
    assert not client.engine.established
    assert client.fault is not None
    assert not client.fault.refuses_handshake
    assert "client certificate" in str(client.fault)


def test_an_expired_client_certificate_is_said_to_be_expired() -> None:
    expired = CLIENTS.issue(client=True, server=False, not_after=datetime(2020, 2, 3, tzinfo=UTC))
    client, server = ends(showing(expired), server=serving_as(LOCALHOST, CLIENTS))
    converse(client, server)
    assert str(client.fault) == "the server says that our client certificate has expired"
    assert client.fault is not None
    assert client.fault.refuses_handshake


def test_a_certificate_for_servers_only_is_refused_as_a_clients() -> None:
    client, server = ends(showing(CLIENTS.issue("localhost")), server=serving_as(LOCALHOST, CLIENTS))
    converse(client, server)
    assert client.fault is not None
    assert client.fault.refuses_handshake


def test_a_small_exchange_takes_one_call_into_openssl_for_each_of_its_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    client, server = (end.engine for end in connected())
    server.write(b"first")  # with it come the tickets
    client.feed(server.outgoing())
    assert client.read() == b"first"
    called: list[str] = []

    def counting(name: str, call: Any) -> Any:
        def counted(*arguments: Any) -> Any:
            called.append(name)
            return call(*arguments)

        return counted

    for name in ("send", "bio_read", "bio_write", "recv"):
        monkeypatch.setattr(SSL.Connection, name, counting(name, getattr(SSL.Connection, name)))
    client.write(b"q" * 400)
    request = client.outgoing()
    assert called == ["send", "bio_read"]
    server.feed(request)
    assert server.read() == b"q" * 400
    server.write(b"a" * 250)
    answer = server.outgoing()
    called.clear()
    client.feed(answer)
    assert client.read() == b"a" * 250
    assert called == ["bio_write", "recv"]
