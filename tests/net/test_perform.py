from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from patchwire import Outcome, PatchwireError, Sent, connection_from, outcome_of
from patchwire.auth.aws_credentials import AwsCredentials
from patchwire.auth.aws_flow import AwsAuthentication
from patchwire.auth.aws_session import ENDED, AwsSession
from patchwire.auth.aws_signing import Scope
from patchwire.auth.basic import BasicAuthentication
from patchwire.auth.credentials import Credentials
from patchwire.auth.flow import Answer, Body, Flow, FlowResult, Send, Wait
from patchwire.errors import (
    ConnectionLostError,
    CredentialsError,
    CredentialsRejectedError,
    LocalProtocolError,
    UnprovenResponseError,
)
from patchwire.http.message import Origin, Request, Response, request_to
from patchwire.http.redirects import Redirects
from patchwire.loopback.app import App
from patchwire.loopback.documents import document_of
from patchwire.net import PatchClient
from patchwire.net.body import IterableBody
from patchwire.net.connection import Reply
from patchwire.net.perform import MayGo, Performer
from patchwire.net.server import serve
from patchwire.net.sources import now
from tests.support.cancelling import cancelled_at_every_checkpoint
from tests.support.digest_peer import NOW, DigestOrigin, digest_verifier, without_proof
from tests.support.origins import OK, Origins, status
from tests.support.peer import listening

MERGE = "application/merge-patch+json"
DIGEST: dict[str, Any] = {"authentication": "digest", "user": "svc", "password": "literal:canary"}
BASIC: dict[str, Any] = {"authentication": "basic", "user": "svc", "password": "literal:canary"}


def against(
    peer: Callable[[trio.SocketStream], Awaitable[None]],
    job: Callable[[PatchClient], Awaitable[Any]],
    lines: list[str] | None = None,
    **settings: Any,
) -> None:
    async def main() -> None:
        with trio.fail_after(20):
            async with listening(peer) as origin:
                connection = connection_from({"base_url": str(origin), **settings})
                async with PatchClient(connection, wire_log=None if lines is None else lines.append) as client:
                    await job(client)

    trio.run(main)


def against_server(verifier: Any, job: Callable[[PatchClient], Awaitable[Any]], **settings: Any) -> dict[str, Any]:
    """The documents of the embedded server behind the verifier."""
    documents = {f"/{n}": document_of(b"{}") for n in range(40)}

    async def main() -> None:
        with trio.fail_after(20):
            async with trio.open_nursery() as nursery:

                async def run(task_status: trio.TaskStatus[str]) -> None:
                    await serve(App(verifier), documents, now=now, task_status=task_status)

                url = await nursery.start(run)
                async with PatchClient(connection_from({"base_url": url, **DIGEST, **settings})) as client:
                    await job(client)
                nursery.cancel_scope.cancel()

    trio.run(main)
    return documents


# --- many tasks


@pytest.mark.parametrize("uses", ["parallel", "ordered", "once"])
def test_many_tasks_share_a_connection_file_and_are_asked_a_handful_of_times(uses: Any) -> None:
    origin = DigestOrigin(digest_verifier(uses))

    async def job(client: PatchClient) -> None:
        statuses: Counter[int] = Counter()

        async def change(number: int) -> None:
            for step in range(10):
                statuses[(await client.patch(f"/{number}/{step}", json={})).status] += 1

        async with trio.open_nursery() as nursery:
            for number in range(20):
                nursery.start_soon(change, number)
        assert statuses == {200: 200}

    against(origin, job, **DIGEST)
    assert len(origin.applied) == len(set(origin.applied)) == 200
    assert origin.refused <= (1 if uses == "parallel" else 40)


