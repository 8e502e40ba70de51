from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from patchwire import Outcome, Sent, connection_from, outcome_of, request_to
from patchwire.auth.verify.basic import BasicVerifier
from patchwire.errors import (
    ConnectError,
    ConnectionLostError,
    CredentialsRejectedError,
    IncompleteResponseError,
    InputError,
    LocalProtocolError,
    ReadTimeoutError,
)
from patchwire.http.message import Origin
from patchwire.loopback.app import App
from patchwire.loopback.documents import Document, document_of
from patchwire.net import PatchClient
from patchwire.net.server import serve
from patchwire.net.sources import now
from tests.support.cancelling import cancelled_at_every_checkpoint, open_descriptors
from tests.support.peer import RequestReader, listening
from tests.support.tls import AUTHORITY, over_tls

MERGE = "application/merge-patch+json"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@asynccontextmanager
async def loopback(app: App | None = None) -> AsyncIterator[tuple[str, dict[str, Document]]]:
    """The embedded server: its base URL and documents."""
    documents = {f"/a{n}": document_of(b'{"n": 0}') for n in range(10)}
    async with trio.open_nursery() as nursery:

        async def run(task_status: trio.TaskStatus[str]) -> None:
            await serve(app or App(), documents, now=now, task_status=task_status)

        yield await nursery.start(run), documents
        nursery.cancel_scope.cancel()


def client_of(url: str, **settings: Any) -> PatchClient:
    return PatchClient(connection_from({"base_url": url, **settings}))


def with_client(job: Callable[[PatchClient, dict[str, Document]], Awaitable[Any]], **settings: Any) -> None:
    app = settings.pop("app", None)

    async def main() -> None:
        with trio.fail_after(20):
            async with loopback(app) as (url, documents), client_of(url, **settings) as client:
                await job(client, documents)

    trio.run(main)


Peer = Callable[[trio.SocketStream], Awaitable[None]]


def against(peer: Peer, job: Callable[[PatchClient, Origin], Awaitable[Any]], **limits: float) -> None:
    async def main() -> None:
        with trio.fail_after(20):
            async with listening(peer) as origin:
                settings = connection_from({"base_url": str(origin), "limits": limits})
                async with PatchClient(settings, max_connections=2) as client:
                    await job(client, origin)

    trio.run(main)


def content(document: Document) -> Any:
    return json.loads(document.body)


def test_json_is_a_merge_patch_or_a_json_patch_and_the_response_has_head_and_body() -> None:
    async def job(client: PatchClient, documents: dict[str, Document]) -> None:
        response = await client.patch("/a0", json={"n": 1})
        assert (response.status, json.loads(response.body)) == (200, {"n": 1})
        response = await client.patch("a0", json=[{"op": "add", "path": "/m", "value": 2}])
        assert (response.status, json.loads(response.body)) == (200, {"n": 1, "m": 2})
        assert outcome_of(response) is Outcome.APPLIED

    with_client(job)


def test_text_bytes_file_and_stream_all_arrive(tmp_path: Path) -> None:
    (tmp_path / "change.json").write_bytes(b'{"n": 3}')

    async def stream() -> AsyncIterator[bytes]:
        yield b'{"n"'
        await trio.lowlevel.checkpoint()
        yield b""
        yield b": 4}"

    async def job(client: PatchClient, documents: dict[str, Document]) -> None:
        assert (await client.patch("a1", text='{"n": 1}', media_type=MERGE)).status == 200
        assert (await client.patch("a2", body=b'{"n": 2}', media_type=MERGE)).status == 200
        assert (await client.patch("a3", file=tmp_path / "change.json", media_type=MERGE)).status == 200
        assert (await client.patch("a4", body=stream(), media_type=MERGE)).status == 200
        assert [content(documents[f"/a{n}"]) for n in range(1, 5)] == [{"n": n} for n in range(1, 5)]

    with_client(job)


def test_if_match_query_and_fields_go_out_as_they_are_given() -> None:
    async def job(client: PatchClient, documents: dict[str, Document]) -> None:
        tag = documents["/a0"].etag
        assert (await client.patch("a0", json={"n": 1}, if_match='"stale"')).status == 412
        assert content(documents["/a0"]) == {"n": 0}
        response = await client.patch("a0", json={"n": 1}, if_match=tag, query={"a b": "c"}, headers={"X-A": "b"})
        assert response.status == 200

    with_client(job)


