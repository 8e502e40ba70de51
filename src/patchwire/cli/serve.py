"""patchwire serve: the embedded server."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click
import msgspec
import trio

from patchwire.auth.basic import Credentials
from patchwire.cli import exits
from patchwire.cli.trio_run import trio_run
from patchwire.errors import ConnectError, InputError, LocalProtocolError, SettingsError, StorageError
from patchwire.files.documents import read_documents
from patchwire.files.read import describe
from patchwire.files.secrets import read_secret
from patchwire.loopback.app import App
from patchwire.loopback.authorization import Basic
from patchwire.loopback.documents import Document
from patchwire.net.server import serve as serve_app
from patchwire.net.sources import now
from patchwire.net.wire_log import WireLog
from patchwire.settings.secret import Secret, SecretReference, parse_reference
from patchwire.settings.tls import Material

if TYPE_CHECKING:
    from OpenSSL import SSL


@click.command()
@click.option("--port", type=click.IntRange(0, 65_535), default=0, help="On 127.0.0.1. [default: any free one]")
@click.option("--auth", type=click.Choice(["none", "basic"]), default="none", show_default=True)
@click.option("--user", help="For --auth basic.")
@click.option("--password", help='For --auth basic: "env:NAME", "file:PATH", "keyring:SERVICE/USER" or a text.')
@click.option("--documents", metavar="FILE", help='What is there: NDJSON lines {"path": "/a", "body": ...}.')
@click.option("--create-missing", is_flag=True, help="Let a merge patch create the document that it names.")
@click.option("--record", metavar="FILE", help="One NDJSON line for each change that was applied.")
@click.option("--tls", is_flag=True, help="Serve https, with a certificate made for it unless one is given.")
@click.option("--certificate", metavar="FILE", help="The server's certificate: PEM, DER or PKCS#12.")
@click.option("--key", metavar="FILE", help="Its private key, where that file holds none.")
@click.option("--key-password", metavar="SECRET", help="Opens the key, or the PKCS#12 file; written like --password.")
@click.option(
    "--authority", metavar="FILE", help="Where to leave the CA of the certificate that is made, for tls.trust."
)
@click.option("--client-ca", metavar="FILE", help="Require client certificates that this CA has issued.")
@click.option("-v", "--verbose", is_flag=True, help="Log requests and responses, secrets redacted.")
def serve(
    port: int,
    auth: str,
    user: str | None,
    password: str | None,
    documents: str | None,
    create_missing: bool,
    record: str | None,
    tls: bool,
    certificate: str | None,
    key: str | None,
    key_password: str | None,
    authority: str | None,
    client_ca: str | None,
    verbose: bool,
) -> int:
    """Serve JSON documents from memory on 127.0.0.1, and take merge patches and JSON Patches for them.

    The first line of standard output is {"listening": "http://127.0.0.1:PORT"}.
    """
    app = App(_requirement(auth, user, password), create_missing)
    context = _context(tls, certificate, key, key_password, authority, client_ca)
    log = exits.log_line if verbose else None
    stored = read_documents(Path(documents)) if documents else {}
    with ExitStack() as stack:
        keep = _record_to(stack.enter_context(_open(record))) if record else None
        try:
            trio_run(_serve, app, stored, port, keep, context, log)
        except KeyboardInterrupt:
            return exits.DONE
        except OSError as error:
            raise ConnectError(f"cannot listen on 127.0.0.1:{port}: {describe(error)}", origin="") from None
    return exits.DONE


async def _serve(
    app: App,
    documents: dict[str, Document],
    port: int,
    keep: Callable[[bytes], None] | None,
    tls: SSL.Context | None,
    wire_log: WireLog | None,
) -> None:
    async with trio.open_nursery() as nursery:

        async def run(task_status: trio.TaskStatus[str]) -> None:
            await serve_app(
                app,
                documents,
                now=now,
                port=port,
                tls=tls,
                record=keep,
                on_error=_report,
                wire_log=wire_log,
                task_status=task_status,
            )

        url = await nursery.start(run)
        sys.stdout.buffer.write(msgspec.json.encode({"listening": url}) + b"\n")
        sys.stdout.buffer.flush()


def _requirement(auth: str, user: str | None, password: str | None) -> Basic | None:
    if auth == "none":
        if user is not None or password is not None:
            raise click.UsageError("--user and --password need --auth basic")
        return None
    if user is None or password is None:
        raise click.UsageError("--auth basic needs --user and --password")
    try:
        return Basic(Credentials(user, _secret("--password", password).reveal()))
    except LocalProtocolError as error:
        raise InputError("serve", str(error)) from None


def _secret(option: str, text: str) -> Secret:
    return read_secret("serve", option, parse_reference(text) or SecretReference("literal", text), Path.cwd())


def _context(
    tls: bool,
    certificate: str | None,
    key: str | None,
    key_password: str | None,
    authority: str | None,
    client_ca: str | None,
) -> SSL.Context | None:
    """The server's context, or None for plain http."""
    of_tls = {"--certificate": certificate, "--client-ca": client_ca, "--authority": authority}
    of_a_certificate = {"--key": key, "--key-password": key_password}
    for needed, given, options in (("--tls", tls, of_tls), ("--certificate", certificate, of_a_certificate)):
        for option, value in options.items():
            if value is not None and not given:
                raise click.UsageError(f"{option} needs {needed}")
    if not tls:
        return None
    if certificate is not None and authority is not None:
        raise click.UsageError("--authority is for the certificate that is made; --certificate gives one")
    from patchwire.tls.context import server_context
    from patchwire.tls.issue import Authority
    from patchwire.tls.material import read_certificates, read_identity

    if certificate is not None:
        password = None if key_password is None else _secret("--key-password", key_password)
        key_file = None if key is None else _material("--key", key)
        names = ("--certificate", "--key", "--key-password")
        identity = read_identity(_material("--certificate", certificate), key_file, password, names)
    else:
        made = Authority("patchwire serve", now())
        identity = made.issue_server(["localhost", "127.0.0.1", "::1"])
        if authority is None:
            exits.say("made a certificate that nobody trusts: --authority FILE leaves its CA, for tls.trust")
        else:
            _write(authority, made.pem)
    clients = read_certificates(_material("--client-ca", client_ca), None, ("--client-ca", "")) if client_ca else []
    return server_context(identity, clients)


def _material(option: str, name: str) -> Material:
    try:
        return Material(name, Path(name).read_bytes())
    except OSError as error:
        raise SettingsError(f"{option}: {name}", describe(error)) from None


def _write(name: str, content: bytes) -> None:
    try:
        Path(name).write_bytes(content)
    except OSError as error:
        raise StorageError(f"{name}: {describe(error)}") from None


def _open(name: str) -> BinaryIO:
    try:
        return Path(name).open("ab", buffering=0)
    except OSError as error:
        raise StorageError(f"{name}: {describe(error)}") from None


def _record_to(file: BinaryIO) -> Callable[[bytes], None]:
    def keep(line: bytes) -> None:
        # Unbuffered: what the record says must not hang on how this process ends.
        if file.write(line) != len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    return keep


def _report(error: Exception) -> None:
    exits.say(f"{type(error).__name__}: {error}")
