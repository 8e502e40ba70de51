"""Batches against servers that ask for credentials, and what these say of them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Protocol

import httpx
import trio

from patchwire import load_connection
from patchwire.http.message import Response, request_to
from patchwire.net import PatchClient
from patchwire.net.body import IterableBody
from tests.support.batches import BatchFiles
from tests.support.commands import patchwire, without_traceback
from tests.support.scgi import Processed

BIG = bytes(range(256)) * 1172  # 300 kB
_PIECE = 10_000


class Guarded(Protocol):
    """A server, whom it knows, and what it has let through."""

    @property
    def base_url(self) -> str: ...

    @property
    def user(self) -> str: ...

    @property
    def password(self) -> str: ...

    @property
    def realm(self) -> str: ...

    @property
    def processed(self) -> list[Processed]: ...

    def authorizations(self) -> list[tuple[int, str]]:
        """Status and Authorization of each request that it has answered; a dash where it had none."""


def client(server: Guarded, auth: httpx.Auth | None = None) -> httpx.Client:
    """A client that is not ours."""
    return httpx.Client(base_url=server.base_url, auth=auth, trust_env=False)


def guarded_batch(
    directory: Path,
    server: Guarded,
    *,
    scheme: str = "digest",
    below: str = "",
    password: str | None = None,
    preemptive: bool = False,
    base_url: str | None = None,
    algorithms: Sequence[str] = (),
) -> BatchFiles:
    """A batch with the server's user, and its password unless another is given; all paths stand `below` one."""
    directory.mkdir(parents=True, exist_ok=True)
    settings = [
        f'authentication = "{scheme}"',
        f'user = "{server.user}"',
        f'password = "literal:{server.password if password is None else password}"',
        f"preemptive = {str(preemptive).lower()}",
    ]
    if algorithms:
        settings += ["[digest]", f"algorithms = {json.dumps(list(algorithms))}"]
    return BatchFiles(directory, (base_url or server.base_url) + below, "\n".join(settings))


def told(files: BatchFiles, *options: str | Path, status: int = 0) -> list[str]:
    """Run the batch over 8 connections: what it says. Fails where it ends with another status."""
    done = patchwire("batch", files.connection, files.records, "--output", files.output, *options)
    assert done.returncode == status, done.stderr[-2000:]
    return without_traceback(done)


def said_by_authentication(lines: Sequence[str]) -> list[str]:
    """What -v tells of the decisions."""
    return [line.partition(" * ")[2] for line in lines if " * " in line]


def outcomes_of(files: BatchFiles) -> dict[str, int]:
    """How many records have ended how."""
    outcomes = [str(line["outcome"]) for line in files.outcomes()]
    return {outcome: outcomes.count(outcome) for outcome in sorted(set(outcomes))}


def in_order(processed: Sequence[Processed]) -> list[Processed]:
    """By the number at the end of their targets."""
    return sorted(processed, key=lambda each: int(each.target.rpartition("/")[2]))


def expected(count: int, user: str, below: str = "") -> list[Processed]:
    """What a server has let through that was sent so many people, each once."""
    return [Processed("PATCH", f"{below}/people/{n}", json.dumps({"n": n}).encode(), user) for n in range(count)]


def asked(server: Guarded) -> int:
    """How often it has answered 401."""
    return [status for status, _ in server.authorizations()].count(401)


def credentials_sent(server: Guarded) -> list[str]:
    """Each Authorization that has come."""
    return [field for _, field in server.authorizations() if field != "-"]


def send_file(files: BatchFiles, path: str) -> None:
    """`patchwire send` with the 300 kB as a file; it must be applied."""
    (files.directory / "big").write_bytes(BIG)
    body = f"@{files.directory / 'big'}"
    done = patchwire("send", files.connection, path, "--body", body, "--media-type", "application/octet-stream")
    assert done.returncode == 0, done.stderr


def send_once(files: BatchFiles, path: str, *, length: int | None = None) -> tuple[Response, list[str], int]:
    """Send the 300 kB from a stream that can be read once, in chunks unless a `length` is given.

    The response, the wire log, and the line of it that was the last when the first octet was read.
    """
    settings = load_connection(files.connection)
    log: list[str] = []
    begun = -1

    async def pieces() -> AsyncIterator[bytes]:
        nonlocal begun
        begun = len(log) - 1
        for start in range(0, len(BIG), _PIECE):
            yield BIG[start : start + _PIECE]

    async def main() -> Response:
        fields = [("Content-Type", "application/octet-stream")]
        async with PatchClient(settings, wire_log=log.append) as client:
            request = request_to("PATCH", f"{settings.origin}{path}", fields)
            return await client.send(request, IterableBody(pieces(), length))

    response = trio.run(main)
    return response, log, begun
