"""patchwire journal: what happened, from a journal."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

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
from patchwire.run.journal_reader import AttemptLine, JournalReader, Selection, Settlement

COLUMNS: Final = (
    *("seq", "id", "path", "attempt", "outcome", "status", "attempts", "bytes_sent", "bytes_received", "connection"),
    *("error", "idempotency_key", "request_id"),
)
NUMERIC: Final = {"seq", "attempt", "status", "attempts", "bytes_sent", "bytes_received"}


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
@click.option("--attempts", is_flag=True, help="Each attempt and its evidence, instead of each record.")
@click.option("--counts", is_flag=True, help="How many records ended how, instead of each of them.")
@click.option("--limit", type=click.IntRange(1), metavar="N", help="At most so many records.")
@click.option("-v", "--verbose", is_flag=True, help="Say also what was settled by hand, when and why.")
def journal(
    file: str,
    outcome: tuple[str, ...],
    status: tuple[int, ...],
    path: str,
    attempts: bool,
    counts: bool,
    limit: int | None,
    verbose: bool,
) -> int:
    """Say what happened to each record, from the journal FILE of a batch, also while the batch goes on.

    Prints the lines that --output of the batch holds, by rising number, or with --attempts a line for each attempt:
    octets sent and received, a new connection or a reused one, and what to search a server's log for. On a terminal
    a table. Nothing is locked or changed.
    """
    if counts and attempts:
        raise click.UsageError("--counts counts records, --attempts shows what stands behind them; choose one")
    if counts and limit is not None:
        raise click.UsageError("--limit is for records; --counts counts them all")
    if sys.stdout is None:
        raise StorageError("-: standard output is closed")
    # A prefix that is no Unicode begins no path.
    prefix = path.encode("utf-8", "backslashreplace").decode()
    selection = Selection(frozenset(map(Outcome, outcome)), frozenset(status), prefix)
    with closing(JournalReader(Path(file))) as reader:
        _say_in_flight(reader)
        _say_doubted(reader.doubted())
        if verbose:
            _say_settlements(reader.settlements())
        pages = reader.attempts(selection, limit) if attempts else reader.pages(selection, limit)
        try:
            if counts:
                print_values(
                    {**reader.counts(selection), "in_flight": reader.in_flight, "journal": printable(str(file))}
                )
            elif is_terminal(sys.stdout):
                _print_tables(pages)
            else:
                _write_lines(pages)
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


def _say_doubted(number: int) -> None:
    if number:
        exits.say(
            f"up to {number:,} records that do not stand here may have been sent before the machine went down:"
            " the next run finds them unknown"
        )


def _say_settlements(settlements: Iterable[Settlement]) -> None:
    for each in settlements:
        time = datetime.fromtimestamp(each.at, UTC).isoformat(" ", "seconds")
        exits.say(f"record {each.seq} was settled as {each.word} at {time}: {each.reason or 'no reason was given'}")


def _write_lines(pages: Iterator[list[OutcomeLine]] | Iterator[list[AttemptLine]]) -> None:
    for lines in pages:
        sys.stdout.buffer.write(b"".join(encode(line) + b"\n" for line in lines))


def _print_tables(pages: Iterator[list[OutcomeLine]] | Iterator[list[AttemptLine]]) -> None:
    """A table a page: one over all would have to be held in memory."""
    console = Console()
    for lines in pages:
        columns = [name for name in COLUMNS if hasattr(lines[0], name)]
        table = Table(box=None, pad_edge=False)
        for name in columns:
            table.add_column(name, justify="right" if name in NUMERIC else "left", overflow="fold")
        for line in lines:
            values = (getattr(line, name) for name in columns)
            cells = ("" if value is None else str(value) for value in values)
            table.add_row(*(Text(printable(cell)) for cell in cells), style=COLOURS[line.outcome])
        console.print(table)


def _drop_standard_output() -> None:
    """What is left in the buffer would fail again when the interpreter flushes it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
