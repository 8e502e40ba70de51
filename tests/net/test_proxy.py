from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pytest
import trio

from patchwire import Outcome, Sent, connection_from, outcome_of, request_to
from patchwire.auth.flow import Send
from patchwire.errors import (
    ConnectError,
    CredentialsRejectedError,
    HandshakeError,
    TransportError,
)
from patchwire.http.message import Origin, Response
from patchwire.net import PatchClient
from patchwire.net.connection import Reply
from patchwire.net.proxy import ProxySession
from patchwire.settings.proxy import Proxy
from tests.support.batches import BatchFiles, people
from tests.support.cancelling import cancelled_at_every_checkpoint, open_descriptors
from tests.support.processes import free_port
from tests.support.proxy import (
    Answer,
    Forward,
    ScriptedProxy,
    Seen,
    Silence,
    Tunnel,
    answer,
    in_turn,
    scripted_proxy,
)
from tests.support.proxy import (
    Reply as Said,
)
from tests.support.recording import recording_backend
from tests.support.tls import AUTHORITY
from tests.support.tls_backend import tls_backend

BASIC = 'Proxy-Authenticate: Basic realm="p"'
DIGEST = 'Proxy-Authenticate: Digest realm="p", nonce="n", qop="auth", algorithm=SHA-256'
PASSWORD = {"user": "svc", "password": "literal:canary"}
T = TypeVar("T")


def guarded(challenge: str = BASIC, *, closing: bool = False) -> Callable[[Seen], Said]:
    """The script that lets nobody through without credentials of whatever password."""

    def script(seen: Seen) -> Said:
        if not seen.values("proxy-authorization"):
            return answer(407, challenge, body=b"who are you?", closing=closing)
        return Tunnel() if seen.method == "CONNECT" else Forward()

    return script


def client(address: str, url: str, *, limits: dict[str, float] | None = None, **settings: Any) -> PatchClient:
    tls = {"trust": ["ca"], "system_roots": False} if "https" in address + url else {}
    data = {
        "base_url": url,
        "proxy": {"url": address, **settings.pop("proxy", {})},
        "limits": {"connect_timeout": 5.0, "read_timeout": 5.0, **(limits or {})},
        **({"tls": tls} if tls else {}),
        **settings,
    }
    return PatchClient(connection_from(data, files={"ca": AUTHORITY.pem}))


def run(job: Callable[[], Awaitable[T]]) -> T:
    async def main() -> T:
        with trio.fail_after(20):
            return await job()

    return trio.run(main)


def patched(one: PatchClient, count: int = 1) -> list[int]:
    """The statuses of so many changes, one after the other."""

    async def job() -> list[int]:
        async with one:
            return [(await one.patch(f"/a{number}", json={"n": number})).status for number in range(count)]

    return run(job)


def failure(one: PatchClient) -> Exception:
    async def job() -> Exception:
        async with one:
            with pytest.raises(Exception) as raised:
                await one.patch("/a", json={"n": 1})
            return raised.value

    return run(job)


@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
def test_a_proxy_is_sent_the_absolute_form_and_hands_on_what_is_the_servers(tls: bool) -> None:
    with recording_backend() as (url, processed), scripted_proxy(tls=tls) as proxy:
        assert patched(client(proxy.base_url, f"{url}/v1?x=1"), 2) == [200, 200]
    assert [seen.target for seen in proxy.seen] == [f"{url}/v1/a{n}?x=1" for n in range(2)]
    assert [seen.values("host") for seen in proxy.seen] == [[url.removeprefix("http://")]] * 2
    assert [each.target for each in processed] == ["/v1/a0?x=1", "/v1/a1?x=1"]
    assert proxy.connections == 1


@pytest.mark.parametrize("challenge", [BASIC, DIGEST], ids=["basic", "digest"])
def test_a_challenge_of_the_proxy_is_answered_on_the_same_connection_and_foreseen_from_then_on(challenge: str) -> None:
    with recording_backend() as (url, processed), scripted_proxy(guarded(challenge)) as proxy:
        assert patched(client(proxy.base_url, url, proxy=PASSWORD), 3) == [200] * 3
    assert [bool(seen.values("proxy-authorization")) for seen in proxy.seen] == [False, True, True, True]
    assert {seen.connection for seen in proxy.seen} == {1}
    assert len(processed) == 3


