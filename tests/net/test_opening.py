from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, cast

import pytest
import trio
from OpenSSL import SSL

from patchwire.errors import ConnectError, ConnectionLostError, HandshakeError, Sent
from patchwire.http.message import Origin, Request, request_to
from patchwire.net.connection import Connection, Reply
from patchwire.net.opening import open_connection
from patchwire.net.tls_stream import TlsStream
from patchwire.net.wire import TcpWire, Wire
from patchwire.settings.connection import ConnectionSettings
from patchwire.settings.tls import Material, TlsSettings
from patchwire.settings.written import Limits
from patchwire.tls.engine import server_engine
from tests.support.cancelling import cancelled_at_every_checkpoint, open_descriptors
from tests.support.certificates import Authority, Issued, self_signed
from tests.support.peer import Handler, RequestReader, listening, reset
from tests.support.reissued import reissued
from tests.support.tls import AUTHORITY, LOCALHOST, TRUSTING, serving_as, trusting

PAST, FUTURE = datetime(2020, 2, 3, 4, 5, 6, tzinfo=UTC), datetime(2090, 2, 3, 4, 5, 6, tzinfo=UTC)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
CLIENTS = Authority("clients")
TlsHandler = Callable[[TlsStream], Awaitable[None]]


@asynccontextmanager
async def raw(handler: Handler) -> AsyncIterator[Origin]:
    """A server that does on TCP what it is told, named as one of https."""
    async with listening(handler) as origin:
        yield Origin("https", "localhost", origin.port)


@asynccontextmanager
async def over_tls(handler: TlsHandler, context: SSL.Context | None = None) -> AsyncIterator[Origin]:
    """A server that speaks TLS and runs `handler` for each connection, from before its handshake on."""
    own = context or serving_as(LOCALHOST)

    async def handle(stream: trio.SocketStream) -> None:
        plain = socket.socket(fileno=stream.socket.detach())
        plain.setblocking(False)
        secured = TlsStream(TcpWire(plain), server_engine(own))
        try:
            await handler(secured)
        finally:
            secured.close()

    async with raw(handle) as origin:
        yield origin


def to(origin: Origin, tls: TlsSettings = TRUSTING, **limits: Any) -> ConnectionSettings:
    return ConnectionSettings(origin, b"", b"", tls=tls, limits=Limits(**limits))


def patch(origin: Origin, body: bytes = b"{}") -> Request:
    return request_to("PATCH", f"{origin}/x", body=body)


def tcp_of(connection: Connection) -> Wire:
    """What its TLS runs over."""
    return cast("TlsStream", connection._wire)._wire


async def answer(stream: TlsStream) -> None:
    """Answer each request."""
    requests = RequestReader(cast("trio.SocketStream", stream))
    while await requests.next():
        await stream.send_all(OK)


async def until_closed(stream: TlsStream) -> None:
    while await stream.receive_some():
        pass


def problem(server: Callable[[], Any], tls: TlsSettings = TRUSTING, **limits: Any) -> str:
    """What the HandshakeError says behind the origin's name."""

    async def main() -> str:
        async with server() as origin:
            with trio.fail_after(10), pytest.raises(HandshakeError) as caught:
                await open_connection(to(origin, tls, **limits))
        assert caught.value.sent is Sent.NO
        assert caught.value.origin == str(origin)
        before, _, told = str(caught.value).partition(f"cannot connect to {origin}: ")
        assert before == ""
        return told

    before = open_descriptors()
    told = trio.run(main)
    assert open_descriptors() == before
    return told


def showing(issued: Issued) -> Callable[[], Any]:
    return lambda: over_tls(until_closed, serving_as(issued))


