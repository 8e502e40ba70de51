from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from patchwire.auth.flow import NoAuthentication
from patchwire.delivery.pacing import Pace
from patchwire.delivery.retry import RetryPolicy
from patchwire.delivery.validators import Validators
from patchwire.errors import OriginError, PatchwireError, RunLimitError
from patchwire.http.message import Origin
from patchwire.net.perform import Performer
from patchwire.run.limits import RunLimits
from patchwire.run.pacer import Pacer
from tests.support.batches import BatchFiles, people
from tests.support.journals import reports
from tests.support.origins import OK, Origins, batch, run, status

PERFORMER = Performer(NoAuthentication(), carries_credentials=False)


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


def standstill(patience: float, seconds: float, pause: float | None = None) -> PatchwireError | None:
    """What stops a run whose origin has refused 20 requests since so many seconds ago."""
    pace = Pace(rate=None, concurrency=8, now=0.0)
    for number in range(20):
        pace.answered(429, pause, number / 100, number / 100)
    limits = RunLimits(origin="http://h", validators=Validators(), performer=PERFORMER, patience=patience)

    async def main() -> PatchwireError | None:
        await trio.sleep(seconds)
        return limits.failure(reports({}), Pacer(pace, trio.Event()))

    return trio.run(main, clock=MockClock(autojump_threshold=0))


@pytest.mark.parametrize("patience", [1.0, 30.0, 300.0])
def test_an_origin_that_refuses_all_is_left_after_patience_and_after_two_minutes_at_least(patience: float) -> None:
    until = max(120.0, patience)
    assert standstill(patience, until - 1.0) is None
    failure = standstill(patience, until + 1.0)
    assert isinstance(failure, OriginError)
    said = "http://h has refused 20 requests as too many (429) since it last took one; nothing more was sent to it"
    assert str(failure) == said


def test_the_time_for_which_an_origin_asks_to_be_left_alone_is_none_of_those_minutes() -> None:
    assert standstill(1.0, 200.0, pause=100.0) is None
    assert standstill(1.0, 230.0, pause=100.0) is not None


def test_a_run_whose_origin_takes_nothing_stops_and_a_resume_sends_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("patchwire.run.limits.STANDSTILL", 0.1)
    monkeypatch.setattr("patchwire.delivery.health.FEWEST", 4)
    refuses = True
    origin = Origins(lambda *_: status(429) if refuses else OK)

    async def job(target: Origin) -> None:
        nonlocal refuses
        files = BatchFiles(tmp_path, target)
        files.write(people(200))
        stopped = await files.run(patience=0.1, retry=RetryPolicy(max_attempts=1))
        (failure,) = stopped.failures
        assert isinstance(failure, OriginError)
        assert stopped.records < 20
        refuses = False
        resumed = await files.run()
        assert resumed.counts["applied"] == 200 - stopped.records

    run(origin, job)
