from __future__ import annotations

import socket
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest
import trio
import trio.testing

from patchwire.delivery.outcome import Outcome, outcome_of
from patchwire.errors import (
    ConnectionLostError,
    HandshakeError,
    IncompleteResponseError,
    LocalProtocolError,
    PatchwireError,
    ReadTimeoutError,
    RemoteProtocolError,
    Sent,
    TlsError,
)
from patchwire.http.exchange import DEFAULT_LIMITS, Limits
from patchwire.http.message import Origin, Request, request_to
from patchwire.net.body import IterableBody
from patchwire.net.connection import Connection, Reply
from patchwire.net.deadlines import Deadlines
from patchwire.net.dial import dial
from patchwire.net.patience import NEVER, Timeouts
from patchwire.net.wire import TcpWire, Wire
from patchwire.net.wire_log import field_lines
from tests.support.cancelling import cancelled_at_every_checkpoint, open_descriptors
from tests.support.peer import RequestReader, listening, reset, socket_pair

ORIGIN = Origin("http", "example.com", 80)
PATCH = request_to("PATCH", "http://example.com/x", body=b"{}")
PATCH_OF_NONE = request_to("PATCH", "http://example.com/x")
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
Peer = Callable[[trio.SocketStream], Awaitable[None]]


def connection_on(
    transport: socket.socket | Wire,
    *,
    read_timeout: float = 5.0,
    limits: Limits = DEFAULT_LIMITS,
    response_timeout: float = NEVER,
    whole: float = NEVER,
    **timeouts: float,
) -> Connection:
    wire = TcpWire(transport) if isinstance(transport, socket.socket) else transport
    return Connection(wire, ORIGIN, limits, Timeouts(read_timeout, response_timeout, request=whole, **timeouts))


def answered(*pieces: bytes, then: Callable[[trio.SocketStream], None] | None = None) -> Peer:
    async def peer(stream: trio.SocketStream) -> None:
        await RequestReader(stream).next()
        for piece in pieces:
            await stream.send_all(piece)
            await trio.testing.wait_all_tasks_blocked()
        if then is not None:
            then(stream)

    return peer


def exchange_with(
    peer: Peer, request: Request = PATCH, *, clock: trio.abc.Clock | None = None, **options: Any
) -> tuple[Reply, bool]:
    """The reply, and whether the connection may be used again."""

    async def main() -> tuple[Reply, bool]:
        ours, theirs = socket_pair()
        connection = connection_on(ours, **options)
        deadlines = Deadlines(options.get("read_timeout", 5.0))
        deadlines.add(connection)
        async with theirs, trio.open_nursery() as nursery:
            nursery.start_soon(deadlines.watch)
            nursery.start_soon(peer, theirs)
            reply = await connection.exchange(request)
            usable = connection.usable
            connection.close()
            nursery.cancel_scope.cancel()
        return reply, usable

    return trio.run(main, clock=clock)


def test_a_response_in_pieces_is_put_together_and_the_connection_stays_open() -> None:
    reply, usable = exchange_with(answered(OK[:10], OK[10:-1], OK[-1:]))
    assert reply.response is not None
    assert (reply.response.status, reply.response.body) == (200, b"hello")
    assert (reply.sent, reply.error, reply.bytes_received) == (Sent.YES, None, len(OK))
    assert usable


