from __future__ import annotations

import hashlib
import http.client
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest
import trio

from patchwire import request_to
from patchwire.auth.challenge import parse_strictly
from patchwire.auth.credentials import Credentials
from patchwire.auth.digest_flow import DigestAuthentication
from patchwire.auth.flow import NoAuthentication
from patchwire.auth.role import PROXY
from patchwire.errors import CredentialsRejectedError
from patchwire.http.message import Request, split_url
from patchwire.net.body import FileBody
from patchwire.net.sources import cnonce
from tests.support.answers import Answered
from tests.support.blocking import blocking_driver
from tests.support.flows import Courier, courier, couriers
from tests.support.passport_http import needs_passport_http, passport_server
from tests.support.squid import REALM, Nonces, SquidServer, needs_squid, squid_server

pytestmark = [needs_squid, pytest.mark.peer]

BODY = b'{"name":"Ada"}'
BIG = bytes(range(256)) * 400
T = TypeVar("T")


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


# --- patchwire itself


def proxy_digest(server: SquidServer, password: str = "") -> DigestAuthentication:
    """Digest for the proxy, with its password unless there is another."""
    credentials = Credentials(server.user, password or server.password)
    return DigestAuthentication(credentials, None, cnonce, role=PROXY)


def change(server: SquidServer, number: int, body: bytes = BODY) -> Request:
    """A request for the server behind the proxy."""
    request = request_to("PATCH", f"{server.backend_url}/people/{number}", body=body)
    return Request("PATCH", request.origin, str(request.origin).encode() + request.target, (), body)


def tunnel(base_url: str) -> Request:
    """A request for a tunnel."""
    origin, _ = split_url(base_url)
    return Request("CONNECT", origin, origin.authority.encode("ascii"))


def values(sent: Iterable[Request], name: str) -> list[str]:
    """This parameter of each request's credentials for the proxy, where it has any."""
    fields = [field for request in sent if (field := request.header(b"proxy-authorization")) is not None]
    challenges = [parse_strictly(field)[0] for field in fields]
    return [value for challenge in challenges if (value := challenge.get(name)) is not None]


def bare(sent: Iterable[Request]) -> int:
    """How many had no credentials for the proxy."""
    return sum(request.header(b"proxy-authorization") is None for request in sent)


def statuses(server: SquidServer) -> list[int]:
    """The status of each request, once Squid has stopped."""
    return [status for _, _, status in server.access_log()]


def driven(job: Callable[..., Awaitable[T]], *arguments: Any) -> T:
    """What the job comes to, which takes no longer than a hang would."""

    async def main() -> T:
        with trio.fail_after(30):
            return await job(*arguments)

    return trio.run(main)


def test_requests_through_squid_share_a_nonce_and_their_uri_is_the_target_in_absolute_form(tmp_path: Path) -> None:
    async def main(server: SquidServer) -> list[Request]:
        async with courier(proxy_digest(server), server.base_url) as driver:
            for number in range(20):
                assert await driver.status(change(server, number, b"%d" % number)) == 200
            return driver.sent

    with squid_server(tmp_path) as server:
        sent = driven(main, server)
        assert server.processed == [Answered("PATCH", f"/people/{n}", 200, b"%d" % n) for n in range(20)]
    assert statuses(server) == [407] + [200] * 20
    assert bare(sent) == 1
    assert values(sent, "uri") == [f"{server.backend_url}/people/{number}" for number in range(20)]
    assert values(sent, "nc") == [f"{count:08x}" for count in range(1, 21)]
    assert len(set(values(sent, "nonce"))) == 1


def test_a_wrong_password_is_sent_to_squid_once_and_no_other_request_tries_it(tmp_path: Path) -> None:
    async def main(server: SquidServer) -> list[Request]:
        async with courier(proxy_digest(server, "not this one"), server.base_url) as driver:
            refusal = await driver.refusal(change(server, 1))
            assert refusal == f"user 'svc' or its password was rejected by the proxy (Digest MD5, realm '{REALM}')"
            for _ in range(3):
                with pytest.raises(CredentialsRejectedError):
                    await driver.perform(change(server, 2))
            return driver.sent

    with squid_server(tmp_path) as server:
        sent = driven(main, server)
        assert server.processed == []
    assert len(values(sent, "response")) == 1
    assert set(statuses(server)) == {407}


