from __future__ import annotations

import json
import signal
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import closing, suppress
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.lowlevel

from patchwire.errors import ConnectError, CredentialsRejectedError, JournalError, RecordError, StorageError
from patchwire.files.connection_file import load_connection
from patchwire.http.message import Origin
from patchwire.net.connection import Connection
from patchwire.net.opening import Opener
from patchwire.run.batch import Summary, run_batch
from patchwire.run.journal_reader import JournalReader, Selection
from tests.support.batches import QUICK, BatchFiles, people, read_lines
from tests.support.cancelling import cancelled_at_every_checkpoint, open_descriptors
from tests.support.origins import OK, Origins, batch, run, status
from tests.support.peer import RequestReader, listening, reset


def test_every_record_is_sent_once_and_has_its_outcome(tmp_path: Path) -> None:
    origin = Origins(lambda *_: OK)
    files, summary = batch(tmp_path, origin, people(500))
    assert summary.counts == {"applied": 500, "pending": 0, "rejected": 0, "not_sent": 0, "unknown": 0}
    assert set(origin.times().values()) == {1}
    assert len(origin.seen) == 500
    assert origin.connections == 4
    first, *_ = files.outcomes()
    assert first.pop("seconds") > 0
    assert first == {
        "seq": 0, "id": "r0", "path": "/people/0", "outcome": "applied", "status": 200, "attempts": 1,
        "etag": '"v2"', "error": None,
    }  # fmt: skip
    assert [line["seq"] for line in files.outcomes()] == list(range(500))


@pytest.mark.parametrize(
    ("code", "outcome", "extra"),
    [
        (204, "applied", {}),
        (202, "applied", {"pending": True}),
        (207, "applied", {"partial": True}),
        (303, "unknown", {}),
        (304, "rejected", {}),
        (404, "rejected", {}),
        (412, "rejected", {}),
        (500, "rejected", {}),
        (502, "unknown", {}),
        (504, "unknown", {}),
        (600, "rejected", {}),
    ],
)
def test_a_status_decides_the_outcome(tmp_path: Path, code: int, outcome: str, extra: dict[str, Any]) -> None:
    origin = Origins(lambda *_: status(code))
    files, summary = batch(tmp_path, origin, people(1))
    (line,) = files.outcomes()
    assert (line["outcome"], line["status"], line["attempts"]) == (outcome, code, 1)
    assert {key: line[key] for key in ("pending", "partial") if key in line} == extra
    assert summary.counts[outcome] == 1
    assert files.ids(files.failed) == (["r0"] if outcome == "rejected" else [])
    assert files.ids(files.unknown) == (["r0"] if outcome == "unknown" else [])


def test_unknown_statuses_can_be_widened(tmp_path: Path) -> None:
    origin = Origins(lambda *_: status(500))
    files, _ = batch(tmp_path, origin, people(1), "[outcomes]\nunknown_statuses = [500]\n")
    assert files.outcomes()[0]["outcome"] == "unknown"


