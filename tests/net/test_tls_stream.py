from __future__ import annotations

import pytest
import trio
from trio.testing import check_half_closeable_stream, check_two_way_stream

from patchwire.net.tls_stream import TlsStream
from tests.support.cancelling import cancelled_at_every_checkpoint, open_descriptors
from tests.support.tls import stream_pair


async def pair() -> tuple[TlsStream, TlsStream]:
    return stream_pair()


async def clogged_pair() -> tuple[TlsStream, TlsStream]:
    both = await shaken_hands()
    for stream in both:
        while stream.flush():
            stream.put(b"x" * 16_384)
    return both


async def shaken_hands() -> tuple[TlsStream, TlsStream]:
    client, server = stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.handshake)
        nursery.start_soon(server.handshake)
    return client, server


def test_it_is_a_stream_by_trios_own_checks() -> None:
    trio.run(check_two_way_stream, pair, clogged_pair)


def test_either_side_may_end_first_by_trios_own_checks() -> None:
    trio.run(check_half_closeable_stream, pair, clogged_pair)


def test_an_end_in_the_same_octets_as_the_last_data_is_seen() -> None:
    async def main() -> None:
        client, server = await shaken_hands()
        await server.send_all(b"last")
        await server.send_eof()
        with trio.fail_after(5):
            assert await client.receive_some() == b"last"
            assert await client.receive_some() == b""
            assert await client.receive_some() == b""
        client.close()
        server.close()

    trio.run(main)


def test_an_end_without_close_notify_is_no_end() -> None:
    async def main() -> None:
        client, server = await shaken_hands()
        await server.send_all(b"half")
        server._wire.close()
        assert await client.receive_some() == b"half"
        with pytest.raises(trio.BrokenResourceError, match="without TLS close_notify"):
            await client.receive_some()
        client.close()

    trio.run(main)


def test_what_comes_right_behind_the_handshake_is_not_waited_for() -> None:
    async def main() -> None:
        client, server = stream_pair()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(server.send_all, b"greeting")
            await client.handshake()
            await trio.testing.wait_all_tasks_blocked()
            with trio.fail_after(5):
                assert await client.receive_some() == b"greeting"
        client.close()
        server.close()

    trio.run(main)


def test_cancellation_at_every_checkpoint_leaks_nothing_and_breaks_nothing() -> None:
    async def main() -> None:
        async def action() -> None:
            client, server = stream_pair()
            try:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(server.send_all, b"y" * 300_000)
                    nursery.start_soon(client.send_all, b"x" * 300_000)
                    for stream in (client, server):
                        received = 0
                        while received < 300_000:
                            received += len(await stream.receive_some())
            finally:
                client.close()
                server.close()

        assert await cancelled_at_every_checkpoint(action) > 10

    before = open_descriptors()
    trio.run(main)
    assert open_descriptors() == before


def test_a_transfer_goes_on_where_cancellation_has_interrupted_it() -> None:
    async def main() -> None:
        client, server = await shaken_hands()
        sent = b"a" * 1_000_000
        with trio.move_on_after(0.05) as scope:
            await client.send_all(sent)
        assert scope.cancelled_caught  # nobody reads
        received = bytearray()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.send_all, b"b")
            while not received.endswith(b"b"):
                received += await server.receive_some()
        assert received.rstrip(b"b").replace(b"a", b"") == b""
        client.close()
        server.close()

    trio.run(main)


def test_closing_sends_nothing_more_of_what_was_put() -> None:
    async def main() -> None:
        client, server = await shaken_hands()
        client.put(b"x" * 2_000_000)
        assert not client.flush()
        before = client.taken
        while server._wire.receive():  # the kernel would take more now
            pass
        client.close()
        assert client.taken == before
        server.close()

    trio.run(main)
