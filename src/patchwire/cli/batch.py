"""patchwire batch: the main job."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any, Final

import click
import trio

from patchwire.cli import exits
from patchwire.cli.connection import extension_option
from patchwire.cli.number import Number
from patchwire.cli.progress import BatchProgress
from patchwire.cli.summary import print_summary
from patchwire.cli.terminal import is_terminal
from patchwire.cli.trio_run import trio_run
from patchwire.delivery.lanes import OnFailure
from patchwire.delivery.request import OF_THE_CONNECTION
from patchwire.errors import InputError, LocalProtocolError
from patchwire.files.connection_file import load_connection
from patchwire.files.outcomes import STANDARD_OUTPUT
from patchwire.http.message import check_field
from patchwire.net.wire_log import WireLog
from patchwire.run.batch import Summary, run_batch
from patchwire.run.journal import Durability
from patchwire.run.options import STANDARD_INPUT, BatchOptions
from patchwire.settings.checks import OF_A_RECORD
from patchwire.settings.connection import ConnectionSettings

FILES: Final = ("output", "failed", "unknown")
TAKEN_AS_GIVEN: Final = (
    *FILES,
    *("concurrency", "rate", "fresh", "retry_unknown", "verify", "idempotency_key", "request_id_header"),
    "responses",
    *("validate_first", "skip_invalid", "patience", "max_failures", "max_failure_rate", "deadline"),
)
"""Options that the run knows by the same names."""
OTHER_NAMES_OF_STDOUT: Final = {"/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"}
"""Opened anew, a file behind standard output is written from its beginning again, over the summary."""
OF_HTTP: Final = {"expect", "idempotency-key", "keep-alive", "range", "te", "trailer"}
"""Fields in which an id would say something else, beside those that are refused in a record."""


@click.command()
@click.argument("connection")
@click.argument("records")
@extension_option
@click.option("--journal", metavar="FILE", help="Where the run is recorded. [default: RECORDS.journal; needed with -]")
@click.option("--output", metavar="FILE|-", help="The outcome of each record, as NDJSON.")
@click.option("--failed", metavar="FILE", help="Rejected and not sent records, to run again. Replaced by each run.")
@click.option(
    "--unknown", metavar="FILE", help="Records that may have been applied: to run them again may double. Replaced."
)
@click.option("--concurrency", type=click.IntRange(1, 10_000), default=8, show_default=True, help="Connections.")
@click.option("--rate", type=Number(0, min_open=True), metavar="N", help="Requests a second, at most.")
@click.option(
    "--durability",
    type=click.Choice([each.value for each in Durability]),
    default="normal",
    show_default=True,
    help="What a power cut may take: the outcomes of the last moments, or nothing.",
)
@click.option("--retry-unknown", is_flag=True, help="Send again what earlier runs left unknown: it may double.")
@click.option("--verify", is_flag=True, help="Look at unknown merge patches with GET: applied, if it shows them.")
@click.option(
    "--idempotency-key",
    is_flag=True,
    help="Send an Idempotency-Key with each record, the same at every attempt; the service must honour it.",
)
@click.option(
    "--request-id-header", metavar="NAME", help="Send an id for each attempt, to be found in a server's log."
)
@click.option(
    "--responses", is_flag=True, help="Keep each response's fields, secrets redacted, and body in journal and output."
)
@click.option(
    "--if-match", type=click.Choice(["fetch"]), help="GET the entity tag of records that have no if_match first."
)
@click.option(
    "--refetch",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    metavar="N",
    help="After 412, send a merge patch again with a new tag, so many times. Needs --if-match fetch.",
)
@click.option(
    "--on-lane-failure",
    type=click.Choice([each.value for each in OnFailure]),
    default="hold-unknown",
    show_default=True,
    help="Later records of a path: held behind an unknown one, behind any that is not applied, or never.",
)
@click.option("--validate-first", is_flag=True, help="Send nothing if any line is no valid record.")
@click.option("--skip-invalid", is_flag=True, help="Report lines that are no valid records, and go on.")
@click.option(
    "--patience",
    type=Number(0),
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="How long an origin that goes down may take to come back.",
)
@click.option("--max-failures", type=click.IntRange(0), metavar="N", help="Stop when more are not applied.")
@click.option(
    "--max-failure-rate",
    type=Number(0, 1),
    metavar="SHARE",
    help="Stop when a larger share, from 0 to 1, is not applied; of 100 records at least.",
)
@click.option("--deadline", type=Number(0), metavar="SECONDS", help="Send nothing more after so long.")
@click.option("--summary", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.option(
    "--progress/--no-progress",
    default=None,
    help="A bar, off a terminal a line every 10 seconds. [default: on a terminal]",
)
@click.option("--fresh", is_flag=True, help="Forget an earlier run: begin with an empty journal and output.")
@click.option("-v", "--verbose", is_flag=True, help="Log what goes over the wire, secrets redacted.")
def batch(connection: str, records: str, journal: str | None, extension: str | None, **options: Any) -> int:
    """Send each record of RECORDS (NDJSON, - for standard input) as a PATCH over CONNECTION (a TOML file).

    Every record ends as applied, rejected, not_sent or unknown. A run that was stopped or killed is resumed by the
    same command; what was sent is not sent again.
    """
    if journal is None:
        if records == STANDARD_INPUT:
            raise click.UsageError("records from standard input need --journal FILE, so that the run can be resumed")
        journal = f"{records}.journal"
    files = {role: STANDARD_OUTPUT if options[role] in OTHER_NAMES_OF_STDOUT else options[role] for role in FILES}
    options |= files
    _refuse_shared_files(connection=connection, extension=extension, records=records, journal=journal, **files)
    settings = load_connection(connection, extension)
    exits.warn_of(settings)
    exits.warn_of_key_log()
    run = _options(records, journal, options, settings)
    progress, verbose = options["progress"], options["verbose"]
    shown = is_terminal(sys.stderr) if progress is None else progress
    end = trio_run(_run, settings, run, exits.log_line if verbose else None, shown)
    print_summary(end, options["summary"], results_on_stdout=STANDARD_OUTPUT not in files.values())
    return exits.code_of_batch(end)


def _options(records: str, journal: str, given: dict[str, Any], settings: ConnectionSettings) -> BatchOptions:
    if given["refetch"] and given["if_match"] is None:
        raise click.UsageError("--refetch renews tags that --if-match fetch has fetched; give both")
    if given["validate_first"] and given["skip_invalid"]:
        raise click.UsageError("--validate-first sends nothing where --skip-invalid goes on; choose one")
    if given["validate_first"] and records == STANDARD_INPUT:
        raise click.UsageError("--validate-first reads the records twice, so it needs a file")
    if given["request_id_header"] is not None:
        _check_request_id_header(given["request_id_header"], settings)
    return BatchOptions(
        records=records,
        journal=journal,
        durability=Durability(given["durability"]),
        fetch_tags=given["if_match"] == "fetch",
        refetches=given["refetch"],
        on_lane_failure=OnFailure(given["on_lane_failure"]),
        **{name: given[name] for name in TAKEN_AS_GIVEN},
    )


def _check_request_id_header(name: str, settings: ConnectionSettings) -> None:
    try:
        check_field(name.encode("latin-1", "replace"), b"x")
    except LocalProtocolError as error:
        raise click.UsageError(f"--request-id-header: {error}") from None
    lowered = name.lower()
    if lowered in OF_THE_CONNECTION or lowered in OF_A_RECORD or lowered in OF_HTTP:
        raise click.UsageError(f"--request-id-header: {name} has a meaning of its own; name another field")
    if any(own.decode("latin-1").lower() == lowered for own, _ in settings.headers):
        raise click.UsageError(f"--request-id-header: {name} is set by the connection already; name another field")


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
    seen: dict[str, str] = {}
    for role, name in names.items():
        if name is None or (role == "records" and name == STANDARD_INPUT):
            continue
        for other, its_role in seen.items():
            if _is_same_file(name, other):
                raise InputError(name, f"is named both as {its_role} and as {role}; give each a file of its own")
        seen[name] = role


def _is_same_file(name: str, other: str) -> bool:
    """By whatever names: links of both kinds, and paths to what does not exist yet."""
    try:
        return Path(name).samefile(other)
    except OSError:
        return os.path.realpath(name) == os.path.realpath(other)  # Path.resolve stumbles over links in a circle