def test_a_request_may_have_any_method_and_no_body() -> None:
    async def job(client: PatchClient, documents: dict[str, Document]) -> None:
        response = await client.request("GET", "a0")
        assert (response.status, json.loads(response.body)) == (200, {"n": 0})
        assert (await client.request("OPTIONS", "a0")).header(b"accept-patch") is not None

    with_client(job)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({}, "has no body; give one of json, text, body, file"),
        ({"json": {}, "text": "x"}, "has json and text; give one of"),
        ({"json": 1}, "media_type: missing"),
        ({"text": "x"}, "media_type: missing"),
        ({"json": {1, 2j}}, "json: "),
        ({"json": {}, "if_match": "v1"}, 'if_match: no entity tag, which has quotes of its own; write "\\\\"v1\\\\""'),
        ({"json": {}, "headers": {"Authorization": "x"}}, "headers.Authorization: belongs to the connection"),
        ({"json": {}, "headers": {"X": "a\r\nY: b"}}, "is not allowed there"),
    ],
)
def test_what_http_does_not_allow_is_the_callers_fault_and_sends_nothing(
    arguments: dict[str, Any], complaint: str
) -> None:
    async def job(client: PatchClient, documents: dict[str, Document]) -> None:
        with pytest.raises(LocalProtocolError, match=complaint) as caught:
            await client.patch("a0", **arguments)
        assert caught.value.sent is Sent.NO
        assert outcome_of(caught.value) is Outcome.NOT_SENT

    with_client(job)


def test_a_path_that_is_no_path_a_foreign_origin_and_a_missing_file_are_the_callers_fault(tmp_path: Path) -> None:
    async def job(client: PatchClient, documents: dict[str, Document]) -> None:
        with pytest.raises(LocalProtocolError, match="path: character 2, ' ', is not allowed in a URL"):
            await client.patch("a b", json={})
        with pytest.raises(LocalProtocolError, match="does not go to"):
            await client.send(request_to("PATCH", "http://elsewhere.example/"))
        with pytest.raises(InputError, match="no such file"):
            await client.patch("a0", file=tmp_path / "nothing", media_type=MERGE)
        with pytest.raises(ValueError, match="at least 1"):
            PatchClient(client.settings, max_connections=0)

    with_client(job)


def test_many_tasks_share_few_connections_and_each_gets_its_own_answer() -> None:
    opened: list[int] = []

    async def peer(stream: trio.SocketStream) -> None:
        opened.append(1)
        reader = RequestReader(stream)
        while request := await reader.next():
            await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(request[2]) + request[2])

    async def job(client: PatchClient, origin: Origin) -> None:
        answered: Counter[bytes] = Counter()

        async def change(number: int) -> None:
            response = await client.patch(f"/{number}", json={"n": number})
            assert response.body == b'{"n":%d}' % number
            answered[response.body] += 1

        async with trio.open_nursery() as nursery:
            for number in range(200):
                nursery.start_soon(change, number)
        assert len(answered) == 200
        assert len(opened) == 2

    against(peer, job)


