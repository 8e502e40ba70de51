"""Origins that answer as a test tells them to, and batches against them in the test's own trio run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import trio

from patchwire.http.message import Origin
from patchwire.run.batch import Summary
from tests.support.batches import BatchFiles
from tests.support.peer import RequestReader, listening

OK = b'HTTP/1.1 200 OK\r\nETag: "v2"\r\nContent-Length: 2\r\n\r\n{}'
Answer = Callable[[str, str, bytes], bytes]


class Origins:
    """Answers each request with what `answer` says, and remembers what came. An answer of b"" closes."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.seen: list[tuple[str, str, bytes]] = []
        self.fields: list[dict[str, str]] = []
        """Those of each request, by names in lower case."""
        self.connections = 0

    async def __call__(self, stream: trio.SocketStream) -> None:
        self.connections += 1
        reader = RequestReader(stream)
        while (request := await reader.next()) is not None:
            self.seen.append(request)
            self.fields.append(reader.fields)
            answer = self.answer(*request)
            if not answer:
                return
            await stream.send_all(answer)
            if b"Connection: close" in answer:
                return

    def times(self) -> Counter[str]:
        """How often each target was asked for."""
        return Counter(target for _, target, _ in self.seen)


def run(peer: Callable[[trio.SocketStream], Awaitable[None]], job: Callable[[Origin], Awaitable[Any]]) -> Any:
    async def main() -> Any:
        async with listening(peer) as origin:
            return await job(origin)

    return trio.run(main)


def batch(
    directory: Path, peer: Any, records: list[dict[str, Any]], settings: str = "", **options: Any
) -> tuple[BatchFiles, Summary]:
    """The files and the summary of one run."""

    async def job(origin: Origin) -> tuple[BatchFiles, Summary]:
        files = BatchFiles(directory, origin, settings)
        files.write(records)
        return files, await files.run(**options)

    result: tuple[BatchFiles, Summary] = run(peer, job)
    return result


def status(code: int, *fields: str) -> bytes:
    lines = "".join(f"{field}\r\n" for field in fields)
    return f"HTTP/1.1 {code} X\r\n{lines}Content-Length: 0\r\n\r\n".encode()


def document(body: bytes, etag: str = '"v1"') -> bytes:
    """The answer to a GET."""
    return b"HTTP/1.1 200 OK\r\nETag: %s\r\nContent-Length: %d\r\n\r\n%s" % (etag.encode(), len(body), body)
