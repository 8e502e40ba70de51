from __future__ import annotations

import errno
from itertools import cycle
from pathlib import Path

import pytest
import trio

from patchwire.errors import ConnectError, OriginError
from patchwire.http.message import Origin
from patchwire.net.opening import Opener
from patchwire.run import origin as origin_module
from tests.support.batches import BatchFiles, people
from tests.support.origins import OK, Origins, batch, run, status
from tests.support.peer import RequestReader, reset


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(origin_module, "FIRST_DELAY", 0.005)
    monkeypatch.setattr(origin_module, "LONGEST_DELAY", 0.02)


def test_an_origin_that_accepts_and_closes_costs_no_record_its_attempts_and_stops_the_run(tmp_path: Path) -> None:
    accepted = 0

    async def closing(stream: trio.SocketStream) -> None:
        nonlocal accepted
        accepted += 1
        reset(stream)

    _files, summary = batch(tmp_path, closing, people(500), patience=0.3)
    # A request that left before the reset came is unknown; of the others nothing was sent.
    assert summary.counts["not_sent"] == summary.counts["rejected"] == 0
    assert summary.counts["unknown"] < 50
    assert any(isinstance(failure, ConnectError | OriginError) for failure in summary.failures)
    assert accepted > 1


def test_an_origin_that_accepts_and_closes_for_a_while_is_waited_for(tmp_path: Path) -> None:
    served = Origins(lambda *_: OK)
    accepted = 0

    async def closing_first(stream: trio.SocketStream) -> None:
        nonlocal accepted
        accepted += 1
        if accepted <= 6:
            # Speaking first, so that nothing can have been sent by then.
            await stream.send_all(b"HTTP/1.1 503 Not yet\r\n\r\n")
            await trio.sleep(0.02)
        else:
            await served(stream)

    _, summary = batch(tmp_path, closing_first, people(50), patience=30.0)
    # A request that crossed what was said first has got an answer by it.
    assert (summary.records, summary.counts["not_sent"], summary.failures) == (50, 0, [])
    assert summary.counts["applied"] >= 44
    assert set(served.times().values()) == {1}


def test_an_origin_that_breaks_every_connection_gets_few_records_and_the_run_stops(tmp_path: Path) -> None:
    asked = 0

    async def breaking(stream: trio.SocketStream) -> None:
        nonlocal asked
        if await RequestReader(stream).next() is not None:
            asked += 1
            reset(stream)

    _files, summary = batch(tmp_path, breaking, people(5_000), patience=0.2)
    (failure,) = summary.failures
    assert isinstance(failure, OriginError)
    assert "has ended" in str(failure)
    assert "connections in a row without an answer; nothing more was sent to it" in str(failure)
    assert summary.counts["unknown"] == asked < 40
    assert summary.records == asked


def test_a_gateway_that_answers_for_an_origin_which_is_gone_gets_few_records_and_a_resume_sends_the_rest(
    tmp_path: Path,
) -> None:
    answers = cycle([status(502), status(504)])
    is_gone = True
    gateway = Origins(lambda *_: next(answers) if is_gone else OK)

    async def job(target: Origin) -> None:
        nonlocal is_gone
        files = BatchFiles(tmp_path, target)
        files.write(people(5_000))
        stopped = await files.run(patience=0.2)
        (failure,) = stopped.failures
        assert isinstance(failure, OriginError)
        assert "requests in a row with nothing but 502 or 504; nothing more was sent to it" in str(failure)
        assert stopped.counts["unknown"] == stopped.records == stopped.latencies.count == len(gateway.seen) < 40
        is_gone = False
        resumed = await files.run()
        assert resumed.counts["applied"] == 5_000 - stopped.records

    run(gateway, job)
    assert set(gateway.times().values()) == {1}


def test_an_origin_that_breaks_some_connections_is_no_reason_to_stop(tmp_path: Path) -> None:
    number = 0

    def answer(method: str, target: str, body: bytes) -> bytes:
        nonlocal number
        number += 1
        return b"" if number % 3 == 0 else OK

    _, summary = batch(tmp_path, Origins(answer), people(300), patience=0.2)
    assert summary.failures == []
    assert summary.counts["unknown"] == 100


def test_an_origin_that_serves_only_some_of_the_connections_gets_all_records_over_those(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a limit on descriptors does it: what cannot be opened waits for what is open."""
    served = Origins(lambda *_: OK)
    is_open = 0

    async def limited(*arguments: object, **options: object) -> object:
        nonlocal is_open
        if is_open >= 3:
            raise ConnectError(f"cannot connect: {errno.EMFILE}", origin="http://h")
        is_open += 1
        return await opened(*arguments, **options)  # type: ignore[arg-type]

    opened = Opener.open
    monkeypatch.setattr(Opener, "open", limited)
    _, summary = batch(tmp_path, served, people(400), concurrency=10, patience=5.0)
    assert summary.failures == []
    assert summary.counts["applied"] == 400
    assert served.connections == 3
    assert set(served.times().values()) == {1}


def test_a_run_that_is_resumed_after_its_origin_broke_everything_sends_the_rest(tmp_path: Path) -> None:
    healthy = False
    served = Origins(lambda *_: OK)

    async def peer(stream: trio.SocketStream) -> None:
        if healthy:
            await served(stream)
        elif await RequestReader(stream).next() is not None:
            reset(stream)

    async def job(target: Origin) -> None:
        nonlocal healthy
        files = BatchFiles(tmp_path, target)
        files.write(people(200))
        stopped = await files.run(patience=0.1)
        healthy = True
        resumed = await files.run()
        assert resumed.counts["unknown"] == stopped.counts["unknown"] < 40
        assert resumed.counts["applied"] == 200 - stopped.counts["unknown"]

    run(peer, job)
    assert set(served.times().values()) == {1}