def saying(data: bytes, then: Callable[[trio.SocketStream], None] | None = None) -> Callable[[], Any]:
    """A server that reads what comes first, says this, and closes."""

    async def handle(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        if data:
            await stream.send_all(data)
        if then is not None:
            then(stream)

    return lambda: raw(handle)


# --- what is no connection


def test_a_certificate_of_an_unknown_authority_is_told_with_the_remedy() -> None:
    told = problem(showing(Authority("unknown CA").issue("localhost")))
    assert told.startswith("its certificate, issued by 'CN=unknown CA', leads to no trusted root, and the server")
    told = problem(showing(self_signed("localhost")))
    assert told.startswith("its certificate, signed by itself, leads to no trusted root; add its CA")


def test_an_expired_certificate_is_told_with_the_date() -> None:
    told = problem(showing(AUTHORITY.issue("localhost", not_after=PAST)))
    assert told == "its certificate ended on 2020-02-03 04:05:06 UTC"


def test_a_certificate_of_the_future_is_told_with_the_date() -> None:
    told = problem(showing(AUTHORITY.issue("localhost", not_before=FUTURE)))
    assert told == "its certificate is not valid before 2090-02-03 04:05:06 UTC; see to this machine's clock"


def test_a_certificate_of_another_host_is_told_with_what_it_covers() -> None:
    told = problem(showing(AUTHORITY.issue("a.example", "*.b.example")))
    assert told == "its certificate does not cover 'localhost'; it covers a.example, *.b.example"


def test_a_certificate_for_clients_is_told_as_one() -> None:
    told = problem(showing(AUTHORITY.issue("localhost", client=True, server=False)))
    assert told == "its certificate is not for servers: its extended key usage allows clients"


def test_an_expired_intermediate_is_told_with_its_name_and_date() -> None:
    lower = Authority("lower", issuer=AUTHORITY)
    old = reissued(lower.certificate, AUTHORITY, not_before=datetime(2019, 1, 1, tzinfo=UTC), not_after=PAST)
    leaf = lower.issue("localhost")
    told = problem(showing(Issued(leaf.certificate, leaf.key, (old,))))
    assert told == "the certificate 'CN=lower' above its own ended on 2020-02-03 04:05:06 UTC"


def test_a_server_of_plain_http_is_told_as_one() -> None:
    told = problem(saying(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"))
    assert told == "the peer speaks plain HTTP on this port; name its TLS port, or write http://"


def test_a_server_of_something_else_is_told_as_speaking_no_tls() -> None:
    assert problem(saying(b"SSH-2.0-OpenSSH_9.2p1\r\n")) == "the peer does not speak TLS on this port"


def test_a_fin_in_the_handshake_is_told_as_such() -> None:
    assert problem(saying(b"")) == "the peer closed the connection in the TLS handshake"
    assert problem(saying(b"\x16\x03\x03\x00\x7a\x02")) == "the peer closed the connection in the TLS handshake"


def test_a_reset_in_the_handshake_is_told_as_such() -> None:
    assert problem(saying(b"", reset)) == "the TLS handshake broke: connection reset by peer"


def test_silence_ends_at_the_connect_timeout() -> None:
    async def silent(stream: trio.SocketStream) -> None:
        await trio.sleep_forever()

    told = problem(lambda: raw(silent), connect_timeout=0.2)
    assert told == "no TLS handshake within 0.2 seconds (limits.connect_timeout)"


def test_the_handshake_may_have_a_timeout_of_its_own() -> None:
    async def silent(stream: trio.SocketStream) -> None:
        await trio.sleep_forever()

    for connect_timeout in (0.05, 60.0):
        told = problem(lambda: raw(silent), connect_timeout=connect_timeout, tls_timeout=0.2)
        assert told == "no TLS handshake within 0.2 seconds (limits.tls_timeout)"


def test_a_server_that_trickles_its_handshake_ends_at_the_connect_timeout() -> None:
    async def trickling(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        for octet in b"\x16\x03\x03\x40\x00" + bytes(1000):
            await stream.send_all(bytes([octet]))
            await trio.sleep(0.01)

    told = problem(lambda: raw(trickling), connect_timeout=0.3)
    assert told == "no TLS handshake within 0.3 seconds (limits.connect_timeout)"


def test_a_server_of_another_version_is_told_as_such() -> None:
    context = serving_as(LOCALHOST)
    context.set_max_proto_version(SSL.TLS1_2_VERSION)
    told = problem(lambda: over_tls(until_closed, context), trusting(AUTHORITY.pem, minimum_version="1.3"))
    assert told == "the server speaks none of the TLS versions from tls.minimum_version on"


@pytest.mark.parametrize("foreign", [False, True])
def test_under_1_2_a_missing_or_foreign_client_certificate_is_no_connection(foreign: bool) -> None:
    context = serving_as(LOCALHOST, CLIENTS)
    context.set_max_proto_version(SSL.TLS1_2_VERSION)
    stranger = Authority("another authority").issue(client=True, server=False)
    material = Material("client.pem", stranger.combined_pem) if foreign else None
    told = problem(lambda: over_tls(until_closed, context), trusting(AUTHORITY.pem, client_certificate=material))
    assert "client certificate" in told


def test_the_server_learns_why_it_was_refused() -> None:
    faults: list[str] = []

    async def handle(stream: TlsStream) -> None:
        try:
            await stream.receive_some()
        except trio.BrokenResourceError as error:
            faults.append(str(error))
            raise

    async def main() -> None:
        async with over_tls(handle, serving_as(AUTHORITY.issue("localhost", not_after=PAST))) as origin:
            with pytest.raises(HandshakeError):
                await open_connection(to(origin))
            await trio.testing.wait_all_tasks_blocked(0.05)

    trio.run(main)
    assert len(faults) == 1
    assert "expired" in faults[0]


def test_a_refused_port_is_no_handshake_error() -> None:
    async def main() -> None:
        with pytest.raises(ConnectError) as caught:
            await open_connection(to(Origin("https", "127.0.0.1", 1)))
        assert not isinstance(caught.value, HandshakeError)

    trio.run(main)


# --- what a connection is


def on_connection(
    handler: TlsHandler,
    use: Callable[[Connection, Origin], Awaitable[None]],
    context: SSL.Context | None = None,
    tls: TlsSettings = TRUSTING,
) -> None:
    """Run `use` on a connection to a server that runs `handler`."""

    async def main() -> None:
        async with over_tls(handler, context) as origin:
            with trio.fail_after(20):
                connection = await open_connection(to(origin, tls))
                try:
                    await use(connection, origin)
                finally:
                    connection.close()

    before = open_descriptors()
    trio.run(main)
    assert open_descriptors() == before


def exchanged(handler: TlsHandler, request: Callable[[Origin], Request] = patch) -> tuple[Reply, bool]:
    """The reply, and whether the connection may be used again."""
    results: list[tuple[Reply, bool]] = []

    async def use(connection: Connection, origin: Origin) -> None:
        reply = await connection.exchange(request(origin))
        results.append((reply, connection.usable))

    on_connection(handler, use)
    return results[0]


def test_the_wire_log_begins_with_what_was_agreed_upon() -> None:
    lines: list[str] = []

    async def main() -> None:
        async with over_tls(answer) as origin:
            connection = await open_connection(to(origin), wire_log=lines.append)
            connection.close()
            assert f"= connected to {origin} (TLSv1.3 TLS_" in lines[0]

    trio.run(main)
    assert len(lines) == 1
    assert "'CN=localhost' until " in lines[0]
    assert "TCP from 127.0.0.1:" in lines[0]


def test_exchanges_follow_each_other_on_one_connection() -> None:
    async def use(connection: Connection, origin: Origin) -> None:
        for number in range(20):
            reply = await connection.exchange(patch(origin))
            assert reply.response is not None
            assert (reply.response.status, reply.response.body, reply.reused) == (200, b"hello", number > 0)

    on_connection(answer, use)


def test_a_long_body_arrives_whole() -> None:
    body = bytes(range(256)) * 16_384
    bodies: list[bytes] = []

    async def handle(stream: TlsStream) -> None:
        request = await RequestReader(cast("trio.SocketStream", stream)).next()
        assert request is not None
        bodies.append(request[2])
        await stream.send_all(OK)

    reply, usable = exchanged(handle, lambda origin: patch(origin, body))
    assert len(body) == 4 * 1024 * 1024
    assert bodies == [body]
    assert reply.response is not None
    assert (reply.response.status, reply.sent, reply.error) == (200, Sent.YES, None)
    assert reply.bytes_sent > len(body)
    assert usable


def test_a_long_response_arrives_whole() -> None:
    body = bytes(range(256)) * 16_384

    async def handle(stream: TlsStream) -> None:
        await RequestReader(cast("trio.SocketStream", stream)).next()
        await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        await until_closed(stream)

    reply, usable = exchanged(handle)
    assert reply.response is not None
    assert reply.response.body == body
    assert usable


def test_a_refusal_while_a_long_body_is_on_its_way_is_not_lost() -> None:
    async def handle(stream: TlsStream) -> None:
        await stream.receive_some()
        await stream.send_all(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    reply, usable = exchanged(handle, lambda origin: patch(origin, b"x" * 4_000_000))
    assert reply.response is not None
    assert reply.response.status == 413
    assert not usable


def test_a_body_held_for_100_continue_follows_it() -> None:
    seen: list[bytes] = []

    async def handle(stream: TlsStream) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            head += await stream.receive_some()
        seen.append(head.partition(b"\r\n\r\n")[2])
        await stream.send_all(b"HTTP/1.1 100 Continue\r\n\r\n")
        seen.append(await stream.receive_some())
        await stream.send_all(OK)
        await until_closed(stream)

    reply, usable = exchanged(handle, lambda origin: patch(origin, b"body").with_header(b"Expect", b"100-continue"))
    assert seen == [b"", b"body"]
    assert reply.response is not None
    assert reply.response.status == 200
    assert usable


@pytest.mark.parametrize("notified", [False, True])
def test_a_body_that_ends_with_the_connection_is_whole_only_behind_close_notify(notified: bool) -> None:
    async def handle(stream: TlsStream) -> None:
        await RequestReader(cast("trio.SocketStream", stream)).next()
        await stream.send_all(b"HTTP/1.1 200 OK\r\n\r\nhello")
        if not notified:
            stream._wire.close()

    reply, usable = exchanged(handle)
    assert reply.response is not None
    assert (reply.response.status, reply.response.body, reply.sent) == (200, b"hello", Sent.YES)
    assert not usable
    if notified:
        assert (reply.error, reply.response.error) == (None, None)
    else:
        assert isinstance(reply.error, ConnectionLostError)
        assert reply.response.error == str(reply.error)
        assert "without TLS close_notify" in str(reply.error)


def test_an_end_without_an_answer_may_have_been_sent() -> None:
    async def handle(stream: TlsStream) -> None:
        await RequestReader(cast("trio.SocketStream", stream)).next()

    reply, usable = exchanged(handle)
    assert (reply.response, reply.sent) == (None, Sent.MAYBE)
    assert not usable


def test_an_alert_behind_an_answered_request_is_no_refused_handshake() -> None:
    async def handle(stream: TlsStream) -> None:
        requests = RequestReader(cast("trio.SocketStream", stream))
        await requests.next()
        await stream.send_all(OK)
        await requests.next()
        stream._wire.put(b"\x17\x03\x03\x00\x13" + bytes(19))  # no key has encrypted this
        stream._wire.flush()

    async def use(connection: Connection, origin: Origin) -> None:
        assert (await connection.exchange(patch(origin))).error is None
        reply = await connection.exchange(patch(origin))
        assert (reply.response, reply.sent) == (None, Sent.MAYBE)
        assert isinstance(reply.error, ConnectionLostError)
        assert not connection.usable

    on_connection(handle, use)


def test_session_tickets_leave_an_idle_connection_fit() -> None:
    shaken: list[int] = []

    async def handle(stream: TlsStream) -> None:
        await stream.handshake()
        shaken.append(stream.taken)
        await answer(stream)

    async def use(connection: Connection, origin: Origin) -> None:
        while not shaken:
            await trio.testing.wait_all_tasks_blocked()
        await tcp_of(connection).wait_readable()  # the tickets
        assert connection.is_quiet()
        assert connection.is_quiet()
        assert (await connection.exchange(patch(origin))).error is None

    on_connection(handle, use)


@pytest.mark.parametrize("what", ["data", "close_notify", "damage", "fin", "reset"])
@pytest.mark.parametrize("used", [False, True])
def test_whatever_else_comes_makes_an_idle_connection_unfit(what: str, used: bool) -> None:
    go = trio.Event()

    async def handle(stream: TlsStream) -> None:
        await stream.handshake()
        if used:
            await RequestReader(cast("trio.SocketStream", stream)).next()
            await stream.send_all(OK)
        await go.wait()
        if what == "data":
            await stream.send_all(b"HTTP/1.1 408 Request Timeout\r\n\r\n")
        elif what == "close_notify":
            await stream.send_eof()
        elif what == "damage":
            stream._wire.put(b"\x17\x03\x03\x00\x13" + bytes(19))
            stream._wire.flush()
        elif what == "fin":
            stream._wire.close()
        else:
            plain = cast("TcpWire", stream._wire).socket
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
            stream._wire.close()
        await trio.sleep_forever()

    async def use(connection: Connection, origin: Origin) -> None:
        if used:
            assert (await connection.exchange(patch(origin))).error is None
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert connection.is_quiet()
        go.set()
        await trio.testing.wait_all_tasks_blocked(0.01)
        reply = await connection.exchange(patch(origin))
        assert (reply.response, reply.sent, reply.bytes_sent) == (None, Sent.NO, 0)
        assert reply.error is not None
        assert not connection.usable

    on_connection(handle, use)


# --- a server of TLS 1.3 that rejects our certificate once the request has left

REJECTED = {
    "missing": (None, "the server requires a client certificate; name one as tls.client_certificate"),
    "foreign": (
        Authority("another authority").issue(client=True, server=False),
        "the server does not know the CA of our client certificate",
    ),
}


@pytest.mark.parametrize("size", [2, 3_000_000])
@pytest.mark.parametrize("which", REJECTED)
@pytest.mark.parametrize("pause", [0.0, 0.05])
def test_a_rejected_certificate_is_a_handshake_error_and_nothing_was_sent(size: int, which: str, pause: float) -> None:
    issued, words = REJECTED[which]
    material = None if issued is None else Material("client.pem", issued.combined_pem)
    tls = trusting(AUTHORITY.pem, client_certificate=material)

    async def rejecting(stream: TlsStream) -> None:
        await trio.sleep(pause)
        with pytest.raises(trio.BrokenResourceError):
            await stream.receive_some()

    async def use(connection: Connection, origin: Origin) -> None:
        reply = await connection.exchange(patch(origin, b"x" * size))
        assert reply.response is None
        assert isinstance(reply.error, HandshakeError), reply.error
        assert str(reply.error) == f"{origin}: {words}"
        assert (reply.sent, reply.error.sent) == (Sent.NO, Sent.NO)
        assert not connection.usable

    for _ in range(10):
        on_connection(rejecting, use, serving_as(LOCALHOST, CLIENTS), tls)


def test_an_alert_that_has_come_before_the_request_is_a_handshake_error_too() -> None:
    async def rejecting(stream: TlsStream) -> None:
        with pytest.raises(trio.BrokenResourceError):
            await stream.receive_some()

    async def use(connection: Connection, origin: Origin) -> None:
        await tcp_of(connection).wait_readable()
        reply = await connection.exchange(patch(origin))
        assert isinstance(reply.error, HandshakeError)
        assert (reply.sent, reply.bytes_sent) == (Sent.NO, 0)

    on_connection(rejecting, use, serving_as(LOCALHOST, CLIENTS))


def test_the_right_client_certificate_opens_the_way() -> None:
    ada = CLIENTS.issue(client=True, server=False, common_name="ada")
    tls = trusting(AUTHORITY.pem, client_certificate=Material("client.p12", ada.pkcs12(None)))

    async def use(connection: Connection, origin: Origin) -> None:
        assert (await connection.exchange(patch(origin))).sent is Sent.YES

    on_connection(answer, use, serving_as(LOCALHOST, CLIENTS), tls)


# --- nothing is left behind


@pytest.mark.parametrize("size", [2, 400_000])
def test_cancellation_at_every_checkpoint_leaks_nothing(size: int) -> None:
    async def main() -> None:
        async with over_tls(answer) as origin:

            async def action() -> None:
                connection = await open_connection(to(origin))
                try:
                    reply = await connection.exchange(patch(origin, b"x" * size))
                    assert reply.sent is Sent.YES
                finally:
                    connection.close()

            assert await cancelled_at_every_checkpoint(action) > 5

    before = open_descriptors()
    trio.run(main)
    assert open_descriptors() == before


def test_a_thousand_connections_that_end_in_every_way_leak_nothing() -> None:
    ended = {"closed": 0, "cancelled": 0, "refused": 0, "dropped by the server": 0}

    async def silent(stream: trio.SocketStream) -> None:
        await trio.sleep_forever()

    async def main() -> None:
        async with over_tls(answer) as good, raw(silent) as dead, saying(b"")() as closing:

            async def one(number: int) -> None:
                if number % 4 == 0:
                    connection = await open_connection(to(good))
                    assert (await connection.exchange(patch(good))).sent is Sent.YES
                    connection.close()
                    ended["closed"] += 1
                elif number % 4 == 1:
                    with trio.move_on_after(0.02) as scope:
                        await open_connection(to(dead))
                    ended["cancelled"] += scope.cancelled_caught
                elif number % 4 == 2:
                    with pytest.raises(HandshakeError):
                        await open_connection(to(good, trusting(CLIENTS.pem)))
                    ended["refused"] += 1
                else:
                    with pytest.raises(HandshakeError):
                        await open_connection(to(closing))
                    ended["dropped by the server"] += 1

            for start in range(0, 1000, 50):
                async with trio.open_nursery() as nursery:
                    for number in range(start, start + 50):
                        nursery.start_soon(one, number)

    before = open_descriptors()
    trio.run(main)
    assert open_descriptors() == before
    assert ended == dict.fromkeys(ended, 250)
