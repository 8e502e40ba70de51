"""The proxy that tests program, shown with a client that is not patchwire."""

from __future__ import annotations

import http.client
import socket
import ssl
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from tests.support.proxy import (
    ESTABLISHED,
    Answer,
    Forward,
    Framing,
    Reply,
    ScriptedProxy,
    Seen,
    Silence,
    Tunnel,
    answer,
    in_turn,
    scripted_proxy,
)
from tests.support.recording import recording_backend
from tests.support.tls import AUTHORITY
from tests.support.tls_backend import TlsBackend, tls_backend

BASIC = 'Proxy-Authenticate: Basic realm="proxy"'
SECONDS = 10.0


def trusting_context() -> ssl.SSLContext:
    return ssl.create_default_context(cadata=AUTHORITY.pem.decode())


def tunnelled(proxy: ScriptedProxy, backend: TlsBackend, fields: dict[str, str]) -> http.client.HTTPSConnection:
    """A client that will ask for a tunnel to the backend, and speak TLS in it."""
    connection = http.client.HTTPSConnection("127.0.0.1", proxy.port, timeout=SECONDS, context=trusting_context())
    connection.set_tunnel(backend.base_url.removeprefix("https://"), headers=fields)
    return connection


@contextmanager
def connected(proxy: ScriptedProxy) -> Iterator[socket.socket]:
    """A socket to the proxy, over TLS where it speaks that."""
    with socket.create_connection(("127.0.0.1", proxy.port), SECONDS) as plain:
        if proxy.base_url.startswith("http:"):
            yield plain
        else:
            with trusting_context().wrap_socket(plain, server_hostname="localhost") as secured:
                yield secured


def connect(target: str, *fields: str) -> bytes:
    """A request for a tunnel."""
    return "\r\n".join([f"CONNECT {target} HTTP/1.1", f"Host: {target}", *fields, "", ""]).encode()


def received(client: socket.socket) -> bytes:
    """All until the end."""
    return b"".join(iter(lambda: client.recv(65_536), b""))


