"""patchwire demo: the main job against the embedded server, nothing else needed."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import msgspec
import trio
from rich.console import Console
from rich.table import Table

from patchwire.cli import exits
from patchwire.cli.progress import BatchProgress
from patchwire.cli.summary import print_summary
from patchwire.cli.terminal import is_terminal
from patchwire.cli.trio_run import trio_run
from patchwire.errors import StorageError
from patchwire.files.read import describe
from patchwire.files.token_store import STATE
from patchwire.net.wire_log import WireLog
from patchwire.run.batch import Summary
from patchwire.run.demo import Guards, Verdict, run_demo

SHOWN_DIFFERENCES = 10


@click.command()
@click.option("--records", type=click.IntRange(1), default=10_000, show_default=True, help="How many.")
@click.option("--concurrency", type=click.IntRange(1, 10_000), default=8, show_default=True, help="Connections.")
@click.option("--keep", metavar="DIRECTORY", help="Where to leave the files: connection, records, journal, outcomes.")
@click.option("--tls", is_flag=True, help="Over TLS, with certificates on both sides that it makes itself.")
@click.option("--oauth2", is_flag=True, help="Behind an authorization server whose tokens live for two seconds.")
@click.option("--summary", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.option("-v", "--verbose", is_flag=True, help="Log what goes over the wire, secrets redacted.")
def demo(
    records: int, concurrency: int, keep: str | None, tls: bool, oauth2: bool, summary: str, verbose: bool
) -> int:
    """Patch documents on an embedded server, some of them missing, stale or of the wrong type, and check each outcome.

    Exits with 0 when every outcome is what the server's own record shows.
    """
    if tls:
        exits.warn_of_key_log()
    with tempfile.TemporaryDirectory(prefix="patchwire-demo-") as scratch:
        directory = _directory(keep) if keep else Path(scratch)
        guards = Guards(tls, oauth2)
        with _keeping_tokens_in(directory):
            end, verdict = trio_run(_run, directory, records, concurrency, guards, exits.log_line if verbose else None)
    if not keep:
        end = msgspec.structs.replace(end, journal="")  # it is gone with the directory
    print_summary(end, summary, results_on_stdout=True, before=lambda: _print_verdict(verdict, keep))
    if end.interrupted or end.failures:
        return exits.code_of_batch(end)
    return exits.SOME_FAILED if verdict.differences else exits.DONE


async def _run(
    directory: Path, records: int, concurrency: int, guards: Guards, wire_log: WireLog | None
) -> tuple[Summary, Verdict]:
    async with trio.open_nursery() as nursery:
        progress = BatchProgress()
        if is_terminal(sys.stderr):
            nursery.start_soon(progress.show)
        result = await run_demo(directory, records, concurrency, guards, progress.watch, exits.say_finishing, wire_log)
        nursery.cancel_scope.cancel()
    return result


@contextmanager
def _keeping_tokens_in(directory: Path) -> Iterator[None]:
    """The demo leaves nothing where the user's own tokens are."""
    before = os.environ.get(STATE)
    os.environ[STATE] = str(directory)
    try:
        yield
    finally:
        if before is None:
            del os.environ[STATE]
        else:
            os.environ[STATE] = before


def _directory(name: str) -> Path:
    path = Path(name)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"{name}: {describe(error)}") from None
    return path


def _print_verdict(verdict: Verdict, kept: str | None) -> None:
    rows = [
        (kind, str(number), str(expected), str(verdict.statuses[kind, expected]))
        for (kind, expected), number in sorted(verdict.kinds.items(), key=lambda item: item[0][1])
    ]
    if is_terminal(sys.stdout):
        table = Table("records with", "sent", "must get", "got it", box=None, pad_edge=False)
        for row in rows:
            table.add_row(*row)
        Console().print(table)
    else:
        for kind, number, expected, got in rows:
            click.echo(f"{number} records with {kind}: {got} got {expected}")
    click.echo(f"the server's own record: {verdict.applied_by_server} changes applied")
    if verdict.differences:
        for line in verdict.differences[:SHOWN_DIFFERENCES]:
            exits.say(line)
        exits.say(f"{len(verdict.differences)} outcomes differ from the server's own record")
    else:
        click.echo("every outcome is what the server's own record shows")
    if kept:
        click.echo(f"the files are in {kept}")