def test_a_wrong_password_is_sent_once_however_many_tasks_have_it() -> None:
    origin = DigestOrigin(digest_verifier())

    async def job(client: PatchClient) -> None:
        ends: Counter[str] = Counter()

        async def change(number: int) -> None:
            try:
                ends[str((await client.patch(f"/{number}", json={})).status)] += 1
            except CredentialsRejectedError as error:
                assert error.sent is Sent.NO
                ends["kept back"] += 1

        async with trio.open_nursery() as nursery:
            for number in range(20):
                nursery.start_soon(change, number)
        assert ends == {"401": 1, "kept back": 19}

    against(origin, job, **{**DIGEST, "password": "literal:wrong"})
    assert (origin.with_credentials, origin.applied) == (1, [])


def test_a_password_that_is_changed_in_mid_run_is_tried_once_more_after_what_was_in_flight() -> None:
    right, other = digest_verifier(), digest_verifier()
    other._users = {"svc": Credentials("svc", "changed")}
    origin = DigestOrigin(right)

    async def job(client: PatchClient) -> None:
        assert (await client.patch("/0", json={})).status == 200
        origin.verifier = other
        tried = origin.with_credentials
        async with trio.open_nursery() as nursery:
            for number in range(20):
                nursery.start_soon(swallowed, client, number)
        # Those that were side by side before the first rejection came back, and one with a new nonce.
        assert origin.with_credentials - tried <= 8 + 1

    async def swallowed(client: PatchClient, number: int) -> None:
        with suppress(CredentialsRejectedError):
            assert (await client.patch(f"/x{number}", json={})).status == 401

    against(origin, job, **DIGEST)
    assert origin.applied == ["/0"]


WORSE: dict[str, tuple[dict[str, Any], Callable[[int], str]]] = {
    "Basic": (BASIC, lambda _: 'Basic realm="r"'),
    "a field of its own": ({"headers": {"Authorization": "literal:Bearer x"}}, lambda _: "Bearer"),
    "Digest that is always stale": (DIGEST, lambda n: f'Digest realm="r", nonce="{n}", qop=auth, stale=true'),
    "Digest of ever new realms": (DIGEST, lambda n: f'Digest realm="{n}", nonce="{n}", qop=auth'),
}


@pytest.mark.parametrize("case", WORSE)
def test_credentials_that_are_rejected_in_mid_run_are_sent_by_no_more_than_were_side_by_side(case: str) -> None:
    settings, challenge = WORSE[case]
    tried = 0

    def answer(*_: object) -> bytes:
        nonlocal tried
        if "authorization" not in origin.fields[-1]:
            return status(401, f"WWW-Authenticate: {challenge(len(origin.seen))}")
        tried += 1
        return OK if tried <= 3 else status(401, f"WWW-Authenticate: {challenge(len(origin.seen))}")

    origin = Origins(answer)

    async def job(client: PatchClient) -> None:
        ends: Counter[str] = Counter()

        async def change(number: int) -> None:
            try:
                ends[str((await client.patch(f"/{number}", json={})).status)] += 1
            except CredentialsRejectedError:
                ends["kept back"] += 1

        for number in range(3):
            await change(number)
        async with trio.open_nursery() as nursery:
            for number in range(200):
                nursery.start_soon(change, number)
        assert ends["200"] == 3
        assert ends["kept back"] > 150

    against(origin, job, **settings)
    assert tried - 3 <= 8 + 3


def test_a_nonce_that_ends_is_told_to_all_that_are_queued_with_it() -> None:
    ended = False

    def clock() -> float:
        nonlocal ended
        if len(origin.applied) == 300 and not ended:
            ended = True
            origin.verifier = digest_verifier()
            origin.verifier._nonces._key = b"another"
        return NOW

    origin = DigestOrigin(digest_verifier(), now=clock)

    async def job(client: PatchClient) -> None:
        async with trio.open_nursery() as nursery:
            for number in range(1000):
                nursery.start_soon(partial(client.patch, f"/{number}", json={}))

    against(origin, job, **DIGEST)
    assert len(origin.applied) == len(set(origin.applied)) == 1000
    assert origin.refused <= 20


