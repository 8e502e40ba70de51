from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest

from patchwire.cli.exits import code_of_batch, code_of_error, log_line, say
from patchwire.delivery.latency import Latencies
from patchwire.errors import (
    ConnectError,
    CredentialsRejectedError,
    InvalidRecordsError,
    JournalError,
    OriginError,
    PatchwireError,
    RecordError,
    RunLimitError,
    SettingsError,
    StorageError,
)
from patchwire.run.batch import Summary

ORIGIN: dict[str, Any] = {"origin": "http://h"}


def summary(*failures: PatchwireError, interrupted: bool = False, **counts: int) -> Summary:
    return Summary(
        counts={"applied": 0, "pending": 0, "rejected": 0, "not_sent": 0, "unknown": 0} | counts,
        seconds=1.0,
        settled_now=sum(counts.values()),
        journal="j",
        failures=list(failures),
        lost=[],
        interrupted=interrupted,
        latencies=Latencies(),
    )


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (SettingsError("f", "x"), 2),
        (RecordError("r:1", "x"), 2),
        (InvalidRecordsError(1, [RecordError("r:1", "x")]), 2),
        (JournalError("j", "x"), 2),
        (StorageError("x"), 4),
        (ConnectError("x", **ORIGIN), 1),
        (CredentialsRejectedError("x", status=401, **ORIGIN), 1),
        (OriginError("x", **ORIGIN), 1),
        (RunLimitError("x"), 1),
    ],
)
def test_an_error_has_its_code_whether_it_ends_a_command_or_stops_a_batch(error: PatchwireError, code: int) -> None:
    assert code_of_error(error) == code_of_batch(summary(error, applied=5)) == code


RANKED: list[tuple[int, dict[str, Any]]] = [
    (130, {"interrupted": True}),
    (4, {"failure": StorageError("x")}),
    (2, {"failure": RecordError("r:1", "x")}),
    (3, {"unknown": 1}),
    (1, {"rejected": 1}),
    (1, {"not_sent": 1}),
    (0, {"applied": 1, "pending": 1}),
]
"""What gives which code: the first that holds decides."""


@pytest.mark.parametrize("first", range(len(RANKED)))
def test_where_several_hold_the_first_of_130_4_2_3_1_is_the_code(first: int) -> None:
    failures, values = [], {}
    for _, ground in RANKED[first:]:
        values.update({name: value for name, value in ground.items() if name != "failure"})
        failures += [ground["failure"]] if "failure" in ground else []
    assert code_of_batch(summary(*failures, **values)) == RANKED[first][0]


@pytest.mark.parametrize("tell", [say, log_line])
def test_where_standard_error_is_closed_nothing_is_said_on_standard_output(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tell: Callable[[str], None]
) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    tell("text")
    assert capsys.readouterr().out == ""
