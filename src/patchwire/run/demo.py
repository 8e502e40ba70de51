"""The main job against the embedded server: records of every kind, and the server's own record to hold it against."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from secrets import token_bytes
from typing import TYPE_CHECKING, Final

import msgspec
import trio
from msgspec import Struct

from patchwire.delivery.outcome_line import OutcomeLine
from patchwire.files.connection_file import load_connection
from patchwire.files.outcomes import LineFile
from patchwire.http.media_types import JSON_PATCH, MERGE_PATCH
from patchwire.loopback.app import App
from patchwire.loopback.documents import Document, document_of
from patchwire.loopback.ledger import AppliedLine
from patchwire.net.server import Application, serve
from patchwire.net.sources import identity, now
from patchwire.net.wire_log import WireLog
from patchwire.run.batch import Live, Summary, run_batch
from patchwire.run.options import BatchOptions

if TYPE_CHECKING:
    from OpenSSL import SSL

KINDS: Final = {
    7: ("a missing document", 404),
    19: ("a stale If-Match", 412),
    31: ("a wrong media type", 415),
    43: ("a JSON Patch whose test fails", 409),
}
"""Of each 50 records these are at fault; the others are merge patches, JSON Patches and conditional changes."""
APPLIED: Final = ("a change that fits", 200)
PERIOD: Final = 50
TOKEN_LIFETIME: Final = 2
"""Seconds: the demo is to show how tokens are renewed."""


class Guards(Struct, frozen=True):
    """What is between the batch and the documents."""

    tls: bool = False
    oauth2: bool = False


class Verdict(Struct, frozen=True):
    """How the batch's outcomes stand against what the server has recorded as applied."""

    kinds: Counter[tuple[str, int]]
    """How many records there were of each kind, with the status that it must get."""
    statuses: Counter[tuple[str, int | None]]
    """How many records of each kind got which status."""
    applied_by_server: int
    differences: list[str]
    """Where the two disagree, one line a record; empty when every outcome is true."""


class DemoFiles(Struct, frozen=True):
    """What the demo reads and writes; all of it stands in one directory."""

    directory: Path

    @property
    def connection(self) -> Path:
        """The connection file."""
        return self.directory / "connection.toml"

    def options(self, concurrency: int) -> BatchOptions:
        """The batch's options."""
        return BatchOptions(
            records=str(self.directory / "records.ndjson"),
            journal=str(self.directory / "records.ndjson.journal"),
            output=str(self.directory / "outcomes.ndjson"),
            failed=str(self.directory / "failed.ndjson"),
            unknown=str(self.directory / "unknown.ndjson"),
            concurrency=concurrency,
            fresh=True,
        )


def _over_tls(directory: Path) -> tuple[SSL.Context, str]:
    """A server's context that requires client certificates, and the [tls] section of a connection that has one.

    The demo makes all certificates itself; keys go to files that only their owner can read.
    """
    from patchwire.tls.context import server_context
    from patchwire.tls.issue import Authority, identity_pem

    authority = Authority("patchwire demo", now())
    (directory / "authority.pem").write_bytes(authority.pem)
    client = directory / "client.pem"
    client.unlink(missing_ok=True)
    client.touch(mode=0o600)
    client.write_bytes(identity_pem(authority.issue_client("patchwire demo client")))
    section = '[tls]\ntrust = ["authority.pem"]\nsystem_roots = false\nclient_certificate = "client.pem"\n'
    return server_context(authority.issue_server(["127.0.0.1"]), [authority.certificate]), section


def _with_tokens() -> tuple[Application, str]:
    """The documents behind an authorization server, and the lines of a connection that has its tokens."""
    from patchwire.auth.verify.bearer import BearerVerifier
    from patchwire.loopback.authorization import TOKEN, AuthorizationServer
    from patchwire.loopback.guarded import GuardedApp
    from patchwire.loopback.oauth_clients import Client

    secret = identity()
    authorization = AuthorizationServer([Client("demo", secret)], token_bytes, token_lifetime=TOKEN_LIFETIME)
    lines = (
        'authentication = "oauth2"\npreemptive = true\n[oauth2]\ngrant_type = "client_credentials"\n'
        f'client_id = "demo"\nclient_secret = "literal:{secret}"\naccess_token_url = "{{base_url}}{TOKEN}"\n'
    )
    return GuardedApp(App(BearerVerifier("demo", {}, authorization.user_of)), authorization), lines