def test_404s_before_any_authentication_let_no_more_credentials_out() -> None:
    def answer(method: str, target: str, body: bytes) -> bytes:
        return status(404) if target.startswith("/none") else status(401, "WWW-Authenticate: Basic")

    origin = Origins(answer)

    async def job(client: PatchClient) -> None:
        async def change(target: str) -> None:
            with suppress(CredentialsRejectedError):
                await client.patch(target, json={})

        for _ in range(40):
            await change("/none")
        async with trio.open_nursery() as nursery:
            for number in range(100):
                nursery.start_soon(change, f"/{number}")

    against(origin, job, **BASIC, preemptive=True)
    assert len(origin.seen) == 41


def test_whoever_waits_goes_on_when_who_is_waited_for_is_cancelled() -> None:
    verifier = digest_verifier()
    stuck = trio.Event()

    async def peer(stream: trio.SocketStream) -> None:
        origin = DigestOrigin(verifier)
        if not stuck.is_set():
            stuck.set()
            await trio.sleep_forever()
        await origin(stream)

    async def job(client: PatchClient) -> None:
        async with trio.open_nursery() as nursery:
            scope = trio.CancelScope()
            nursery.start_soon(cancelled_change, client, scope)
            await stuck.wait()
            done: list[int] = []

            async def change(number: int) -> None:
                done.append((await client.patch(f"/{number}", json={})).status)

            for number in range(5):
                nursery.start_soon(change, number)
            await trio.testing.wait_all_tasks_blocked(0.05)
            assert done == []
            scope.cancel()
        assert done == [200] * 5

    async def cancelled_change(client: PatchClient, scope: trio.CancelScope) -> None:
        with scope:
            await client.patch("/stuck", json={})

    against(peer, job, **DIGEST)


def test_cancelled_at_any_checkpoint_it_leaves_the_others_their_turn() -> None:
    async def main() -> None:
        origin = DigestOrigin(digest_verifier("ordered"))
        async with listening(origin) as place:
            settings = connection_from({"base_url": str(place), **DIGEST})

            async def work() -> None:
                async with PatchClient(settings) as client:

                    async def change(number: int) -> None:
                        await client.patch(f"/{number}", json={})

                    async with trio.open_nursery() as nursery:
                        for number in range(4):
                            nursery.start_soon(change, number)

            await cancelled_at_every_checkpoint(work)

    trio.run(main)


# --- what the server must prove


@pytest.mark.parametrize("qop", ["auth", "auth-int"])
def test_an_answer_without_its_proof_is_an_error_whose_outcome_is_unknown(qop: str) -> None:
    origin = DigestOrigin(digest_verifier(qops=(qop,)), lie=without_proof)

    async def job(client: PatchClient) -> None:
        with pytest.raises(UnprovenResponseError, match=r"answered with 200, but the server does not prove") as caught:
            await client.patch("/a", json={})
        assert caught.value.sent is Sent.MAYBE
        assert outcome_of(caught.value) is Outcome.UNKNOWN

    against(origin, job, **DIGEST)
    assert origin.applied == ["/a"]


def test_an_answer_whose_body_was_changed_on_its_way_is_not_believed() -> None:
    def forged(response: Response) -> Response:
        return Response(response.status, response.headers, b'{"forged": 1}')

    origin = DigestOrigin(digest_verifier(qops=("auth-int",)), lie=forged)

    async def job(client: PatchClient) -> None:
        with pytest.raises(UnprovenResponseError, match="it is wrong"):
            await client.patch("/a", json={})

    against(origin, job, **DIGEST)


# --- bodies


async def pieces() -> AsyncIterator[bytes]:
    yield b'{"n": '
    yield b"1}"


