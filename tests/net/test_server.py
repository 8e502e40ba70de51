from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
import trio

from patchwire.http.exchange import Limits
from patchwire.http.message import Request, Response, split_url
from patchwire.loopback.app import App, Change
from patchwire.loopback.documents import Document, document_of
from patchwire.net.connection import Connection
from patchwire.net.dial import dial
from patchwire.net.server import ServerLimits, serve

MERGE = "Content-Type: application/merge-patch+json\r\n"


class Served:
    """A server in this trio run, and what it has recorded and reported."""

    def __init__(self, url: str) -> None:
        self.origin, _ = split_url(url)
        self.url = url
        self.documents: dict[str, Document] = {"/a": document_of(b'{"n":1}')}
        self.recorded: list[bytes] = []
        self.errors: list[Exception] = []
        self.closing = trio.Event()
        self.ended = trio.Event()

    async def raw(self, *pieces: str | bytes, eof: bool = False) -> bytes:
        """All that comes back on a connection of its own until the server closes it."""
        received = b""
        async with await trio.open_tcp_stream(self.origin.host, self.origin.port) as stream:
            for piece in pieces:
                await stream.send_all(piece.encode("latin-1") if isinstance(piece, str) else piece)
                await trio.testing.wait_all_tasks_blocked(0.005)
            if eof:
                await stream.send_eof()
            while data := await stream.receive_some():
                received += data
        return received


def serving(
    job: Callable[[Served], Awaitable[None]],
    app: App | None = None,
    limits: ServerLimits = ServerLimits(linger_timeout=0.05),  # noqa: B008
    record: Callable[[bytes], None] | None = None,
) -> Served:
    async def main() -> Served:
        async with trio.open_nursery() as nursery:
            served = Served("http://127.0.0.1:1")

            async def run(task_status: trio.TaskStatus[str]) -> None:
                await serve(
                    app or App(),
                    served.documents,
                    now=lambda: 0.0,
                    record=record or served.recorded.append,
                    on_error=served.errors.append,
                    limits=limits,
                    closing=served.closing,
                    task_status=task_status,
                )
                served.ended.set()

            url = await nursery.start(run)
            served.origin, served.url = split_url(url)[0], url
            with trio.fail_after(20):
                await job(served)
            nursery.cancel_scope.cancel()
        return served

    return trio.run(main)


def answers(raw: bytes) -> list[int]:
    return [int(part[:3]) for part in raw.split(b"HTTP/1.1 ")[1:]]


def head(*fields: str, method: str = "PATCH", target: str = "/a") -> str:
    return f"{method} {target} HTTP/1.1\r\nHost: h\r\n" + "".join(f"{field}\r\n" for field in fields) + "\r\n"


def test_a_change_is_recorded_and_applied_before_its_answer_goes_out() -> None:
    async def job(served: Served) -> None:
        connection = Connection(await dial(served.origin, 5.0), served.origin, Limits(), 5.0)
        fields = ((b"Content-Type", b"application/merge-patch+json"),)
        for n in range(3):
            reply = await connection.exchange(Request("PATCH", served.origin, b"/a", fields, b'{"n": %d}' % n))
            assert reply.response is not None
            assert reply.response.status == 200
            assert reply.reused is (n > 0)
            assert served.documents["/a"].body == b'{"n":%d}' % n
            assert len(served.recorded) == n + 1
        connection.close()

    assert serving(job).errors == []


def test_pipelined_requests_are_answered_in_order() -> None:
    async def job(served: Served) -> None:
        raw = await served.raw(
            head(method="GET") + head(method="GET", target="/b") + head("Connection: close", method="GET")
        )
        assert answers(raw) == [200, 404, 200]

    serving(job)


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        ("nonsense\r\n\r\n", 400),
        ("PATCH /a HTTP/1.1\r\n\r\n", 400),
        ("PATCH /a HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n", 400),
        (head("Content-Length: 1", "Transfer-Encoding: chunked") + "0\r\n\r\n", 400),
        (head("Content-Length: x"), 400),
        (head("Transfer-Encoding: gzip"), 501),
        (head("Transfer-Encoding: chunked") + "zz\r\n", 400),
        (head("X: " + "a" * 100_000), 431),
        (head(target="/a|b"), 400),
        (head(target="*"), 405),
        (head(target="*", method="MKCOL"), 501),
        (head(method="patch"), 501),
        (head("Expect: something"), 417),
        (head("Content-Length: 2000") + "x" * 2000, 413),
        (head("Content-Length: 1001"), 413),
        (head("Content-Length: 1001", "Expect: 100-continue", MERGE.strip()), 413),
        (f"PATCH /a HTTP/1.0\r\n{MERGE}Transfer-Encoding: chunked\r\n\r\n2\r\n{{}}\r\n0\r\n\r\n", 400),
        (head("Transfer-Encoding: chunked") + "7d0\r\n" + "x" * 2000 + "\r\n0\r\n\r\n", 413),
    ],
)  # fmt: skip
def test_a_request_that_cannot_be_served_is_answered_and_the_connection_closed(request_: str, status: int) -> None:
    async def job(served: Served) -> None:
        raw = await served.raw(request_)
        assert answers(raw) == [status]
        assert b"connection: close" in raw.lower()
        assert answers(await served.raw(head("Connection: close", method="GET"))) == [200]

    served = serving(job, limits=ServerLimits(max_body=1000, linger_timeout=0.05))
    assert (served.errors, served.recorded) == ([], [])


