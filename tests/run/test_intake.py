from __future__ import annotations

import json
import os
import tracemalloc
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from patchwire.delivery.lanes import Lanes
from patchwire.delivery.outcome import Outcome
from patchwire.delivery.record import Record, RecordParser
from patchwire.errors import InvalidRecordsError, RecordError
from patchwire.files import records
from patchwire.files.connection_file import load_connection
from patchwire.files.records import LineReader
from patchwire.http.message import Origin
from patchwire.run import intake as intake_module
from patchwire.run.batch import Summary
from patchwire.run.intake import Intake
from patchwire.run.journal import Journal
from patchwire.run.records import SHOWN
from tests.support.batches import BatchFiles, people
from tests.support.origins import OK, Origins, run

FAULTY = {
    b"{": "not valid JSON",
    b"[]": "expected `object`, got `array`; each line is one record, one JSON object",
    b'{"path": "/a", "body": {"name": "\xff"}}': "not UTF-8: byte 34 of the line is invalid",
    b'{"path": "/a b", "body": {}}': "path: character 3, ' ', is not allowed in a URL; write '/a%20b'",
    b'{"path": "/a"}': "has no body",
    b'{"path": "/a", "body": {}, "id": 1.5}': "id: expected",
    b'{"path": "/a", "body_file": "none", "media_type": "a/b"}': "body_file: ",
    b'{"path": "/a", "body": {}, "if_match": "v1"}': "if_match: no entity tag",
    b'{"path": "/a", "body": {}, "headers": {"Host": "h"}}': "headers.Host: belongs to the connection",
    b'{"path": "/a", "body": {"name": "'
    + b"x" * 2_000_000
    + b'"}}': "line over 1000000 bytes; a record is one line of",
}
"""Lines that are no records, with what is wrong with them: of the last one, where MAX_LINE is 1,000,000."""


def text_of(people: list[dict[str, Any]]) -> list[bytes]:
    return [json.dumps(record).encode() for record in people]


def resumed(
    directory: Path, origin: Origins, contents: list[list[bytes]], **options: Any
) -> tuple[BatchFiles, list[Summary]]:
    """A run for each of these contents of the input, lines without their ends, one resuming the other."""

    async def job(target: Origin) -> tuple[BatchFiles, list[Summary]]:
        files = BatchFiles(directory, target)
        summaries = []
        for lines in contents:
            files.records.write_bytes(b"".join(line + b"\n" for line in lines))
            summaries.append(await files.run(**options))
        return files, summaries

    result: tuple[BatchFiles, list[Summary]] = run(origin, job)
    return result


def places(summary: Summary) -> list[str]:
    """Where the lines are that were passed over."""
    return [failure.place for failure in summary.failures if isinstance(failure, RecordError)]


# --- faulty lines that are passed over


@pytest.mark.parametrize("line", FAULTY, ids=(problem[:20] for problem in FAULTY.values()))
def test_a_line_that_is_no_record_is_named_and_passed_over_and_keeps_its_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: bytes
) -> None:
    monkeypatch.setattr(records, "MAX_LINE", 1_000_000)
    origin = Origins(lambda *_: OK)
    lines = text_of(people(3))
    files, (summary,) = resumed(tmp_path, origin, [[lines[0], b"", line, *lines[1:]]], skip_invalid=True)
    (failure,) = summary.failures
    assert str(failure).startswith(f"{files.records}:3: {FAULTY[line]}")
    assert (summary.invalid, summary.counts["applied"], summary.interrupted) == (1, 3, False)
    assert [(outcome["seq"], outcome["id"]) for outcome in files.outcomes()] == [(0, "r0"), (2, "r1"), (3, "r2")]


def test_of_many_faulty_lines_the_first_are_named_and_all_are_counted(tmp_path: Path) -> None:
    lines = [line for record in text_of(people(50)) for line in (record, b"{")]
    files, (summary,) = resumed(tmp_path, Origins(lambda *_: OK), [lines], skip_invalid=True)
    assert places(summary) == [f"{files.records}:{number}" for number in range(2, 2 * SHOWN + 1, 2)]
    assert (summary.invalid, summary.counts["applied"]) == (50, 50)
    assert [outcome["seq"] for outcome in files.outcomes()] == list(range(0, 100, 2))


