"""patchwire settle: a person's word on unknown records."""

from __future__ import annotations

from pathlib import Path

import click

from patchwire.cli import exits
from patchwire.cli.terminal import printable
from patchwire.files.outcomes import MAX_SEQ
from patchwire.net.sources import now
from patchwire.run.settlement import Settled, Word
from patchwire.run.settlement import settle as settle_records


@click.command()
@click.argument("file")
@click.argument("word", type=click.Choice([word.value for word in Word]))
@click.option(
    "--seq",
    type=click.IntRange(0, MAX_SEQ),
    metavar="N",
    multiple=True,
    required=True,
    help="The number of the record. May be repeated: then all are settled, or none.",
)
@click.option("--reason", metavar="TEXT", help="How you know; it is kept in the journal.")
@click.option(
    "-v", "--verbose", is_flag=True, expose_value=False, help="Taken as everywhere; nothing goes over a wire."
)
def settle(file: str, word: str, seq: tuple[int, ...], reason: str | None) -> int:
    """Say of unknown records in the journal FILE whether their changes were applied.

    `applied` makes them so; `not-applied` lets the next run of the batch send them again. No run may be using the
    journal. The word, its reason and its time stay in the journal (patchwire journal -v shows them).
    """
    if reason is not None:
        reason = reason.encode("utf-8", "backslashreplace").decode()  # an argument may hold bytes that are no UTF-8
    for settled in settle_records(Path(file), seq, Word(word), reason or None, now()):
        click.echo(_describe(settled, Word(word)))
    return exits.DONE


def _describe(settled: Settled, word: Word) -> str:
    record = f"record {settled.seq} ({printable(settled.path)})"
    if word is Word.APPLIED:
        said = f"{record} counts as applied; the next run of the batch brings its --output and --unknown up to date"
    else:
        said = f"{record} will be sent again by the next run of the batch"
    if settled.held:
        held = "1 record that it held stays" if settled.held == 1 else f"{settled.held:,} records that it held stay"
        said += f"; {held} not_sent, and that run lists such in --failed, to be run after it"
    return said