@pytest.mark.parametrize(
    "stray", [b"", b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n", b"x"], ids=["FIN", "408", "stray"]
)
def test_an_idle_connection_that_the_server_gave_up_costs_nothing(stray: bytes) -> None:
    requests: list[str] = []
    gone = trio.Event()

    async def peer(stream: trio.SocketStream) -> None:
        request = await RequestReader(stream).next()
        assert request is not None
        requests.append(request[1])
        await stream.send_all(OK)
        if stray:
            await stream.send_all(stray)
            await trio.sleep(0.01)
        await stream.aclose()
        gone.set()

    async def job(client: PatchClient, origin: Origin) -> None:
        nonlocal gone
        for path in ("/1", "/2", "/3"):
            assert (await client.patch(path, json={})).body == b"ok"
            await gone.wait()
            gone = trio.Event()
            await trio.testing.wait_all_tasks_blocked(0.01)

    against(peer, job)
    assert requests == ["/1", "/2", "/3"]


@pytest.mark.parametrize("told", [b"timeout=1", b"timeout=60, max=1"])
def test_a_server_that_says_when_it_closes_an_idle_connection_is_never_met_closing_it(told: bytes) -> None:
    connections = 0

    async def peer(stream: trio.SocketStream) -> None:
        nonlocal connections
        connections += 1
        reader = RequestReader(stream)
        while await reader.next():
            await stream.send_all(b"HTTP/1.1 200 OK\r\nKeep-Alive: %b\r\nContent-Length: 2\r\n\r\nok" % told)

    async def job(client: PatchClient, origin: Origin) -> None:
        await client.patch("/1", json={})
        await trio.sleep(0.55)  # within the server's second, beyond what is left of it with the margin
        await client.patch("/2", json={})
        assert connections == 2

    against(peer, job)


def test_an_error_says_what_is_known_of_the_request() -> None:
    async def cut(stream: trio.SocketStream) -> None:
        await RequestReader(stream).next()
        await stream.send_all(OK[:20])

    async def job(client: PatchClient, origin: Origin) -> None:
        with pytest.raises(IncompleteResponseError) as caught:
            await client.patch("/1", json={})
        assert (caught.value.sent, caught.value.origin) == (Sent.MAYBE, str(origin))
        assert outcome_of(caught.value) is Outcome.UNKNOWN

    against(cut, job)


def test_a_server_that_cannot_be_reached_was_sent_nothing() -> None:
    async def main() -> None:
        async with PatchClient(connection_from({"base_url": "http://127.0.0.1:1"})) as client:
            with pytest.raises(ConnectError) as caught:
                await client.patch("/1", json={})
        assert caught.value.sent is Sent.NO
        assert outcome_of(caught.value) is Outcome.NOT_SENT

    trio.run(main)


def test_a_silent_server_is_given_up_after_the_read_timeout() -> None:
    async def silent(stream: trio.SocketStream) -> None:
        await trio.sleep_forever()

    async def job(client: PatchClient, origin: Origin) -> None:
        with pytest.raises(ReadTimeoutError) as caught:
            await client.patch("/1", json={})
        assert caught.value.sent is Sent.MAYBE

    against(silent, job, read_timeout=0.05)


def dripping(at_once: bytes) -> Peer:
    async def peer(stream: trio.SocketStream) -> None:
        await RequestReader(stream).next()
        await stream.send_all(at_once)
        for octet in b"x" * 10_000:
            await trio.sleep(0.01)
            await stream.send_all(bytes([octet]))

    return peer


def test_a_server_that_drips_its_answer_is_given_up_after_the_response_timeout() -> None:
    async def job(client: PatchClient, origin: Origin) -> None:
        with pytest.raises(ReadTimeoutError) as caught:
            await client.patch("/1", json={})
        timeout = "0.1 seconds (limits.response_timeout)"
        assert str(caught.value) == f"the response of {origin} was not complete within {timeout}"
        assert (caught.value.sent, outcome_of(caught.value)) == (Sent.MAYBE, Outcome.UNKNOWN)

    against(dripping(b"HTTP/1.1 200 OK\r\nX: "), job, read_timeout=5.0, response_timeout=0.1)


def test_a_server_that_drips_its_body_leaves_the_head_with_the_fault_beside_it() -> None:
    async def job(client: PatchClient, origin: Origin) -> None:
        response = await client.patch("/1", json={})
        assert (response.status, outcome_of(response)) == (200, Outcome.APPLIED)
        assert "limits.response_timeout" in (response.error or "")

    against(dripping(OK.replace(b": 2", b": 20000")), job, read_timeout=5.0, response_timeout=0.1)


def test_a_response_has_five_minutes_unless_the_connection_says_otherwise() -> None:
    assert connection_from({"base_url": "http://h"}).limits.response_timeout == 300.0


def test_a_body_over_the_limit_leaves_the_head_with_the_fault_beside_it() -> None:
    async def peer(stream: trio.SocketStream) -> None:
        await RequestReader(stream).next()
        await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + b"x" * 100)

    async def job(client: PatchClient, origin: Origin) -> None:
        response = await client.patch("/1", json={})
        assert (response.status, response.body) == (200, b"x" * 10)
        assert "limits.max_response_body" in (response.error or "")
        assert outcome_of(response) is Outcome.APPLIED

    against(peer, job, max_response_body=10)


