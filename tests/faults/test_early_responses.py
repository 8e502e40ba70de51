"""Answers that come while a long body is on its way: they are what is reported, whatever the connection's end is."""

from __future__ import annotations

import socket
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import pytest
import trio

from patchwire import connection_from
from patchwire.net import PatchClient
from patchwire.net.tls_stream import TlsStream, serving_stream
from patchwire.net.wire import TcpWire
from tests.support.peer import RequestReader, listening
from tests.support.tls import AUTHORITY, LOCALHOST, serving_as

SIZE = 5_000_000
TYPE = "application/octet-stream"
RESET = b"\x01\x00\x00\x00\x00\x00\x00\x00"
Ending = Literal["closes", "resets", "stays", "says so and resets"]
ENDINGS: tuple[Ending, ...] = ("closes", "resets", "stays", "says so and resets")
DIGEST = 'Digest realm="r", qop="auth", algorithm=SHA-256, nonce="n"'
Handler = Callable[[trio.abc.Stream], Awaitable[None]]


def answer(status: str, *fields: str) -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", "Content-Length: 2", *fields, "", "no"]).encode()


def socket_of(stream: trio.abc.Stream) -> Any:
    if isinstance(stream, TlsStream):
        assert isinstance(stream._wire, TcpWire)
        return stream._wire.socket
    assert isinstance(stream, trio.SocketStream)
    return stream.socket


async def refuse(stream: trio.abc.Stream, response: bytes, ending: Ending, at_a_body: bytes = b"") -> None:
    """Read no more than the head and what came with it, answer, and end the connection so."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += await stream.receive_some(1000)
    await stream.send_all(at_a_body if at_a_body and b"Transfer-Encoding: chunked" in received else response)
    if ending == "stays":
        await trio.sleep_forever()
    if ending.endswith("resets"):
        await trio.testing.wait_all_tasks_blocked(0.005)  # else the reset takes the answer with it
        socket_of(stream).setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        socket_of(stream).close()


def against(
    handler: Handler, job: Callable[[PatchClient], Awaitable[None]], *, tls: bool = False, **settings: Any
) -> None:
    """Run the job with a client of a server that runs the handler for each connection."""

    async def encrypted(stream: trio.SocketStream) -> None:
        secured = serving_stream(stream, serving_as(LOCALHOST))
        try:
            await handler(secured)
        finally:
            if secured._wire.socket.fileno() >= 0:  # type: ignore[attr-defined]
                secured.close()

    async def main() -> None:
        async with listening(encrypted if tls else handler) as origin:
            data: dict[str, Any] = {"base_url": f"http://localhost:{origin.port}", **settings}
            if tls:
                data |= {
                    "base_url": f"https://localhost:{origin.port}",
                    "tls": {"trust": ["ca"], "system_roots": False},
                }
            with trio.fail_after(30):
                async with PatchClient(connection_from(data, files={"ca": AUTHORITY.pem})) as client:
                    await job(client)

    trio.run(main)


async def pieces() -> AsyncGenerator[bytes, None]:
    for _ in range(SIZE // 50_000):
        yield b"x" * 50_000


def bodies(kind: str, directory: Path) -> dict[str, Any]:
    """The arguments of a body of SIZE octets."""
    if kind == "file":
        (directory / "body").write_bytes(b"x" * SIZE)
        return {"file": directory / "body", "media_type": TYPE}
    return {"body": {"bytes": b"x" * SIZE, "stream": pieces(), "streams": pieces}[kind], "media_type": TYPE}


@pytest.mark.parametrize("tls", [False, True], ids=["TCP", "TLS"])
@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("kind", ["bytes", "stream", "streams", "file"])
@pytest.mark.parametrize("status", ["413 Content Too Large", "401 Unauthorized"])
def test_a_refusal_before_the_body_has_gone_is_reported(
    status: str, kind: str, ending: Ending, tls: bool, tmp_path: Path
) -> None:
    fields = ["Connection: close"] if ending == "says so and resets" else []

    async def peer(stream: trio.abc.Stream) -> None:
        await refuse(stream, answer(status, *fields), ending)

    async def job(client: PatchClient) -> None:
        response = await client.patch("/x", **bodies(kind, tmp_path))
        assert (f"{response.status} {response.reason.decode()}", response.body) == (status, b"no")
        assert (response.error is None) == status.startswith("413")  # the other one says that there are no credentials

    against(peer, job, tls=tls)


@pytest.mark.parametrize("tls", [False, True], ids=["TCP", "TLS"])
@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("kind", ["bytes", "stream", "streams", "file"])
def test_a_digest_challenge_before_the_body_has_gone_is_answered_on_another_connection(
    kind: str, ending: Ending, tls: bool, tmp_path: Path
) -> None:
    heard: list[tuple[str, int]] = []

    async def peer(stream: trio.abc.Stream) -> None:
        if not heard:
            heard.append(("", 0))
            await refuse(stream, answer("401 Unauthorized", f"WWW-Authenticate: {DIGEST}"), ending)
            return
        received = bytearray()
        reader = RequestReader(stream)
        if kind in ("stream", "streams"):
            while not received.endswith(b"\r\n0\r\n\r\n"):
                received += await stream.receive_some(100_000)
            fields = received.partition(b"\r\n\r\n")[0].decode()
            heard.append(("Digest" if "\r\nAuthorization: Digest " in fields else "", received.count(b"x" * 50_000)))
        else:
            request = await reader.next()
            assert request is not None
            heard.append((reader.fields["authorization"].partition(" ")[0], len(request[2]) // 50_000))
        await stream.send_all(answer("200 OK"))
        with suppress(trio.BrokenResourceError):
            await stream.receive_some(1)

    async def job(client: PatchClient) -> None:
        response = await client.patch("/x", **bodies(kind, tmp_path))
        assert (response.status, response.error) == (200, None)

    against(peer, job, tls=tls, authentication="digest", user="svc", password="literal:pw")
    assert heard == [("", 0), ("Digest", SIZE // 50_000)]


@pytest.mark.parametrize("tls", [False, True], ids=["TCP", "TLS"])
@pytest.mark.parametrize("ending", ENDINGS)
def test_a_second_challenge_while_a_stream_is_on_its_way_is_reported(
    ending: Ending, tls: bool, tmp_path: Path
) -> None:
    async def peer(stream: trio.abc.Stream) -> None:
        first = f"WWW-Authenticate: {DIGEST}"
        second = first.replace('"n"', '"m"') + ", stale=true"
        await refuse(stream, answer("401 Unauthorized", first), ending, answer("401 Unauthorized", second))

    async def job(client: PatchClient) -> None:
        response = await client.patch("/x", **bodies("stream", tmp_path))
        assert response.status == 401
        assert (response.error or "").startswith("the server calls every nonce stale")

    against(peer, job, tls=tls, authentication="digest", user="svc", password="literal:pw")
