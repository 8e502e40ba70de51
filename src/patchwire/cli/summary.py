"""The end of a batch, for a person or for a program."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping

import click
import msgspec
from rich.console import Console
from rich.table import Table

from patchwire.cli import exits
from patchwire.cli.histogram import percentiles, print_histogram
from patchwire.cli.progress import COLOURS
from patchwire.cli.terminal import is_terminal
from patchwire.errors import JournalError, JournalLostError
from patchwire.run.batch import Summary
from patchwire.run.records import SHOWN

SHOWN_LOST = 10


def print_summary(
    summary: Summary, form: str, *, results_on_stdout: bool, before: Callable[[], None] | None = None
) -> None:
    """The counts: as the last line of standard output for "json", else as lines, or a table on a terminal.

    Where outcomes go to standard output, a text summary keeps out of their way on standard error. What stopped the
    run is said on standard error; `before` prints what goes above the counts.
    """
    _say_failures(summary)
    if before is not None:
        before()
    if form == "json":
        click.echo(msgspec.json.encode(_values(summary)))
    else:
        print_values(_shown(summary), stderr=not results_on_stdout)
        if is_terminal(sys.stdout if results_on_stdout else sys.stderr):
            print_histogram(summary.latencies, Console(stderr=not results_on_stdout))


def print_values(values: Mapping[str, str | int | float], *, stderr: bool = False) -> None:
    """A table on a terminal, else a line for each."""
    if is_terminal(sys.stderr if stderr else sys.stdout):
        _print_table(values, stderr=stderr)
    else:
        for name, value in values.items():
            click.echo(f"{name} {value}", err=stderr)


def _values(summary: Summary) -> dict[str, str | int | float | dict[str, float]]:
    names = ("applied", "pending", "rejected", "not_sent", "unknown")
    return {
        "records": summary.records,
        **{name: summary.counts.get(name, 0) for name in names},
        **({"invalid": summary.invalid} if summary.invalid else {}),
        "seconds": round(summary.seconds, 3),
        "rate": round(summary.rate, 1),
        "journal": summary.journal,
        "latency": percentiles(summary.latencies),
    }


def _shown(summary: Summary) -> dict[str, str | int | float]:
    return {name: value for name, value in _values(summary).items() if not isinstance(value, dict) and value != ""}


def _print_table(values: Mapping[str, str | int | float], *, stderr: bool) -> None:
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column()
    table.add_column(justify="right")
    for name, value in values.items():
        text = f"{value:,}" if isinstance(value, int | float) else value
        table.add_row(name, text, style=COLOURS.get(name) if value else None)
    Console(stderr=stderr).print(table)


def _has_stopped(summary: Summary) -> bool:
    """Before the end of the input; lines that were passed over stand among the failures too."""
    return summary.interrupted or len(summary.failures) > min(summary.invalid, SHOWN)


def _say_failures(summary: Summary) -> None:
    said = set()
    is_lost = any(isinstance(failure, JournalLostError) for failure in summary.failures)
    for failure in summary.failures:
        if str(failure) not in said:
            said.add(str(failure))
            exits.say(str(failure))
    if summary.invalid > SHOWN:
        exits.say(f"{summary.invalid:,} lines in all are no records, and were passed over")
    if summary.lost:
        shown = ", ".join(f"{line.seq} {line.outcome}" for line in summary.lost[:SHOWN_LOST])
        more = ", ..." if len(summary.lost) > SHOWN_LOST else ""
        resumed = "" if is_lost else ", a resume will report them unknown"
        exits.say(f"{summary.journal}: could not keep {len(summary.lost)} outcomes{resumed}: {shown}{more}")
    if is_lost:
        exits.say("the same command would send everything again: see first, by --output and the server, what is done")
        return
    if not summary.records or any(isinstance(failure, JournalError) for failure in summary.failures):
        return
    if _has_stopped(summary):
        exits.say(f"records with an outcome: {summary.records:,}; the same command goes on from there")
    elif not summary.settled_now:
        exits.say(f"nothing was left to send: all {summary.records:,} records have an outcome (--fresh starts over)")