def test_a_proxy_that_closes_behind_its_challenge_is_answered_on_another_connection() -> None:
    with recording_backend() as (url, _), scripted_proxy(guarded(closing=True)) as proxy:
        assert patched(client(proxy.base_url, url, proxy=PASSWORD), 2) == [200] * 2
        assert [seen.connection for seen in proxy.seen] == [1, 2, 2]
    with tls_backend() as backend, scripted_proxy(guarded(closing=True)) as proxy:
        assert patched(client(proxy.base_url, backend.base_url, proxy=PASSWORD), 2) == [200] * 2
        assert [seen.connection for seen in proxy.seen] == [1, 2]


@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
@pytest.mark.parametrize("challenge", [BASIC, DIGEST], ids=["basic", "digest"])
def test_a_tunnel_is_opened_in_one_connection_and_the_server_sees_nothing_of_the_proxys(
    challenge: str, tls: bool
) -> None:
    with tls_backend() as backend, scripted_proxy(guarded(challenge), tls=tls) as proxy:
        mine: dict[str, Any] = {
            "authentication": "basic",
            "user": "me",
            "password": "literal:mine",
            "preemptive": True,
        }
        assert patched(client(proxy.base_url, backend.base_url, proxy=PASSWORD, **mine), 3) == [200] * 3
    target = backend.base_url.removeprefix("https://")
    assert [(seen.method, seen.target, seen.values("host")) for seen in proxy.seen] == [
        ("CONNECT", target, [target])
    ] * 2
    assert {seen.connection for seen in proxy.seen} == {1}
    assert not any(seen.values("authorization") for seen in proxy.seen)
    assert len(backend.received) == 3
    for request in backend.received:
        assert request.header(b"proxy-authorization") is None
        assert request.header(b"authorization") is not None
        assert request.target.startswith(b"/a")


@pytest.mark.parametrize("secure", [False, True], ids=["handed on", "tunnelled"])
def test_a_wrong_password_goes_to_the_proxy_once_whoever_tries(secure: bool) -> None:
    async def job(one: PatchClient) -> tuple[list[str], list[Response]]:
        refusals, responses = [], []

        async def try_it(number: int) -> None:
            try:
                responses.append(await one.patch(f"/a{number}", json={}))
            except CredentialsRejectedError as error:
                refusals.append(str(error))

        async with one:
            async with trio.open_nursery() as nursery:
                for number in range(6):
                    nursery.start_soon(try_it, number)
            await try_it(6)
        return refusals, responses

    with tls_backend() as backend, scripted_proxy(lambda _: answer(407, BASIC)) as proxy:
        url = backend.base_url if secure else "http://h.example"
        refusals, responses = run(lambda: job(client(proxy.base_url, url, proxy=PASSWORD)))
    assert len([seen for seen in proxy.seen if seen.values("proxy-authorization")]) == 1
    assert len(refusals) == (7 if secure else 6)
    assert sum("its password was rejected by the proxy (Basic, realm 'p')" in each for each in refusals) == secure
    assert sum("not sent, since the proxy has rejected these" in each for each in refusals) == 6
    for response in responses:
        assert response.status == 407
        assert response.error == "user 'svc' or its password was rejected by the proxy (Basic, realm 'p')"
    assert backend.received == []


