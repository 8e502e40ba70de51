"""h11 on trio, the way its documentation shows it: a stream, an h11.Connection and a task each."""

import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import h11
import trio
from harness import Job, Timing, main, timing
from workload import BODY, MEDIA_TYPE, check, path


class Peer:
    """One keep-alive connection to the server."""

    def __init__(self, stream: trio.SocketStream, host: str) -> None:
        self.stream = stream
        self.h11 = h11.Connection(h11.CLIENT)
        self.headers = [
            ("Host", host),
            ("Content-Type", MEDIA_TYPE),
            ("Content-Length", str(len(BODY))),
        ]

    async def patch(self, target: str) -> tuple[int, bytearray]:
        """Send one PATCH; return the final status and the whole body of its answer."""
        await self.stream.send_all(self._request(target))
        status, body = 0, bytearray()
        while not isinstance(event := await self._next_event(), h11.EndOfMessage):
            if isinstance(event, h11.Response):
                status = event.status_code
            elif isinstance(event, h11.Data):
                body += event.data
        self.h11.start_next_cycle()
        return status, body

    def _request(self, target: str) -> bytes:
        """Return the request's bytes, for one send."""
        request = h11.Request(method="PATCH", target=target, headers=self.headers)
        events = (request, h11.Data(data=BODY), h11.EndOfMessage())
        return b"".join(self.h11.send(event) or b"" for event in events)

    async def _next_event(self) -> h11.Event:
        """Return the next event of the answer, reading as often as it takes."""
        while (event := self.h11.next_event()) is h11.NEED_DATA:
            self.h11.receive_data(await self.stream.receive_some(65536))
        if not isinstance(event, h11.Event) or isinstance(event, h11.ConnectionClosed):
            raise RuntimeError(f"the answer ended in {event!r}")
        return event


async def send_each(peer: Peer, numbers: Iterator[int]) -> None:
    for number in numbers:
        check(*await peer.patch(path(number)))


async def share(peers: list[Peer], requests: int) -> None:
    """Send that many requests over all peers at once."""
    numbers = iter(range(requests))
    async with trio.open_nursery() as nursery:
        for peer in peers:
            nursery.start_soon(send_each, peer, numbers)


async def measure(job: Job) -> Timing:
    """Return the timing of the job."""
    server = urlsplit(job.url)
    if server.scheme == "https":
        raise SystemExit("speaks no TLS")
    host, port = server.hostname or "127.0.0.1", server.port or 80
    streams = [await trio.open_tcp_stream(host, port) for _ in range(job.connections)]
    peers = [Peer(stream, server.netloc) for stream in streams]
    await share(peers, job.warm_up)
    started = time.perf_counter()
    await share(peers, job.requests)
    result = timing(job.requests, time.perf_counter() - started)
    for stream in streams:
        await stream.aclose()
    return result


if __name__ == "__main__":
    main(lambda job: trio.run(measure, job))