def test_a_resume_passes_over_the_same_lines_and_sends_those_that_were_mended(tmp_path: Path) -> None:
    origin = Origins(lambda *_: OK)
    lines = text_of(people(6))
    broken = [*lines[:2], b"{", *lines[3:4], b"{", *lines[5:]]
    mended = [*lines[:4], b"{", *lines[5:]]
    files, summaries = resumed(tmp_path, origin, [broken, broken, mended], skip_invalid=True)
    assert [summary.settled_now for summary in summaries] == [4, 0, 1]
    assert [summary.invalid for summary in summaries] == [2, 2, 1]
    assert set(origin.times().values()) == {1}
    assert [(line["seq"], line["id"]) for line in files.outcomes()] == [(n, f"r{n}") for n in (0, 1, 2, 3, 5)]


def test_without_the_option_reading_ends_at_the_first_faulty_line(tmp_path: Path) -> None:
    origin = Origins(lambda *_: OK)
    lines = text_of(people(4))
    files, (summary,) = resumed(tmp_path, origin, [[*lines[:2], b"{", lines[2], b"{", lines[3]]])
    assert places(summary) == [f"{files.records}:3"]
    assert (summary.invalid, summary.counts["applied"]) == (0, 2)


def test_a_file_of_faulty_lines_alone_sends_nothing(tmp_path: Path) -> None:
    origin = Origins(lambda *_: OK)
    _, (summary,) = resumed(tmp_path, origin, [[b"{"] * 5], skip_invalid=True)
    assert (summary.records, summary.invalid, origin.connections) == (0, 5, 0)


# --- faulty lines that are found before anything is sent


def test_when_all_lines_are_looked_at_first_each_fault_is_named_and_nothing_is_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "MAX_LINE", 1_000_000)
    origin = Origins(lambda *_: OK)
    lines = [line for fault in FAULTY for line in (*text_of(people(1)), fault)]
    with pytest.raises(InvalidRecordsError) as caught:
        resumed(tmp_path, origin, [lines], validate_first=True)
    assert caught.value.number == len(caught.value.faults) == len(FAULTY)
    for number, (fault, problem) in enumerate(zip(caught.value.faults, FAULTY.values(), strict=True), 1):
        assert str(fault).startswith(f"{tmp_path / 'records.ndjson'}:{2 * number}: {problem}")
        assert str(fault) in str(caught.value)
    assert str(caught.value).endswith(": nothing was sent")
    assert origin.connections == 0
    assert {path.name for path in tmp_path.iterdir()} == {"connection.toml", "records.ndjson"}


def test_of_many_faults_that_are_found_first_the_others_are_counted(tmp_path: Path) -> None:
    with pytest.raises(InvalidRecordsError, match=r"records.ndjson:10: .*; and 1,990 more: nothing was sent$"):
        resumed(tmp_path, Origins(lambda *_: OK), [[b"{"] * 2000], validate_first=True)


def test_a_file_without_faults_is_sent_as_ever(tmp_path: Path) -> None:
    origin = Origins(lambda *_: OK)
    (tmp_path / "body").write_bytes(b"{}")
    lines = [*text_of(people(20)), b"", b'{"path": "/f", "body_file": "body", "media_type": "a/b"}']
    _, (summary, again) = resumed(tmp_path, origin, [lines, lines], validate_first=True)
    assert (summary.counts["applied"], summary.failures, again.settled_now) == (21, [], 0)
    assert set(origin.times().values()) == {1}


def test_a_resume_looks_at_all_lines_first_too(tmp_path: Path) -> None:
    origin = Origins(lambda *_: OK)
    lines = text_of(people(5))
    with pytest.raises(InvalidRecordsError, match=":7: not valid JSON"):
        resumed(tmp_path, origin, [lines, [*lines, *text_of(people(1, 5)), b"{"]], validate_first=True)
    assert len(origin.seen) == 5


# --- lines that were taken out


