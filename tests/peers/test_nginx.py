from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
import trio

from patchwire import connection_from
from patchwire.net import PatchClient
from tests.support.batches import BatchFiles
from tests.support.commands import patchwire
from tests.support.nginx import needs_nginx, nginx_server, tls_directives
from tests.support.tls import AUTHORITY, LOCALHOST

LOGGED = re.compile(r'"PATCH (\S+) HTTP/1.1" (\d+) ')
LOCATIONS = """
    location /people/ { return 200 "hello world"; }
    location /gone/ { return 404; }
    location /conflict/ { return 409; }
    location /teapot/ { return 418; }
    location /gateway/ { return 502; }
    location /empty/ { return 204; }
"""
EXPECTED = {
    "people": ("applied", 200),
    "gone": ("rejected", 404),
    "conflict": ("rejected", 409),
    "teapot": ("rejected", 418),
    "gateway": ("unknown", 502),
    "empty": ("applied", 204),
}


def place(number: int) -> str:
    """Of each hundred records a few go to each of the other places."""
    return {3: "gone", 17: "conflict", 41: "teapot", 59: "gateway", 83: "empty"}.get(number % 100, "people")


@needs_nginx
@pytest.mark.peer
def test_20_000_records_against_nginx_have_the_outcomes_that_its_log_shows(tmp_path: Path) -> None:
    with nginx_server(tmp_path / "nginx", locations=LOCATIONS, access_log="access.log") as server:
        files = BatchFiles(tmp_path, server.base_url)
        files.write({"path": f"/{place(n)}/{n}", "body": {"name": "x" * 180, "n": n}} for n in range(20_000))
        done = patchwire(
            "batch", files.connection, files.records, "--output", files.output, "--failed", files.failed,
            "--unknown", files.unknown, "--concurrency", "32", "--summary", "json",
        )  # fmt: skip
    assert done.returncode == 3, done.stderr
    log = [LOGGED.search(line) for line in (server.directory / "access.log").read_text("ascii").splitlines()]
    answered = {match[1]: int(match[2]) for match in log if match}
    assert len(answered) == len(log) == 20_000
    outcomes = files.outcomes()
    assert [line["seq"] for line in outcomes] == list(range(20_000))
    for line in outcomes:
        assert (line["outcome"], line["status"]) == EXPECTED[place(line["seq"])]
        assert answered[line["path"]] == line["status"]
    counts = Counter(EXPECTED[place(n)][0] for n in range(20_000))
    summary = json.loads(done.stdout)
    assert {name: summary[name] for name in ("applied", "rejected", "unknown", "not_sent")} == {
        **counts, "not_sent": 0,
    }  # fmt: skip
    assert len(files.failed.read_bytes().splitlines()) == counts["rejected"]
    assert len(files.unknown.read_bytes().splitlines()) == counts["unknown"]


@needs_nginx
@pytest.mark.peer
def test_a_server_that_closes_after_each_few_requests_costs_no_outcome(tmp_path: Path) -> None:
    with nginx_server(
        tmp_path / "nginx", locations=LOCATIONS + "keepalive_requests 7;", access_log="access.log"
    ) as server:
        files = BatchFiles(tmp_path, server.base_url)
        files.write({"path": f"/people/{n}", "body": {}} for n in range(500))
        done = patchwire("batch", files.connection, files.records, "--summary", "json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["applied"] == 500
    assert len((server.directory / "access.log").read_text("ascii").splitlines()) == 500


@needs_nginx
@pytest.mark.peer
def test_a_body_over_nginx_limit_is_refused_early_and_the_refusal_is_not_lost(tmp_path: Path) -> None:
    locations = LOCATIONS + "client_max_body_size 1k;"
    with nginx_server(tmp_path / "nginx", locations=locations) as server:
        files = BatchFiles(tmp_path, server.base_url)
        files.write({"path": f"/people/{n}", "body": {"x": "y" * 300_000}} for n in range(20))
        done = patchwire("batch", files.connection, files.records, "--output", files.output, "--summary", "json")
    assert done.returncode == 1, done.stderr
    assert [line["status"] for line in files.outcomes()] == [413] * 20


@needs_nginx
@pytest.mark.peer
@pytest.mark.parametrize("over", ["TCP", "TLS", "a Unix socket"])
def test_a_body_of_any_kind_over_nginx_limit_is_refused_early_and_the_refusal_is_not_lost(
    over: str, tmp_path: Path
) -> None:
    locations = "client_max_body_size 1k; lingering_close off; location / { proxy_pass http://127.0.0.1:1; }"
    data: dict[str, Any] = {"tls": {"trust": ["ca"], "system_roots": False}} if over == "TLS" else {}
    directory = tmp_path / "nginx"
    if over == "a Unix socket":
        locations = f"listen unix:{directory}/s; {locations}"
    (tmp_path / "body").write_bytes(b"x" * 5_000_000)

    async def pieces() -> AsyncGenerator[bytes, None]:
        for _ in range(100):
            yield b"x" * 50_000

    async def main(url: str) -> None:
        async with PatchClient(connection_from({"base_url": url, **data}, files={"ca": AUTHORITY.pem})) as client:
            for body in (
                {"file": tmp_path / "body"},
                {"body": b"x" * 5_000_000},
                {"body": pieces},
                {"body": pieces()},
            ):
                response = await client.patch("/x", media_type="application/octet-stream", **body)
                assert (response.status, response.error) == (413, None)

    tls = tls_directives(directory, LOCALHOST) if over == "TLS" else None
    with nginx_server(directory, locations=locations, tls=tls) as server:
        trio.run(main, f"unix:{directory}/s" if over == "a Unix socket" else server.base_url)


@needs_nginx
@pytest.mark.peer
def test_nginx_sends_100_continue_and_the_body_follows(tmp_path: Path) -> None:
    # Only a location that reads the body makes nginx ask for it.
    with nginx_server(tmp_path / "up") as upstream:
        locations = f"location / {{ proxy_pass {upstream.base_url}; proxy_request_buffering on; }}"
        with nginx_server(tmp_path / "nginx", locations=locations) as server:
            files = BatchFiles(tmp_path, server.base_url, '[headers]\nExpect = "100-continue"\n')
            files.write({"path": f"/a/{n}", "body": {"x": "y" * 1000}} for n in range(20))
            done = patchwire("batch", files.connection, files.records, "-v", "--concurrency", "2")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("< 100") == 20
    assert done.stderr.count("< 200 OK") == 20
