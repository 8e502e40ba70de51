from __future__ import annotations

import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from patchwire.delivery.retry import RetryPolicy
from patchwire.errors import OriginError
from patchwire.http.message import Origin
from patchwire.run.batch import Summary
from tests.support.batches import BatchFiles, people, read_lines
from tests.support.origins import OK, Origins, batch, run, status

PLAIN = {"path": "/a", "body": {"n": 1}}


def runs(
    directory: Path, origin: Origins, records: list[dict[str, Any]], *options: dict[str, Any]
) -> tuple[BatchFiles, list[Summary]]:
    """The same batch, once with each of these options."""

    async def job(target: Origin) -> tuple[BatchFiles, list[Summary]]:
        files = BatchFiles(directory, target)
        files.write(records)
        return files, [await files.run(**each) for each in options]

    result: tuple[BatchFiles, list[Summary]] = run(origin, job)
    return result


def failing_first(times: int, answer: bytes = b"") -> Origins:
    """Answers each target so often with `answer`, and applies what comes after."""
    seen: Counter[str] = Counter()

    def respond(method: str, target: str, body: bytes) -> bytes:
        seen[target] += 1
        return answer if seen[target] <= times else OK

    return Origins(respond)


# --- keys and ids


def test_a_keyed_record_is_resent_after_an_unknown_attempt_with_the_same_key_each_time(tmp_path: Path) -> None:
    origin = failing_first(2)
    files, summary = batch(tmp_path, origin, people(3), idempotency_key=True)
    assert summary.counts["applied"] == 3
    keys: dict[str, set[str]] = {}
    for (_, target, _), fields in zip(origin.seen, origin.fields, strict=True):
        keys.setdefault(target, set()).add(fields["idempotency-key"])
    assert [len(each) for each in keys.values()] == [1, 1, 1]
    assert len(set.union(*keys.values())) == 3
    assert all(key.startswith('"') and key.endswith('"') and len(key) == 34 for each in keys.values() for key in each)
    assert {line["attempts"] for line in files.outcomes()} == {3}


def test_the_key_stays_the_same_in_a_resume_and_a_fresh_run_has_another(tmp_path: Path) -> None:
    origin = failing_first(100)
    keyed = {"idempotency_key": True, "retry": RetryPolicy(max_attempts=1)}
    runs(tmp_path, origin, [PLAIN], keyed, keyed, {**keyed, "fresh": True})
    first, again, fresh = (fields["idempotency-key"] for fields in origin.fields)
    assert first == again != fresh


def test_a_key_that_an_earlier_run_did_not_send_lets_nothing_unknown_go_again(tmp_path: Path) -> None:
    origin = failing_first(1)
    files, _ = runs(tmp_path, origin, [PLAIN], {}, {"idempotency_key": True}, {"idempotency_key": True})
    assert len(origin.seen) == 1
    assert files.outcomes()[0]["outcome"] == "unknown"


def test_each_attempt_carries_an_id_of_its_own_that_begins_alike(tmp_path: Path) -> None:
    origin = failing_first(1, status(429))
    files, _ = batch(tmp_path, origin, people(2), request_id_header="X-Request-Id", concurrency=1)
    ids = [fields["x-request-id"] for fields in origin.fields]
    assert len(set(ids)) == 4
    with closing(sqlite3.connect(files.journal)) as database:
        ((journal,),) = database.execute("SELECT value FROM run WHERE key = 'journal'")
    assert sorted(ids) == [f"{journal}-{seq}-1.{attempt}" for seq in range(2) for attempt in (1, 2)]


def test_without_the_options_no_field_is_added(tmp_path: Path) -> None:
    origin = Origins(lambda *_: OK)
    batch(tmp_path, origin, people(1))
    assert set(origin.fields[0]) == {"host", "content-type", "content-length"}


# --- what may be sent again