def test_a_response_cut_after_each_byte_is_unknown_until_its_head_is_whole_and_never_resent(tmp_path: Path) -> None:
    head_length = OK.index(b"\r\n\r\n") + 4

    async def cutter(stream: trio.SocketStream) -> None:
        request = await RequestReader(stream).next()
        if request is not None:
            seen.append(request[1])
            await stream.send_all(OK[: int(request[1].rpartition("/")[2])])

    seen: list[str] = []
    # Many at a time: an origin that answers none of so few in a row would be taken for one in trouble.
    files, _ = batch(tmp_path, cutter, people(len(OK)), concurrency=len(OK) // 2)
    assert Counter(seen) == Counter(f"/people/{n}" for n in range(len(OK)))
    for line in files.outcomes():
        cut = int(line["seq"])
        if cut < head_length:
            assert (line["outcome"], line["status"]) == ("unknown", None)
        else:
            assert (line["outcome"], line["status"]) == ("applied", 200)
        assert "closed the connection" in line["error"]
        assert line["attempts"] == 1


def test_a_reset_is_unknown_and_not_resent(tmp_path: Path) -> None:
    async def resetting(stream: trio.SocketStream) -> None:
        if await RequestReader(stream).next():
            seen.append(1)
            reset(stream)

    seen: list[int] = []
    files, summary = batch(tmp_path, resetting, people(10))
    assert summary.counts["unknown"] == 10
    assert len(seen) == 10
    assert len(files.ids(files.unknown)) == 10


def test_an_idempotent_record_is_resent_after_an_unknown_attempt_until_it_is_applied(tmp_path: Path) -> None:
    tries: Counter[str] = Counter()

    def answer(method: str, target: str, body: bytes) -> bytes:
        tries[target] += 1
        return OK if tries[target] == 3 else b""

    files, _ = batch(tmp_path, Origins(answer), [{"path": "/a", "body": {}, "idempotent": True}])
    (line,) = files.outcomes()
    assert (line["outcome"], line["attempts"]) == ("applied", 3)


def test_a_later_rejection_does_not_settle_an_unknown_attempt(tmp_path: Path) -> None:
    tries: Counter[str] = Counter()

    def answer(method: str, target: str, body: bytes) -> bytes:
        tries[target] += 1
        return status(412) if tries[target] == 2 else b""

    files, _ = batch(tmp_path, Origins(answer), [{"path": "/a", "body": {}, "idempotent": True}])
    (line,) = files.outcomes()
    assert (line["outcome"], line["status"], line["attempts"]) == ("unknown", None, 2)


@pytest.mark.parametrize("first", [status(429), status(503, "Retry-After: 0"), status(425), status(421), status(408)])
def test_an_answer_that_asks_for_another_try_gets_it(tmp_path: Path, first: bytes) -> None:
    answers = iter([first, OK])
    origin = Origins(lambda *_: next(answers))
    files, _ = batch(tmp_path, origin, people(1))
    (line,) = files.outcomes()
    assert (line["outcome"], line["attempts"]) == ("applied", 2)
    assert origin.connections == (2 if b" 421 " in first else 1)


def test_503_without_a_time_is_not_resent(tmp_path: Path) -> None:
    files, _ = batch(tmp_path, Origins(lambda *_: status(503)), people(1))
    assert (files.outcomes()[0]["outcome"], files.outcomes()[0]["attempts"]) == ("rejected", 1)


def test_a_refused_expectation_is_resent_without_it(tmp_path: Path) -> None:
    heads: list[bytes] = []

    async def peer(stream: trio.SocketStream) -> None:
        data = await stream.receive_some()
        heads.append(bytes(data))
        await stream.send_all(
            b"HTTP/1.1 417 No\r\nConnection: close\r\nContent-Length: 0\r\n\r\n" if b"Expect" in data else OK
        )
        await stream.receive_some()

    files, _ = batch(tmp_path, peer, people(1), '[headers]\nExpect = "100-continue"\n')
    assert files.outcomes()[0]["outcome"] == "applied"
    assert [b"Expect" in head for head in heads] == [True, False]


def test_a_connection_that_was_closed_while_idle_costs_neither_record_nor_attempt(tmp_path: Path) -> None:
    closed: list[trio.Event] = []

    async def one_each(stream: trio.SocketStream) -> None:
        closed.append(trio.Event())
        if await RequestReader(stream).next() is None:
            return
        if len(closed) > 1:
            await closed[0].wait()
        else:
            # The first answer is whole, and its FIN there, before the next record can go out.
            await stream.send_all(OK)
            await stream.aclose()
            closed[0].set()
            return
        await stream.send_all(OK)

    files, summary = batch(tmp_path, one_each, people(2), concurrency=1)
    assert summary.counts["applied"] + summary.counts["unknown"] == 2
    assert {line["attempts"] for line in files.outcomes()} == {1}


def test_an_origin_that_closes_after_each_answer_unannounced_doubles_nothing(tmp_path: Path) -> None:
    origin = Origins(lambda *_: OK)

    async def closing(stream: trio.SocketStream) -> None:
        origin.connections += 1
        request = await RequestReader(stream).next()
        if request is not None:
            origin.seen.append(request)
            await stream.send_all(OK)  # and a FIN, unannounced

    async def job(target: Origin) -> Summary:
        files = BatchFiles(tmp_path, target)
        files.write(people(20))
        return await files.run(concurrency=1)

    summary = run(closing, job)
    # A FIN that arrives while the next request is on its way is the one case that cannot be told.
    assert summary.counts["applied"] + summary.counts["unknown"] == 20
    assert set(origin.times().values()) == {1}


def test_an_answer_that_comes_before_the_request_answers_nothing(tmp_path: Path) -> None:
    async def hasty(stream: trio.SocketStream) -> None:
        await stream.send_all(OK)
        with suppress(trio.BrokenResourceError):
            asked.append(bytes(await stream.receive_some()))

    asked: list[bytes] = []
    _, summary = batch(tmp_path, hasty, people(1))
    # The two may cross on their way. Where the answer was there first, nothing is sent.
    assert any(asked) is (summary.records == 1)
    if not any(asked):
        (failure,) = summary.failures
        assert isinstance(failure, ConnectError)
        assert "takes nothing" in str(failure)
        assert "spoke before it was asked" in str(failure)


def test_records_of_one_lane_go_one_after_the_other_in_order(tmp_path: Path) -> None:
    busy: set[str] = set()
    order: dict[str, list[int]] = {}

    async def peer(stream: trio.SocketStream) -> None:
        reader = RequestReader(stream)
        while (request := await reader.next()) is not None:
            lane = request[1].partition("?")[0]
            assert lane not in busy
            busy.add(lane)
            order.setdefault(lane, []).append(json.loads(request[2])["n"])
            await trio.sleep(0.001)
            busy.remove(lane)
            await stream.send_all(OK)

    records = [{"path": f"/lane/{n % 3}?n={n}", "body": {"n": n}} for n in range(60)]
    _, summary = batch(tmp_path, peer, records, concurrency=8)
    assert summary.counts["applied"] == 60
    assert order == {f"/lane/{lane}": list(range(lane, 60, 3)) for lane in range(3)}


def test_a_lane_is_held_after_unknown_and_goes_on_after_a_rejection(tmp_path: Path) -> None:
    def answer(method: str, target: str, body: bytes) -> bytes:
        return {"/a?1": b"", "/b?1": status(409)}.get(target, OK)

    records: list[dict[str, Any]] = [
        {"id": target, "path": target, "body": {}} for target in ("/a?1", "/b?1", "/a?2", "/b?2", "/a?3")
    ]
    origin = Origins(answer)
    files, _ = batch(tmp_path, origin, records)
    by_id = {line["id"]: line for line in files.outcomes()}
    assert by_id["/a?1"]["outcome"] == "unknown"
    for held in ("/a?2", "/a?3"):
        assert (by_id[held]["outcome"], by_id[held]["error"], by_id[held]["attempts"]) == (
            "not_sent",
            "held by /a?1",
            0,
        )
    assert by_id["/b?1"]["outcome"] == "rejected"
    assert by_id["/b?2"]["outcome"] == "applied"
    assert set(origin.times()) == {"/a?1", "/b?1", "/b?2"}


def test_a_lane_held_by_an_earlier_run_stays_held(tmp_path: Path) -> None:
    def answer(method: str, target: str, body: bytes) -> bytes:
        return b"" if target == "/a?1" else OK

    records: list[dict[str, Any]] = [{"id": "first", "path": "/a?1", "body": {}}]
    batch(tmp_path, Origins(answer), records)
    origin = Origins(answer)

    async def job(target: Origin) -> BatchFiles:
        files = BatchFiles(tmp_path, connection_of(tmp_path))
        files.write([*records, {"id": "second", "path": "/a?2", "body": {}}])
        await files.run()
        return files

    files = run(origin, job)
    assert [line["outcome"] for line in files.outcomes()] == ["unknown", "not_sent"]
    assert origin.seen == []


def connection_of(directory: Path) -> str:
    text = (directory / "connection.toml").read_text("utf-8")
    return text.split('"')[1]


def test_properties_travel_to_the_outcome(tmp_path: Path) -> None:
    record = {"path": "/a", "body": {}, "properties": {"row": 7, "x": [1.50, None]}}
    files, _ = batch(tmp_path, Origins(lambda *_: OK), [record])
    assert files.outcomes()[0]["properties"] == {"row": 7, "x": [1.5, None]}


def test_a_body_file_is_sent_octet_for_octet(tmp_path: Path) -> None:
    (tmp_path / "patch.bin").write_bytes(b"\x00\xff\r\n{")
    origin = Origins(lambda *_: OK)
    batch(tmp_path, origin, [{"path": "/a", "body_file": "patch.bin", "media_type": "application/octet-stream"}])
    assert origin.seen[0][2] == b"\x00\xff\r\n{"


# --- resuming


def test_the_same_command_again_sends_nothing_again(tmp_path: Path) -> None:
    origin = Origins(lambda method, target, body: status(404) if target.endswith("3") else OK)

    async def job(target: Origin) -> None:
        files = BatchFiles(tmp_path, target)
        files.write(people(30))
        first = await files.run()
        lines = files.outcomes()
        second = await files.run()
        assert second.counts == first.counts
        assert second.settled_now == 0
        assert files.outcomes() == lines
        assert files.ids(files.failed) == ["r3", "r13", "r23"]
        files.write(people(40))
        assert (await files.run()).counts["applied"] == 36

    run(origin, job)
    assert set(origin.times().values()) == {1}
    assert len(origin.seen) == 40


def test_fresh_begins_anew(tmp_path: Path) -> None:
    origin = Origins(lambda *_: OK)

    async def job(target: Origin) -> None:
        files = BatchFiles(tmp_path, target)
        files.write(people(5))
        await files.run()
        await files.run(fresh=True)
        assert [line["seq"] for line in files.outcomes()] == list(range(5))

    run(origin, job)
    assert set(origin.times().values()) == {2}


def test_a_torn_output_is_mended_from_the_journal(tmp_path: Path) -> None:
    async def job(target: Origin) -> None:
        files = BatchFiles(tmp_path, target)
        files.write(people(50))
        await files.run()
        lines = files.output.read_bytes().splitlines(keepends=True)
        files.output.write_bytes(b"".join(lines[:20]) + lines[20][:-5])
        await files.run()
        assert [line["seq"] for line in files.outcomes()] == list(range(50))

    run(Origins(lambda *_: OK), job)


def test_a_kill_while_unknown_records_are_sent_again_leaves_no_stale_outcome_in_the_output(tmp_path: Path) -> None:
    is_first = True

    async def job(target: Origin) -> None:
        nonlocal is_first
        files = BatchFiles(tmp_path, target)
        files.write(people(5))
        await files.run()
        before = files.output.read_bytes()
        is_first = False
        await files.run(retry_unknown=True)
        files.output.write_bytes(before)  # what a kill leaves: outcomes stood in the buffer of the output
        summary = await files.run()
        assert summary.counts["applied"] == 5
        assert {line["outcome"] for line in files.outcomes()} == {"applied"}

    run(Origins(lambda *_: b"" if is_first else OK), job)


def test_a_line_that_was_sent_and_has_changed_stops_the_resume_while_later_lines_may_be_mended(tmp_path: Path) -> None:
    async def job(target: Origin) -> None:
        files = BatchFiles(tmp_path, target)
        files.write(people(5))
        await files.run()
        changed = people(8)
        changed[2]["body"] = {"n": "other"}
        files.write(changed)
        (failure,) = (await files.run()).failures
        assert isinstance(failure, JournalError)
        assert f"{files.records}:3: was sent by an earlier run and has changed or moved since" in str(failure)
        files.write([*people(5), {"path": "/new", "body": {}}])
        assert (await files.run()).counts["applied"] == 6

    run(Origins(lambda *_: OK), job)


def test_a_refused_resume_leaves_the_files_of_the_earlier_run_as_they_were(tmp_path: Path) -> None:
    async def job(target: Origin) -> None:
        files = BatchFiles(tmp_path, target)
        files.write(people(20))
        await files.run()
        assert len(files.ids(files.failed)) == 20
        changed = people(20)
        changed[5]["body"] = {"n": "other"}
        files.write(changed)
        assert (await files.run()).failures
        assert len(files.ids(files.failed)) == 20
        assert not list(tmp_path.glob("*.new"))

    run(Origins(lambda *_: status(404)), job)


def test_records_that_were_sent_and_are_missing_now_are_noticed(tmp_path: Path) -> None:
    async def job(target: Origin) -> None:
        files = BatchFiles(tmp_path, target)
        files.write(people(5))
        await files.run()
        files.write(people(3))
        (failure,) = (await files.run()).failures
        assert isinstance(failure, JournalError)
        assert "2 records that an earlier run sent are missing" in str(failure)

    run(Origins(lambda *_: OK), job)


def test_a_journal_that_is_removed_in_mid_run_stops_it(tmp_path: Path) -> None:
    def answer(method: str, target: str, body: bytes) -> bytes:
        (tmp_path / "records.ndjson.journal").unlink(missing_ok=True)
        return OK

    origin = Origins(answer)
    _, summary = batch(tmp_path, origin, people(100), concurrency=2)
    assert isinstance(summary.failures[0], StorageError)
    assert "was removed or replaced while the run went on" in str(summary.failures[0])
    assert len(origin.seen) <= 2


def test_a_journal_of_another_connection_is_refused(tmp_path: Path) -> None:
    async def job(target: Origin) -> None:
        files = BatchFiles(tmp_path, target)
        files.write(people(1))
        await files.run()
        other = BatchFiles(tmp_path, f"{target}/v2")
        with pytest.raises(JournalError, match="another connection.*--fresh"):
            await other.run()

    run(Origins(lambda *_: OK), job)


# --- faults


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('{"path": "/a b", "body": {}}', "path: character 3, ' ', is not allowed in a URL; write '/a%20b'"),
        ('{"path": "/a\\r\\nX: y", "body": {}}', "path: character 3"),
        ('{"path": "/a", "body": {}', "not valid JSON"),
        ('{"path": "/a"}', "has no body"),
        ('{"path": "/a", "body": {}, "boddy": 1}', "boddy: unknown key"),
        ('{"path": "/a", "body_file": "missing", "media_type": "x/y"}', "body_file: .*missing: no such file"),
    ],
)
def test_a_malformed_record_stops_the_run_at_its_line_after_all_before_it(
    tmp_path: Path, line: str, problem: str
) -> None:
    origin = Origins(lambda *_: OK)

    async def job(target: Origin) -> None:
        files = BatchFiles(tmp_path, target)
        files.write(people(10))
        files.records.write_text(
            files.records.read_text("utf-8") + line + "\n" + json.dumps(people(1, 99)[0]), "utf-8"
        )
        summary = await files.run()
        (failure,) = summary.failures
        assert isinstance(failure, RecordError)
        assert failure.place == f"{files.records}:11"
        assert summary.counts["applied"] == 10
        with pytest.raises(RecordError, match=problem):
            raise failure

    run(origin, job)
    assert len(origin.seen) == 10


