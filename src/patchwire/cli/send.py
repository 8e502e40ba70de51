"""patchwire send: one PATCH."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click
from rich.console import Console

from patchwire.cli import exits
from patchwire.cli.connection import extension_option
from patchwire.cli.terminal import is_terminal, printable
from patchwire.cli.trio_run import trio_run
from patchwire.delivery.outcome import Outcome, outcome_of
from patchwire.delivery.request import RequestMaker, implied_media_type
from patchwire.errors import InputError, LocalProtocolError, RemoteProtocolError, StorageError, TransportError
from patchwire.files.connection_file import load_connection
from patchwire.files.read import describe
from patchwire.http.message import Request, Response
from patchwire.net.client import PatchClient
from patchwire.net.wire_log import WireLog
from patchwire.settings.connection import ConnectionSettings

CODES = {
    Outcome.APPLIED: exits.DONE,
    Outcome.REJECTED: exits.SOME_FAILED,
    Outcome.NOT_SENT: exits.SOME_FAILED,
    Outcome.UNKNOWN: exits.SOME_UNKNOWN,
}


@click.command()
@click.argument("connection")
@click.argument("path")
@extension_option
@click.option("--body", metavar="JSON|@FILE|-", required=True, help="The change; - reads standard input.")
@click.option("--media-type", metavar="TYPE", help="Needed unless the body is a JSON object or array.")
@click.option("--if-match", metavar="TAG", help="The entity tag that the resource must still have, with its quotes.")
@click.option("--query", metavar="NAME=VALUE", multiple=True, help="Percent-encoded and appended. May be repeated.")
@click.option("--header", metavar="'NAME: VALUE'", multiple=True, help="One more field. May be repeated.")
@click.option("-i", "--include", is_flag=True, help="Print the response's head above its body.")
@click.option("-v", "--verbose", is_flag=True, help="Log what goes over the wire, secrets redacted.")
def send(
    connection: str,
    path: str,
    extension: str | None,
    body: str,
    media_type: str | None,
    if_match: str | None,
    query: tuple[str, ...],
    header: tuple[str, ...],
    include: bool,
    verbose: bool,
) -> int:
    """Send one PATCH to PATH over CONNECTION (a TOML file), once, and print the response's body.

    A JSON object is a merge patch, an array a JSON Patch. Standard error says what became of the change, the exit
    code too: 0 applied, 1 rejected or not sent, 3 unknown.
    """
    if sys.stdout is None:
        raise StorageError("-: standard output is closed")
    settings = load_connection(connection, extension)
    exits.warn_of(settings)
    exits.warn_of_key_log()
    content = _read_body(body)
    if media_type is None:
        media_type = _implied_media_type(body, content)
    try:
        request = RequestMaker(settings).make(
            "PATCH",
            path,
            body=content,
            media_type=media_type,
            if_match=if_match,
            query=_pairs("--query", query, "="),
            headers=_pairs("--header", header, ":"),
        )
        response = trio_run(_send, settings, request, exits.log_line if verbose else None)
    except LocalProtocolError as error:
        raise InputError("send", str(error)) from None
    except (TransportError, RemoteProtocolError) as error:
        outcome = outcome_of(error)
        exits.say(f"{outcome.value}: {error}")
        return CODES[outcome]
    except KeyboardInterrupt:
        exits.say("interrupted: if the request had left, whether the change was made is unknown")
        return exits.INTERRUPTED
    outcome = outcome_of(response, settings.outcomes.unknown_statuses)
    try:
        _print(response, include)
        sys.stdout.flush()
    finally:  # what became of the change must be told also where the body cannot be
        exits.say(f"{outcome.value}: {_explain(response)}")
    return CODES[outcome]


async def _send(settings: ConnectionSettings, request: Request, wire_log: WireLog | None) -> Response:
    async with PatchClient(settings, max_connections=1, wire_log=wire_log) as client:
        return await client.send(request)


def _read_body(body: str) -> bytes:
    if body == "-":
        if sys.stdin is None:
            raise InputError("--body", "standard input is closed")
        return sys.stdin.buffer.read()
    if not body.startswith("@"):
        return body.encode("utf-8", "surrogateescape")
    try:
        return Path(body[1:]).read_bytes()
    except OSError as error:
        raise InputError(f"--body {body}", describe(error)) from None
    except ValueError as error:
        raise InputError(f"--body {body!r}", str(error)) from None


def _implied_media_type(body: str, content: bytes) -> str:
    """The media type of a JSON object or array, which must be valid JSON then: else a slip of the pen goes out."""
    implied = implied_media_type(content.lstrip())
    if implied is None:
        raise InputError("--body", "is no JSON object or array, and so implies no media type; name its --media-type")
    try:
        json.loads(content)
    except (ValueError, RecursionError) as error:
        where = "--body" if body[:1] not in "@-" else f"--body {body}"
        raise InputError(where, f"not valid JSON: {error}; for other content name its --media-type") from None
    return implied


def _pairs(option: str, texts: tuple[str, ...], mark: str) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for text in texts:
        name, found, value = text.partition(mark)
        if not found or not name:
            raise InputError(option, f"expected NAME{mark}VALUE, got {text!r}")
        pairs[name.strip()] = value.strip() if mark == ":" else value
    return pairs


def _print(response: Response, include: bool) -> None:
    if include:
        click.echo(f"HTTP/1.1 {response.status} {printable(response.reason.decode('latin-1'))}".rstrip())
        for name, value in response.headers:
            click.echo(f"{name.decode('latin-1')}: {printable(value.decode('latin-1'))}")
        click.echo()
    if not is_terminal(sys.stdout):
        sys.stdout.flush()
        sys.stdout.buffer.write(response.body)
    elif response.body:
        _print_on_terminal(response.body)


def _print_on_terminal(body: bytes) -> None:
    """What a peer sends must not steer the terminal."""
    try:
        Console().print_json(body.decode("utf-8"))
    except ValueError:
        for line in body.decode("utf-8", "replace").splitlines():
            click.echo(printable(line))


def _explain(response: Response) -> str:
    status = f"{response.status} {response.reason.decode('latin-1')}".rstrip()
    parts = [status]
    if response.error is not None:
        parts.append(response.error)
    return "; ".join(parts)