def test_a_strong_if_match_is_resent_only_where_the_origin_has_shown_that_it_honours_tags(tmp_path: Path) -> None:
    conditional = {"path": "/b", "body": {}, "if_match": '"v1"'}
    silent = Origins(lambda method, target, body: b"" if target == "/b" else status(200))
    files, _ = batch(tmp_path, silent, [PLAIN, conditional], concurrency=1)
    assert [line["attempts"] for line in files.outcomes()] == [1, 1]

    other = tmp_path / "other"
    other.mkdir()
    seen: Counter[str] = Counter()

    def honouring(method: str, target: str, body: bytes) -> bytes:
        seen[target] += 1
        return b"" if target == "/b" and seen[target] == 1 else OK

    files, _ = batch(other, Origins(honouring), [PLAIN, conditional], concurrency=1)
    assert [(line["outcome"], line["attempts"]) for line in files.outcomes()] == [("applied", 1), ("applied", 2)]


def test_a_412_to_the_second_attempt_of_a_conditional_record_leaves_it_unknown(tmp_path: Path) -> None:
    seen: Counter[str] = Counter()

    def answer(method: str, target: str, body: bytes) -> bytes:
        seen[target] += 1
        return OK if target == "/a" else (b"" if seen[target] == 1 else status(412))

    conditional = {"path": "/b", "body": {}, "if_match": '"v1"'}
    files, _ = batch(tmp_path, Origins(answer), [PLAIN, conditional], concurrency=1)
    line = files.outcomes()[1]
    assert (line["outcome"], line["status"], line["attempts"]) == ("unknown", None, 2)


def test_retry_unknown_sends_again_what_an_earlier_run_left_unknown_and_the_output_has_it_once(tmp_path: Path) -> None:
    origin = failing_first(1)
    files, (first, second, third) = runs(tmp_path, origin, people(12), {}, {}, {"retry_unknown": True})
    assert (first.counts["unknown"], second.counts["unknown"], second.settled_now) == (12, 12, 0)
    assert third.counts == {"applied": 12, "pending": 0, "rejected": 0, "not_sent": 0, "unknown": 0}
    lines = [line for line in files.output.read_text("utf-8").splitlines() if line]
    assert len(lines) == 12
    assert {(line["outcome"], line["attempts"]) for line in files.outcomes()} == {("applied", 2)}
    assert files.ids(files.unknown) == []
    assert set(origin.times().values()) == {2}


def test_a_rejection_of_what_is_sent_again_leaves_it_unknown(tmp_path: Path) -> None:
    answers = iter([b"", status(404)])
    files, _ = runs(tmp_path, Origins(lambda *_: next(answers)), [PLAIN], {}, {"retry_unknown": True})
    (line,) = files.outcomes()
    assert (line["outcome"], line["status"], line["attempts"]) == ("unknown", None, 2)
    assert len(read_lines(files.unknown)) == 1


def test_what_is_sent_again_and_unknown_again_is_not_resent_in_the_same_run(tmp_path: Path) -> None:
    origin = failing_first(100)
    runs(tmp_path, origin, [PLAIN], {}, {"retry_unknown": True})
    assert len(origin.seen) == 2


def test_an_idempotent_record_that_is_unknown_is_sent_again_by_a_resume(tmp_path: Path) -> None:
    origin = failing_first(2)
    once = {"retry": RetryPolicy(max_attempts=1)}
    files, _ = runs(tmp_path, origin, [{**PLAIN, "idempotent": True}], once, once, once, once)
    (line,) = files.outcomes()
    assert (line["outcome"], line["attempts"]) == ("applied", 3)
    assert len(origin.seen) == 3


def test_later_records_of_a_lane_wait_for_what_is_sent_again(tmp_path: Path) -> None:
    origin = failing_first(1)
    records = [{"id": f"r{n}", "path": "/a", "body": {"n": n}} for n in range(2)]

    async def job(target: Origin) -> BatchFiles:
        files = BatchFiles(tmp_path, target)
        files.write(records[:1])
        await files.run()
        files.write([*records, {"id": "r2", "path": "/a", "body": {"n": 2}}])
        await files.run(retry_unknown=True)
        return files

    files: BatchFiles = run(origin, job)
    assert [line["outcome"] for line in files.outcomes()] == ["applied"] * 3
    assert [body for _, _, body in origin.seen] == [b'{"n": 0}', b'{"n": 0}', b'{"n": 1}', b'{"n": 2}']