@pytest.mark.parametrize("qop", ["auth", "auth-int"])
def test_every_kind_of_body_goes_with_digest(tmp_path: Path, qop: str) -> None:
    (tmp_path / "change.json").write_bytes(b'{"n": 1}')

    async def job(client: PatchClient) -> None:
        bodies: list[dict[str, Any]] = [
            {"body": b'{"n": 1}'}, {"file": tmp_path / "change.json"}, {"body": pieces},
            *([{"body": pieces()}] if qop == "auth" else []),
        ]  # fmt: skip
        for number, body in enumerate(bodies):
            assert (await client.patch(f"/{number}", media_type=MERGE, **body)).status == 200
        for number, body in enumerate(bodies[:3]):
            assert (await client.patch(f"/{number + 10}", media_type=MERGE, **body)).status == 200

    documents = against_server(digest_verifier(qops=(qop,), lifetime=1e12), job)
    changed = [number for number in range(40) if documents[f"/{number}"].body != b"{}"]
    assert changed == [*range(4 if qop == "auth" else 3), 10, 11, 12]
    assert {documents[f"/{number}"].body for number in changed} == {b'{"n":1}'}


@pytest.mark.parametrize("settings", [DIGEST, BASIC])
def test_a_stream_that_was_read_before_the_challenge_ends_rejected_with_the_remedy_and_goes_out_once(
    settings: dict[str, Any],
) -> None:
    bodies: list[bytes] = []
    challenge = 'WWW-Authenticate: Digest realm="r", nonce="n", qop=auth, Basic realm="r"'

    async def peer(stream: trio.SocketStream) -> None:
        buffer = b""
        while b"0\r\n\r\n" not in buffer:  # it knows nothing of Expect
            buffer += await stream.receive_some()
        bodies.append(buffer.partition(b"\r\n\r\n")[2])
        await stream.send_all(status(401, challenge))

    async def job(client: PatchClient) -> None:
        response = await client.patch("/a", body=pieces(), media_type=MERGE)
        assert outcome_of(response) is Outcome.REJECTED
        assert (response.status, response.error) == (
            401,
            "the server wants other credentials after it has read the body, which came from a stream and cannot be"
            " read again; send it with preemptive credentials, or give it as bytes or a file",
        )

    against(peer, job, **settings)
    assert bodies == [b'6\r\n{"n": \r\n2\r\n1}\r\n0\r\n\r\n']


async def chunked(stream: trio.SocketStream) -> None:
    buffer = b""
    while data := await stream.receive_some():
        buffer += data
        if buffer.endswith(b"0\r\n\r\n"):
            await stream.send_all(OK)


def test_a_body_that_was_spent_before_is_refused() -> None:
    async def job(client: PatchClient) -> None:
        body = IterableBody(pieces())
        request = request_to("PATCH", f"{client.settings.origin}/a")
        assert (await client.send(request, body)).status == 200
        with pytest.raises(LocalProtocolError, match="a second time, and it came from a stream"):
            await client.send(request, body)

    against(chunked, job)


# --- redirects


def moved(code: int, to: str) -> bytes:
    return status(code, f"Location: {to}")


@pytest.mark.parametrize("code", [307, 308])
def test_a_redirect_within_the_origin_is_followed_with_method_and_body(code: int) -> None:
    origin = Origins(lambda _, target, __: OK if target == "/new" else moved(code, "/new"))

    async def job(client: PatchClient) -> None:
        assert (await client.patch("/old", json={"n": 1})).status == 200

    against(origin, job)
    assert origin.seen == [("PATCH", "/old", b'{"n":1}'), ("PATCH", "/new", b'{"n":1}')]


@pytest.mark.parametrize("code", [301, 302, 303])
def test_what_may_turn_into_a_get_is_not_followed(code: int) -> None:
    origin = Origins(lambda *_: moved(code, "/new"))

    async def job(client: PatchClient) -> None:
        response = await client.patch("/old", json={})
        assert response.status == code
        assert code == 303 or "is not followed (redirects.follow)" in (response.error or "")
        assert outcome_of(response) is (Outcome.UNKNOWN if code == 303 else Outcome.REJECTED)

    against(origin, job)
    assert len(origin.seen) == 1