def test_an_origin_that_refuses_connections_stops_the_run_with_nothing_sent(tmp_path: Path) -> None:
    async def main() -> Summary:
        async with listening(Origins(lambda *_: OK)) as origin:
            pass  # the port is closed again
        files = BatchFiles(tmp_path, origin)
        files.write(people(100))
        with trio.fail_after(5):
            return await files.run(patience=60)

    summary = trio.run(main)
    (failure,) = summary.failures
    assert isinstance(failure, ConnectError)
    assert "connection refused" in str(failure)
    assert summary.records == 0


class Flapping:
    """An origin whose listener can be closed and opened again on its port; each connection carries one request."""

    def __init__(self) -> None:
        self.origin = Origins(lambda *_: OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        self.port = 0

    async def up(self, until: Callable[[], bool]) -> None:
        """Serve until `until` holds after a connection, or for good; then no connection is accepted any more."""
        listeners = await trio.open_tcp_listeners(self.port, host="127.0.0.1")
        self.port = listeners[0].socket.getsockname()[1]

        async def handler(stream: trio.SocketStream) -> None:
            async with stream:
                await self.origin(stream)
            if until():
                scope.cancel()

        with trio.CancelScope() as scope:
            await trio.serve_listeners(handler, listeners)


async def flapping_batch(directory: Path, flapping: Flapping, patience: float, downtime: float) -> list[Summary]:
    """Summaries of a run whose origin goes down after 10 requests, and, where that one stopped, of its resume."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(flapping.up, lambda: len(flapping.origin.seen) >= 10)
        while not flapping.port:
            await trio.lowlevel.checkpoint()
        files = BatchFiles(directory, Origin("http", "127.0.0.1", flapping.port))
        files.write(people(40))
        summaries = []

        async def come_back() -> None:
            while len(flapping.origin.seen) < 10:
                await trio.sleep(0.001)
            await trio.sleep(downtime)
            await flapping.up(lambda: False)

        nursery.start_soon(come_back)
        summaries.append(await files.run(patience=patience, concurrency=2))
        if summaries[0].failures:
            await trio.sleep(downtime)
            summaries.append(await files.run(concurrency=2))
        nursery.cancel_scope.cancel()
    assert [line["seq"] for line in files.outcomes()] == list(range(40))
    assert set(flapping.origin.times().values()) == {1}
    return summaries


def test_an_origin_that_comes_back_is_waited_for(tmp_path: Path) -> None:
    (summary,) = trio.run(flapping_batch, tmp_path, Flapping(), 30.0, 0.1)
    assert summary.records == 40
    # What stood in the backlog when the listener closed was reset after it was sent: one for each connection.
    assert summary.counts["unknown"] <= 2


def test_an_origin_that_stays_down_stops_the_run_and_a_resume_sends_what_was_not_sent(tmp_path: Path) -> None:
    stopped, resumed = trio.run(flapping_batch, tmp_path, Flapping(), 0.05, 0.6)
    assert isinstance(stopped.failures[0], ConnectError)
    assert 10 <= stopped.records <= 12
    assert resumed.records == 40
    assert resumed.counts["not_sent"] == 0


def test_a_stop_while_the_origin_is_down_does_not_wait_for_it(tmp_path: Path) -> None:
    async def main() -> None:
        flapping = Flapping()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(flapping.up, lambda: len(flapping.origin.seen) >= 10)
            while not flapping.port:
                await trio.lowlevel.checkpoint()
            files = BatchFiles(tmp_path, Origin("http", "127.0.0.1", flapping.port))
            files.write(people(40))

            async def interrupt() -> None:
                while len(flapping.origin.seen) < 10:
                    await trio.sleep(0.001)
                await trio.sleep(0.05)
                signal.raise_signal(signal.SIGINT)

            nursery.start_soon(interrupt)
            said: list[bool] = []
            with trio.fail_after(20):
                summary = await run_batch(
                    load_connection(files.connection),
                    files.options(patience=600.0),
                    on_signal=lambda: said.append(True),
                )
        assert (summary.interrupted, said) == (True, [True])
        assert summary.counts["not_sent"] == 0

    trio.run(main)


# --- what waits when the run is stopped


def silent_at_first(origin: Origins) -> Callable[[trio.SocketStream], Awaitable[None]]:
    """One that reads the first request, and says nothing until its client has gone; the others it answers."""

    async def peer(stream: trio.SocketStream) -> None:
        if origin.connections or origin.seen:
            await origin(stream)
            return
        origin.connections += 1
        reader = RequestReader(stream)
        while (request := await reader.next()) is not None:
            origin.seen.append(request)

    return peer


def test_after_the_deadline_nobody_sends_who_waited_for_others_to_try_the_credentials(tmp_path: Path) -> None:
    origin = Origins(lambda *_: OK)

    async def job(target: Origin) -> list[Summary]:
        files = BatchFiles(tmp_path, target, BASIC + "preemptive = true\n[limits]\nread_timeout = 0.4\n")
        files.write(people(20))
        return [await files.run(concurrency=8, deadline=0.1), await files.run(concurrency=8)]

    stopped, resumed = run(silent_at_first(origin), job)
    assert (stopped.records, stopped.counts["unknown"]) == (1, 1)
    assert (resumed.counts["unknown"], resumed.counts["applied"]) == (1, 19)
    assert set(origin.times().values()) == {1}


@pytest.mark.parametrize("failures", [0, 1])
def test_after_the_deadline_nobody_sends_who_waited_for_a_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failures: int
) -> None:
    opened: list[Connection] = []
    numbers = count()

    async def slow(*arguments: Any, **options: Any) -> Connection:
        fails = next(numbers) < failures
        if not fails:
            await trio.sleep(0.4)
        connection = await opening(*arguments, **options)
        opened.append(connection)
        if fails:
            connection.close()  # so that it takes nothing, and another is waited for
        return connection

    opening = Opener.open
    origin = Origins(lambda *_: OK)

    async def job(target: Origin) -> list[Summary]:
        files = BatchFiles(tmp_path, target)
        files.write(people(20))
        with monkeypatch.context() as patch:
            patch.setattr(Opener, "open", slow)
            stopped = await files.run(concurrency=3, deadline=0.1, patience=5.0)
        assert origin.seen == []
        assert not any(connection.usable for connection in opened)
        return [stopped, await files.run()]

    stopped, resumed = run(origin, job)
    assert (stopped.records, stopped.interrupted) == (0, True)
    assert resumed.counts["applied"] == 20
    assert set(origin.times().values()) == {1}


# --- credentials

BASIC = 'authentication = "basic"\nuser = "svc"\npassword = "literal:canary"\n'


def guarded(password: str) -> Origins:
    return Origins(lambda *_: status(401, 'WWW-Authenticate: Basic realm="r"'))


def test_rejected_credentials_stop_the_batch_after_one_request(tmp_path: Path) -> None:
    origin = guarded("other")
    files, summary = batch(tmp_path, origin, people(500), BASIC + "preemptive = true\n", concurrency=32)
    (failure,) = summary.failures
    assert isinstance(failure, CredentialsRejectedError)
    assert "user 'svc'" in str(failure)
    assert "canary" not in str(failure)
    assert len(origin.seen) == 1
    assert summary.records == 0
    assert files.outcomes() == []


@pytest.mark.parametrize("first", [404, 429, 503])
@pytest.mark.parametrize("preemptive", [True, False])
def test_an_answer_that_says_nothing_of_the_credentials_does_not_let_more_of_them_out(
    tmp_path: Path, first: int, preemptive: bool
) -> None:
    with_credentials = 0

    async def peer(stream: trio.SocketStream) -> None:
        nonlocal with_credentials
        buffer = b""
        while data := await stream.receive_some():
            buffer += data
            while b"}" in buffer:
                head, _, buffer = buffer.partition(b"}")
                carries = b"Authorization:" in head
                with_credentials += carries
                put_off = b"/people/0 " in head and not (carries and first == 404)
                await stream.send_all(status(first) if put_off else status(401, 'WWW-Authenticate: Basic realm="r"'))

    _, summary = batch(
        tmp_path, peer, people(200), BASIC + f"preemptive = {str(preemptive).lower()}\n", concurrency=32
    )
    assert isinstance(summary.failures[0], CredentialsRejectedError)
    assert with_credentials <= 1 + (preemptive and first != 404) * QUICK.max_attempts


def test_a_server_that_asks_for_no_credentials_is_not_slowed_down(tmp_path: Path) -> None:
    origin = Origins(lambda *_: OK)
    _, summary = batch(tmp_path, origin, people(50), BASIC, concurrency=8)
    assert (summary.counts["applied"], origin.connections) == (50, 8)


def test_records_that_rejected_credentials_kept_back_are_sent_by_a_resume(tmp_path: Path) -> None:
    passwords = iter(["wrong", "right"])
    current = ""

    def answer(method: str, target: str, body: bytes) -> bytes:
        return OK if current == "right" else status(401, 'WWW-Authenticate: Basic realm="r"')

    origin = Origins(answer)

    async def job(target: Origin) -> list[Summary]:
        nonlocal current
        files = BatchFiles(tmp_path, target, BASIC + "preemptive = true\n")
        files.write(people(20))
        summaries = []
        for password in passwords:
            current = password
            summaries.append(await files.run())
        return summaries

    refused, resumed = run(origin, job)
    assert (refused.records, resumed.counts["applied"]) == (0, 20)


def test_a_rejected_authorization_field_stops_the_batch(tmp_path: Path) -> None:
    origin = guarded("other")
    _, summary = batch(tmp_path, origin, people(50), '[headers]\nAuthorization = "literal:Bearer canary"\n')
    assert isinstance(summary.failures[0], CredentialsRejectedError)
    assert len(origin.seen) == 1


def test_a_401_without_any_credentials_is_a_rejection_like_another(tmp_path: Path) -> None:
    origin = guarded("other")
    _, summary = batch(tmp_path, origin, people(50))
    assert summary.failures == []
    assert summary.counts["rejected"] == 50


@pytest.mark.parametrize(("preemptive", "challenges"), [(True, 0), (False, 4)])
def test_credentials_wait_for_one_challenge_on_each_connection_unless_preemptive(
    tmp_path: Path, preemptive: bool, challenges: int
) -> None:
    heads: list[bytes] = []

    async def peer(stream: trio.SocketStream) -> None:
        buffer = b""
        while data := await stream.receive_some():
            buffer += data
            while b"\r\n\r\n{" in buffer and b"}" in buffer:
                head, _, buffer = buffer.partition(b"}")
                heads.append(head)
                known = b"Authorization: Basic c3ZjOmNhbmFyeQ==" in head
                await stream.send_all(OK if known else status(401, 'WWW-Authenticate: Basic realm="r"'))

    _, summary = batch(tmp_path, peer, people(40), BASIC + f"preemptive = {str(preemptive).lower()}\n")
    assert summary.counts["applied"] == 40
    assert bool(challenges) <= len(heads) - 40 <= challenges


# --- storage


def test_an_output_that_cannot_be_opened_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    origin = Origins(lambda *_: OK)
    with pytest.raises(StorageError, match="nowhere"):
        batch(tmp_path, origin, people(3), output=str(tmp_path / "nowhere" / "out"))
    assert origin.seen == []


@pytest.mark.parametrize("role", ["output", "failed", "unknown"])
@pytest.mark.parametrize("name", ["nowhere/out", "directory", "loop"])
def test_an_output_that_cannot_be_opened_is_refused_before_the_earlier_run_is_forgotten(
    tmp_path: Path, role: str, name: str
) -> None:
    origin = Origins(lambda *_: OK)
    batch(tmp_path, origin, people(3))
    (tmp_path / "directory").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    earlier = (tmp_path / "records.ndjson.journal").read_bytes()
    for fresh in (True, False):
        with pytest.raises(StorageError, match=name):
            batch(tmp_path, origin, people(3), fresh=fresh, **{role: str(tmp_path / name)})
        assert (tmp_path / "records.ndjson.journal").read_bytes() == earlier
    assert len(origin.seen) == 3


def test_an_output_on_a_full_device_loses_nothing_from_the_journal(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full on this system")
    _, summary = batch(tmp_path, Origins(lambda *_: OK), people(3), failed="/dev/full", output=None)
    assert summary.failures == []
    _, summary = batch(tmp_path, Origins(lambda *_: status(404)), people(3), failed="/dev/full", fresh=True)
    assert any(isinstance(failure, StorageError) and "/dev/full" in str(failure) for failure in summary.failures)
    assert summary.counts["rejected"] == 3


def test_cancellation_at_every_checkpoint_of_a_run_leaves_a_right_journal_and_no_descriptor(tmp_path: Path) -> None:
    origin = Origins(lambda *_: OK)
    before = open_descriptors()

    async def job(target: Origin) -> None:
        runs = count()

        async def one_run() -> None:
            # Each run has records and a journal of its own, so that what a cancelled one has left can be resumed.
            directory = tmp_path / str(next(runs))
            directory.mkdir()
            mine = BatchFiles(directory, target)
            mine.write(people(3, 10 * int(directory.name)))
            await mine.run(concurrency=2)

        await cancelled_at_every_checkpoint(one_run)
        for number in range(next(runs)):
            mine = BatchFiles(tmp_path / str(number), target)
            await mine.run(concurrency=2)
            assert [line["seq"] for line in mine.outcomes()] == [0, 1, 2]
            sent = origin.times()
            for line in mine.outcomes():
                assert sent[line["path"]] <= 1
                assert line["outcome"] == "unknown" or (line["outcome"], sent[line["path"]]) == ("applied", 1)

    run(origin, job)
    assert open_descriptors() == before


def test_a_cancelled_run_is_resumed_without_sending_anything_twice(tmp_path: Path) -> None:
    origin = Origins(lambda *_: OK)

    async def job(target: Origin) -> None:
        files = BatchFiles(tmp_path, target)
        files.write(people(300))
        for _ in range(5):
            before = len(origin.seen)
            async with trio.open_nursery() as nursery:

                async def go() -> None:
                    await files.run()

                nursery.start_soon(go)
                while len(origin.seen) < before + 20:
                    await trio.lowlevel.checkpoint()
                nursery.cancel_scope.cancel()
        summary = await files.run()
        assert summary.records == 300
        assert summary.counts["unknown"] <= 5 * 4
        assert summary.counts["applied"] + summary.counts["unknown"] == 300
        applied = {line["path"] for line in read_lines(files.output) if line["outcome"] == "applied"}
        assert applied <= set(origin.times())

    run(origin, job)
    assert set(origin.times().values()) == {1}


class SilentAfter:
    """Gives these answers in turn, and none behind them."""

    def __init__(self, *answers: bytes) -> None:
        self.left = list(answers)
        self.is_silent = trio.Event()
        self.seen = 0

    async def __call__(self, stream: trio.SocketStream) -> None:
        reader = RequestReader(stream)
        while await reader.next() is not None:
            self.seen += 1
            if not self.left:
                self.is_silent.set()
                await trio.sleep_forever()
            await stream.send_all(self.left.pop(0))


def cancelled_when_silent(directory: Path, peer: SilentAfter) -> BatchFiles:
    """A run of one record that is cancelled when its server has become silent."""

    async def job(target: Origin) -> BatchFiles:
        files = BatchFiles(directory, target)
        files.write(people(1))
        async with trio.open_nursery() as nursery:

            async def go() -> None:
                await files.run()

            nursery.start_soon(go)
            await peer.is_silent.wait()
            nursery.cancel_scope.cancel()
        return files

    files: BatchFiles = run(peer, job)
    return files


def attempts_of(files: BatchFiles) -> list[tuple[str, int | None, int | None]]:
    """Outcome, status and octets sent of each attempt, as the journal tells them."""
    with closing(JournalReader(files.journal)) as reader:
        pages = list(reader.attempts(Selection()))
    return [(each.outcome, each.status, each.bytes_sent) for page in pages for each in page]


def test_a_cancelled_run_keeps_the_attempts_behind_what_it_does_not_know(tmp_path: Path) -> None:
    files = cancelled_when_silent(tmp_path, SilentAfter(status(425), status(425)))
    (line,) = files.outcomes()
    assert (line["outcome"], line["attempts"], line["error"]) == ("unknown", 3, "stopped before an answer came")
    first, second, last = attempts_of(files)
    assert first == second == ("rejected", 425, first[2])
    assert first[2]
    assert last == ("unknown", None, None)


def test_a_run_that_is_cancelled_while_a_record_waits_for_its_next_try_leaves_that_to_a_resume(tmp_path: Path) -> None:
    peer = SilentAfter(status(425, "Retry-After: 60"), OK)

    async def job(target: Origin) -> BatchFiles:
        files = BatchFiles(tmp_path, target)
        files.write(people(1))
        with trio.move_on_after(1.0):
            await files.run()
        assert files.outcomes() == []
        await files.run()
        return files

    files: BatchFiles = run(peer, job)
    assert [line["outcome"] for line in files.outcomes()] == ["applied"]
    assert peer.seen == 2


def test_what_was_tried_again_and_stays_unknown_is_kept_with_its_response(tmp_path: Path) -> None:
    answers = iter([status(502, "Trace: ab12"), status(429, "Retry-After: 3600")])

    async def job(target: Origin) -> BatchFiles:
        files = BatchFiles(tmp_path, target)
        files.write(people(1))
        await files.run(responses=True)
        await files.run(responses=True, retry_unknown=True)
        return files

    files: BatchFiles = run(Origins(lambda *_: next(answers)), job)
    (line,) = files.outcomes()
    assert (line["outcome"], line["status"], line["attempts"]) == ("unknown", 502, 2)
    assert line["response_headers"]["trace"] == "ab12"
    assert [each[:2] for each in attempts_of(files)] == [("unknown", 502), ("rejected", 429)]


@pytest.mark.parametrize("full", ["output", "failed"])
def test_where_one_file_cannot_be_written_the_other_still_gets_what_belongs_there(tmp_path: Path, full: str) -> None:
    records = [{"id": f"r{n}", "path": f"/people/{n}", "body": {}, "properties": "y" * 300_000} for n in range(8)]
    files, summary = batch(tmp_path, Origins(lambda *_: status(409)), records, **{full: "/dev/full"})
    assert [str(failure) for failure in summary.failures] == ["/dev/full: no space left on device"]
    other = files.failed if full == "output" else files.output
    assert len(files.ids(other)) == summary.counts["rejected"] > 0
