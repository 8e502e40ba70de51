from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import cast

import pytest
import trio
from OpenSSL import SSL, crypto

from patchwire.errors import HandshakeError
from patchwire.http.message import Origin, request_to
from patchwire.net.connection import Connection
from patchwire.net.opening import open_connection
from patchwire.net.tls_stream import TlsStream, serving_stream
from patchwire.settings.connection import ConnectionSettings
from patchwire.settings.tls import Material, TlsSettings
from patchwire.settings.written import Limits
from tests.support.certificates import Authority
from tests.support.peer import RequestReader, listening, reset
from tests.support.tls import AUTHORITY, LOCALHOST, TRUSTING, over_tls, serving_as, trusting

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
CLIENTS = Authority("clients")
ADA = CLIENTS.issue(client=True, server=False, common_name="ada")
WITH_ADA = trusting(AUTHORITY.pem, client_certificate=Material("ada.pem", ADA.combined_pem))
VERSIONS = {"1.2": SSL.TLS1_2_VERSION, "1.3": SSL.TLS1_3_VERSION}
Meddler = Callable[[trio.SocketStream, int], Awaitable[None]]


async def answer(stream: trio.abc.Stream) -> None:
    """Answer each request."""
    requests = RequestReader(stream)
    while await requests.next():
        await stream.send_all(OK)


@asynccontextmanager
async def serving(context: SSL.Context, before: Meddler | None = None) -> AsyncIterator[Origin]:
    """A server of https; `before` sees each connection first, with its number."""
    handle, number = over_tls(answer, context), 0

    async def meddled(stream: trio.SocketStream) -> None:
        nonlocal number
        number += 1
        if before is not None:
            await before(stream, number)
        if stream.socket.fileno() >= 0:
            await handle(stream)

    async with listening(meddled) as origin:
        yield Origin("https", "localhost", origin.port)


async def connected(origin: Origin, tls: TlsSettings = TRUSTING, within: float = 10.0) -> Connection:
    return await open_connection(ConnectionSettings(origin, b"", b"", tls=tls, limits=Limits(connect_timeout=within)))


async def exchanged(connection: Connection, origin: Origin) -> bool:
    """One exchange, and the end of the connection; whether it had resumed a session."""
    reply = await connection.exchange(request_to("PATCH", f"{origin}/x", body=b"{}"))
    assert reply.response is not None
    assert reply.response.status == 200
    connection.close()
    return " resumed" in cast("TlsStream", connection._wire).engine.describe()


def limited(context: SSL.Context, version: str) -> SSL.Context:
    context.set_min_proto_version(VERSIONS[version])
    context.set_max_proto_version(VERSIONS[version])
    return context


@pytest.mark.parametrize("version", VERSIONS)
def test_a_connection_resumes_the_session_of_the_one_before(version: str) -> None:
    async def main() -> None:
        async with serving(limited(serving_as(LOCALHOST), version)) as origin:
            assert [await exchanged(await connected(origin), origin) for _ in range(3)] == [False, True, True]

    trio.run(main)


def choking() -> SSL.Context:
    """A server that was set up wrong, as some are: it breaks off when a session with a client certificate is resumed.

    OpenSSL does where no session id context was set.
    """
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.use_certificate(LOCALHOST.certificate)
    context.use_privatekey(LOCALHOST.key)
    store = context.get_cert_store()
    assert store is not None
    store.add_cert(crypto.X509.from_cryptography(CLIENTS.certificate))
    context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, lambda *arguments: bool(arguments[4]))
    return context


def end(stream: trio.SocketStream) -> None:
    stream.socket.close()


@pytest.mark.parametrize("version", VERSIONS)
def test_a_server_that_chokes_on_a_session_is_asked_again_without(version: str) -> None:
    async def main() -> None:
        async with serving(limited(choking(), version)) as origin:
            for _ in range(3):
                assert not await exchanged(await connected(origin, WITH_ADA), origin)

    trio.run(main)


@pytest.mark.parametrize("breaks", [end, reset])
def test_one_that_hangs_up_on_it_is_asked_again_without(
    breaks: Callable[[trio.SocketStream], None],
) -> None:
    seen: list[int] = []

    async def main() -> None:
        async def before(stream: trio.SocketStream, number: int) -> None:
            seen.append(number)
            if number == 2:
                breaks(stream)

        async with serving(serving_as(LOCALHOST), before) as origin:
            assert not await exchanged(await connected(origin), origin)
            assert not await exchanged(await connected(origin), origin)
            assert await exchanged(await connected(origin), origin)

    trio.run(main)
    assert seen == [1, 2, 3, 4]


def test_a_peer_that_hangs_up_with_no_session_offered_is_asked_once() -> None:
    seen: list[int] = []

    async def main() -> None:
        async def before(stream: trio.SocketStream, number: int) -> None:
            seen.append(number)
            await stream.aclose()

        async with serving(serving_as(LOCALHOST), before) as origin:
            with pytest.raises(HandshakeError, match="the peer closed the connection in the TLS handshake|broke"):
                await connected(origin)

    trio.run(main)
    assert seen == [1]


def test_all_of_it_is_within_the_connect_timeout() -> None:
    async def main() -> None:
        async def before(stream: trio.SocketStream, number: int) -> None:
            if number == 2:
                await stream.aclose()
            elif number == 3:
                await trio.sleep_forever()

        async with serving(serving_as(LOCALHOST), before) as origin:
            assert not await exchanged(await connected(origin), origin)
            with pytest.raises(HandshakeError, match="no TLS handshake within 0.5 seconds"):
                await connected(origin, within=0.5)
            assert not await exchanged(await connected(origin), origin)

    trio.run(main)


def test_a_server_that_is_silent_on_a_session_is_not_offered_another() -> None:
    async def main() -> None:
        async def before(stream: trio.SocketStream, number: int) -> None:
            if number == 2:
                await trio.sleep_forever()

        async with serving(limited(serving_as(LOCALHOST), "1.2"), before) as origin:
            assert not await exchanged(await connected(origin), origin)
            with pytest.raises(HandshakeError, match="no TLS handshake within"):
                await connected(origin, within=0.5)
            assert not await exchanged(await connected(origin), origin)

    trio.run(main)


def test_a_whole_handshake_with_a_wrong_certificate_is_not_tried_twice() -> None:
    seen: list[int] = []

    async def main() -> None:
        stranger = serving_as(Authority("stranger").issue("localhost"))
        contexts = [serving_as(LOCALHOST), stranger, stranger]

        async def handle(stream: trio.SocketStream) -> None:
            seen.append(len(seen) + 1)
            async with serving_stream(stream, contexts[len(seen) - 1]) as encrypted:
                await answer(encrypted)

        async with listening(handle) as plain:
            origin = Origin("https", "localhost", plain.port)
            assert not await exchanged(await connected(origin), origin)
            with pytest.raises(HandshakeError, match="leads to no trusted root"):
                await connected(origin)

    trio.run(main)
    assert seen == [1, 2]
