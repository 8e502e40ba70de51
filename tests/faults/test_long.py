from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from tests.faults.trial import Trial
from tests.support.unruly_process import unruly

pytestmark = pytest.mark.long
on_both = pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])


@on_both
def test_killed_at_100_random_instants_each_record_is_applied_once_or_unknown(tmp_path: Path, tls: bool) -> None:
    with unruly(tmp_path, tls=tls) as server:
        trial = Trial(tmp_path, server, 50_000)
        trial.kill_at_random(100)
        assert trial.finish()["applied"] > 45_000


def test_killed_40_times_below_a_rate_limit_each_record_is_applied_once_or_unknown(
    tmp_path: Path,
) -> None:
    with unruly(tmp_path, "--limit", "1000") as server:
        trial = Trial(tmp_path, server, 30_000)
        trial.kill_at_random(40)
        assert trial.finish()["applied"] > 27_000
        assert server.refused() > 40


@on_both
def test_all_that_can_go_wrong_at_once_leaves_no_outcome_untrue(tmp_path: Path, tls: bool) -> None:
    manner = ("--limit", "2000", "--cut", "0.02", "--slow", "0.01", "--busy", "0.01", "--outage", "4000,1")
    with unruly(tmp_path, *manner, tls=tls) as server:
        trial = Trial(tmp_path, server, 20_000, connections=32)
        trial.kill_at_random(40)
        assert trial.finish()["applied"] > 15_000
        assert server.busy() > 0
        assert server.cuts()["outage"] > 0


def test_a_server_that_is_killed_20_times_has_applied_what_it_said(tmp_path: Path) -> None:
    chance = random.Random()
    with unruly(tmp_path, "--slow", "0.01") as server:
        trial = Trial(tmp_path, server, 20_000)
        with trial.running() as process:
            for kill in range(20):
                trial.wait_for(process, kill * 900)
                time.sleep(chance.random() * 0.1)
                server.kill(chance.random())
            assert process.wait(300) == 3
        assert trial.finish()["applied"] > 19_000


@on_both
def test_killed_at_any_instant_of_a_short_run_it_can_go_on(tmp_path: Path, tls: bool) -> None:
    """Most of such a run is its beginning and its end."""
    seconds = 0.0
    for number in range(40):
        directory = tmp_path / str(number)
        directory.mkdir()
        with unruly(directory, tls=tls) as server:
            trial = Trial(directory, server, 50)
            if number:
                trial.kill_within(seconds)
            began = time.monotonic()
            trial.finish()
            seconds = seconds or time.monotonic() - began