def test_the_nonce_that_squid_announces_is_used_before_the_old_one_is_refused(tmp_path: Path) -> None:
    async def main(server: SquidServer) -> list[Request]:
        async with courier(proxy_digest(server), server.base_url) as driver:
            for number in range(30):
                assert await driver.status(change(server, number)) == 200
            return driver.sent

    with squid_server(tmp_path, nonces=Nonces(max_count=5)) as server:
        sent = driven(main, server)
        assert [each.target for each in server.processed] == [f"/people/{number}" for number in range(30)]
    assert statuses(server) == [407] + [200] * 30
    assert len(set(values(sent, "nonce"))) >= 6


def test_a_squid_that_does_not_know_the_nonce_any_more_is_answered_with_another(tmp_path: Path) -> None:
    async def main(authentication: DigestAuthentication, server: SquidServer) -> None:
        async with courier(authentication, server.base_url) as driver:
            for number in range(3):
                assert await driver.status(change(server, number)) == 200

    with squid_server(tmp_path / "one") as one:
        authentication = proxy_digest(one)
        driven(main, authentication, one)
    with squid_server(tmp_path / "two") as two:
        driven(main, authentication, two)
    assert [statuses(one), statuses(two)] == [[407, 200, 200, 200]] * 2


def test_a_nonce_that_somebody_has_spoilt_by_a_replay_is_replaced(tmp_path: Path) -> None:
    async def main(server: SquidServer) -> list[Request]:
        async with courier(proxy_digest(server), server.base_url) as driver:
            for number in range(3):
                assert await driver.status(change(server, number)) == 200
            with blocking_driver(server.port) as stranger:
                stranger.perform(NoAuthentication(), driver.sent[1])
            for number in range(3, 6):
                assert await driver.status(change(server, number)) == 200
            return driver.sent

    with squid_server(tmp_path) as server:
        sent = driven(main, server)
        assert [each.target for each in server.processed] == [f"/people/{n}" for n in (0, 1, 2, 0, 3, 4, 5)]
    assert statuses(server) == [407, 200, 200, 200, 200, 407, 200, 200, 200]
    assert (bare(sent), len(set(values(sent, "nonce")))) == (1, 2)


@pytest.mark.parametrize(
    "nonces", [Nonces(), Nonces(strict=True), Nonces(max_count=20), Nonces(max_count=1, strict=True)]
)
def test_requests_side_by_side_are_applied_once_however_squid_counts(tmp_path: Path, nonces: Nonces) -> None:
    async def main(server: SquidServer) -> list[Request]:
        async with couriers(proxy_digest(server), server.base_url, 8) as drivers:

            async def some(driver: Courier, first: int) -> None:
                for number in range(first, first + 25):
                    assert await driver.status(change(server, number)) == 200

            async with trio.open_nursery() as nursery:
                for index, driver in enumerate(drivers):
                    nursery.start_soon(some, driver, 25 * index)
            return [request for driver in drivers for request in driver.sent]

    with squid_server(tmp_path, nonces=nonces) as server:
        sent = driven(main, server)
        assert sorted(each.target for each in server.processed) == sorted(f"/people/{n}" for n in range(200))
    assert len(sent) == len(statuses(server)) <= 250
    used = list(zip(values(sent, "nonce"), values(sent, "nc"), strict=True))
    assert len(set(used)) == len(used)


def test_a_tunnel_is_opened_with_digest_over_host_and_port(tmp_path: Path) -> None:
    async def main(server: SquidServer) -> list[Request]:
        sent = []
        for right in (False, True):
            async with courier(proxy_digest(server, "" if right else "wrong"), server.base_url) as driver:
                if right:
                    assert await driver.status(tunnel(server.backend_url)) == 200
                else:
                    assert f"(Digest MD5, realm '{REALM}')" in await driver.refusal(tunnel(server.backend_url))
            sent += driver.sent
        return sent

    with squid_server(tmp_path) as server:
        sent = driven(main, server)
    authority = server.backend_url.removeprefix("http://")
    assert server.access_log() == [("CONNECT", authority, status) for status in (407, 407, 407, 200)]
    assert values(sent, "uri") == [authority] * 2


