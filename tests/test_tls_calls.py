"""The pump's cost in calls: into the kernel, and into OpenSSL. A clock would tell less, and not the same twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
import trio
from OpenSSL import SSL

from patchwire.net.tls_stream import TlsStream
from tests.support.tls import stream_pair

REQUEST, RESPONSE = b"q" * 400, b"a" * 250
COUNT = 20


class Counting:
    """Hands every call on, and counts it."""

    def __init__(self, inner: Any, seen: Counter[str]) -> None:
        self._inner, self._seen = inner, seen

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if not callable(found):
            return found

        def counted(*arguments: Any) -> Any:
            self._seen[name] += 1
            return found(*arguments)

        return counted


@asynccontextmanager
async def counted() -> AsyncIterator[tuple[TlsStream, TlsStream, Counter[str], Counter[str]]]:
    """A client and a server that have spoken, and what the client calls from then on: of its wire, and of OpenSSL."""
    client, server = stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.send_all, b"greeting")
        assert await client.receive_some() == b"greeting"
    of_wire: Counter[str] = Counter()
    of_openssl: Counter[str] = Counter()
    client._wire = Counting(client._wire, of_wire)
    client.engine._ssl = cast("SSL.Connection", Counting(client.engine._ssl, of_openssl))
    yield client, server, of_wire, of_openssl
    client.close()
    server.close()


async def received(stream: TlsStream, size: int) -> None:
    data = b""
    while len(data) < size:
        data += await stream.receive_some()


def test_an_exchange_as_connections_have_it_costs_one_call_of_each_kind() -> None:
    async def main() -> None:
        async with counted() as (client, server, of_wire, of_openssl):
            for _ in range(COUNT):
                client.put(REQUEST)
                assert client.flush()
                await received(server, len(REQUEST))
                await server.send_all(RESPONSE)
                await client.wait_readable()
                assert client.receive() == RESPONSE
            # The first flush of a wire finds it empty, and asks nobody.
            assert of_wire == {"put": COUNT, "flush": 2 * COUNT, "wait_readable": COUNT, "receive": COUNT}
            assert of_openssl == {"send": COUNT, "bio_read": COUNT, "bio_write": COUNT, "recv": COUNT}

    trio.run(main)


@pytest.mark.parametrize("waits", [False, True])
def test_an_exchange_as_a_stream_costs_a_look_for_what_has_come_more(waits: bool) -> None:
    async def main() -> None:
        async with counted() as (client, server, of_wire, of_openssl):
            for _ in range(COUNT):
                await client.send_all(REQUEST)
                await received(server, len(REQUEST))
                async with trio.open_nursery() as nursery:
                    if waits:
                        nursery.start_soon(received, client, len(RESPONSE))
                        await trio.testing.wait_all_tasks_blocked()
                    await server.send_all(RESPONSE)
                    if not waits:
                        await received(client, len(RESPONSE))
            assert of_wire["receive"] == COUNT * (1 + waits)
            assert of_wire["wait_readable"] == COUNT * waits
            assert (of_wire["put"], of_wire["flush"]) == (COUNT, 2 * COUNT)
            assert of_openssl == {"send": COUNT, "bio_read": COUNT, "bio_write": COUNT, "recv": COUNT}

    trio.run(main)