def test_a_response_that_closes_ends_the_connection() -> None:
    reply, usable = exchange_with(answered(OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")))
    assert reply.response is not None
    assert reply.error is None
    assert not usable


def test_surplus_bytes_end_the_connection() -> None:
    _, usable = exchange_with(answered(OK + OK))
    assert not usable


def test_a_fin_before_an_answer_may_have_been_sent() -> None:
    reply, usable = exchange_with(answered(then=lambda stream: stream.socket.close()))
    assert reply.response is None
    assert reply.sent is Sent.MAYBE
    assert isinstance(reply.error, IncompleteResponseError)
    assert not usable


def test_a_reset_before_an_answer_may_have_been_sent() -> None:
    async def main() -> Reply:
        async def peer(stream: trio.SocketStream) -> None:
            await RequestReader(stream).next()
            reset(stream)

        async with listening(peer) as origin:
            connection = connection_on(await dial(origin, 5.0))
            return await connection.exchange(PATCH)

    reply = trio.run(main)
    assert reply.response is None
    assert reply.sent is Sent.MAYBE
    assert isinstance(reply.error, ConnectionLostError)
    assert reply.error.sent is Sent.MAYBE


class BreaksOnSend(socket.socket):
    """Its peer goes away after it was found quiet and before anything is sent."""

    def send(self, data: object, flags: int = 0) -> int:
        raise BrokenPipeError(32, "Broken pipe")


def test_a_send_of_which_no_byte_was_taken_was_not_sent() -> None:
    async def main() -> Reply:
        ours, theirs = socket_pair()
        breaking = BreaksOnSend(fileno=ours.detach())
        breaking.setblocking(False)
        async with theirs:
            return await connection_on(breaking).exchange(PATCH)

    reply = trio.run(main)
    assert (reply.sent, reply.bytes_sent, reply.response) == (Sent.NO, 0, None)
    assert isinstance(reply.error, ConnectionLostError)
    assert "broken pipe" in str(reply.error)


class AnswersAndBreaks(TcpWire):
    """Its peer has answered and gone by the time the request is sent."""

    def __init__(self, sock: socket.socket, *answers: bytes | None) -> None:
        super().__init__(sock)
        self.answers = list(answers)

    def flush(self) -> bool:
        raise BrokenPipeError(32, "Broken pipe")

    def receive(self) -> bytes | None:
        return self.answers.pop(0)


@pytest.mark.parametrize(("answer", "status"), [(OK, 200), (OK[:10], None)])
def test_a_send_that_fails_behind_a_whole_answer_loses_nothing_of_it(answer: bytes, status: int | None) -> None:
    async def main() -> Reply:
        ours, theirs = socket_pair()
        wire = AnswersAndBreaks(ours, None, answer)
        async with theirs:
            return await Connection(wire, ORIGIN, DEFAULT_LIMITS, 5.0).exchange(PATCH)

    reply = trio.run(main)
    assert (reply.response.status if reply.response else None) == status
    assert (reply.error is None) == (status is not None)


class AnswersAndRefuses(TcpWire):
    """Gives its answers, then an alert with which a server refuses a handshake."""

    def __init__(self, sock: socket.socket, *answers: bytes | None) -> None:
        super().__init__(sock)
        self.answers = list(answers)

    async def wait_readable(self) -> None:
        await trio.lowlevel.checkpoint()

    def receive(self) -> bytes | None:
        if self.answers:
            return self.answers.pop(0)
        raise TlsError("the server does not know the CA of our client certificate", refuses_handshake=True)


@pytest.mark.parametrize(
    ("answers", "outcome", "kind"),
    [
        ([None], Outcome.NOT_SENT, HandshakeError),
        ([None, OK[:10]], Outcome.UNKNOWN, ConnectionLostError),
        ([None, OK, None], Outcome.UNKNOWN, ConnectionLostError),
    ],
    ids=["first", "within the first answer", "behind an earlier exchange"],
)
def test_an_alert_that_refuses_our_certificate_proves_nothing_once_something_was_let_through(
    answers: list[bytes | None], outcome: Outcome, kind: type[PatchwireError]
) -> None:
    async def main() -> Reply:
        ours, theirs = socket_pair()
        connection = connection_on(AnswersAndRefuses(ours, *answers))
        async with theirs:
            reply = await connection.exchange(PATCH)
            return reply if reply.response is None else await connection.exchange(PATCH)

    reply = trio.run(main)
    assert type(reply.error) is kind
    assert outcome_of(reply.error) is outcome
    assert reply.bytes_sent > 0
    assert str(reply.error) == f"{ORIGIN}: the server does not know the CA of our client certificate"


def test_a_silent_peer_is_given_up_after_the_read_timeout() -> None:
    reply, usable = exchange_with(answered(), read_timeout=0.05)
    assert isinstance(reply.error, ReadTimeoutError)
    assert (reply.sent, usable) == (Sent.MAYBE, False)
    assert "limits.read_timeout" in str(reply.error)


def test_a_body_that_stalls_keeps_its_head() -> None:
    reply, _ = exchange_with(answered(OK[:-1]), read_timeout=0.05)
    assert reply.response is not None
    assert (reply.response.status, reply.response.body, reply.sent) == (200, b"hell", Sent.YES)
    assert isinstance(reply.error, ReadTimeoutError)
    assert reply.response.error == str(reply.error)


def dripping(*pieces: bytes) -> Peer:
    """Answers with these pieces, each 50 seconds after the one before it, as long as somebody listens."""

    async def peer(stream: trio.SocketStream) -> None:
        await RequestReader(stream).next()
        with suppress(trio.BrokenResourceError):
            for piece in pieces:
                await trio.sleep(50.0)
                await stream.send_all(piece)
        await trio.sleep_forever()

    return peer


def in_no_time(peer: Peer, request: Request = PATCH, **options: Any) -> tuple[Reply, bool]:
    """The exchange with the timeouts that a connection has by default, on a clock that passes over all waiting."""
    clock = trio.testing.MockClock(autojump_threshold=0)
    return exchange_with(peer, request, clock=clock, **{"read_timeout": 60.0, "response_timeout": 300.0, **options})


OCTETS = [OK[at : at + 1] for at in range(len(OK))]
DRIPPED = "the response of http://example.com was not complete within 300 seconds (limits.response_timeout)"


def test_a_peer_that_drips_its_head_octet_by_octet_is_given_up_after_the_response_timeout() -> None:
    reply, usable = in_no_time(dripping(*OCTETS))
    assert isinstance(reply.error, ReadTimeoutError)
    assert str(reply.error) == DRIPPED
    assert (reply.response, reply.sent, usable) == (None, Sent.MAYBE, False)
    assert reply.bytes_received in (5, 6)  # of 50 seconds each


def test_a_peer_that_drips_its_body_has_answered_all_the_same() -> None:
    long = OK.replace(b"Length: 5", b"Length: 50")
    reply, usable = in_no_time(dripping(long, *OCTETS[:45]))
    assert reply.response is not None
    assert (reply.response.status, reply.response.body[:5], reply.sent, usable) == (200, b"hello", Sent.YES, False)
    assert reply.response.error == str(reply.error) == DRIPPED


def test_a_response_that_is_slow_and_complete_within_the_response_timeout_is_one() -> None:
    reply, usable = in_no_time(dripping(OK[:-5], *OCTETS[-5:-2], OK[-2:]))
    assert reply.response is not None
    assert (reply.response.body, reply.error, usable) == (b"hello", None, True)


def test_interim_responses_without_end_are_no_response() -> None:
    reply, _ = in_no_time(dripping(*[b"HTTP/1.1 103 Early Hints\r\n\r\n"] * 20))
    assert (str(reply.error), reply.response, reply.sent) == (DRIPPED, None, Sent.MAYBE)


def test_a_peer_that_drips_and_then_is_silent_is_given_up_for_its_silence() -> None:
    reply, _ = in_no_time(dripping(*OCTETS[:2]))
    assert "was silent for 60 seconds (limits.read_timeout)" in str(reply.error)


def test_a_long_request_that_is_taken_slowly_leaves_the_response_all_its_time() -> None:
    async def peer(stream: trio.SocketStream) -> None:
        began, taken = trio.current_time(), 0
        while taken < len(LONG.body):
            await trio.sleep(20.0)
            taken += len(await stream.receive_some(250_000))
        assert trio.current_time() - began > 300.0
        for piece in (OK[:5], OK[5:10], OK[10:20], OK[20:30], OK[30:]):
            await stream.send_all(piece)
            await trio.sleep(50.0)

    reply, usable = in_no_time(peer, LONG)
    assert reply.response is not None
    assert (reply.response.body, reply.error, usable) == (b"hello", None, True)


def test_a_response_that_does_not_begin_within_the_first_byte_timeout_is_none() -> None:
    reply, usable = in_no_time(answered(), first_byte=20.0)
    told = "the response of http://example.com did not begin within 20 seconds (limits.first_byte_timeout)"
    assert (str(reply.error), reply.response, reply.sent, usable) == (told, None, Sent.MAYBE, False)


def test_a_response_that_has_begun_within_the_first_byte_timeout_has_the_read_timeout_for_the_rest() -> None:
    async def peer(stream: trio.SocketStream) -> None:
        await RequestReader(stream).next()
        await trio.sleep(19.0)
        await stream.send_all(OK[:1])
        await trio.sleep(50.0)
        await stream.send_all(OK[1:])

    reply, usable = in_no_time(peer, first_byte=20.0)
    assert reply.response is not None
    assert (reply.response.status, reply.error, usable) == (200, None, True)


def test_the_first_byte_timeout_may_be_longer_than_that_of_later_silences() -> None:
    async def peer(stream: trio.SocketStream) -> None:
        await RequestReader(stream).next()
        await trio.sleep(100.0)
        await stream.send_all(OK[:-1])
        await trio.sleep_forever()

    reply, _ = in_no_time(peer, first_byte=200.0)
    assert reply.response is not None
    assert (reply.response.status, reply.sent) == (200, Sent.YES)
    assert "was silent for 60 seconds (limits.read_timeout)" in str(reply.error)


def test_the_first_byte_timeout_begins_when_the_whole_request_is_taken() -> None:
    async def peer(stream: trio.SocketStream) -> None:
        began, taken = trio.current_time(), 0
        while taken < len(LONG.body):
            await trio.sleep(20.0)
            taken += len(await stream.receive_some(250_000))
        assert trio.current_time() - began > 250.0  # of which the kernel has held the last octets for some
        await trio.sleep(4.0)
        await stream.send_all(OK)

    reply, usable = in_no_time(peer, LONG, first_byte=100.0)
    assert reply.response is not None
    assert (reply.response.status, reply.error, usable) == (200, None, True)


def test_the_first_byte_timeout_leaves_100_continue_its_own_time() -> None:
    async def peer(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        assert await stream.receive_some() == b"{}"  # which waits for 30 seconds
        await stream.send_all(OK)

    reply, _ = in_no_time(peer, EXPECTING, first_byte=5.0, limits=Limits(continue_timeout=30.0))
    assert reply.response is not None
    assert reply.response.status == 200


def test_a_peer_that_takes_nothing_of_a_request_is_given_up_after_the_write_timeout() -> None:
    reply, usable = in_no_time(silent, LONG, write=30.0)
    told = "http://example.com took nothing of the request within 30 seconds (limits.write_timeout)"
    assert (str(reply.error), reply.response, reply.sent, usable) == (told, None, Sent.MAYBE, False)
    assert 0 < reply.bytes_sent < len(LONG.body)


def test_interim_responses_do_not_make_up_for_a_body_that_is_not_taken() -> None:
    async def peer(stream: trio.SocketStream) -> None:
        with suppress(trio.BrokenResourceError):
            while True:
                await stream.send_all(b"HTTP/1.1 102 Processing\r\n\r\n")
                await trio.sleep(10.0)

    reply, _ = in_no_time(peer, LONG, write=30.0)
    assert "(limits.write_timeout)" in str(reply.error)
    reply, _ = in_no_time(peer, LONG)
    assert "(limits.response_timeout)" in str(reply.error)


def test_a_refusal_that_drips_while_the_body_is_not_taken_has_the_time_of_a_response() -> None:
    refusal = b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\n"

    async def peer(stream: trio.SocketStream) -> None:
        for piece in (refusal, b"n", b"o"):
            await stream.send_all(piece)
            await trio.sleep(50.0)

    reply, _ = in_no_time(peer, LONG, write=30.0)
    assert reply.response is not None
    assert (reply.response.status, reply.response.body, reply.error) == (413, b"no", None)


def test_the_request_timeout_bounds_all_of_an_exchange() -> None:
    told = "the exchange with http://example.com did not end within 100 seconds (limits.request_timeout)"
    reply, usable = in_no_time(dripping(*OCTETS), whole=100.0)
    assert (str(reply.error), reply.response, reply.sent, usable) == (told, None, Sent.MAYBE, False)
    reply, _ = in_no_time(dripping(OK[:-5], *OCTETS[-5:]), whole=100.0)
    assert reply.response is not None
    assert (reply.response.status, reply.response.error, reply.sent) == (200, told, Sent.YES)


def test_the_request_timeout_holds_while_a_body_is_still_coming() -> None:
    async def pieces() -> AsyncGenerator[bytes, None]:
        while True:
            yield b"x"
            await trio.sleep(45.0)

    async def main() -> Reply:
        ours, theirs = socket_pair()
        connection = connection_on(ours, whole=100.0)
        deadlines = Deadlines(5.0)
        deadlines.add(connection)
        async with theirs, trio.open_nursery() as nursery:
            nursery.start_soon(deadlines.watch)
            reply = await connection.exchange(PATCH_OF_NONE, IterableBody(pieces()))
            connection.close()
            nursery.cancel_scope.cancel()
        return reply

    reply = trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    assert "did not end within 100 seconds (limits.request_timeout)" in str(reply.error)
    assert reply.sent is Sent.MAYBE


def test_each_exchange_has_the_whole_request_timeout() -> None:
    async def main() -> list[Reply]:
        ours, theirs = socket_pair()
        connection = connection_on(ours, whole=100.0)
        deadlines = Deadlines(5.0)
        deadlines.add(connection)
        replies = []
        async with theirs, trio.open_nursery() as nursery:
            nursery.start_soon(deadlines.watch)

            async def peer() -> None:
                reader = RequestReader(theirs)
                while await reader.next():
                    await trio.sleep(4.0)
                    await theirs.send_all(OK)

            nursery.start_soon(peer)
            for _ in range(5):
                replies.append(await connection.exchange(PATCH))
                await trio.sleep(20.0)  # an idle connection is not held against it
            connection.close()
            nursery.cancel_scope.cancel()
        return replies

    replies = trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    assert [reply.error for reply in replies] == [None] * 5
    assert [reply.reused for reply in replies] == [False, True, True, True, True]


def test_a_malformed_head_is_no_response() -> None:
    reply, usable = exchange_with(answered(b"SSH-2.0-x\r\n\r\n"))
    assert reply.response is None
    assert reply.sent is Sent.MAYBE
    assert isinstance(reply.error, RemoteProtocolError)
    assert not usable


def test_a_request_that_cannot_go_on_the_wire_is_the_callers_fault_and_sends_nothing() -> None:
    async def main() -> None:
        ours, theirs = socket_pair()
        connection = connection_on(ours)
        with pytest.raises(LocalProtocolError):
            await connection.exchange(request_to("PATCH", "http://h/", [("Upgrade", "x")]))
        assert connection.usable
        connection.close()
        assert await theirs.receive_some() == b""
        await theirs.aclose()

    trio.run(main)


LONG = request_to("PATCH", "http://example.com/x", body=b"x" * 4_000_000)


def test_a_long_body_is_sent_to_its_end() -> None:
    received: list[tuple[str, str, bytes] | None] = []

    async def peer(stream: trio.SocketStream) -> None:
        received.append(await RequestReader(stream).next())
        await stream.send_all(OK)

    reply, usable = exchange_with(peer, LONG)
    assert received == [("PATCH", "/x", LONG.body)]
    assert reply.response is not None
    assert reply.bytes_sent > len(LONG.body)
    assert usable


@pytest.mark.parametrize("closes", [False, True])
def test_a_final_response_while_a_long_body_is_on_its_way_is_not_lost(closes: bool) -> None:
    async def peer(stream: trio.SocketStream) -> None:
        await stream.receive_some(1000)
        await stream.send_all(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno")
        if closes:
            await trio.testing.wait_all_tasks_blocked()
            await stream.aclose()

    reply, usable = exchange_with(peer, LONG)
    assert reply.response is not None
    assert (reply.response.status, reply.response.body) == (413, b"no")
    assert reply.bytes_sent < len(LONG.body)
    assert not usable


async def silent(stream: trio.SocketStream) -> None:
    await trio.sleep_forever()


def test_a_long_body_that_nobody_reads_is_given_up_after_the_read_timeout() -> None:
    reply, _ = exchange_with(silent, LONG, read_timeout=0.05)
    assert isinstance(reply.error, ReadTimeoutError)
    assert reply.sent is Sent.MAYBE


def test_a_reset_while_a_long_body_is_on_its_way_may_have_been_sent() -> None:
    async def peer(stream: trio.SocketStream) -> None:
        await stream.receive_some(1000)
        await stream.aclose()

    reply, _ = exchange_with(peer, LONG)
    assert reply.response is None
    assert reply.sent is Sent.MAYBE
    assert reply.error is not None


EXPECTING = PATCH.with_header(b"Expect", b"100-continue")


def test_a_body_held_for_100_continue_follows_it() -> None:
    async def peer(stream: trio.SocketStream) -> None:
        assert (await stream.receive_some()).endswith(b"\r\n\r\n")
        await stream.send_all(b"HTTP/1.1 100 Continue\r\n\r\n")
        assert await stream.receive_some() == b"{}"
        await stream.send_all(OK)

    reply, usable = exchange_with(peer, EXPECTING, limits=Limits(continue_timeout=60.0))
    assert reply.response is not None
    assert usable


def test_a_body_held_for_100_continue_goes_out_when_none_comes() -> None:
    async def peer(stream: trio.SocketStream) -> None:
        assert (await stream.receive_some()).endswith(b"\r\n\r\n")
        assert await stream.receive_some() == b"{}"
        await stream.send_all(OK)

    reply, usable = exchange_with(peer, EXPECTING, limits=Limits(continue_timeout=0.02))
    assert reply.response is not None
    assert usable


def test_a_refusal_in_place_of_100_continue_keeps_the_body_back() -> None:
    async def peer(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(b"HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n")
        assert await stream.receive_some() == b""

    reply, usable = exchange_with(peer, EXPECTING, limits=Limits(continue_timeout=60.0))
    assert reply.response is not None
    assert reply.response.status == 417
    assert not usable


@pytest.mark.parametrize("sent", [b"HTTP/1.1 408 Request Timeout\r\n\r\n", b"x", None])
def test_an_idle_connection_with_bytes_or_a_fin_is_unfit(sent: bytes | None) -> None:
    async def main() -> None:
        ours, theirs = socket_pair()
        connection = connection_on(ours)
        assert connection.is_quiet()
        if sent is None:
            await theirs.aclose()
        else:
            await theirs.send_all(sent)
        assert not connection.is_quiet()
        assert not connection.usable
        assert not connection.is_quiet()
        await theirs.aclose()

    trio.run(main)


def test_what_arrives_before_the_request_is_no_answer_and_nothing_is_sent() -> None:
    async def main() -> None:
        ours, theirs = socket_pair()
        connection = connection_on(ours)
        await theirs.send_all(OK)
        reply = await connection.exchange(PATCH)
        assert (reply.response, reply.sent, reply.bytes_sent) == (None, Sent.NO, 0)
        assert "spoke before it was asked" in str(reply.error)
        assert not connection.usable
        async with theirs:
            with suppress(trio.BrokenResourceError):  # closed with unread bytes, it says so with a reset
                assert await theirs.receive_some() == b""

    trio.run(main)


def test_a_second_exchange_is_marked_as_on_a_reused_connection() -> None:
    async def main() -> list[bool]:
        ours, theirs = socket_pair()
        connection = connection_on(ours)
        reused = []
        async with theirs, trio.open_nursery() as nursery:

            async def peer() -> None:
                reader = RequestReader(theirs)
                while await reader.next():
                    await theirs.send_all(OK)

            nursery.start_soon(peer)
            for _ in range(3):
                reused.append((await connection.exchange(PATCH)).reused)
            connection.close()
        return reused

    assert trio.run(main) == [False, True, True]


@pytest.mark.parametrize("request_", [PATCH, EXPECTING, LONG], ids=["short", "expecting", "long"])
def test_cancellation_at_every_checkpoint_closes_the_socket(request_: Request) -> None:
    async def main() -> None:
        async def peer(stream: trio.SocketStream) -> None:
            reader = RequestReader(stream)
            while await reader.next():
                await stream.send_all(OK[:9])
                await stream.send_all(OK[9:])

        async with listening(peer) as origin:
            connections: list[Connection] = []

            async def action() -> None:
                connection = connection_on(await dial(origin, 5.0), limits=Limits(continue_timeout=0.01))
                connections.append(connection)
                reply = await connection.exchange(request_)
                assert reply.response is not None
                connection.close()

            steps = await cancelled_at_every_checkpoint(action)
            assert steps >= 3
            assert len(connections) >= 2
            assert not any(connection.usable for connection in connections)

    before = open_descriptors()
    trio.run(main)
    assert open_descriptors() == before


def test_the_wire_log_shows_heads_without_secrets() -> None:
    async def main() -> list[str]:
        lines: list[str] = []
        ours, theirs = socket_pair()
        connection = Connection(
            TcpWire(ours), ORIGIN, Limits(), 5.0, wire_log=lines.append, secret_fields=frozenset({b"x-token"})
        )
        request = PATCH.with_header(b"Authorization", b"Basic canary").with_header(b"X-Token", b"canary")
        async with theirs, trio.open_nursery() as nursery:
            nursery.start_soon(
                answered(b"HTTP/1.1 103 Early\r\n\r\n" + OK.replace(b"200 OK", b"200 OK\r\nSet-Cookie: canary")),
                theirs,
            )
            await connection.exchange(request)
            connection.close()
        return lines

    lines = trio.run(main)
    text = "\n".join(lines)
    assert "PATCH /x HTTP/1.1" in text
    assert "103" in text
    assert "200 OK" in text
    assert text.count("***") == 3
    assert "canary" not in text


def test_what_a_peer_sends_cannot_steer_a_terminal() -> None:
    assert field_lines([(b"X", b"a\x9b31m\xe4\x1b[2J\x07")], frozenset()) == ["X: a\\x9b31m\\xe4\\x1b[2J\\x07"]


def test_a_dial_that_is_refused_says_so() -> None:
    async def main() -> None:
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            port = unused.getsockname()[1]
            with pytest.raises(Exception, match=f"cannot connect to http://127.0.0.1:{port}: connection refused"):
                await dial(Origin("http", "127.0.0.1", port), 5.0)

    trio.run(main)


def test_a_dial_to_a_name_that_does_not_resolve_says_so() -> None:
    async def main() -> None:
        with pytest.raises(Exception, match="cannot connect to http://nowhere.invalid: .*(name|known|resol)"):
            await dial(Origin("http", "nowhere.invalid", 80), 5.0)

    trio.run(main)


def test_a_dial_that_gets_no_answer_ends_at_the_connect_timeout() -> None:
    async def main() -> None:
        with socket.socket() as full:
            full.bind(("127.0.0.1", 0))
            full.listen(0)
            port = full.getsockname()[1]
            waiting = []
            with pytest.raises(Exception, match="limits.connect_timeout"):
                for _ in range(10):  # the accept queue is full after a few
                    waiting.append(await dial(Origin("http", "127.0.0.1", port), 0.1))
            for sock in waiting:
                sock.close()

    trio.run(main)