@needs_passport_http
def test_somebody_with_a_blocking_socket_gets_through_squid_and_through_a_tunnel_to_digest_behind_it(
    tmp_path: Path,
) -> None:
    with (
        squid_server(tmp_path / "squid") as squid,
        passport_server(tmp_path / "passport") as passport,
        blocking_driver(squid.port) as driver,
    ):
        wrong = driver.perform(proxy_digest(squid, "not this one"), change(squid, 0))
        assert wrong.refusal == f"user 'svc' or its password was rejected by the proxy (Digest MD5, realm '{REALM}')"
        assert squid.processed == []
        proxy = proxy_digest(squid)
        for number in range(1, 4):
            result = driver.perform(proxy, change(squid, number))
            assert (result.response.status, result.refusal) == (200, None)
        assert [each.target for each in squid.processed] == [f"/people/{number}" for number in (1, 2, 3)]
        assert driver.perform(proxy, tunnel(passport.base_url)).response.status == 200
        origin, _ = split_url(passport.base_url)
        behind = DigestAuthentication(Credentials(passport.user, passport.password), origin, cnonce)
        for number in range(2):
            request = request_to("PATCH", f"{passport.base_url}/digest/{number}", body=BODY)
            assert driver.perform(behind, request).response.status == 200
        assert [each.status for each in passport.answered()] == [401, 200, 200]
    assert statuses(squid) == [407, 407, 407, 200, 200, 200, 200]


# --- bodies that Squid answers without reading them


async def in_pieces() -> AsyncIterator[bytes]:
    for start in range(0, len(BIG), 10_000):
        yield BIG[start : start + 10_000]


def test_a_body_that_the_kernel_does_not_take_whole_is_given_up_when_squid_asks_for_credentials(
    tmp_path: Path,
) -> None:
    huge = bytes(20_000_000)

    async def main(server: SquidServer) -> None:
        async with courier(proxy_digest(server), server.base_url) as driver:
            assert await driver.status(change(server, 1, huge)) == 200

    with squid_server(tmp_path) as server:
        driven(main, server)
        (processed,) = server.processed
        assert processed.body == huge
    assert statuses(server) == [407, 200]


def test_a_file_waits_until_squid_wants_it(tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(BIG)

    async def main(server: SquidServer) -> None:
        async with courier(proxy_digest(server), server.base_url) as driver:
            assert await driver.status(change(server, 1, b""), FileBody(tmp_path / "big")) == 200

    with squid_server(tmp_path / "squid") as server:
        driven(main, server)
        (processed,) = server.processed
        assert processed.body == BIG
    assert statuses(server) == [407, 200]


@pytest.mark.parametrize("size", [65_536, 100_000])
def test_a_body_that_the_kernel_has_taken_whole_is_sent_again_on_a_connection_that_squid_still_reads(
    tmp_path: Path, size: int
) -> None:
    async def main(server: SquidServer) -> None:
        async with courier(proxy_digest(server), server.base_url) as driver:
            assert await driver.status(change(server, 1, bytes(size))) == 200

    with squid_server(tmp_path) as server:
        driven(main, server)
        assert [len(each.body) for each in server.processed] == [size]
    assert statuses(server) == [407, 200]


def test_a_long_body_is_sent_again_where_squid_calls_the_nonce_stale_as_well(tmp_path: Path) -> None:
    async def main(server: SquidServer) -> None:
        async with courier(proxy_digest(server), server.base_url) as driver:
            assert await driver.status(change(server, 1)) == 200
            with blocking_driver(server.port) as stranger:
                stranger.perform(NoAuthentication(), driver.sent[1])
            assert await driver.status(change(server, 2, bytes(100_000))) == 200

    with squid_server(tmp_path) as server:
        driven(main, server)
    assert statuses(server) == [407, 200, 200, 407, 200]


def test_somebody_with_a_blocking_socket_learns_that_a_connection_may_have_been_left(tmp_path: Path) -> None:
    with squid_server(tmp_path) as server, blocking_driver(server.port) as driver:
        result = driver.perform(proxy_digest(server), change(server, 1, bytes(100_000)))
        assert result.response.status == 200


def test_a_refusal_says_that_it_is_the_proxy_who_refuses(tmp_path: Path) -> None:
    async def main(server: SquidServer) -> None:
        async with courier(proxy_digest(server, "not this one"), server.base_url) as driver:
            refusal = await driver.refusal(change(server, 1))
            assert "the proxy" in refusal
            assert f"(Digest MD5, realm '{REALM}')" in refusal
            with pytest.raises(CredentialsRejectedError, match="the proxy") as caught:
                await driver.perform(change(server, 2))
            assert caught.value.status == 407

    with squid_server(tmp_path) as server:
        driven(main, server)
