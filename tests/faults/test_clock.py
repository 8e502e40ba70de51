from __future__ import annotations

import time
from functools import partial
from itertools import count
from pathlib import Path

import pytest
import trio

from tests.support.batches import BatchFiles, people
from tests.support.unruly_process import unruly

DAY = 86_400.0


def test_a_clock_that_jumps_by_days_changes_neither_pauses_nor_outcomes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its server asks for pauses by date: they are held against the date of the answer itself."""
    reads = count()

    def jumping() -> float:
        return time.time() + (0.0, DAY, -DAY)[next(reads) % 3]

    monkeypatch.setattr("patchwire.run.worker.now", jumping)
    monkeypatch.setattr("patchwire.run.pacer.wall_clock", jumping)
    with unruly(tmp_path, "--busy", "0.1") as server:
        files = BatchFiles(tmp_path, server.url)
        files.write(people(60))
        summary = trio.run(partial(files.run, concurrency=40))
        applied = server.applied()
        assert server.busy() > 0
    assert next(reads) > 10
    assert summary.counts["applied"] + summary.counts["rejected"] == 60
    assert {line["path"] for line in files.outcomes() if line["outcome"] == "applied"} == applied.keys()
    assert set(applied.values()) == {1}
    assert {line["status"] for line in files.outcomes()} <= {200, 503}
    assert summary.counts["applied"] > 55
