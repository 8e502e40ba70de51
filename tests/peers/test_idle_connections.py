"""Connections that real servers close while they lie idle: they cost a new connection, and never an outcome."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from patchwire import connection_from
from patchwire.net import PatchClient
from tests.support.apache import apache_process, needs_apache
from tests.support.nginx import needs_nginx, nginx_server

AT_ONCE = 24
AROUND_A_SECOND = (0.0, 0.4, 0.6, 0.9, 0.96, 0.98, 1.0, 1.02, 1.04, 1.1, 1.3, 0.0)
"""Seconds between rounds. The servers close after one."""
LATER = (0.0, 1.2, 1.3, 0.0, 1.4, 1.2)
"""Where a server does not say when it closes, one that is about to may meet a request: that is unknown by right."""


async def _rounds(url: str, pauses: tuple[float, ...]) -> tuple[list[int], int]:
    """The statuses of a round of requests behind each pause, and how many connections they took."""
    statuses: list[int] = []
    log: list[str] = []

    async def patch(client: PatchClient, path: str) -> None:
        statuses.append((await client.patch(path, json={"a": 1})).status)  # raises where the outcome is unknown

    async with PatchClient(connection_from({"base_url": url}), max_connections=AT_ONCE, wire_log=log.append) as client:
        for number, pause in enumerate(pauses):
            await trio.sleep(pause)
            async with trio.open_nursery() as nursery:
                for task in range(AT_ONCE):
                    nursery.start_soon(patch, client, f"/{number}/{task}")
    return statuses, sum(" = connected to " in line for line in log)


@needs_nginx
@pytest.mark.peer
@pytest.mark.parametrize(
    ("directives", "pauses"),
    [
        ("keepalive_timeout 1s 1s; keepalive_requests 100000;", AROUND_A_SECOND),
        ("keepalive_timeout 1s 1s; keepalive_requests 3;", AROUND_A_SECOND),
        ("keepalive_timeout 1s; keepalive_requests 3;", LATER),
        ("keepalive_timeout 0;", (0.0, 0.0, 0.1)),
    ],
)
def test_idle_connections_that_nginx_closes_cost_no_outcome(
    directives: str, pauses: tuple[float, ...], tmp_path: Path
) -> None:
    locations = f"{directives} location / {{ return 204; }}"
    with nginx_server(tmp_path / "nginx", locations=locations, access_log="access.log") as server:
        statuses, connections = trio.run(_rounds, server.base_url, pauses)
    total = len(pauses) * AT_ONCE
    assert statuses == [204] * total
    assert len((server.directory / "access.log").read_text("ascii").splitlines()) == total
    assert AT_ONCE < connections <= total


@needs_apache
@pytest.mark.peer
@pytest.mark.parametrize("most", [0, 3])
def test_idle_connections_that_apache_closes_cost_no_outcome(most: int, tmp_path: Path) -> None:
    directives = f"KeepAliveTimeout 1\nMaxKeepAliveRequests {most}\nRedirect 204 /"
    with apache_process(tmp_path / "apache", ("alias",), directives) as server:
        statuses, connections = trio.run(_rounds, f"http://127.0.0.1:{server.port}", AROUND_A_SECOND)
    total = len(AROUND_A_SECOND) * AT_ONCE
    assert statuses == [204] * total
    assert len(server.access_log()) == total
    assert AT_ONCE < connections <= total
