from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from patchwire.cli.summary import print_summary
from patchwire.delivery.latency import Latencies
from patchwire.delivery.outcome import Outcome
from patchwire.delivery.outcome_line import line_from
from patchwire.errors import JournalError, JournalLostError, RecordError, RunLimitError
from patchwire.run.batch import Summary
from patchwire.run.records import SHOWN

COUNTS = {"applied": 5, "pending": 1, "rejected": 0, "not_sent": 0, "unknown": 0}
SUMMARY = Summary(
    counts=COUNTS, seconds=2.0, settled_now=5, journal="j", failures=[], lost=[], interrupted=False,
    latencies=Latencies(),
)  # fmt: skip


def said(capsys: pytest.CaptureFixture[str], form: str = "text", **changes: Any) -> tuple[list[str], list[str]]:
    """The lines on standard output and on standard error."""
    print_summary(msgspec.structs.replace(SUMMARY, **changes), form, results_on_stdout=True)
    captured = capsys.readouterr()
    return captured.out.splitlines(), captured.err.splitlines()


def test_as_json_it_is_one_line_with_latencies_and_with_invalid_lines_only_where_there_are_some(
    capsys: pytest.CaptureFixture[str],
) -> None:
    out, err = said(capsys, "json")
    assert (json.loads(out[0]), len(out), err) == (
        {
            "records": 5, "applied": 5, "pending": 1, "rejected": 0, "not_sent": 0, "unknown": 0, "seconds": 2.0,
            "rate": 2.5, "journal": "j", "latency": {},
        },
        1,
        [],
    )  # fmt: skip
    latencies = Latencies()
    latencies.record(0.25)
    out, _ = said(capsys, "json", invalid=7, latencies=latencies)
    values = json.loads(out[0])
    assert (values["invalid"], values["latency"]) == (7, dict.fromkeys(("p50", "p90", "p99", "p999", "max"), 0.25))


def test_in_a_pipe_it_is_a_line_for_each_number_without_a_histogram(capsys: pytest.CaptureFixture[str]) -> None:
    latencies = Latencies()
    latencies.record(0.25)
    out, _ = said(capsys, invalid=2, latencies=latencies)
    assert out == [
        "records 5", "applied 5", "pending 1", "rejected 0", "not_sent 0", "unknown 0", "invalid 2", "seconds 2.0",
        "rate 2.5", "journal j",
    ]  # fmt: skip


def test_each_line_that_was_passed_over_is_named_and_more_of_them_are_counted(
    capsys: pytest.CaptureFixture[str],
) -> None:
    faults = [RecordError(f"r:{number}", "not valid JSON") for number in range(SHOWN)]
    named = [f"patchwire: r:{number}: not valid JSON" for number in range(SHOWN)]
    _, err = said(capsys, failures=faults, invalid=SHOWN)
    assert err == named
    _, err = said(capsys, failures=faults, invalid=1234)
    assert err == [*named, "patchwire: 1,234 lines in all are no records, and were passed over"]


@pytest.mark.parametrize(
    ("changes", "goes_on"),
    [
        ({"interrupted": True, "failures": [RunLimitError("stopped after 5 seconds (--deadline)")]}, True),
        ({"failures": [RunLimitError("stopped, since 11 of 20 records were not applied (--max-failures 10)")]}, True),
        ({"failures": [JournalError("r:3", "was sent by an earlier run and has changed since")]}, False),
        ({"failures": [RecordError("r:1", "not valid JSON")], "invalid": 1}, False),
        ({"failures": [RecordError("r:1", "not JSON"), RecordError("r:2", "not JSON")], "invalid": 1}, True),
        ({}, False),
    ],
)
def test_where_the_same_command_goes_on_it_says_so(
    capsys: pytest.CaptureFixture[str], changes: dict[str, Any], goes_on: bool
) -> None:
    _, err = said(capsys, **changes)
    assert ("patchwire: records with an outcome: 5; the same command goes on from there" in err) is goes_on
    assert len(err) == len(changes.get("failures", [])) + goes_on


def test_where_the_journal_is_lost_nobody_is_told_to_run_the_same_command_again(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lost = [
        line_from(7, "r7", "/a", Outcome.APPLIED, 200, attempts=1, etag=None, seconds=0.1, error=None, properties=b"")
    ]
    _, err = said(capsys, failures=[JournalLostError("j: was removed")], lost=lost)
    assert err == [
        "patchwire: j: was removed",
        "patchwire: j: could not keep 1 outcomes: 7 applied",
        "patchwire: the same command would send everything again: see first, by --output and the server, what is done",
    ]