def test_where_a_line_that_was_never_sent_was_taken_out_the_next_is_not_sent_in_its_place(tmp_path: Path) -> None:
    origin = Origins(lambda *_: OK)
    lines = text_of(people(6))
    faulty = [*lines[:2], b"{", *lines[3:]]
    _, (_, again) = resumed(tmp_path, origin, [faulty, [*faulty[:2], *faulty[3:]]], skip_invalid=True)
    assert str(again.failures[0]).startswith(f"{tmp_path / 'records.ndjson'}:4: was sent by an earlier run and has ")
    assert set(origin.times().values()) == {1}


def test_nor_is_it_where_that_was_the_last_line_that_was_sent(tmp_path: Path) -> None:
    origin = Origins(lambda *_: OK)
    lines = text_of(people(4))
    _, (_, again) = resumed(
        tmp_path, origin, [[*lines[:2], b"{", lines[3]], [*lines[:2], lines[3]]], skip_invalid=True
    )
    assert "1 records that an earlier run sent are missing behind the last of 3" in str(again.failures[0])
    assert set(origin.times().values()) == {1}


def test_more_unsent_lines_than_are_held_back_go_out_before_the_next_that_was_sent_is_met(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake_module, "WINDOW_BYTES", 1000)
    origin = Origins(lambda *_: OK)
    lines = text_of(people(100))
    faulty = [line if n in (0, 99) else b"{" for n, line in enumerate(lines)]
    _, (_, again) = resumed(tmp_path, origin, [faulty, lines], skip_invalid=True)
    assert (again.counts["applied"], again.failures) == (100, [])
    assert set(origin.times().values()) == {1}


# --- bodies in files of their own


def test_a_body_that_has_changed_since_it_was_sent_stops_the_resume_before_it_is_sent_again(tmp_path: Path) -> None:
    origin = Origins(lambda *_: b"")
    line = b'{"path": "/a", "body_file": "body", "media_type": "a/b", "idempotent": true}'
    (tmp_path / "body").write_bytes(b"first")

    async def job(target: Origin) -> None:
        files = BatchFiles(tmp_path, target)
        files.records.write_bytes(line)
        await files.run()
        (tmp_path / "body").write_bytes(b"second")
        sent = len(origin.seen)
        (failure,) = (await files.run()).failures
        assert str(failure).startswith(f"{files.records}:1: was sent by an earlier run and has changed or moved since")
        assert len(origin.seen) == sent
        (tmp_path / "body").write_bytes(b"first")
        origin.answer = lambda *_: OK
        assert (await files.run()).counts["applied"] == 1

    run(origin, job)
    assert {body for _, _, body in origin.seen} == {b"first"}


def test_a_body_may_go_when_its_record_has_an_outcome(tmp_path: Path) -> None:
    origin = Origins(lambda *_: OK)
    line = b'{"path": "/a", "body_file": "body", "media_type": "a/b"}'

    async def job(target: Origin) -> None:
        files = BatchFiles(tmp_path, target)
        files.records.write_bytes(line)
        (tmp_path / "body").write_bytes(b"first")
        await files.run()
        (tmp_path / "body").unlink()
        summary = await files.run()
        assert (summary.counts["applied"], summary.failures, summary.settled_now) == (1, [], 0)

    run(origin, job)


def test_the_bodies_of_records_that_are_held_are_not_read(tmp_path: Path) -> None:
    origin = Origins(lambda *_: b"")
    record = {"path": "/a", "body_file": "body", "media_type": "a/b"}
    (tmp_path / "body").write_bytes(b"x" * 1_000_000)

    async def job(target: Origin) -> None:
        files = BatchFiles(tmp_path, target)
        files.write([record])
        await files.run()
        files.write([record] * 200)
        tracemalloc.start()
        try:
            summary = await files.run()
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert summary.counts["not_sent"] == 199
        assert peak < 20_000_000

    run(origin, job)


# --- lines that make trouble


