"""patchwire journal: what happened, from a journal."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from patchwire.cli import exits
from patchwire.cli.progress import COLOURS
from patchwire.cli.summary import print_values
from patchwire.cli.terminal import is_terminal, printable
from patchwire.delivery.outcome import Outcome
from patchwire.delivery.outcome_line import OutcomeLine
from patchwire.errors import StorageError
from patchwire.files.outcomes import encode
from patchwire.run.journal_reader import JournalReader, Selection, Settlement


@click.command()
@click.argument("file")
@click.option(
    "--outcome",
    type=click.Choice([outcome.value for outcome in Outcome]),
    multiple=True,
    help="Only records that ended so. May be repeated.",
)
@click.option(
    "--status", type=click.IntRange(100, 999), multiple=True, help="Only records with this status. May be repeated."
)
@click.option("--path", metavar="PREFIX", default="", help="Only records whose path begins so.")
@click.option("--counts", is_flag=True, help="How many records ended how, instead of each of them.")
@click.option("--limit", type=click.IntRange(1), metavar="N", help="At most so many records.")
@click.option("-v", "--verbose", is_flag=True, help="Say also what was settled by hand, when and why.")
def journal(
    file: str,
    outcome: tuple[str, ...],
    status: tuple[int, ...],
    path: str,
    counts: bool,
    limit: int | None,
    verbose: bool,
) -> int:
    """Say what happened to each record, from the journal FILE of a batch, also while the batch goes on.

    Prints the lines that --output of the batch holds, by rising number; on a terminal a table. Nothing is locked or
    changed.
    """
    if counts and limit is not None:
        raise click.UsageError("--limit is for records; --counts counts them all")
    if sys.stdout is None:
        raise StorageError("-: standard output is closed")
    # A prefix that is no Unicode begins no path.
    prefix = path.encode("utf-8", "backslashreplace").decode()
    selection = Selection(frozenset(map(Outcome, outcome)), frozenset(status), prefix)
    with closing(JournalReader(Path(file))) as reader:
        _say_in_flight(reader)
        if verbose:
            _say_settlements(reader.settlements())
        try:
            if counts:
                print_values(
                    {**reader.counts(selection), "in_flight": reader.in_flight, "journal": printable(str(file))}
                )
            elif is_terminal(sys.stdout):
                _print_tables(reader.pages(selection, limit))
            else:
                _write_lines(reader.pages(selection, limit))
            sys.stdout.flush()
        except BrokenPipeError:  # who reads has seen enough
            _drop_standard_output()
    return exits.DONE


def _say_in_flight(reader: JournalReader) -> None:
    if not reader.in_flight:
        return
    records = "1 record" if reader.in_flight == 1 else f"{reader.in_flight:,} records"
    verb = "is" if reader.in_flight == 1 else "are"
    if reader.lock_fault is not None:
        exits.say(f"{reader.lock_fault}; so {records} without outcome may be in flight, or were interrupted")
    else:
        exits.say(f"{records} {verb} in flight: the run goes on")


def _say_settlements(settlements: Iterable[Settlement]) -> None:
    for each in settlements:
        time = datetime.fromtimestamp(each.at, UTC).isoformat(" ", "seconds")
        exits.say(f"record {each.seq} was settled as {each.word} at {time}: {each.reason or 'no reason was given'}")


def _write_lines(pages: Iterator[list[OutcomeLine]]) -> None:
    for lines in pages:
        sys.stdout.buffer.write(b"".join(encode(line) + b"\n" for line in lines))


def _print_tables(pages: Iterator[list[OutcomeLine]]) -> None:
    """A table a page: one over all would have to be held in memory."""
    console = Console()
    for lines in pages:
        table = Table(box=None, pad_edge=False)
        for name in ("seq", "id", "path", "outcome", "status", "attempts", "error"):
            numeric = name in ("seq", "status", "attempts")
            table.add_column(name, justify="right" if numeric else "left", overflow="fold")
        for line in lines:
            status = "" if line.status is None else str(line.status)
            cells = (str(line.seq), line.id, line.path, line.outcome, status, str(line.attempts), line.error or "")
            table.add_row(*(Text(printable(cell)) for cell in cells), style=COLOURS[line.outcome])
        console.print(table)


def _drop_standard_output() -> None:
    """What is left in the buffer would fail again when the interpreter flushes it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