def test_closing_the_client_ends_what_is_under_way_with_what_is_known_of_it() -> None:
    async def silent(stream: trio.SocketStream) -> None:
        await trio.sleep_forever()

    async def job(client: PatchClient, origin: Origin) -> None:
        async def change() -> None:
            with pytest.raises(ConnectionLostError) as caught:
                await client.patch("/1", json={})
            assert caught.value.sent is Sent.MAYBE

        async with trio.open_nursery() as nursery:
            nursery.start_soon(change)
            await trio.testing.wait_all_tasks_blocked(0.05)
            await client.aclose()
        with pytest.raises(trio.ClosedResourceError, match="this client is closed"):
            await client.patch("/1", json={})

    against(silent, job)


def test_closing_the_client_ends_a_question_for_a_token_too() -> None:
    asked = trio.Event()

    async def silent(stream: trio.SocketStream) -> None:
        assert await RequestReader(stream).next() is not None
        asked.set()
        await trio.sleep_forever()

    async def main() -> None:
        async with listening(silent) as origin:
            oauth2 = {
                "grant_type": "client_credentials", "client_id": "app", "client_secret": "literal:s",
                "access_token_url": f"{origin}/token",
            }  # fmt: skip
            data = {"base_url": str(origin), "authentication": "oauth2", "preemptive": True, "oauth2": oauth2}
            client = PatchClient(connection_from(data))

            async def change() -> None:
                with pytest.raises(trio.ClosedResourceError, match="this client is closed"):
                    await client.patch("/1", json={})

            with trio.fail_after(10):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(change)
                    await asked.wait()
                    await client.aclose()

    trio.run(main)


def test_credentials_follow_the_challenge_and_a_body_that_can_be_read_again_goes_with_them(tmp_path: Path) -> None:
    (tmp_path / "change.json").write_bytes(b'{"n": 3}')
    app = App(BasicVerifier("r", {"svc": "pw"}))

    async def stream() -> AsyncIterator[bytes]:
        yield b'{"n": 4}'

    async def job(client: PatchClient, documents: dict[str, Document]) -> None:
        assert (await client.patch("a0", file=tmp_path / "change.json", media_type=MERGE)).status == 200
        assert (await client.patch("a1", body=stream(), media_type=MERGE)).status == 200
        assert (content(documents["/a0"]), content(documents["/a1"])) == ({"n": 3}, {"n": 4})

    with_client(job, app=app, authentication="basic", user="svc", password="literal:pw")


def test_rejected_credentials_go_out_once_however_many_tasks_have_them() -> None:
    app = App(BasicVerifier("r", {"svc": "pw"}))

    async def job(client: PatchClient, documents: dict[str, Document]) -> None:
        ends: Counter[str] = Counter()

        async def change(number: int) -> None:
            try:
                ends[str((await client.patch(f"a{number}", json={"n": 1})).status)] += 1
            except CredentialsRejectedError as error:
                assert error.sent is Sent.NO
                ends["kept back"] += 1

        async with trio.open_nursery() as nursery:
            for number in range(10):
                nursery.start_soon(change, number)
        assert ends == {"401": 1, "kept back": 9}

    with_client(job, app=app, authentication="basic", user="svc", password="literal:no", preemptive=True)


def test_what_a_stream_raises_reaches_its_owner_and_ends_the_connection() -> None:
    received: list[bytes] = []

    async def peer(stream: trio.SocketStream) -> None:
        while data := await stream.receive_some():
            received.append(data)

    async def failing() -> AsyncIterator[bytes]:
        yield b"a"
        raise KeyError("mine")

    async def job(client: PatchClient, origin: Origin) -> None:
        with pytest.raises(KeyError, match="mine"):
            await client.patch("/1", body=failing(), media_type="a/b")
        await trio.testing.wait_all_tasks_blocked(0.02)
        assert not b"".join(received).endswith(b"0\r\n\r\n")  # what was cut must not look whole

    against(peer, job)