def test_a_ring_of_redirects_comes_to_an_end() -> None:
    origin = Origins(lambda *_: moved(307, "/a"))

    async def job(client: PatchClient) -> None:
        response = await client.patch("/a", json={})
        assert response.error == "redirected more than 5 times (redirects.limit)"

    against(origin, job)
    assert len(origin.seen) == 6


@pytest.mark.parametrize("allowed", [True, False])
@pytest.mark.parametrize("scheme", [DIGEST, {**DIGEST, "preemptive": True}, {**BASIC, "preemptive": True}])
def test_another_origin_never_gets_credentials_and_is_asked_only_if_that_is_allowed(
    scheme: dict[str, Any], allowed: bool
) -> None:
    other = Origins(lambda *_: OK)

    async def main() -> None:
        with trio.fail_after(20):
            async with listening(other) as there:
                first = DigestOrigin(
                    digest_verifier(), lambda _: Response(307, ((b"Location", f"{there}/x".encode()),))
                )
                basic = Origins(lambda *_: moved(307, f"{there}/x"))
                async with listening(first if scheme["authentication"] == "digest" else basic) as here:
                    settings = connection_from(
                        {"base_url": str(here), **scheme, "redirects": {"other_origins": allowed},
                         "headers": {"X-Key": "literal:canary", "Cookie": "literal:canary", "X-Open": "1"}}
                    )  # fmt: skip
                    async with PatchClient(settings) as client:
                        response = await client.patch("/a", json={"n": 1})
        if allowed:
            assert response.status == 200
        else:
            assert response.error == f"307 to another origin, {there}/x, is not followed (redirects.other_origins)"

    trio.run(main)
    assert len(other.seen) == allowed
    for fields in other.fields:
        assert fields["x-open"] == "1"
        assert not {"authorization", "x-key", "cookie"} & set(fields)
        assert "canary" not in repr(fields)


def test_another_origin_that_asks_for_credentials_gets_none() -> None:
    other = Origins(lambda *_: status(401, "WWW-Authenticate: Basic realm=r, Digest realm=r, nonce=n, qop=auth"))

    async def main() -> None:
        async with listening(other) as there, listening(Origins(lambda *_: moved(308, f"{there}/x"))) as here:
            redirects = {"other_origins": True}
            settings = connection_from({"base_url": str(here), **DIGEST, "redirects": redirects})
            async with PatchClient(settings) as client:
                assert (await client.patch("/a", json={})).status == 401

    trio.run(main)
    assert [fields.get("authorization") for fields in other.fields] == [None]


def test_a_field_that_is_a_secret_whoever_wrote_it_goes_to_no_other_origin() -> None:
    other = Origins(lambda *_: OK)

    async def main() -> None:
        async with listening(other) as there, listening(Origins(lambda *_: moved(307, f"{there}/x"))) as here:
            settings = connection_from({"base_url": str(here), "redirects": {"other_origins": True}})
            async with PatchClient(settings) as client:
                fields = {"X-Api-Key": "canary", "Cookie": "canary", "X-Open": "1"}
                await client.patch("/a", json={}, headers=fields)

    trio.run(main)
    assert [fields.get("x-open") for fields in other.fields] == ["1"]
    assert "canary" not in repr(other.fields)


def test_no_other_origin_chooses_where_the_credentials_go() -> None:
    places: list[Origin] = []
    home = Origins(lambda _, target, __: moved(307, f"{places[1]}/x") if target == "/a" else OK)
    other = Origins(lambda *_: moved(307, f"{places[0]}/admin"))

    async def main() -> None:
        with trio.fail_after(20):
            async with listening(home) as here, listening(other) as there:
                places.extend((here, there))
                settings = connection_from(
                    {"base_url": str(here), **BASIC, "preemptive": True, "redirects": {"other_origins": True}}
                )
                async with PatchClient(settings) as client:
                    response = await client.patch("/a", json={})
        assert response.error == "307 is not followed: it leads back from another origin"

    trio.run(main)
    assert [target for _, target, _ in home.seen] == ["/a"]