# --- the evidence


def evidence(files: BatchFiles) -> tuple[list[Any], list[Any]]:
    with closing(sqlite3.connect(files.journal)) as database:
        outcomes = database.execute(
            "SELECT seq, bytes_sent, bytes_received, reused FROM outcome ORDER BY seq"
        ).fetchall()
        attempts = database.execute(
            "SELECT seq, number, status, bytes_sent > 0, bytes_received FROM attempt"
        ).fetchall()
    return outcomes, attempts


def test_the_journal_has_the_evidence_of_each_attempt(tmp_path: Path) -> None:
    answers = iter([OK, status(429), OK])
    files, _ = batch(tmp_path, Origins(lambda *_: next(answers)), people(2), concurrency=1)
    outcomes, attempts = evidence(files)
    assert [(seq, received, reused) for seq, _, received, reused in outcomes] == [(0, len(OK), 0), (1, len(OK), 1)]
    assert all(sent > 80 for _, sent, _, _ in outcomes)
    assert attempts == [(1, 1, 429, 1, len(status(429))), (1, 2, 200, 1, len(OK))]


def test_the_attempts_of_earlier_runs_stay_beside_those_of_later_ones(tmp_path: Path) -> None:
    files, _ = runs(tmp_path, failing_first(1), [PLAIN], {}, {"retry_unknown": True})
    _, attempts = evidence(files)
    assert attempts == [(0, 1, None, 1, 0), (0, 2, 200, 1, len(OK))]


# --- an origin that asks for time


def test_a_pause_longer_than_a_run_waits_stops_it_and_a_resume_sends_the_record(tmp_path: Path) -> None:
    answers = iter([status(503, "Retry-After: 3600"), *([OK] * 3)])
    origin = Origins(lambda *_: next(answers))
    _files, (stopped, resumed) = runs(tmp_path, origin, people(3), {"concurrency": 1}, {"concurrency": 1})
    (failure,) = stopped.failures
    assert isinstance(failure, OriginError)
    assert "asks to be left alone for 3,600 seconds (Retry-After)" in str(failure)
    assert (stopped.records, resumed.counts["applied"]) == (0, 3)


@pytest.mark.parametrize("code", [429, 503])
def test_after_five_attempts_the_last_answer_stands(tmp_path: Path, code: int) -> None:
    origin = Origins(lambda *_: status(code, "Retry-After: 0"))
    files, _ = batch(tmp_path, origin, [PLAIN])
    (line,) = files.outcomes()
    assert (line["outcome"], line["status"], line["attempts"]) == ("rejected", code, 5)


# --- responses


def test_responses_are_kept_in_journal_and_output_where_they_are_asked_for(tmp_path: Path) -> None:
    def answer(method: str, target: str, body: bytes) -> bytes:
        if target == "/people/2":
            return b""
        content = b"\xff" if target == "/people/1" else body
        return b"HTTP/1.1 200 OK\r\nX-Kind: one\r\nContent-Length: %d\r\n\r\n%b" % (len(content), content)

    async def job(target: Origin) -> None:
        files = BatchFiles(tmp_path, target)
        files.write(people(3))
        await files.run(responses=True)
        first, second, third = files.outcomes()
        assert (first["response_headers"], first["response"]) == ({"x-kind": "one", "content-length": "8"}, '{"n": 0}')
        assert "response_encoding" not in first
        assert (second["response"], second["response_encoding"]) == ("/w==", "base64")
        assert (third["outcome"], "response" in third) == ("unknown", False)
        written = files.output.read_bytes()
        files.output.write_bytes(b"")  # what a kill may have lost comes back whole
        await files.run()
        assert sorted(files.output.read_bytes().splitlines()) == sorted(written.splitlines())
        await files.run(fresh=True)
        assert not any("response" in line for line in files.outcomes())

    run(Origins(answer), job)