async def run_demo(
    directory: Path,
    records: int,
    concurrency: int,
    guards: Guards,
    watch: Callable[[Live], None],
    on_signal: Callable[[], None],
    wire_log: WireLog | None = None,
) -> tuple[Summary, Verdict]:
    """Make the files, serve the documents, run the batch, and compare what both sides say.

    With `guards.tls` all of it over https, where both sides show certificates; with `guards.oauth2` behind an
    authorization server.
    """
    files = DemoFiles(directory)
    documents = {f"/people/{number}": _document(number) for number in range(records)}
    options = files.options(concurrency)
    recorded: list[bytes] = []
    context, section = _over_tls(directory) if guards.tls else (None, "")
    app, authentication = _with_tokens() if guards.oauth2 else (App(), 'authentication = "none"\n')
    async with trio.open_nursery() as nursery:

        async def run_server(task_status: trio.TaskStatus[str]) -> None:
            await serve(app, documents, now=now, tls=context, record=recorded.append, task_status=task_status)

        base_url = await nursery.start(run_server)
        settings = f'base_url = "{base_url}"\n{authentication.format(base_url=base_url)}{section}'
        files.connection.write_text(settings, encoding="utf-8")
        lines = LineFile(options.records)
        lines.write(msgspec.json.encode(_record(number)) for number in range(records))
        lines.close()
        summary = await run_batch(
            load_connection(files.connection), options, watch=watch, on_signal=on_signal, wire_log=wire_log
        )
        nursery.cancel_scope.cancel()
    return summary, _compare(_outcomes(Path(options.output or "")), recorded)


def kind_of(number: int) -> tuple[str, int]:
    """What is special about a record, and the status that it must get."""
    return KINDS.get(number % PERIOD, APPLIED)


def _document(number: int) -> Document:
    return document_of(msgspec.json.encode({"name": f"person {number}", "visits": 0}))


def _record(number: int) -> dict[str, object]:
    status = kind_of(number)[1]
    # The query names the record, so that the server's own record can be read against the outcomes.
    record: dict[str, object] = {"id": f"r{number}", "path": f"/people/{number}?record={number}"}
    if status == 404:
        record["path"] = f"/nobody/{number}?record={number}"
    if status == 409 or (status == 200 and number % 3 == 0):
        seen = 1 if status == 409 else 0
        test = {"op": "test", "path": "/visits", "value": seen}
        return {**record, "media_type": JSON_PATCH, "body": [test, {"op": "replace", "path": "/visits", "value": 1}]}
    if status == 412 or number % 3 == 1:
        record["if_match"] = '"stale"' if status == 412 else _document(number).etag
    media_type = "text/plain" if status == 415 else MERGE_PATCH
    return {**record, "media_type": media_type, "body": {"visits": 1}}


def _outcomes(path: Path) -> Iterator[OutcomeLine]:
    decode = msgspec.json.Decoder(OutcomeLine).decode
    with path.open("rb") as file:
        for line in file:
            yield decode(line)


def _compare(outcomes: Iterator[OutcomeLine], recorded: list[bytes]) -> Verdict:
    decode = msgspec.json.Decoder(AppliedLine).decode
    applied = Counter(int(decode(line).path.rpartition("=")[2]) for line in recorded)
    kinds: Counter[tuple[str, int]] = Counter()
    statuses: Counter[tuple[str, int | None]] = Counter()
    differences = []
    for line in outcomes:
        kind, status = kind_of(line.seq)
        kinds[kind, status] += 1
        statuses[kind, line.status] += 1
        times = applied.pop(line.seq, 0)
        if times != (line.outcome == "applied") or line.status != status:
            differences.append(
                f"record {line.seq} ({kind}): {line.outcome} {line.status}, applied {times} times by the server"
            )
    differences += [f"record {seq}: applied by the server, without an outcome" for seq in applied]
    return Verdict(kinds, statuses, len(recorded), differences)