def test_another_origin_that_cannot_be_reached_is_an_error_that_nothing_was_sent_there() -> None:
    async def job(client: PatchClient) -> None:
        with pytest.raises(PatchwireError, match="refused") as caught:
            await client.patch("/a", json={})
        assert caught.value.sent is Sent.NO

    against(Origins(lambda *_: moved(307, "http://127.0.0.1:1/x")), job, redirects={"other_origins": True})


def test_a_stream_that_has_gone_is_not_sent_to_where_it_is_redirected() -> None:
    async def peer(stream: trio.SocketStream) -> None:
        buffer = b""
        while b"0\r\n\r\n" not in buffer:
            buffer += await stream.receive_some()
        await stream.send_all(moved(307, "/new"))

    async def job(client: PatchClient) -> None:
        response = await client.patch("/a", body=pieces(), media_type=MERGE)
        assert response.error == "307 is not followed: the body came from a stream and has gone"

    against(peer, job)


# --- the log


def test_the_log_tells_the_story_of_an_authentication_and_no_proof() -> None:
    origin = DigestOrigin(digest_verifier(), lambda _: Response(307, ((b"Location", b"/b"),)))
    lines: list[str] = []

    async def job(client: PatchClient) -> None:
        await client.patch("/a", json={})

    against(origin, job, lines, **DIGEST)
    story = [line.partition(" ")[2] for line in lines if " * " in line]
    assert story[0] == (
        "* the server offers Digest SHA-256, Digest MD5; chosen: Digest SHA-256 with qop auth, realm 'r', "
        "as the most preferred"
    )
    assert story[1].startswith("* 307: goes on to http://127.0.0.1:")
    text = "\n".join(lines)
    assert 'Authorization: Digest username="svc", realm="r", nonce="' in text
    assert "response=***, algorithm=SHA-256" in text
    assert "Authentication-Info: qop=auth, rspauth=***, cnonce=" in text
    assert "canary" not in text


def test_the_logger_of_the_wire_gets_the_same_lines(caplog: pytest.LogCaptureFixture) -> None:
    async def job(client: PatchClient) -> None:
        await client.patch("/a", json={})

    against(Origins(lambda *_: OK), job)
    assert caplog.messages == []
    with caplog.at_level(logging.DEBUG, "patchwire.wire"):
        against(Origins(lambda *_: OK), job)
    assert any(message.endswith("> PATCH /a HTTP/1.1") for message in caplog.messages)


# --- the driver itself

PATCH = request_to("PATCH", "http://h/a", body=b"{}")


class Waiting:
    """Waits until its generation changes, then sends."""

    generation = 0

    def flow(self, request: Request, body: Body = Body.IN_REQUEST) -> Flow:
        answer: Answer = None
        if request.target == b"/wait":
            yield Wait(self.generation)
        else:
            self.generation += 1
        answer = yield Send(request)
        assert isinstance(answer, Response)
        return FlowResult(answer)


def test_who_waits_is_resumed_when_the_generation_changes_and_not_before() -> None:
    async def main() -> None:
        performer = Performer(Waiting(), carries_credentials=False)
        sent: list[bytes] = []

        async def send(step: Send, may_go: MayGo) -> Reply:
            sent.append(step.request.target)
            await trio.lowlevel.checkpoint()
            return Reply(Response(200), Sent.YES, None, 1, 1, False)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(performer.perform, request_to("PATCH", "http://h/wait"), send)
            await trio.testing.wait_all_tasks_blocked()
            assert sent == []
            await performer.perform(PATCH, send)
        assert sent == [b"/a", b"/wait"]

    trio.run(main)


class Stepping:
    """Sends with credentials, waits for another to come by, and sends again."""

    generation = 0

    def flow(self, request: Request, body: Body = Body.IN_REQUEST) -> Flow:
        authorized = request.with_header(b"Authorization", b"Basic x")
        answer = yield Send(authorized)
        if request.target == b"/first":
            yield Wait(self.generation)
            answer = yield Send(authorized)
        self.generation += 1
        assert isinstance(answer, Response)
        return FlowResult(answer)


