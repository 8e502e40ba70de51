from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio

from patchwire import PatchwireError, Response, Sent, connection_from, request_to
from patchwire.auth.bearer import BearerAuthentication
from patchwire.errors import CredentialsRejectedError, LocalProtocolError
from patchwire.net import PatchClient
from tests.support.answers import Answered
from tests.support.flows import courier
from tests.support.httpbin import HttpbinServer, digest_path, httpbin_server, needs_httpbin
from tests.support.password_batches import (
    WRONG,
    assert_applied,
    assert_stopped_by_a_refusal,
    changes,
    demanded,
    password_batch,
    run,
    turned_away,
    with_credentials,
)

pytestmark = [needs_httpbin, pytest.mark.peer]

BODY = b'{"name":"Ada"}'


class Integrity(httpx.Auth):
    """Digest with qop=auth-int and SHA-256, which httpx has not; `signed` is the body that it vouches for."""

    def __init__(self, signed: bytes) -> None:
        self._signed = signed

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Answer the challenge once."""
        challenge = (yield request).headers["WWW-Authenticate"]
        realm, nonce = (challenge.partition(f'{name}="')[2].partition('"')[0] for name in ("realm", "nonce"))
        uri = request.url.raw_path.decode("ascii")
        secret = _sha256(f"svc:{realm}:secret")
        change = _sha256(f"{request.method}:{uri}:{hashlib.sha256(self._signed).hexdigest()}")
        response = _sha256(f"{secret}:{nonce}:00000001:cnonce:auth-int:{change}")
        request.headers["Authorization"] = (
            f'Digest username="svc", realm="{realm}", nonce="{nonce}", uri="{uri}", algorithm=SHA-256, '
            f'qop=auth-int, nc=00000001, cnonce="cnonce", response="{response}"'
        )
        yield request


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256", "SHA-512"])
def test_the_right_password_lets_a_patch_in_and_a_wrong_one_does_not(tmp_path: Path, algorithm: str) -> None:
    path = digest_path("svc", "secret", algorithm=algorithm)
    with httpbin_server(tmp_path) as server, httpx.Client(base_url=server.base_url, trust_env=False) as client:
        wrong = client.patch(path, content=BODY, auth=httpx.DigestAuth("svc", "not this one"))
        assert (wrong.status_code, server.processed()) == (401, [])
        right = client.patch(path, content=BODY, auth=httpx.DigestAuth("svc", "secret"))
        assert right.status_code == 200, right.text
        answered = server.answered()
    assert [each.status for each in answered] == [401, 401, 401, 200]
    assert {(each.method, each.target, each.body) for each in answered} == {("PATCH", path, BODY)}
    assert f"algorithm={algorithm}" in answered[-1].authorization


def test_auth_int_covers_the_body(tmp_path: Path) -> None:
    path = digest_path("svc", "secret", qop="auth-int", algorithm="SHA-256")
    with httpbin_server(tmp_path) as server, httpx.Client(base_url=server.base_url, trust_env=False) as client:
        answers = [
            client.patch(path, content=BODY, auth=Integrity(signed)) for signed in (b'{"name":"Eve"}', b"", BODY)
        ]
        (processed,) = server.processed()
    assert [answer.status_code for answer in answers] == [401, 401, 200]
    assert processed.body == BODY


def test_with_its_cookies_kept_a_nonce_is_stale_after_as_many_requests_as_the_path_says(tmp_path: Path) -> None:
    path = digest_path("svc", "secret", stale_after="2")
    with httpbin_server(tmp_path, keep_cookies=True) as server:
        auth = httpx.DigestAuth("svc", "secret")
        with httpx.Client(base_url=server.base_url, auth=auth, trust_env=False) as client:
            answers = [client.patch(path, content=BODY) for _ in range(5)]
        assert [answer.status_code for answer in answers] == [200] * 5
        assert [each.status for each in server.answered()] == [401, 200, 200, 401, 200, 200, 401, 200]


def test_basic_and_bearer_guard_a_patch_too(tmp_path: Path) -> None:
    with httpbin_server(tmp_path) as server, httpx.Client(base_url=server.base_url, trust_env=False) as client:
        statuses = [
            client.patch("/basic-auth/svc/secret", content=BODY, auth=("svc", password)).status_code
            for password in ("not this one", "secret")
        ]
        statuses += [
            client.patch("/bearer", content=BODY, headers=headers).status_code
            for headers in ({}, {"Authorization": "Bearer abc"})
        ]
        assert statuses == [401, 200, 401, 200]
        assert [each.target for each in server.processed()] == ["/basic-auth/svc/secret", "/bearer"]


# --- patchwire itself

ALGORITHMS = ("MD5", "SHA-256", "SHA-512")
QOPS = ("auth", "auth-int")
HTTPBIN_REALM = "me@kennethreitz.com"
MANY = 2_000
FEW = 10
BINARY = "application/octet-stream"
BIG = bytes(range(256)) * 4_096


def pages(count: int) -> list[dict[str, Any]]:
    """Records for a page each below digest_base."""
    return [{"id": f"r{n}", "path": f"/page{n}", "body": {"n": n}} for n in range(count)]


def digest_base(qop: str, algorithm: str) -> str:
    """The beginning of paths that differ in what digest_path says of staleness."""
    return digest_path("svc", "secret", qop=qop, algorithm=algorithm, stale_after="").rstrip("/")


@pytest.mark.parametrize("qop", QOPS)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_batch_with_a_wrong_password_stops_after_one_attempt_and_is_applied_once_with_the_right_one(
    tmp_path: Path, algorithm: str, qop: str
) -> None:
    base, records = digest_base(qop, algorithm), pages(60)
    with httpbin_server(tmp_path / "httpbin") as server:
        files = password_batch(tmp_path, server.base_url + base, WRONG)
        files.write(records)
        done = run(files)
        assert_stopped_by_a_refusal(
            done, files, f"{server.base_url}: user 'svc' ", "rejected", f"Digest {algorithm}, realm '{HTTPBIN_REALM}'"
        )
        (attempt,) = with_credentials(server.answered())
        assert f"qop={qop}, nc=00000001" in attempt.authorization
        assert server.processed() == []
        again = run(password_batch(tmp_path, server.base_url + base, "secret"))
        assert_applied(again, files, len(records))
        assert changes(server.processed()) == demanded(base, records)
        assert {f"algorithm={algorithm}, " in each.authorization for each in server.processed()} == {True}
        assert {f"qop={qop}, " in each.authorization for each in server.processed()} == {True}
        assert len(with_credentials(server.answered())) == 1 + len(records)


@pytest.mark.parametrize("qop", QOPS)
def test_a_connection_may_choose_the_qop_where_both_are_offered(tmp_path: Path, qop: str) -> None:
    base, records = digest_base("both", "SHA-256"), pages(8)
    with httpbin_server(tmp_path / "httpbin") as server:
        files = password_batch(tmp_path, server.base_url + base, "secret", tables=f'[digest]\nqop = ["{qop}"]')
        files.write(records)
        assert_applied(run(files), files, len(records))
        assert changes(server.processed()) == demanded(base, records)
        assert {f"qop={qop}, " in each.authorization for each in server.processed()} == {True}


def test_a_connection_that_does_not_allow_what_is_offered_says_so_and_sends_no_credentials(tmp_path: Path) -> None:
    tables = {
        'qop = ["auth"]': "Digest that cannot be answered (its qop 'auth-int' is not in digest.qop)",
        'algorithms = ["SHA-256"]': "Digest MD5 (not in digest.algorithms)",
    }
    with httpbin_server(tmp_path / "httpbin") as server:
        for number, (table, words) in enumerate(tables.items()):
            directory = tmp_path / str(number)
            directory.mkdir()
            base_url = server.base_url + digest_base("auth-int", "MD5")
            files = password_batch(directory, base_url, "secret", tables=f"[digest]\n{table}")
            files.write(pages(20))
            assert_stopped_by_a_refusal(run(files), files, words)
        assert with_credentials(server.answered()) == []


def test_thousands_of_changes_over_eight_connections_share_a_nonce(tmp_path: Path) -> None:
    base, records = digest_base("auth", "SHA-256"), pages(MANY)
    with httpbin_server(tmp_path / "httpbin") as server:
        files = password_batch(tmp_path, server.base_url + base, "secret")
        files.write(records)
        assert_applied(run(files, "--concurrency", "8"), files, MANY)
        answered, processed = server.answered(), server.processed()
    assert changes(processed) == demanded(base, records)
    assert turned_away(answered) <= FEW
    used = [(nonce_of(each), count_of(each)) for each in with_credentials(answered)]
    assert len(set(used)) == len(used)


def test_a_nonce_that_becomes_stale_in_mid_batch_is_replaced_and_everything_applied_once(tmp_path: Path) -> None:
    base = digest_base("auth", "MD5")
    records = [{"path": "/7", "body": {"n": n}} for n in range(30)]
    with httpbin_server(tmp_path / "httpbin", keep_cookies=True) as server:
        files = password_batch(tmp_path, server.base_url + base, "secret")
        files.write(records)
        done = run(files, "-v")
        assert_applied(done, files, len(records))
        answered = server.answered()
        assert changes(server.processed()) == demanded(base, records)
    credentialed = with_credentials(answered)
    assert [each.status for each in credentialed] == ([200] * 7 + [401]) * 4 + [200, 200]
    assert len({nonce_of(each) for each in credentialed}) == 5
    assert 1 <= len(answered) - len(credentialed) <= 5
    assert done.stderr.count("the nonce is stale after 7 requests that it has served") == 4


def test_nonces_that_become_stale_under_requests_side_by_side_are_replaced_too(tmp_path: Path) -> None:
    base, stale_after = digest_base("auth", "MD5"), ("5", "05", "005", "0005")
    records = [{"path": f"/{after}", "body": {"n": n}} for n in range(25) for after in stale_after]
    with httpbin_server(tmp_path / "httpbin", keep_cookies=True) as server:
        with httpx.Client(base_url=server.base_url, trust_env=False) as client:
            for after in stale_after:  # from its first challenge on a path counts
                client.patch(f"{base}/{after}", content=BODY)
        files = password_batch(tmp_path, server.base_url + base, "secret")
        files.write(records)
        assert_applied(run(files), files, len(records))
        assert changes(server.processed()) == demanded(base, records)
        assert turned_away(server.answered()) <= len(stale_after) + len(records) // 2


def test_a_batch_with_basic_stops_at_a_wrong_password_and_is_applied_once_with_the_right_one(tmp_path: Path) -> None:
    records = [{"path": "/secret", "body": {"n": n}} for n in range(20)]
    with httpbin_server(tmp_path / "httpbin") as server:
        base_url = f"{server.base_url}/basic-auth/svc"
        files = password_batch(tmp_path, base_url, WRONG, scheme="basic")
        files.write(records)
        assert_stopped_by_a_refusal(run(files), files, "user 'svc' ", "rejected (Basic, realm 'Fake Realm')")
        assert (len(with_credentials(server.answered())), server.processed()) == (1, [])
        assert_applied(run(password_batch(tmp_path, base_url, "secret", scheme="basic")), files, len(records))
        assert changes(server.processed()) == demanded("/basic-auth/svc", records)


def test_a_bearer_token_goes_out_once_it_is_asked_for_and_from_then_on_at_once(tmp_path: Path) -> None:
    async def main(server: HttpbinServer) -> list[int]:
        requests = [request_to("PATCH", f"{server.base_url}/bearer", body=b"%d" % n) for n in range(3)]
        bearer = BearerAuthentication("abc", requests[0].origin, preemptive=False)
        async with courier(bearer, server.base_url) as driver:
            return [await driver.status(request) for request in requests]

    with httpbin_server(tmp_path) as server:
        assert trio.run(main, server) == [200, 200, 200]
        answered = server.answered()
    assert [each.status for each in answered] == [401, 200, 200, 200]
    assert [each.body for each in answered] == [b"0", b"0", b"1", b"2"]
    assert [each.authorization for each in answered] == ["", *["Bearer abc"] * 3]


# --- PatchClient


def with_client(
    server: HttpbinServer,
    job: Callable[[PatchClient], Awaitable[None]],
    *,
    algorithm: str = "SHA-256",
    password: str = "secret",
) -> None:
    """Run the job with a client of pages that ask for auth-int."""

    async def main() -> None:
        settings = {"authentication": "digest", "user": "svc", "password": f"literal:{password}"}
        url = server.base_url + digest_base("auth-int", algorithm)
        with trio.fail_after(20):
            async with PatchClient(connection_from({"base_url": url, **settings})) as client:
                await job(client)

    trio.run(main)


def test_of_many_tasks_with_a_wrong_password_one_tries_it(tmp_path: Path) -> None:
    rejected: list[PatchwireError | Response] = []

    async def job(client: PatchClient) -> None:
        async def try_it(number: int) -> None:
            try:
                rejected.append(await client.patch(f"/page{number}", json={"n": number}))
            except PatchwireError as error:
                rejected.append(error)

        async with trio.open_nursery() as nursery:
            for number in range(20):
                nursery.start_soon(try_it, number)
        await try_it(20)

    with httpbin_server(tmp_path) as server:
        with_client(server, job, password=WRONG)
        assert len(with_credentials(server.answered())) == 1
        assert server.processed() == []
    assert [each.status for each in rejected if isinstance(each, Response)] == [401]
    assert sum(isinstance(each, CredentialsRejectedError) for each in rejected) == 20


async def in_pieces() -> AsyncIterator[bytes]:
    for start in range(0, len(BIG), 100_000):
        yield BIG[start : start + 100_000]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_auth_int_covers_big_binary_bodies_in_memory_in_a_file_and_from_a_factory(
    tmp_path: Path, algorithm: str
) -> None:
    (tmp_path / "big").write_bytes(BIG)

    async def job(client: PatchClient) -> None:
        responses = [
            await client.patch("/bytes", body=BIG, media_type=BINARY),
            await client.patch("/file", file=tmp_path / "big", media_type=BINARY),
            await client.patch("/factory", body=in_pieces, media_type=BINARY),
            await client.patch("/small", body=b"\x00\r\n\xff", media_type=BINARY),
            await client.patch("/empty", body=b"", media_type=BINARY),
        ]
        assert [response.status for response in responses] == [200] * 5

    with httpbin_server(tmp_path / "httpbin") as server:
        with_client(server, job, algorithm=algorithm)
        answered = server.answered()
    bodies = {"bytes": BIG, "file": BIG, "factory": BIG, "small": b"\x00\r\n\xff", "empty": b""}
    base = digest_base("auth-int", algorithm)
    assert [each.status for each in answered] == [401, *[200] * 5]
    assert [(each.target, each.body) for each in answered[1:]] == [(f"{base}/{n}", b) for n, b in bodies.items()]
    assert [count_of(each) for each in answered[1:]] == [f"{n:08x}" for n in range(1, 6)]


@pytest.mark.parametrize("body", ["file", "factory"])
def test_a_body_that_is_not_in_memory_is_sent_again_once_it_is_asked_for_auth_int(tmp_path: Path, body: str) -> None:
    (tmp_path / "big").write_bytes(BIG)

    async def job(client: PatchClient) -> None:
        source: dict[str, Any] = {"file": tmp_path / "big"} if body == "file" else {"body": in_pieces}
        assert (await client.patch("/first", media_type=BINARY, **source)).status == 200

    with httpbin_server(tmp_path / "httpbin") as server:
        with_client(server, job)
        assert [each.status for each in server.answered()] == [401, 200]
        (processed,) = server.processed()
    assert processed.body == BIG


def test_auth_int_over_a_stream_that_can_be_read_once_is_refused_and_the_remedy_named(tmp_path: Path) -> None:
    remedy = "auth-int covers the body, which comes from a stream .*; give it as bytes or a file"

    async def job(client: PatchClient) -> None:
        with pytest.raises(LocalProtocolError, match=remedy) as caught:
            await client.patch("/cold", body=in_pieces(), media_type=BINARY)
        assert caught.value.sent is Sent.NO
        assert with_credentials(server.answered()) == []
        assert (await client.patch("/warm", body=b"1", media_type=BINARY)).status == 200
        before = server.answered()
        for _ in range(2):
            with pytest.raises(LocalProtocolError, match=remedy) as caught:
                await client.patch("/warm", body=in_pieces(), media_type=BINARY)
            assert caught.value.sent is Sent.NO
        assert server.answered() == before
        assert (await client.patch("/after", body=b"2", media_type=BINARY)).status == 200

    with httpbin_server(tmp_path / "httpbin") as server:
        with_client(server, job)
        assert [each.body for each in server.processed()] == [b"1", b"2"]


def nonce_of(answered: Answered) -> str:
    return answered.authorization.partition(' nonce="')[2].partition('"')[0]


def count_of(answered: Answered) -> str:
    return answered.authorization.partition(" nc=")[2][:8]