def test_a_proxy_that_asks_where_there_is_no_password_is_answered_with_the_remedy() -> None:
    remedy = "the proxy asks for Basic authentication; give proxy.user and proxy.password"
    with tls_backend() as backend, scripted_proxy(guarded()) as proxy:
        error = failure(client(proxy.base_url, backend.base_url))
        assert isinstance(error, CredentialsRejectedError)
        assert str(error) == f"cannot connect to {backend.base_url}: {remedy}"

        async def job() -> Response:
            async with client(proxy.base_url, "http://h.example") as one:
                return await one.patch("/a", json={})

        response = run(job)
        assert (response.status, response.error) == (407, remedy)


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        (answer(403), "answers CONNECT with 403 Forbidden"),
        (answer(502), "answers CONNECT with 502 Bad Gateway"),
        (answer(503, body=b"down", closing=True), "answers CONNECT with 503 Service Unavailable"),
        (answer(504, body=b"x", framing="chunked"), "answers CONNECT with 504 Gateway Timeout"),
        (answer(301, "Location: https://evil.example/"), "answers CONNECT with 301 Moved Permanently"),
        (Answer(b"SSH-2.0-OpenSSH_9\r\n\r\n", closing=True), "no HTTP/1 status line"),
        (Answer(b"HTTP/1.1 2", closing=True), "closed the connection within its response head"),
        (Answer(b"", closing=True), "closed the connection before its response head"),
        (Tunnel(early=b"220 hello"), "speaks in the tunnel before it was asked"),
    ],
)
def test_a_tunnel_that_is_not_opened_means_that_nothing_was_sent(said: Said, problem: str) -> None:
    with tls_backend() as backend, scripted_proxy(lambda _: said) as proxy:
        error = failure(client(proxy.base_url, backend.base_url, authentication="none"))
        assert isinstance(error, ConnectError), error
        assert error.sent is Sent.NO
        assert outcome_of(error) is Outcome.NOT_SENT
        assert str(error).startswith(f"cannot connect to {backend.base_url}: the proxy {proxy.base_url}")
        assert problem in str(error)
        assert backend.received == []


def test_a_proxy_that_says_nothing_is_waited_for_as_long_as_for_a_connection() -> None:
    with scripted_proxy(lambda _: Silence()) as proxy:
        error = failure(client(proxy.base_url, "https://h.example", limits={"connect_timeout": 0.2}))
    assert isinstance(error, ConnectError)
    problem = f"the proxy {proxy.base_url} opens no tunnel within 0.2 seconds (limits.connect_timeout)"
    assert str(error) == f"cannot connect to https://h.example: {problem}"


@pytest.mark.parametrize("url", ["http://h.example", "https://h.example"])
def test_a_proxy_that_cannot_be_reached_is_named_with_whom_it_is_on_the_way_to(url: str) -> None:
    proxy = f"http://127.0.0.1:{free_port()}"
    error = failure(client(proxy, url))
    assert isinstance(error, ConnectError)
    assert str(error) == f"cannot connect to {proxy}: connection refused (the proxy on the way to {url})"


def test_a_proxy_whose_certificate_is_not_trusted_is_told_nothing() -> None:
    with scripted_proxy(tls=True) as proxy:
        data = {"base_url": "http://h.example", "proxy": {"url": proxy.base_url}}
        error = failure(PatchClient(connection_from(data)))
        assert isinstance(error, HandshakeError)
        assert "leads to no trusted root" in str(error)
        assert str(error).endswith("(the proxy on the way to http://h.example)")
        assert proxy.seen == []


@pytest.mark.parametrize("reset", [False, True], ids=["fin", "rst"])
@pytest.mark.parametrize(
    ("to_client", "outcome"), [(0, Outcome.NOT_SENT), (100, Outcome.NOT_SENT)], ids=["at once", "in the handshake"]
)
def test_a_tunnel_that_breaks_before_tls_is_agreed_upon_means_that_nothing_was_sent(
    to_client: int, outcome: Outcome, reset: bool
) -> None:
    with tls_backend() as backend, scripted_proxy(lambda _: Tunnel(to_client=to_client, reset=reset)) as proxy:
        error = failure(client(proxy.base_url, backend.base_url))
        assert isinstance(error, HandshakeError)
        assert outcome_of(error) is outcome
        assert backend.received == []