def test_who_waits_leaves_others_the_turn_of_credentials_that_nobody_has_accepted_yet() -> None:
    async def main() -> None:
        performer = Performer(Stepping(), carries_credentials=True)
        sent: list[bytes] = []

        async def send(step: Send, may_go: MayGo) -> Reply:
            await trio.lowlevel.checkpoint()
            sent.append(step.request.target)
            return Reply(Response(404), Sent.YES, None, 1, 1, False)

        with trio.fail_after(5):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(performer.perform, request_to("PATCH", "http://h/first"), send)
                await trio.testing.wait_all_tasks_blocked()
                nursery.start_soon(performer.perform, request_to("PATCH", "http://h/second"), send)
        assert sent == [b"/first", b"/second", b"/first"]

    trio.run(main)


def test_the_evidence_of_an_attempt_is_that_of_all_its_exchanges() -> None:
    async def main() -> Reply:
        authentication = BasicAuthentication(Credentials("u", "p"), Origin("http", "h", 80), preemptive=False)
        performer = Performer(authentication, carries_credentials=True, redirects=Redirects())
        answers = [
            Response(401, ((b"WWW-Authenticate", b"Basic"),)), Response(307, ((b"Location", b"/b"),)), Response(200),
        ]  # fmt: skip

        async def send(step: Send, may_go: MayGo) -> Reply:
            await trio.lowlevel.checkpoint()
            return Reply(answers.pop(0), Sent.YES, None, 10, 100, False)

        return (await performer.perform(PATCH, send))[0]

    reply = trio.run(main)
    assert (reply.bytes_sent, reply.bytes_received) == (30, 300)


def test_what_sending_raises_is_raised_and_lets_the_next_go() -> None:
    async def main() -> None:
        authentication = BasicAuthentication(Credentials("u", "p"), Origin("http", "h", 80), preemptive=True)
        performer = Performer(authentication, carries_credentials=True)

        async def fail(step: Send, may_go: MayGo) -> Reply:
            raise ConnectionLostError("broken", origin="http://h", sent=Sent.MAYBE)

        async def answer(step: Send, may_go: MayGo) -> Reply:
            return Reply(Response(200), Sent.YES, None, 1, 1, False)

        for _ in range(2):
            with pytest.raises(ConnectionLostError):
                await performer.perform(PATCH, fail)
        reply, result = await performer.perform(PATCH, answer)
        assert result == FlowResult(Response(200))
        assert reply.response == Response(200)

    trio.run(main)


# --- credentials that are loaded

HOME = Origin("http", "h", 80)
TEMPORARY = AwsCredentials("ASIA", "s", "t")


def signing(load: Callable[[], AwsCredentials]) -> Performer:
    authentication = AwsAuthentication(AwsSession(None, load, str(HOME)), HOME, Scope("r", "s"), now)
    return Performer(authentication, carries_credentials=True)


async def let_in(step: Send, may_go: MayGo) -> Reply | None:
    await trio.lowlevel.checkpoint()
    return Reply(Response(200), Sent.YES, None, 1, 1, False) if may_go() else None


def test_credentials_are_loaded_once_for_all_who_wait_and_in_a_thread() -> None:
    threads: list[bool] = []

    def load() -> AwsCredentials:
        threads.append(threading.current_thread() is threading.main_thread())
        return TEMPORARY

    async def main() -> None:
        performer = signing(load)
        with trio.fail_after(10):
            async with trio.open_nursery() as nursery:
                for _ in range(20):
                    nursery.start_soon(performer.perform, PATCH, let_in)

    trio.run(main)
    assert threads == [False]


