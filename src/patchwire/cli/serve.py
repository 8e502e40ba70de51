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

from patchwire.auth.digest import ALGORITHMS
from patchwire.auth.verify.nonces import Uses
from patchwire.cli import exits
from patchwire.cli.serve_auth import AuthOptions, application
from patchwire.cli.serve_tls import TlsOptions, server_tls
from patchwire.cli.trio_run import trio_run
from patchwire.errors import ConnectError, StorageError
from patchwire.files.documents import read_documents
from patchwire.files.read import describe
from patchwire.loopback.documents import Document
from patchwire.net.server import Application
from patchwire.net.server import serve as serve_app
from patchwire.net.sources import now
from patchwire.net.wire_log import WireLog
from patchwire.run.signals import heeded

if TYPE_CHECKING:
    from OpenSSL import SSL

SCHEMES = ["none", "basic", "digest", "bearer", "aws"]


@click.command()
@click.option("--port", type=click.IntRange(0, 65_535), default=0, help="On 127.0.0.1. [default: any free one]")
@click.option("--auth", type=click.Choice(SCHEMES), default="none", show_default=True)
@click.option("--user", help="For --auth basic and digest, and for the password grant.")
@click.option("--password", metavar="SECRET", help='"env:NAME", "file:PATH", "keyring:SERVICE/USER" or a text.')
@click.option("--token", metavar="SECRET", help="For --auth bearer; written like --password.")
@click.option("--client-id", metavar="ID", help="For --auth bearer: issue tokens to this client by OAuth 2.0.")
@click.option("--client-secret", metavar="SECRET", help="Its secret, where it has one; written like --password.")
@click.option("--token-lifetime", type=int, metavar="SECONDS", help="Of tokens that are issued. [default: 3600]")
@click.option("--realm", default="patchwire", show_default=True, help="What the challenge names.")
@click.option(
    "--algorithm",
    metavar="NAME",
    multiple=True,
    help=f"For --auth digest: {', '.join(ALGORITHMS)}, also with -sess. May be repeated. [default: SHA-256, MD5]",
)
@click.option(
    "--qop", multiple=True, type=click.Choice(["auth", "auth-int", "none"]), help="May be repeated. [default: auth]"
)
@click.option("--userhash", is_flag=True, help="Ask for the user name as a hash.")
@click.option("--nonce-lifetime", type=float, metavar="SECONDS", help="[default: 300]")
@click.option(
    "--nonce-uses",
    type=click.Choice(["parallel", "ordered", "once"]),
    help="Which nonce counts are accepted: in any order, only the next, only one. [default: parallel]",
)
@click.option("--access-key", metavar="ID", help="For --auth aws.")
@click.option("--secret-key", metavar="SECRET", help="For --auth aws; written like --password.")
@click.option("--session-token", metavar="SECRET", help="For --auth aws, where the keys are temporary.")
@click.option("--service", metavar="NAME", help="For --auth aws: what must be signed for. [default: execute-api]")
@click.option("--region", metavar="NAME", help="For --auth aws. [default: us-east-1]")
@click.option("--max-skew", type=float, metavar="SECONDS", help="For --auth aws. [default: 300]")
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
    token: str | None,
    client_id: str | None,
    client_secret: str | None,
    token_lifetime: int | None,
    realm: str,
    algorithm: tuple[str, ...],
    qop: tuple[str, ...],
    userhash: bool,
    nonce_lifetime: float | None,
    nonce_uses: Uses | None,
    access_key: str | None,
    secret_key: str | None,
    session_token: str | None,
    service: str | None,
    region: str | None,
    max_skew: float | None,
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

    The first line of standard output is {"listening": "http://127.0.0.1:PORT"}. SIGINT or SIGTERM ends it once what
    is under way has been answered, in five seconds at most; a second one ends it at once.
    """
    guard = AuthOptions(
        auth=auth,
        user=user,
        password=password,
        token=token,
        client_id=client_id,
        client_secret=client_secret,
        token_lifetime=token_lifetime,
        realm=realm,
        algorithms=algorithm,
        qop=qop,
        userhash=userhash,
        nonce_lifetime=nonce_lifetime,
        nonce_uses=nonce_uses,
        access_key=access_key,
        secret_key=secret_key,
        session_token=session_token,
        service=service,
        region=region,
        max_skew=max_skew,
    )
    app = application(guard, create_missing=create_missing)
    context = server_tls(TlsOptions(tls, certificate, key, key_password, authority, client_ca), now())
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
    app: Application,
    documents: dict[str, Document],
    port: int,
    keep: Callable[[bytes], None] | None,
    tls: SSL.Context | None,
    wire_log: WireLog | None,
) -> None:
    closing = trio.Event()
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
                closing=closing,
                task_status=task_status,
            )
            nursery.cancel_scope.cancel()

        await nursery.start(take_signals, closing, nursery.cancel_scope)
        url = await nursery.start(run)
        sys.stdout.buffer.write(msgspec.json.encode({"listening": url}) + b"\n")
        sys.stdout.buffer.flush()


async def take_signals(
    closing: trio.Event, scope: trio.CancelScope, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """The first SIGINT or SIGTERM lets what is under way be answered, the second ends it."""
    taken = heeded("SIGINT", "SIGTERM")
    if not taken:
        task_status.started()
        return
    with trio.open_signal_receiver(*taken) as signals:
        task_status.started()
        async for _ in signals:
            if closing.is_set():
                scope.cancel()
            closing.set()


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
