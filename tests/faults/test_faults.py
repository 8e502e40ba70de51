from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.trial import Trial
from tests.support.unruly import CUTS
from tests.support.unruly_process import unruly

on_both = pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])


@on_both
def test_killed_again_and_again_each_record_is_applied_once_or_unknown(tmp_path: Path, tls: bool) -> None:
    with unruly(tmp_path, tls=tls) as server:
        trial = Trial(tmp_path, server, 3_000, luggage=300)  # so much that --output is written in mid-run too
        trial.kill_at_random(4)
        counts = trial.finish()
        assert counts["applied"] > 2_800
        trial.kill_within(1)  # there is nothing left to send
        assert trial.finish() == counts


def test_a_server_that_limits_the_rate_gets_every_change_in_the_end(tmp_path: Path) -> None:
    with unruly(tmp_path, "--limit", "300") as server:
        assert Trial(tmp_path, server, 800).finish() == {"applied": 780, "rejected": 20}
        assert server.refused() > 0
        assert set(server.applied().values()) == {1}


def test_a_run_that_waits_for_a_rate_limit_can_be_killed(tmp_path: Path) -> None:
    with unruly(tmp_path, "--limit", "300") as server:
        trial = Trial(tmp_path, server, 800)
        trial.kill_at_random(2)
        assert trial.finish()["applied"] > 700
        assert server.refused() > 0


@on_both
def test_connections_cut_at_random_leave_no_outcome_untrue(tmp_path: Path, tls: bool) -> None:
    with unruly(tmp_path, "--cut", "0.1", tls=tls) as server:
        counts = Trial(tmp_path, server, 1_000).finish()
        assert counts["unknown"] > 0
        assert counts["applied"] > 500
        assert server.cuts().keys() == set(CUTS)


def test_a_server_that_goes_away_and_comes_back_is_waited_for(tmp_path: Path) -> None:
    with unruly(tmp_path, "--outage", "500,1", "--slow", "0.01") as server:
        assert Trial(tmp_path, server, 1_000).finish()["applied"] > 900
        assert 0 < server.cuts()["outage"] <= 8


def test_a_server_that_is_killed_and_started_again_has_applied_what_it_said(tmp_path: Path) -> None:
    with unruly(tmp_path, "--slow", "0.02") as server:
        trial = Trial(tmp_path, server, 1_000)
        with trial.running() as process:
            for handled in (200, 500):
                trial.wait_for(process, handled)
                server.kill(0.3)
            assert process.wait(60) == 3
        counts = trial.finish()
        assert counts["applied"] > 900


def test_killed_while_a_slow_server_thinks_each_record_is_applied_once_or_unknown(tmp_path: Path) -> None:
    with unruly(tmp_path, "--slow", "0.1") as server:
        trial = Trial(tmp_path, server, 500, connections=32)
        trial.kill_at_random(3)
        assert trial.finish()["unknown"] > 0
