from __future__ import annotations

import time
from email.utils import formatdate
from itertools import count
from pathlib import Path

import pytest

from tests.support.batches import people
from tests.support.origins import OK, Origins, batch

DAY = 86_400.0


def busy_until_a_date() -> bytes:
    now = time.time()
    dates = f"Date: {formatdate(now, usegmt=True)}\r\nRetry-After: {formatdate(now + 1, usegmt=True)}"
    return f"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n{dates}\r\n\r\n".encode()


def test_a_clock_that_jumps_by_days_changes_neither_pauses_nor_outcomes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its server asks for pauses by date: they are held against the date of the answer itself."""
    reads = count()
    asked: set[str] = set()

    def jumping() -> float:
        return time.time() + (0.0, DAY, -DAY)[next(reads) % 3]

    def answer(_method: str, target: str, _body: bytes) -> bytes:
        first = target not in asked
        asked.add(target)
        return busy_until_a_date() if first and target.endswith("0") else OK

    monkeypatch.setattr("patchwire.run.worker.now", jumping)
    monkeypatch.setattr("patchwire.run.pacer.wall_clock", jumping)
    origins = Origins(answer)
    files, summary = batch(tmp_path, origins, people(60), concurrency=40)
    assert summary.counts["applied"] == 60
    assert {line["attempts"] for line in files.outcomes() if line["path"].endswith("0")} == {2}
    assert origins.times() == {f"/people/{n}": 1 + (n % 10 == 0) for n in range(60)}
    assert next(reads) == 12  # for each refusal the worker's and the pacer's: all three clocks were believed in turn