def test_a_line_of_a_hundred_megabytes_is_passed_over_without_being_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "MAX_LINE", 1_000_000)

    async def job(target: Origin) -> tuple[BatchFiles, Summary]:
        files = BatchFiles(tmp_path, target)
        first, second = text_of(people(2))
        with files.records.open("wb") as writing:
            writing.write(first + b'\n{"path": "/huge", "body": {"name": "')
            writing.truncate(100_000_000)  # takes no room on the disk
            writing.seek(0, os.SEEK_END)
            writing.write(b'"}}\n' + second)
        tracemalloc.start()
        try:
            summary = await files.run(skip_invalid=True)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 4_000_000
        return files, summary

    origin = Origins(lambda *_: OK)
    files, summary = run(origin, job)
    assert [str(failure) for failure in summary.failures] == [
        f"{files.records}:2: line over 1000000 bytes; a record is one line of JSON"
    ]
    assert [line["seq"] for line in files.outcomes()] == [0, 2]
    assert set(origin.times()) == {"/people/0", "/people/1"}


@pytest.mark.parametrize("skip_invalid", [False, True])
def test_a_torn_last_line_is_named_as_such_and_sent_once_it_is_whole(tmp_path: Path, skip_invalid: bool) -> None:
    origin = Origins(lambda *_: OK)
    torn, whole = text_of(people(5)), b"\n".join(text_of(people(5)))

    async def job(target: Origin) -> None:
        files = BatchFiles(tmp_path, target)
        files.records.write_bytes(whole[: -len(torn[-1]) // 2])
        summary = await files.run(skip_invalid=skip_invalid)
        (failure,) = summary.failures
        assert str(failure).startswith(f"{files.records}:5: not valid JSON")
        assert str(failure).endswith("; the file ends within this line")
        assert summary.counts["applied"] == 4
        files.records.write_bytes(whole)
        summary = await files.run(skip_invalid=skip_invalid)
        assert (summary.counts["applied"], summary.failures) == (5, [])

    run(origin, job)
    assert set(origin.times().values()) == {1}


def test_a_last_line_without_its_end_is_a_record_and_stays_the_same_when_it_gets_one(tmp_path: Path) -> None:
    origin = Origins(lambda *_: OK)

    async def job(target: Origin) -> None:
        files = BatchFiles(tmp_path, target)
        for end in (b"", b"\n", b"\r\n"):
            files.records.write_bytes(b"\n".join(text_of(people(3))) + end)
            summary = await files.run()
            assert (summary.counts["applied"], summary.failures) == (3, [])

    run(origin, job)
    assert set(origin.times().values()) == {1}


def test_records_with_the_same_id_all_go_out_and_each_has_its_outcome(tmp_path: Path) -> None:
    origin = Origins(lambda *_: OK)
    lines = text_of([{"id": "same", "path": f"/people/{n // 2}", "body": {"n": n}} for n in range(6)])
    files, (_, again) = resumed(tmp_path, origin, [lines, lines])
    assert [(line["seq"], line["id"]) for line in files.outcomes()] == [(n, "same") for n in range(6)]
    assert sorted(body for _, _, body in origin.seen) == [b'{"n": %d}' % n for n in range(6)]
    assert again.settled_now == 0


# --- an input that changes in mid-run

COUNT = 8000
"""Records of more than one block, so that they are read while others are in flight."""


def changing(directory: Path, change: Callable[[Path], None]) -> tuple[BatchFiles, Origins, list[Summary]]:
    """A run whose input changes so at its first request, and another of the same command."""
    changed = False

    def answer(method: str, target: str, body: bytes) -> bytes:
        nonlocal changed
        if not changed:
            changed = True
            change(directory / "records.ndjson")
        return OK

    async def job(target: Origin) -> tuple[BatchFiles, list[Summary]]:
        files = BatchFiles(directory, target)
        files.write(people(COUNT))
        assert files.records.stat().st_size > 1.5 * records.BLOCK_SIZE
        return files, [await files.run(), await files.run()]

    origin = Origins(answer)
    files, summaries = run(origin, job)
    return files, origin, summaries


def grow(path: Path) -> None:
    with path.open("ab") as writing:
        writing.writelines(line + b"\n" for line in text_of(people(100, COUNT)))


def test_what_is_added_to_the_input_in_mid_run_is_sent_by_the_next(tmp_path: Path) -> None:
    files, origin, (grown, whole) = changing(tmp_path, grow)
    (failure,) = grown.failures
    assert isinstance(failure, RecordError)
    assert failure.place == str(files.records)
    assert "while it was read; what was added was not sent: run the same command again" in str(failure)
    assert (grown.counts["applied"], whole.counts["applied"], whole.failures) == (COUNT, COUNT + 100, [])
    assert set(origin.times().values()) == {1}


def replace_the_end(path: Path) -> None:
    content = path.read_bytes()
    with path.open("r+b") as writing:
        writing.seek(len(content) - 20)
        writing.write(content[-20:].replace(b"7999", b"9997"))
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1_000_000_000))