def test_where_a_tunnel_breaks_decides_what_is_known_of_the_change() -> None:
    async def job(address: str, url: str) -> tuple[Outcome, int]:
        before = len(backend.received)
        async with client(address, url) as one:
            try:
                outcome = outcome_of(await one.patch("/a", json={}))
            except TransportError as error:
                outcome = outcome_of(error)
        return outcome, len(backend.received) - before

    outcomes = []
    with tls_backend() as backend, scripted_proxy() as proxy:
        octets = 0
        while Outcome.APPLIED not in outcomes:
            proxy.script = in_turn(Tunnel(to_client=octets))
            outcome, received = run(lambda: job(proxy.base_url, backend.base_url))
            assert received == 0 or outcome is not Outcome.NOT_SENT
            outcomes.append(outcome)
            octets += 97
    assert sorted(outcomes, key=[Outcome.NOT_SENT, Outcome.UNKNOWN, Outcome.APPLIED].index) == outcomes
    assert outcomes.count(Outcome.UNKNOWN) >= 1
    assert outcomes.count(Outcome.NOT_SENT) > 5


def test_what_needs_no_proxy_goes_without() -> None:
    with recording_backend() as (url, processed), scripted_proxy(lambda _: answer(403)) as proxy:
        assert patched(client(proxy.base_url, url, proxy={"no_proxy": ["127.0.0.0/8"]})) == [200]
        assert len(processed) == 1
        assert proxy.seen == []


def test_many_at_once_ask_the_proxy_once() -> None:
    with tls_backend() as backend, scripted_proxy(guarded(DIGEST)) as proxy:

        async def job() -> None:
            async with client(proxy.base_url, backend.base_url, proxy=PASSWORD) as one, trio.open_nursery() as nursery:
                for number in range(24):
                    nursery.start_soon(partial(one.patch, f"/a{number}", json={}))

        run(job)
        assert len(backend.received) == 24
    assert sum(not seen.values("proxy-authorization") for seen in proxy.seen) == 1


def test_a_redirect_to_another_origin_goes_through_the_proxy_that_is_on_the_way_there() -> None:
    with tls_backend() as backend, scripted_proxy() as proxy:

        def script(seen: Seen) -> Said:
            if seen.method == "CONNECT":
                return Tunnel()
            return answer(307, f"Location: {backend.base_url}/there")

        proxy.script = script
        redirects = {"other_origins": True}
        assert patched(client(proxy.base_url, "http://h.example", redirects=redirects, tls={"trust": ["ca"]})) == [200]
        assert [request.target for request in backend.received] == [b"/there"]
    assert [seen.method for seen in proxy.seen] == ["PATCH", "CONNECT"]


def test_a_step_that_was_withdrawn_while_it_waited_for_its_turn_is_not_sent() -> None:
    session = ProxySession(Proxy(Origin("http", "squid", 3128)))
    request = request_to("PATCH", "http://h/a", body=b"{}")

    async def never(step: Send, may_go: Callable[[], bool]) -> Reply | None:
        raise AssertionError("sent")

    async def withdrawn(step: Send, may_go: Callable[[], bool]) -> Reply | None:
        withdrawals.append(step)
        await trio.lowlevel.checkpoint()
        return None

    withdrawals: list[Send] = []
    assert run(lambda: session.forward(Send(request), never, lambda: False)) is None
    assert run(lambda: session.forward(Send(request), withdrawn, lambda: not withdrawals)) is None
    assert len(withdrawals) == 1


def test_cancelled_at_every_checkpoint_a_client_behind_a_proxy_is_whole() -> None:
    async def job(proxy: ScriptedProxy, url: str) -> int:
        async with client(proxy.base_url, url, proxy=PASSWORD) as one:

            async def action() -> None:
                # A client of its own each time: what is learnt once would spare the others their challenge.
                async with client(proxy.base_url, url, proxy=PASSWORD) as other, trio.open_nursery() as nursery:
                    nursery.start_soon(lambda: other.patch("/a0", json={"n": 1}))
                    nursery.start_soon(lambda: other.patch("/a1", json={"n": 1}))
                    nursery.start_soon(lambda: one.patch("/a2", json={"n": 1}))

            steps = await cancelled_at_every_checkpoint(action)
            assert (await one.patch("/a3", json={})).status == 200
            return steps

    with tls_backend() as backend, recording_backend() as (url, _), scripted_proxy(guarded(DIGEST)) as proxy:
        for each in (backend.base_url, url):
            before = open_descriptors()
            assert trio.run(job, proxy, each) > 10
            deadline = time.monotonic() + 10
            while open_descriptors() - before and time.monotonic() < deadline:
                time.sleep(0.05)  # the proxy and whom it leads to, which run beside, have yet to see the ends
            assert open_descriptors() - before == set()