def test_a_stream_is_closed_when_the_answer_comes_before_its_end() -> None:
    closed = trio.Event()

    async def peer(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n")
        await trio.sleep_forever()

    async def endless() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"x" * 1000
                await trio.sleep(0.001)
        finally:
            closed.set()

    async def job(client: PatchClient, origin: Origin) -> None:
        response = await client.patch("/1", body=endless(), media_type="a/b")
        assert response.status == 413
        assert closed.is_set()

    against(peer, job)


def test_a_slow_stream_is_not_taken_for_a_silent_server() -> None:
    async def peer(stream: trio.SocketStream) -> None:
        data = b""
        while not data.endswith(b"0\r\n\r\n"):
            data += await stream.receive_some()
        await stream.send_all(OK)

    async def slow() -> AsyncIterator[bytes]:
        yield b"a"
        await trio.sleep(0.3)
        yield b"b"

    async def job(client: PatchClient, origin: Origin) -> None:
        assert (await client.patch("/1", body=slow(), media_type="a/b")).status == 200

    against(peer, job, read_timeout=0.1)


def test_a_file_that_shrinks_while_it_is_sent_never_looks_whole(tmp_path: Path) -> None:
    path = tmp_path / "change"
    path.write_bytes(b"x" * 1_000_000)

    async def peer(stream: trio.SocketStream) -> None:
        path.write_bytes(b"")
        while await stream.receive_some():
            pass

    async def job(client: PatchClient, origin: Origin) -> None:
        with pytest.raises(LocalProtocolError, match="of the 1000000 bytes announced") as caught:
            await client.patch("/1", file=path, media_type="a/b")
        assert outcome_of(caught.value) is Outcome.UNKNOWN

    against(peer, job)


def test_an_error_in_the_users_own_block_comes_out_as_it_is() -> None:
    async def job(client: PatchClient, documents: dict[str, Document]) -> None:
        await client.patch("a0", json={"n": 1})
        raise KeyError("mine")

    with pytest.raises((KeyError, ExceptionGroup)) as caught:
        with_client(job)
    leaf: BaseException = caught.value
    while isinstance(leaf, BaseExceptionGroup):  # of the test's own nursery around the server
        assert len(leaf.exceptions) == 1
        leaf = leaf.exceptions[0]
    assert isinstance(leaf, KeyError)


def test_cancellation_at_every_checkpoint_leaves_the_client_whole() -> None:
    async def main() -> None:
        async with (
            loopback() as (url, _),
            PatchClient(connection_from({"base_url": url}), max_connections=1) as client,
        ):

            async def action() -> None:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(lambda: client.patch("a0", json={"n": 1}))
                    nursery.start_soon(lambda: client.patch("a1", text="{}", media_type=MERGE))

            assert await cancelled_at_every_checkpoint(action) > 4
            assert (await client.patch("a0", json={"n": 2})).status == 200

    before = open_descriptors()
    trio.run(main)
    assert open_descriptors() == before


def test_cancellation_at_every_checkpoint_over_tls_leaves_the_client_whole() -> None:
    async def peer(stream: trio.abc.Stream) -> None:
        reader = RequestReader(stream)
        while await reader.next():
            await stream.send_all(OK[:9])
            await stream.send_all(OK[9:])

    async def main() -> None:
        async with listening(over_tls(peer)) as origin:
            data = {"base_url": f"https://localhost:{origin.port}", "tls": {"trust": ["ca"], "system_roots": False}}
            settings = connection_from(data, files={"ca": AUTHORITY.pem})
            async with PatchClient(settings, max_connections=1) as client:

                async def action() -> None:
                    async with trio.open_nursery() as nursery:
                        nursery.start_soon(lambda: client.patch("a0", json={"n": 1}))
                        nursery.start_soon(lambda: client.patch("a1", body=b"x" * 900_000, media_type="a/b"))

                assert await cancelled_at_every_checkpoint(action) > 8
                assert (await client.patch("a0", json={"n": 2})).status == 200

    before = open_descriptors()
    trio.run(main)
    assert open_descriptors() == before


def test_the_wire_log_begins_with_time_and_connection_and_hides_secrets() -> None:
    lines: list[str] = []

    async def main() -> None:
        async with loopback() as (url, _):
            data = {"base_url": url, "headers": {"X-Token": "literal:canary"}}
            async with PatchClient(connection_from(data), wire_log=lines.append) as client:
                await client.patch("a0", json={"n": 1})

    trio.run(main)
    assert all(line.split(" ")[0].endswith("Z") and line.split(" ")[1].startswith("#") for line in lines)
    assert any(" > PATCH /a0 HTTP/1.1" in line for line in lines)
    assert any(" < 200" in line for line in lines)
    assert any(" = connected to http://127.0.0.1" in line for line in lines)
    assert "canary" not in "".join(lines)