def test_an_input_that_is_changed_in_mid_run_is_named_and_what_was_read_has_its_outcomes(tmp_path: Path) -> None:
    files, origin, (changed, same) = changing(tmp_path, replace_the_end)
    (failure,) = changed.failures
    assert str(failure).startswith(f"{files.records}: has changed while it was read; see that it is whole, and run")
    assert (changed.counts["applied"], same.settled_now, same.failures) == (COUNT, 0, [])
    assert {b'{"n": 9997}', b'{"n": 7999}'} & {body for _, _, body in origin.seen} == {b'{"n": 9997}'}


def test_an_input_that_is_cut_in_mid_run_is_named_and_nothing_of_it_is_sent_twice(tmp_path: Path) -> None:
    _, origin, (cut, again) = changing(tmp_path, lambda path: os.truncate(path, records.BLOCK_SIZE + 100))
    assert "has changed while it was read" in str(cut.failures[0])
    assert records.BLOCK_SIZE // 100 < cut.counts["applied"] < COUNT
    assert again.settled_now == 0
    assert set(origin.times().values()) == {1}


# --- the intake by itself


class Heard:
    """Notes what the intake tells of records that no earlier run has met."""

    def __init__(self, lanes: Lanes) -> None:
        self.lanes = lanes
        self.most = 0

    def wake(self) -> None:
        self.most = max(self.most, self.lanes.waiting)

    def settled(self, line: bytes, outcome: Outcome) -> None:
        raise AssertionError

    def taken_up(self, record: Record) -> None:
        raise AssertionError

    def hold(self, record: Record, holder: str) -> None:
        raise AssertionError

    def doubt(self, record: Record, *, taken_up: bool) -> None:
        raise AssertionError

    def invalid(self, fault: RecordError) -> None:
        raise AssertionError


def emptied(lanes: Lanes) -> list[int]:
    taken = []
    while (record := lanes.take()) is not None:
        taken.append(record.seq)
        lanes.finish(record, Outcome.APPLIED)
    return taken


@pytest.mark.parametrize(("count", "size", "window"), [(3000, 10, 256), (30, 2_000_000, 9)])
def test_no_more_records_wait_than_the_window_holds_by_number_and_by_size(
    tmp_path: Path, count: int, size: int, window: int
) -> None:
    files = BatchFiles(tmp_path, "http://h")
    with files.records.open("wb") as writing:
        writing.writelines(b'{"path": "/%d", "body": {"x": "%s"}}\n' % (n, b"x" * size) for n in range(count))

    async def main() -> None:
        settings = load_connection(files.connection)
        lanes = Lanes()
        heard, taken = Heard(lanes), []
        with closing(Journal(files.journal, settings.identity)) as journal, files.records.open("rb") as file:
            reader, parser = LineReader(file, "r"), RecordParser(settings)
            intake = Intake(reader, parser, tmp_path, journal, lanes, 256, lambda _: False)
            with trio.fail_after(60):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(intake.run, heard)
                    while not intake.ended or lanes.waiting:
                        await trio.testing.wait_all_tasks_blocked(0.001)
                        if intake.ended or lanes.waiting == window:
                            taken += emptied(lanes)
                            intake.make_room()
        assert (intake.fault, intake.passed_known) == (None, True)
        assert taken == list(range(count))
        assert heard.most == window

    trio.run(main)