def test_100_continue_is_sent_when_the_body_is_wanted() -> None:
    async def job(served: Served) -> None:
        raw = await served.raw(
            head("Expect: 100-continue", MERGE.strip(), "Content-Length: 8", "Connection: close"), '{"n": 5}'
        )
        assert answers(raw) == [100, 200]

    serving(job)


def test_a_refusal_that_needs_no_body_comes_in_place_of_100() -> None:
    async def job(served: Served) -> None:
        raw = await served.raw(head("Expect: 100-continue", "Content-Type: x/y", "Content-Length: 8"))
        assert answers(raw) == [415]

    serving(job)


@pytest.mark.parametrize("request_", ["", "PATCH /a HT", head("Content-Length: 5") + "{"])
def test_a_client_that_goes_away_is_no_error(request_: str) -> None:
    async def job(served: Served) -> None:
        assert answers(await served.raw(request_, eof=True)) in ([], [400])

    assert serving(job).errors == []


def test_a_slow_request_gets_408_and_an_idle_connection_is_closed_without_a_word() -> None:
    async def job(served: Served) -> None:
        assert answers(await served.raw("PATCH /a HT")) == [408]
        assert answers(await served.raw(head("Content-Length: 5"))) == [408]
        assert answers(await served.raw(head("Content-Length: 5") + "{")) == [408]
        assert await served.raw() == b""

    serving(job, limits=ServerLimits(request_timeout=0.05, linger_timeout=0.05))


class Failing(App, frozen=True):
    def handle(self, request: Request, documents: object, now: float) -> tuple[Response, Change | None]:
        raise RuntimeError("a bug")

    def refuse(self, request: Request, documents: object, now: float) -> Response | None:
        raise RuntimeError("a bug")


def test_a_failing_application_is_500_for_that_request_and_reported() -> None:
    async def job(served: Served) -> None:
        assert answers(await served.raw(head(method="GET") + head("Connection: close", method="GET"))) == [500, 500]
        assert answers(await served.raw(head("Expect: 100-continue", "Content-Length: 8"))) == [500]

    assert [str(error) for error in serving(job, Failing()).errors] == ["a bug"] * 3


def test_what_cannot_be_recorded_is_not_applied() -> None:
    def full(line: bytes) -> None:
        raise OSError(28, "No space left on device")

    async def job(served: Served) -> None:
        raw = await served.raw(head(MERGE.strip(), "Content-Length: 8", "Connection: close") + '{"n": 5}')
        assert answers(raw) == [500]
        assert served.documents["/a"].body == b'{"n":1}'

    assert len(serving(job, record=full).errors) == 1


def test_a_large_refused_body_does_not_destroy_the_refusal() -> None:
    async def job(served: Served) -> None:
        connection = Connection(await dial(served.origin, 5.0), served.origin, Limits(), 5.0)
        reply = await connection.exchange(Request("PATCH", served.origin, b"/a", (), b"x" * 900_000))
        assert reply.response is not None
        assert reply.response.status == 413

    serving(job, limits=ServerLimits(max_body=1000, linger_timeout=1.0))


# --- closing

BODY = '{"n": 5}'
ASKED = head(MERGE.strip(), f"Content-Length: {len(BODY)}") + BODY


async def all_of(stream: trio.SocketStream) -> bytes:
    received = b""
    while data := await stream.receive_some():
        received += data
    return received


def test_closing_answers_what_is_under_way_and_lets_go_of_what_is_idle() -> None:
    async def job(served: Served) -> None:
        async def connected(first: str) -> trio.SocketStream:
            stream = await trio.open_tcp_stream(served.origin.host, served.origin.port)
            await stream.send_all(first.encode())
            return stream

        new, idle, begun = await connected(""), await connected(ASKED), await connected(ASKED[:-3])
        assert answers(await idle.receive_some()) == [200]
        await trio.testing.wait_all_tasks_blocked(0.005)
        served.closing.set()
        await trio.testing.wait_all_tasks_blocked(0.005)
        with pytest.raises(OSError, match="failed"):
            await connected("")
        assert (await all_of(new), await all_of(idle)) == (b"", b"")
        assert not served.ended.is_set()
        await begun.send_all(ASKED[-3:].encode())
        answer = await all_of(begun)
        assert answers(answer) == [200]
        assert b"Connection: close\r\n" in answer
        for stream in (new, idle, begun):
            await stream.aclose()
        await served.ended.wait()
        assert len(served.recorded) == 2

    assert serving(job).errors == []


def test_closing_answers_a_request_that_was_on_its_way_to_an_idle_connection() -> None:
    async def job(served: Served) -> None:
        async with await trio.open_tcp_stream(served.origin.host, served.origin.port) as stream:
            for _ in range(2):
                await stream.send_all(ASKED.encode())
                answer = await stream.receive_some()
                assert answers(answer) == [200]
                await trio.testing.wait_all_tasks_blocked(0.005)
                served.closing.set()
                await trio.testing.wait_all_tasks_blocked()
            assert b"Connection: close\r\n" in answer
            assert await stream.receive_some() == b""
        await served.ended.wait()

    serving(job)


def test_closing_waits_for_nobody_longer_than_its_timeout() -> None:
    async def job(served: Served) -> None:
        async with await trio.open_tcp_stream(served.origin.host, served.origin.port) as stream:
            await stream.send_all(ASKED[:-3].encode())
            await trio.testing.wait_all_tasks_blocked(0.005)
            served.closing.set()
            await served.ended.wait()
            assert await all_of(stream) == b""

    limits = ServerLimits(closing_timeout=0.1, request_timeout=600.0, linger_timeout=600.0)
    assert serving(job, limits=limits).recorded == []
