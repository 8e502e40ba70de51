from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from patchwire.http.message import Origin
from patchwire.run import verification
from tests.support.batches import BatchFiles
from tests.support.origins import OK, Origins, batch, document, run, status

MERGE: dict[str, Any] = {"path": "/a", "body": {"name": "Ada", "gone": None, "deep": {"n": 1.0}}}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verification, "SECOND_LOOK", 0.01)


def cutting(*shown: bytes) -> Origins:
    """Cuts every PATCH, and answers the GETs with these, the last of them for ever."""
    left = list(shown)

    def answer(method: str, target: str, body: bytes) -> bytes:
        return (left.pop(0) if len(left) > 1 else left[0]) if method == "GET" else b""

    return Origins(answer)


DONE = json.dumps({"name": "Ada", "deep": {"n": 1, "m": 2}, "other": []}).encode()
CUT = document(DONE).replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")[:-5]
NOT_DONE = json.dumps({"name": "Ada", "gone": 1, "deep": {"n": 1}}).encode()


def test_a_merge_patch_whose_effect_is_seen_is_applied(tmp_path: Path) -> None:
    origin = cutting(document(DONE, '"v9"'))
    files, summary = batch(tmp_path, origin, [MERGE], verify=True)
    (line,) = files.outcomes()
    assert (line["outcome"], line["attempts"], line["etag"]) == ("applied", 1, '"v9"')
    assert line["error"] == "verified: a GET shows the change"
    assert summary.counts["unknown"] == 0
    assert [method for method, _, _ in origin.seen] == ["PATCH", "GET"]


def test_a_server_that_was_still_at_work_is_looked_at_twice(tmp_path: Path) -> None:
    files, _ = batch(tmp_path, cutting(document(NOT_DONE), document(DONE)), [MERGE], verify=True)
    assert files.outcomes()[0]["outcome"] == "applied"


@pytest.mark.parametrize(
    ("answer", "note"),
    [
        (document(NOT_DONE), "a GET does not show the change"),
        (document(b"no JSON"), "a GET cannot show such a change"),
        (status(404), "the GET to verify it was answered with 404"),
        (b"", "the GET to verify it failed: "),
        (CUT, "the GET to verify it failed: "),
    ],
)
def test_what_a_look_cannot_settle_stays_unknown_and_says_why(tmp_path: Path, answer: bytes, note: str) -> None:
    files, _ = batch(tmp_path, cutting(answer), [MERGE], verify=True)
    (line,) = files.outcomes()
    assert line["outcome"] == "unknown"
    assert f"; --verify: {note}" in line["error"]


@pytest.mark.parametrize(
    ("record", "gets"),
    [({"path": "/a", "body": []}, 0), ({"path": "/a", "body": {}}, 1)],
    ids=["a JSON Patch", "an empty merge patch"],
)
def test_a_change_that_cannot_be_seen_stays_unknown(tmp_path: Path, record: dict[str, Any], gets: int) -> None:
    origin = cutting(document(DONE))
    files, _ = batch(tmp_path, origin, [record], verify=True)
    assert files.outcomes()[0]["outcome"] == "unknown"
    assert sum(method == "GET" for method, _, _ in origin.seen) == gets


def test_nothing_is_looked_at_that_is_not_unknown(tmp_path: Path) -> None:
    origin = Origins(lambda *_: OK)
    batch(tmp_path, origin, [MERGE], verify=True)
    assert len(origin.seen) == 1


def test_a_lane_goes_on_behind_a_record_that_was_verified(tmp_path: Path) -> None:
    seen: list[bytes] = []

    def answer(method: str, target: str, body: bytes) -> bytes:
        if method == "GET":
            return document(DONE)
        seen.append(body)
        return b"" if len(seen) == 1 else OK

    files, _ = batch(tmp_path, Origins(answer), [MERGE, {"path": "/a", "body": {"n": 2}}], verify=True)
    assert [line["outcome"] for line in files.outcomes()] == ["applied", "applied"]


def test_a_resume_verifies_what_earlier_runs_left_unknown_without_sending_it(tmp_path: Path) -> None:
    origin = cutting(document(DONE))

    async def job(target: Origin) -> BatchFiles:
        files = BatchFiles(tmp_path, target)
        files.write([MERGE])
        await files.run()
        await files.run(verify=True, retry_unknown=True)
        return files

    files: BatchFiles = run(origin, job)
    assert [method for method, _, _ in origin.seen] == ["PATCH", "GET"]
    (line,) = files.outcomes()
    assert (line["outcome"], line["attempts"]) == ("applied", 1)
    assert files.ids(files.unknown) == []


def test_a_resume_that_cannot_verify_a_record_says_why_and_leaves_all_else_as_it_is(tmp_path: Path) -> None:
    origin = cutting(document(NOT_DONE))

    async def job(target: Origin) -> list[list[dict[str, Any]]]:
        files = BatchFiles(tmp_path, target)
        files.write([{**MERGE, "id": "r0"}])
        await files.run()
        before = files.outcomes()
        await files.run(verify=True)
        assert files.ids(files.unknown) == ["r0"]
        return [before, files.outcomes()]

    (before,), (after,) = run(origin, job)
    error = f"{before['error']}; --verify: a GET does not show the change"
    assert after == before | {"error": error, "seconds": after["seconds"]}


def test_what_an_earlier_run_has_left_is_looked_at_once(tmp_path: Path) -> None:
    origin = cutting(document(NOT_DONE))

    async def job(target: Origin) -> None:
        files = BatchFiles(tmp_path, target)
        files.write([MERGE])
        for _ in range(3):
            await files.run(verify=True)
        (line,) = files.outcomes()
        assert line["error"].count("--verify") == 1

    run(origin, job)
    assert [method for method, _, _ in origin.seen] == ["PATCH", "GET", "GET", "GET", "GET"]