def test_each_who_finds_no_credentials_is_told_why_and_nothing_is_sent() -> None:
    def load() -> AwsCredentials:
        raise CredentialsError("aws.profile: no such profile", origin="")

    async def main() -> None:
        performer, caught = signing(load), []

        async def perform() -> None:
            try:
                await performer.perform(PATCH, let_in)
            except CredentialsError as error:
                caught.append((str(error), error.sent))

        with trio.fail_after(10):
            async with trio.open_nursery() as nursery:
                for _ in range(3):
                    nursery.start_soon(perform)
        assert caught == [("aws.profile: no such profile", Sent.NO)] * 3

    trio.run(main)


def test_a_session_that_has_ended_sends_nothing_until_it_is_renewed_and_goes_on_then() -> None:
    expired = Response(403, ((b"x-amzn-ErrorType", b"ExpiredTokenException"),))
    kept, sent = [TEMPORARY], []

    async def judge(step: Send, may_go: MayGo) -> Reply | None:
        await trio.lowlevel.checkpoint()
        if not may_go():
            return None
        sent.append(step.request.header(b"x-amz-security-token"))
        answer = expired if sent[-1] == b"t" else Response(200)
        return Reply(answer, Sent.YES, None, 1, 1, False)

    async def main() -> None:
        performer = signing(lambda: kept[-1])
        for _ in range(2):
            with pytest.raises(CredentialsError, match=ENDED):
                await performer.perform(PATCH, judge)
        assert sent == [b"t"]
        kept.append(AwsCredentials("ASIA", "s", "renewed"))
        assert (await performer.perform(PATCH, judge))[1] == FlowResult(Response(200))
        assert sent == [b"t", b"renewed"]

    trio.run(main)


def test_who_is_cancelled_while_credentials_are_loaded_leaves_that_to_the_next() -> None:
    released = threading.Event()
    calls: list[int] = []

    def load() -> AwsCredentials:
        calls.append(len(calls))
        if calls == [0]:
            released.wait(20)
        return TEMPORARY

    async def main() -> None:
        performer, replies = signing(load), []

        async def perform() -> None:
            replies.append(await performer.perform(PATCH, let_in))

        with trio.fail_after(10):
            async with trio.open_nursery() as nursery:
                with trio.CancelScope() as first:
                    async with trio.open_nursery() as inner:
                        inner.start_soon(perform)
                        while not calls:
                            await trio.sleep(0.01)
                        nursery.start_soon(perform)
                        await trio.testing.wait_all_tasks_blocked()
                        first.cancel()
            released.set()
        assert (len(replies), len(calls)) == (1, 2)

    trio.run(main)


@pytest.mark.parametrize("case", ["rejected", "unsignable"])
def test_what_stops_a_redirect_is_raised_or_told_with_the_response_in_hand(case: str) -> None:
    onward = b"/b?X-Amz-Signature=x" if case == "unsignable" else b"/b"
    mismatch = Response(403, ((b"x-amzn-ErrorType", b"SignatureDoesNotMatch"),))

    async def send(step: Send, may_go: MayGo) -> Reply | None:
        await trio.lowlevel.checkpoint()
        if not may_go():
            return None
        answer = {b"/a": Response(307, ((b"Location", onward),)), b"/c": mismatch}[step.request.target]
        return Reply(answer, Sent.YES, None, 1, 1, False)

    async def main() -> None:
        session = AwsSession(TEMPORARY, None, str(HOME))
        authentication = AwsAuthentication(session, HOME, Scope("r", "s"), now)
        performer = Performer(authentication, carries_credentials=True, redirects=Redirects())
        if case == "unsignable":
            reply, _ = await performer.perform(PATCH, send)
            assert reply.response is not None
            assert reply.response.status == 307
            assert reply.response.error == (
                "the redirect is not followed: query: X-Amz-Signature is the signature's own: leave it out"
            )
            return
        await performer.perform(request_to("PATCH", "http://h/c"), send)
        with pytest.raises(CredentialsRejectedError):
            await performer.perform(PATCH, send)

    trio.run(main)
