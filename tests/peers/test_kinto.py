from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.batches import BatchFiles
from tests.support.commands import environment, patchwire, without_traceback
from tests.support.kinto import KintoServer, kinto_server, needs_kinto

pytestmark = [needs_kinto, pytest.mark.peer]

PEOPLE = "/buckets/crm/collections/people"
COUNT = 2_000
EXPECTED = {
    "merge": ("applied", 200),
    "guarded merge": ("applied", 200),
    "JSON Patch": ("applied", 200),
    "missing": ("rejected", 404),
    "stale": ("rejected", 412),
    "wrong type": ("rejected", 415),
    "failed test": ("rejected", 400),
}


def kind_of(number: int) -> str:
    """Of each twenty records seven are special; the others are merge patches and JSON Patches by turns."""
    special = {2: "missing", 5: "stale", 9: "wrong type", 12: "failed test", 15: "stale", 16: "missing"}
    ordinary = ("guarded merge", "JSON Patch", "merge")[number % 3]
    return special.get(number % 20, ordinary)


def person(number: int) -> dict[str, Any]:
    """The object as it is before the batch."""
    return {"name": f"name {number}", "nickname": "to go", "tags": ["first"], "address": {"town": "here"}}


def record(number: int, etag: str) -> dict[str, Any]:
    """The change; `etag` is what the object had when it was created."""
    kind = kind_of(number)
    change: dict[str, Any] = {"id": kind, "path": f"{PEOPLE}/records/p{number}"}
    if kind in ("JSON Patch", "failed test"):
        name = f"name {number}" if kind == "JSON Patch" else "another name"
        return change | {
            "body": [
                {"op": "replace", "path": "/data/address/town", "value": "there"},
                {"op": "add", "path": "/data/tags/-", "value": "second"},  # made twice, it would show
                {"op": "test", "path": "/data/name", "value": name},
            ]
        }
    change["body"] = {"data": {"name": f"changed {number}", "nickname": None, "address": {"town": "there"}}}
    if kind in ("guarded merge", "stale"):
        change["if_match"] = etag
    if kind == "wrong type":
        change["media_type"] = "application/xml"
    return change


def changed(number: int) -> dict[str, Any]:
    """The object once its record is applied."""
    if kind_of(number) == "JSON Patch":
        return person(number) | {"tags": ["first", "second"], "address": {"town": "there"}}
    return {"name": f"changed {number}", "tags": ["first"], "address": {"town": "there"}}


def put_people(client: httpx.Client, numbers: Iterable[int]) -> dict[int, str]:
    """Put these objects into Kinto, five hundred at a time; the entity tag of each."""
    left, tags = list(numbers), {}
    while left:
        now, left = left[:500], left[500:]
        requests = [
            {"method": "PUT", "path": f"{PEOPLE}/records/p{number}", "body": {"data": person(number)}}
            for number in now
        ]
        answer = client.post("/batch", json={"requests": requests}).raise_for_status().json()
        for number, response in zip(now, answer["responses"], strict=True):
            assert response["status"] in (200, 201), response
            tags[number] = response["headers"]["ETag"]
    return tags


def state_of(client: httpx.Client) -> dict[int, tuple[dict[str, Any], str]]:
    """Every object that Kinto holds, and its entity tag."""
    answer = client.get(f"{PEOPLE}/records").raise_for_status()
    assert "Next-Page" not in answer.headers
    return {
        int(entry.pop("id").removeprefix("p")): (entry, f'"{entry.pop("last_modified")}"')
        for entry in answer.json()["data"]
    }


def batch_files(directory: Path, server: KintoServer) -> BatchFiles:
    settings = f'authentication = "basic"\nuser = "{server.user}"\npassword = "env:KINTO_PASSWORD"\n'
    return BatchFiles(directory, server.base_url, settings)


def test_2_000_records_against_kinto_have_the_outcomes_that_its_state_shows(tmp_path: Path) -> None:
    with kinto_server(tmp_path / "kinto") as server, server.client() as client:
        client.put("/buckets/crm").raise_for_status()
        client.put(PEOPLE).raise_for_status()
        created = put_people(client, (n for n in range(COUNT) if kind_of(n) != "missing"))
        touched = put_people(client, (n for n in range(COUNT) if kind_of(n) == "stale"))
        before = created | touched
        files = batch_files(tmp_path, server)
        files.write(record(n, created.get(n, "")) for n in range(COUNT))
        done = patchwire(
            "batch", files.connection, files.records, "--output", files.output, "--failed", files.failed,
            "--unknown", files.unknown, "--summary", "json", env=environment(KINTO_PASSWORD=server.password),
        )  # fmt: skip
        state = state_of(client)
    assert done.returncode == 1, done.stderr
    outcomes = files.outcomes()
    assert [line["seq"] for line in outcomes] == list(range(COUNT))
    for line in outcomes:
        number, kind = line["seq"], kind_of(line["seq"])
        assert (line["outcome"], line["status"]) == EXPECTED[kind], line
        if line["outcome"] == "applied":
            # The tag says that this answer's change is the last that Kinto has made to the object.
            assert state.pop(number) == (changed(number), line["etag"]), line
        elif kind == "missing":
            assert number not in state
        else:
            assert state.pop(number) == (person(number), before[number]), line
    assert state == {}
    counts = Counter(EXPECTED[kind_of(n)][0] for n in range(COUNT))
    summary = json.loads(done.stdout)
    assert {name: summary[name] for name in ("applied", "rejected", "unknown", "not_sent")} == {
        **counts, "unknown": 0, "not_sent": 0,
    }  # fmt: skip
    assert Counter(files.ids(files.failed)) == Counter(
        kind_of(n) for n in range(COUNT) if EXPECTED[kind_of(n)][0] == "rejected"
    )
    assert files.unknown.read_bytes() == b""


def test_a_wrong_password_stops_the_run_and_kinto_is_as_it_was(tmp_path: Path) -> None:
    with kinto_server(tmp_path / "kinto") as server, server.client() as client:
        client.put("/buckets/crm").raise_for_status()
        client.put(PEOPLE).raise_for_status()
        created = put_people(client, range(20))
        files = batch_files(tmp_path, server)
        files.write(record(n, created[n]) for n in range(20))
        wrong = environment(KINTO_PASSWORD="not this one")
        done = patchwire("batch", files.connection, files.records, "--output", files.output, env=wrong)
        state = state_of(client)
    assert done.returncode == 1, done.stderr
    assert any("'svc' or its password was rejected" in line for line in without_traceback(done))
    # Kinto looks at the media type before it looks at the credentials.
    assert {line["status"] for line in files.outcomes()} <= {EXPECTED["wrong type"][1]}
    assert state == {n: (person(n), created[n]) for n in range(20)}