def test_a_proxy_that_asks_once_where_there_is_no_password_is_no_reason_to_hold_back_the_servers_own() -> None:
    mine: dict[str, Any] = {"authentication": "basic", "user": "me", "password": "literal:m", "preemptive": True}

    async def job(address: str, url: str) -> list[int]:
        async with client(address, url, **mine) as one:
            return [(await one.patch(f"/a{number}", json={})).status for number in range(2)]

    with recording_backend() as (url, _), scripted_proxy(in_turn(answer(407, BASIC))) as proxy:
        assert run(lambda: job(proxy.base_url, url)) == [407, 200]


# --- a batch


def behind(proxy: ScriptedProxy, directory: Path, url: str, more: str = "") -> BatchFiles:
    (directory / "ca.pem").write_bytes(AUTHORITY.pem)
    tls = '[tls]\ntrust = ["ca.pem"]\n' if url.startswith("https") else ""
    return BatchFiles(directory, url, f'{tls}[proxy]\nurl = "{proxy.base_url}"\n{more}')


def test_a_batch_goes_through_the_proxy(tmp_path: Path) -> None:
    password = 'user = "svc"\npassword = "literal:canary"\n'
    with tls_backend() as backend, recording_backend() as (url, processed), scripted_proxy(guarded(DIGEST)) as proxy:
        for number, each in enumerate((url, backend.base_url)):
            directory = tmp_path / str(number)
            directory.mkdir()
            files = behind(proxy, directory, each, password)
            files.write(people(60))
            assert run(files.run).counts["applied"] == 60
        assert len(processed) == len(backend.received) == 60
    assert sum(not seen.values("proxy-authorization") for seen in proxy.seen) == 2


@pytest.mark.parametrize("secure", [False, True], ids=["handed on", "tunnelled"])
def test_a_batch_whose_proxy_rejects_the_password_stops_and_has_tried_it_once(tmp_path: Path, secure: bool) -> None:
    password = 'user = "svc"\npassword = "literal:canary"\n'
    url = "https://h.example" if secure else "http://h.example"
    with scripted_proxy(lambda _: answer(407, BASIC)) as proxy:
        files = behind(proxy, tmp_path, url, password)
        files.write(people(50))
        summary = run(files.run)
    assert sum(bool(seen.values("proxy-authorization")) for seen in proxy.seen) == 1
    assert summary.counts["unknown"] == summary.counts["applied"] == 0
    assert "rejected by the proxy" in str(summary.failures[0])
    assert summary.counts["rejected"] + summary.counts["not_sent"] < 50


def test_a_batch_waits_for_a_proxy_that_opens_no_tunnel_for_a_while(tmp_path: Path) -> None:
    first = Tunnel(to_client=6_000)  # some answers come through, and then it breaks
    with tls_backend() as backend, scripted_proxy(in_turn(first, *[answer(503, closing=True)] * 3)) as proxy:
        files = behind(proxy, tmp_path, backend.base_url)
        files.write(people(100))
        summary = run(lambda: files.run(patience=10.0, concurrency=1))
    assert len(proxy.seen) == 5
    assert summary.failures == []
    assert summary.counts["applied"] + summary.counts["unknown"] == 100
    assert summary.counts["unknown"] <= 1


def test_a_batch_stops_where_the_proxy_never_opens_a_tunnel(tmp_path: Path) -> None:
    with scripted_proxy(lambda _: answer(403)) as proxy:
        files = behind(proxy, tmp_path, "https://h.example")
        files.write(people(10))
        summary = run(files.run)
    assert summary.counts["unknown"] == summary.counts["applied"] == 0
    assert "answers CONNECT with 403 Forbidden" in str(summary.failures[0])