@contextmanager
def mute() -> Iterator[str]:
    """Host and port of somebody who takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


def test_a_tunnel_that_a_password_opens_leads_to_the_target_and_its_request_is_recorded_with_all_fields() -> None:
    def script(seen: Seen) -> Reply:
        return Tunnel() if seen.values("proxy-authorization") else answer(407, BASIC, closing=True)

    with scripted_proxy(script) as proxy, tls_backend() as backend:
        with closing(tunnelled(proxy, backend, {})) as refused, pytest.raises(OSError, match="407"):
            refused.connect()
        with closing(tunnelled(proxy, backend, {"Proxy-Authorization": "Basic c3ZjOnB3"})) as connection:
            for number in range(2):
                connection.request("PATCH", f"/people/{number}", b"{}")
                assert connection.getresponse().read() == b"/people/%d" % number
        assert [each.target for each in backend.received] == [b"/people/0", b"/people/1"]
    target = backend.base_url.removeprefix("https://")
    assert [(each.connection, each.method, each.target) for each in proxy.seen] == [
        (1, "CONNECT", target),
        (2, "CONNECT", target),
    ]
    assert ("Proxy-Authorization", "Basic c3ZjOnB3") in proxy.seen[1].fields


@pytest.mark.parametrize("tls", [False, True], ids=["in the open", "over TLS"])
def test_a_request_in_absolute_form_is_forwarded_without_what_was_for_the_proxy(tls: bool) -> None:
    with scripted_proxy(in_turn(answer(407, BASIC), Forward()), tls=tls) as proxy, recording_backend() as (url, came):
        connection: http.client.HTTPConnection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=SECONDS)
        if tls:
            context = trusting_context()
            connection = http.client.HTTPSConnection("localhost", proxy.port, timeout=SECONDS, context=context)
        with closing(connection):
            for status in (407, 200, 200):
                fields = {"Proxy-Authorization": "Basic c3ZjOnB3", "Authorization": "Bearer t"}
                connection.request("PATCH", f"{url}/a?b=c", b'{"n":1}', fields)
                response = connection.getresponse()
                response.read()
                assert response.status == status
        assert [(each.target, each.body, each.authorization) for each in came] == [
            ("/a?b=c", b'{"n":1}', "Bearer t")
        ] * 2
    assert proxy.connections == 1
    assert [(each.target, each.body) for each in proxy.seen] == [(f"{url}/a?b=c", b'{"n":1}')] * 3


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_after_a_framed_407_the_connection_takes_another_request(framing: Framing) -> None:
    refusal = answer(407, BASIC, body=b"no", framing=framing)
    with scripted_proxy(in_turn(refusal, answer(502, body=b"gone", framing="close"))) as proxy:
        with connected(proxy) as client:
            client.sendall(connect("a.example:443") + connect("b.example:443"))
            last = b"HTTP/1.1 502 Bad Gateway\r\n\r\ngone"
            assert received(client) == refusal.octets + last
        assert [(each.connection, each.target) for each in proxy.seen] == [(1, "a.example:443"), (1, "b.example:443")]


@pytest.mark.parametrize("tls", [False, True], ids=["in the open", "over TLS"])
@pytest.mark.parametrize(
    ("reply", "octets"),
    [
        (answer(403, closing=True), b"HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"),
        (Answer(b"\x00\xffgarbage", closing=True), b"\x00\xffgarbage"),
        (Answer(b"HTTP/1.1 200", closing=True, pause=0.001), b"HTTP/1.1 200"),
        (Tunnel(early=b"early", to_client=0), ESTABLISHED + b"early"),
        (Tunnel(to_client=0), ESTABLISHED),
    ],
    ids=["refusal", "garbage", "drips", "early octets", "closed tunnel"],
)
def test_the_octets_of_a_reply_come_as_they_were_told(reply: Reply, octets: bytes, tls: bool) -> None:
    with mute() as target, scripted_proxy(in_turn(reply), tls=tls) as proxy, connected(proxy) as client:
        client.sendall(connect(target))
        assert received(client) == octets


def test_a_tunnel_is_cut_after_so_many_octets_and_nobody_listening_is_502() -> None:
    with recording_backend() as (url, came), scripted_proxy(in_turn(Tunnel(to_client=20))) as proxy:
        target = url.removeprefix("http://")
        request = b"PATCH /a HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"
        with connected(proxy) as client:
            client.sendall(connect(target) + request)
            assert received(client) == ESTABLISHED + b"HTTP/1.1 200 OK\r\nSer"
        proxy.script = in_turn(Tunnel(to_server=10, reset=True))
        with connected(proxy) as client, pytest.raises(ConnectionResetError):
            client.sendall(connect(target) + request)
            received(client)
        with connected(proxy) as client:
            client.sendall(connect("127.0.0.1:1"))
            assert received(client).startswith(b"HTTP/1.1 502 ")
    assert len(came) == 1


def test_a_tunnel_may_lead_elsewhere_than_it_was_asked_for() -> None:
    with recording_backend() as (url, came):
        port = int(url.rpartition(":")[2])
        with scripted_proxy(in_turn(Tunnel(at=("127.0.0.1", port)))) as proxy:
            connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=SECONDS)
            connection.set_tunnel("api.example:80")
            with closing(connection):
                connection.request("PATCH", "/a", b"{}")
                assert connection.getresponse().status == 200
    assert (proxy.seen[0].target, [each.target for each in came]) == ("api.example:80", ["/a"])


def test_silence_lasts_until_the_client_goes() -> None:
    with scripted_proxy(in_turn(Silence())) as proxy, connected(proxy) as client:
        client.sendall(connect("a.example:443"))
        client.settimeout(0.05)
        with pytest.raises(TimeoutError):
            client.recv(1)
        client.shutdown(socket.SHUT_WR)
        client.settimeout(SECONDS)
        assert client.recv(1) == b""


def test_what_a_script_raises_fails_the_test() -> None:
    def script(seen: Seen) -> Reply:
        raise AssertionError(f"nobody expects {seen.method}")

    with (
        pytest.raises(AssertionError, match="nobody expects CONNECT"),
        scripted_proxy(script) as proxy,
        connected(proxy) as client,
    ):
        client.sendall(connect("a.example:443"))
        assert received(client) == b""


def test_a_client_that_waits_for_100_is_answered_without_its_body_or_told_to_go_on() -> None:
    with recording_backend() as (url, came), scripted_proxy(in_turn(answer(407, BASIC))) as proxy:
        head = f"PATCH {url}/a HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n"
        with connected(proxy) as client:
            client.sendall(f"{head}\r\n".encode())
            assert received(client) == answer(407, BASIC).octets
        with connected(proxy) as client:
            client.sendall(f"{head}Connection: close\r\n\r\n".encode())
            assert client.recv(65_536) == b"HTTP/1.1 100 Continue\r\n\r\n"
            client.sendall(b"{}")
            assert received(client).startswith(b"HTTP/1.1 200 OK\r\n")
        assert [each.body for each in came] == [b"{}"]
