"""A thousand connections, opened and dropped in every way, leave no descriptor behind."""

from __future__ import annotations

import gc
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest
import trio

from patchwire import connection_from
from patchwire.errors import PatchwireError
from patchwire.http.message import Origin
from patchwire.net import PatchClient
from tests.support.cancelling import open_descriptors
from tests.support.certificates import Authority
from tests.support.peer import RESET, RequestReader, listening
from tests.support.tls import AUTHORITY, LOCALHOST, over_tls, serving_as

COUNT, AT_ONCE = 1_000, 50
OK = b"HTTP/1.1 204 No Content\r\n\r\n"
Handler = Callable[[Any], Awaitable[None]]


async def answers(stream: Any) -> None:
    reader = RequestReader(stream)
    while await reader.next():
        await stream.send_all(OK)


async def ends(stream: Any) -> None:
    await RequestReader(stream).next()
    await stream.aclose()


async def cuts_a_head(stream: Any) -> None:
    await RequestReader(stream).next()
    await stream.send_all(OK[:10])


async def resets(stream: trio.SocketStream) -> None:
    await RequestReader(stream).next()
    stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    stream.socket.close()


async def says_nothing(stream: Any) -> None:
    with trio.move_on_after(5):
        while await stream.receive_some():
            pass


async def hangs_up(stream: trio.SocketStream) -> None:
    await stream.aclose()


WAYS: dict[str, tuple[Handler, str, float]] = {
    "an answer": (answers, "http", 5),
    "an end in place of an answer": (ends, "http", 5),
    "half a head": (cuts_a_head, "http", 5),
    "a reset": (resets, "http", 5),
    "silence": (says_nothing, "http", 0.2),
    "an answer over TLS": (over_tls(answers), "https", 5),
    "an end over TLS": (over_tls(ends), "https", 5),
    "an end in the handshake": (hangs_up, "https", 5),
    "silence in the handshake": (says_nothing, "https", 0.2),
    "an untrusted certificate": (over_tls(answers, serving_as(Authority().issue("127.0.0.1"))), "https", 5),
    "a request for a certificate": (over_tls(answers, serving_as(LOCALHOST, Authority())), "https", 5),
}


async def tried(url: str, seconds: float, *, cancelled: float | None = None) -> None:
    """Send a change over a connection of its own, whatever comes of it."""
    data: dict[str, Any] = {"base_url": url, "limits": {"connect_timeout": seconds, "read_timeout": seconds}}
    if url.startswith("https"):
        data["tls"] = {"trust": ["ca"], "system_roots": False}
    async with PatchClient(connection_from(data, files={"ca": AUTHORITY.pem}), max_connections=1) as client:
        with trio.move_on_after(float("inf") if cancelled is None else cancelled):
            with suppress(PatchwireError):
                await client.patch("/a", json={"n": 1})


def left_by(job: Callable[[Origin], Awaitable[None]], handler: Handler) -> set[str]:
    """The descriptors that are open behind the job and were not before."""

    async def main() -> None:
        async with listening(handler) as origin:
            await job(origin)

    gc.collect()
    before = open_descriptors()
    trio.run(main)
    gc.collect()  # what only the collector closes is warned of, and that is an error
    return open_descriptors() - before


@pytest.mark.parametrize("way", WAYS)
def test_a_thousand_connections_that_end_so_leave_no_descriptor(way: str) -> None:
    handler, scheme, seconds = WAYS[way]
    count = COUNT if seconds > 1 else COUNT // 10  # silence takes its time

    async def job(origin: Origin) -> None:
        limit = trio.CapacityLimiter(AT_ONCE)

        async def one() -> None:
            async with limit:
                await tried(f"{scheme}://127.0.0.1:{origin.port}", seconds)

        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:
                for _ in range(count):
                    nursery.start_soon(one)

    assert left_by(job, handler) == set()


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_connections_whose_users_are_cancelled_at_any_moment_leave_no_descriptor(scheme: str) -> None:
    async def job(origin: Origin) -> None:
        limit = trio.CapacityLimiter(AT_ONCE)

        async def one(number: int) -> None:
            async with limit:
                await tried(f"{scheme}://127.0.0.1:{origin.port}", 5, cancelled=number / 20_000)

        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:
                for number in range(COUNT):
                    nursery.start_soon(one, number)

    assert left_by(job, over_tls(answers) if scheme == "https" else answers) == set()
