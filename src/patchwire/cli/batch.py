"""patchwire batch: the main job."""

from __future__ import annotations

import sys
from pathlib import Path

import click
import trio

from patchwire.cli import exits
from patchwire.cli.progress import BatchProgress
from patchwire.cli.summary import print_summary
from patchwire.cli.terminal import is_terminal
from patchwire.cli.trio_run import trio_run
from patchwire.errors import InputError
from patchwire.files.connection_file import load_connection
from patchwire.net.wire_log import WireLog
from patchwire.run.batch import STANDARD_INPUT, BatchOptions, Summary, run_batch
from patchwire.settings.connection import ConnectionSettings


@click.command()
@click.argument("connection")
@click.argument("records")
@click.option("--journal", metavar="FILE", help="Where the run is recorded. [default: RECORDS.journal; needed with -]")
@click.option("--output", metavar="FILE|-", help="The outcome of each record, as NDJSON.")
@click.option("--failed", metavar="FILE", help="Rejected and not sent records, to run again. Replaced by each run.")
@click.option(
    "--unknown", metavar="FILE", help="Records that may have been applied: to run them again may double. Replaced."
)
@click.option("--concurrency", type=click.IntRange(1, 10_000), default=8, show_default=True, help="Connections.")
@click.option(
    "--patience",
    type=click.FloatRange(0),
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="How long an origin that goes down may take to come back.",
)
@click.option("--summary", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.option("--progress/--no-progress", default=None, help="A progress bar. [default: on a terminal]")
@click.option("--fresh", is_flag=True, help="Forget an earlier run: begin with an empty journal and output.")
@click.option("-v", "--verbose", is_flag=True, help="Log what goes over the wire, secrets redacted.")
def batch(
    connection: str,
    records: str,
    journal: str | None,
    output: str | None,
    failed: str | None,
    unknown: str | None,
    concurrency: int,
    patience: float,
    summary: str,
    progress: bool | None,
    fresh: bool,
    verbose: bool,
) -> int:
    """Send each record of RECORDS (NDJSON, - for standard input) as a PATCH over CONNECTION (a TOML file).

    Every record ends as applied, rejected, not_sent or unknown. A run that was stopped or killed is resumed by the
    same command; what was sent is not sent again.
    """
    if journal is None:
        if records == STANDARD_INPUT:
            raise click.UsageError("records from standard input need --journal FILE, so that the run can be resumed")
        journal = f"{records}.journal"
    _refuse_shared_files(
        connection=connection, records=records, journal=journal, output=output, failed=failed, unknown=unknown
    )
    options = BatchOptions(
        records=records,
        journal=journal,
        output=output,
        failed=failed,
        unknown=unknown,
        concurrency=concurrency,
        fresh=fresh,
        patience=patience,
    )
    settings = load_connection(connection)
    shown = is_terminal(sys.stderr) if progress is None else progress
    end = trio_run(_run, settings, options, exits.log_line if verbose else None, shown)
    print_summary(end, summary, results_on_stdout=output != "-")
    return exits.code_of_batch(end)


async def _run(settings: ConnectionSettings, options: BatchOptions, wire_log: WireLog | None, shown: bool) -> Summary:
    if not shown:
        return await run_batch(settings, options, wire_log=wire_log, on_signal=exits.say_finishing)
    async with trio.open_nursery() as nursery:
        progress = BatchProgress()
        nursery.start_soon(progress.show)
        end = await run_batch(
            settings, options, wire_log=wire_log, watch=progress.watch, on_signal=exits.say_finishing
        )
        nursery.cancel_scope.cancel()
    return end


def _refuse_shared_files(**names: str | None) -> None:
    seen: dict[Path, str] = {}
    for role, name in names.items():
        if name is None or name == "-":
            continue
        path = Path(name).resolve()
        if path in seen:
            raise InputError(name, f"is named both as {seen[path]} and as {role}; give each a file of its own")
        seen[path] = role
