from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio

from patchwire.errors import RunLimitError
from patchwire.http.message import Origin
from tests.support.batches import BatchFiles, people
from tests.support.origins import OK, Origins, batch, run, status


def failing_every(third: int) -> Origins:
    number = 0

    def answer(method: str, target: str, body: bytes) -> bytes:
        nonlocal number
        number += 1
        return status(404) if number % third == 0 else OK

    return Origins(answer)


def test_a_run_stops_when_more_records_fail_than_allowed_and_the_same_command_goes_on(tmp_path: Path) -> None:
    origin = failing_every(2)

    async def job(target: Origin) -> None:
        files = BatchFiles(tmp_path, target)
        files.write(people(1000))
        stopped = await files.run(max_failures=10)
        (failure,) = stopped.failures
        assert isinstance(failure, RunLimitError)
        assert "records were not applied (--max-failures 10)" in str(failure)
        assert 10 < stopped.counts["rejected"] <= 10 + 4
        assert not stopped.interrupted
        resumed = await files.run()
        assert resumed.records == 1000

    run(origin, job)
    assert set(origin.times().values()) == {1}


def test_a_rate_of_failures_counts_from_a_hundred_records_on(tmp_path: Path) -> None:
    _, summary = batch(tmp_path, failing_every(4), people(2000), max_failure_rate=0.2)
    (failure,) = summary.failures
    assert "(--max-failure-rate 0.2)" in str(failure)
    assert 100 <= summary.records <= 110


@pytest.mark.parametrize("options", [{"max_failures": 25}, {"max_failure_rate": 0.25}])
def test_as_many_failures_as_allowed_stop_nothing(tmp_path: Path, options: dict[str, Any]) -> None:
    _, summary = batch(tmp_path, failing_every(4), people(100), **options)
    assert (summary.records, summary.failures) == (100, [])


def test_after_the_deadline_nothing_more_is_sent_and_what_is_in_flight_comes_home(tmp_path: Path) -> None:
    async def slow(stream: trio.SocketStream) -> None:
        from tests.support.peer import RequestReader

        reader = RequestReader(stream)
        while await reader.next() is not None:
            await trio.sleep(0.05)
            await stream.send_all(OK)

    _, summary = batch(tmp_path, slow, people(1000), deadline=0.3)
    (failure,) = summary.failures
    assert "stopped after 0.3 seconds (--deadline)" in str(failure)
    assert summary.interrupted
    assert 0 < summary.records < 100
    assert summary.counts["applied"] == summary.records
