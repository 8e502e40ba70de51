from __future__ import annotations

import hashlib
import http.client
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.answers import Answered
from tests.support.squid import REALM, Nonces, SquidServer, needs_squid, squid_server

pytestmark = [needs_squid, pytest.mark.peer]

BODY = b'{"name":"Ada"}'


class Client:
    """A client of Squid on one connection, which does as its caller says: it repeats and renews nothing by itself."""

    def __init__(self, server: SquidServer, connection: http.client.HTTPConnection) -> None:
        self._server = server
        self._connection = connection
        self.challenge = ""
        self.information = ""

    def patch(self, path: str, nonce: str = "", count: int = 1, password: str = "") -> int:
        """The status of a PATCH behind the proxy, with credentials if there is a nonce."""
        url = self._server.backend_url + path
        headers = {"Proxy-Authorization": self.credentials("PATCH", url, nonce, count, password)} if nonce else {}
        self._connection.request("PATCH", url, BODY, headers)
        response = self._connection.getresponse()
        response.read()
        self.challenge = response.headers["Proxy-Authenticate"] or ""
        self.information = response.headers["Proxy-Authentication-Info"] or ""
        return response.status

    def offered(self) -> str:
        """The nonce of the last challenge."""
        return self.challenge.partition('nonce="')[2].partition('"')[0]

    def credentials(self, method: str, uri: str, nonce: str, count: int = 1, password: str = "") -> str:
        """The field's value for Digest with MD5 and qop=auth."""
        user = self._server.user
        secret = _md5(f"{user}:{REALM}:{password or self._server.password}")
        response = _md5(f"{secret}:{nonce}:{count:08x}:cnonce:auth:{_md5(f'{method}:{uri}')}")
        return (
            f'Digest username="{user}", realm="{REALM}", nonce="{nonce}", uri="{uri}", qop=auth, nc={count:08x}, '
            f'cnonce="cnonce", response="{response}"'
        )


def _md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()


@contextmanager
def connected(server: SquidServer) -> Iterator[Client]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    try:
        yield Client(server, connection)
    finally:
        connection.close()


def test_squid_forwards_a_patch_with_the_right_password_and_refuses_all_others(tmp_path: Path) -> None:
    with squid_server(tmp_path) as server, connected(server) as client:
        assert client.patch("/people/1") == 407
        assert client.challenge == f'Digest realm="{REALM}", nonce="{client.offered()}", qop="auth", stale=false'
        assert client.patch("/people/2", client.offered(), password="not this one") == 407
        assert "stale=false" in client.challenge
        assert client.patch("/people/3", client.offered()) == 200
        assert server.processed == [Answered("PATCH", "/people/3", 200, BODY)]
    urls = [f"{server.backend_url}/people/{number}" for number in (1, 2, 3)]
    assert server.access_log() == [("PATCH", url, status) for url, status in zip(urls, (407, 407, 200), strict=True)]


def test_a_tunnel_asks_for_digest_over_host_and_port(tmp_path: Path) -> None:
    with squid_server(tmp_path) as server, connected(server) as client:
        authority = server.backend_url.removeprefix("http://")
        client.patch("/people/1")
        for right in (False, True):
            credentials = client.credentials("CONNECT", authority, client.offered(), password="" if right else "wrong")
            tunnel = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
            tunnel.set_tunnel(authority, headers={"Proxy-Authorization": credentials})
            try:
                if right:
                    tunnel.request("PATCH", "/people/2", BODY)
                    assert tunnel.getresponse().status == 200
                else:
                    with pytest.raises(OSError, match="407"):
                        tunnel.connect()
            finally:
                tunnel.close()
        assert [each.target for each in server.processed] == ["/people/2"]
    assert server.access_log()[1:] == [("CONNECT", authority, 407), ("CONNECT", authority, 200)]


def test_a_nonce_that_is_used_up_is_announced_let_in_once_more_and_then_stale(tmp_path: Path) -> None:
    with squid_server(tmp_path, nonces=Nonces(max_count=2)) as server, connected(server) as client:
        client.patch("/people/0")
        nonce = client.offered()
        statuses, announced = [], []
        for count in (1, 2, 3, 4):
            statuses.append(client.patch(f"/people/{count}", nonce, count))
            announced.append("nextnonce=" in client.information)
        assert statuses == [200, 200, 200, 407]
        assert announced == [True, True, True, False]
        assert "stale=true" in client.challenge
        assert client.patch("/people/5", client.offered()) == 200
        following = client.information.partition('nextnonce="')[2].partition('"')[0]
        assert client.patch("/people/6", following) == 200
        assert [each.target for each in server.processed] == [f"/people/{number}" for number in (1, 2, 3, 5, 6)]
