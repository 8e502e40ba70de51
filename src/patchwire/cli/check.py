"""patchwire check: a connection's settings as they will be used."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click
import trio

from patchwire.auth.aws_signing import timestamp
from patchwire.cli import exits
from patchwire.cli.terminal import printable
from patchwire.cli.trio_run import trio_run
from patchwire.errors import InputError, StorageError
from patchwire.files.aws_credentials import load_aws_credentials
from patchwire.files.connection_file import connection_from, read_toml
from patchwire.files.read import describe
from patchwire.net.opening import open_connection, server_chain
from patchwire.net.sources import now
from patchwire.net.wire_log import WireLog, time_of
from patchwire.settings.aws import AwsSettings
from patchwire.settings.connection import ConnectionFile, ConnectionSettings, parse_connection
from patchwire.settings.secret import parse_reference

PATIENCE: Final = 0.5
"""Seconds to wait for a server's second thoughts."""
LOOKS: Final = 10


@click.command()
@click.argument("connection")
@click.option(
    "--connect",
    is_flag=True,
    help="Open a connection too, TLS included, and ask the AWS chain; nothing is sent.",
)
@click.option(
    "--export-certificate",
    metavar="FILE",
    help="Fetch the server's certificate, whoever issued it, and write it to FILE (PEM), for tls.trust.",
)
@click.option("-v", "--verbose", is_flag=True, help="Log what goes over the wire, secrets redacted.")
def check(connection: str, connect: bool, export_certificate: str | None, verbose: bool) -> int:
    """Say how CONNECTION (a TOML file) will be used: every setting, secrets redacted, certificates with their dates.

    Exits with 2 when a setting is wrong, with 1 when --connect finds no way to the server.
    """
    file = Path(connection)
    content = read_toml(file)  # once: it may be a pipe
    settings = connection_from(content, place=str(file), directory=file.parent)
    written = parse_connection(str(file), content)
    for name, value in (*_settings(settings, written, connect), *_tls(settings)):
        _print(name, value)
    if export_certificate is not None:
        _export(settings, Path(export_certificate))
    if connect:
        _print("connected", trio_run(_connect, settings, exits.log_line if verbose else None))
    return exits.DONE


def _print(name: str, value: str) -> None:
    click.echo(f"{click.style(name, bold=True)} {printable(value)}")


def _settings(settings: ConnectionSettings, written: ConnectionFile, connect: bool) -> Iterator[tuple[str, str]]:
    yield "base_url", written.base_url
    yield "authentication", settings.authentication
    if settings.aws is not None:
        yield from _aws(settings, settings.aws, written, connect)
    elif settings.authentication != "none":
        yield "user", settings.user
        yield "password", _secret(written.password)
        yield "charset", settings.charset
        yield "preemptive", _word(settings.preemptive)
    if settings.authentication == "digest":
        yield "digest.algorithms", ", ".join(settings.digest.algorithms)
        yield "digest.qop", ", ".join(settings.digest.qop)
    for name, text in written.headers.items():
        yield f"headers.{name}", _secret(text) if parse_reference(text) else text
    yield "outcomes.unknown_statuses", ", ".join(map(str, settings.outcomes.unknown_statuses)) or "none"
    yield "redirects.follow", ", ".join(map(str, settings.redirects.follow)) or "none"
    yield "redirects.other_origins", _word(settings.redirects.other_origins)
    yield "redirects.limit", str(settings.redirects.limit)
    limits = settings.limits
    for key in limits.__struct_fields__:
        yield f"limits.{key}", f"{getattr(limits, key)} {'seconds' if key.endswith('timeout') else 'bytes'}"


def _aws(
    settings: ConnectionSettings, aws: AwsSettings, written: ConnectionFile, connect: bool
) -> Iterator[tuple[str, str]]:
    yield "aws.credentials", aws.credentials
    if aws.credentials == "keys":
        yield "aws.access_key", aws.access_key
        yield "aws.secret_key", _secret(written.aws.secret_key)
        yield "aws.session_token", "none" if aws.session_token is None else _secret(written.aws.session_token)
    elif aws.credentials != "chain" or connect:  # to ask the chain takes a while, and may go over the network
        found = load_aws_credentials(aws)
        yield "aws.access_key", found.access_key
        yield "aws.session_token", "none" if found.session_token is None else "***"
        if found.expires_at is not None:
            yield "aws.credentials end", time_of(found.expires_at)
    if aws.credentials in ("profile", "chain"):
        yield "aws.profile", aws.profile or "the default"
    if aws.credentials_file is not None:
        yield "aws.credentials_file", aws.credentials_file
    signing_name = aws.scope.service
    label = "custom" if aws.service is None else f"{aws.service.name}, {aws.service.label}"
    yield "aws.service", f"{signing_name} ({label})"
    yield "aws.region", f"{aws.scope.region} ({'custom' if aws.region is None else aws.region.label})"
    yield "aws.algorithm", aws.algorithm
    yield "aws.credential_scope", aws.credential_scope(timestamp(int(now()))[:8])
    yield "aws.payload", "signed" if aws.terms.signs_payload else "unsigned"
    yield "aws.sign_session_token", _word(aws.terms.signs_token)
    fields = written.aws.signed_fields
    yield "aws.signed_fields", "all that may be" if fields is None else ", ".join(("host", "x-amz-*", *fields))
    if written.aws.signing_host is not None:
        yield "aws.signing_host", written.aws.signing_host
    doubt = aws.doubt(settings.origin)
    if doubt is not None:
        yield "warning:", doubt


def _tls(settings: ConnectionSettings) -> Iterator[tuple[str, str]]:
    if settings.origin.scheme != "https":
        return
    from patchwire.tls.describe import describe_certificate, describe_trusted
    from patchwire.tls.material import client_identity, trusted_certificates

    moment = now()
    yield "tls.minimum_version", settings.tls.minimum_version
    yield "tls.system_roots", _word(settings.tls.system_roots)
    for certificate in trusted_certificates(settings.tls):
        yield "tls.trust", describe_trusted(certificate, moment)
    identity = client_identity(settings.tls)
    if identity is None:
        yield "tls.client_certificate", "none"
        return
    yield "tls.client_certificate", describe_certificate(identity.certificate, moment)
    for issuer in identity.chain:
        yield "tls.client_certificate, its chain", describe_certificate(issuer, moment)


async def _connect(settings: ConnectionSettings, wire_log: WireLog | None) -> str:
    connection = await open_connection(settings, wire_log=wire_log)
    try:
        described = connection.describe()
        for _ in range(LOOKS):
            # A TLS 1.3 server judges our certificate after the handshake: its refusal is on its way.
            await trio.sleep(PATIENCE / LOOKS)
            if not connection.is_quiet():
                raise connection.unfit_error()
        return described
    finally:
        connection.close()


def _export(settings: ConnectionSettings, path: Path) -> None:
    from patchwire.tls.describe import as_pem, describe_certificate, shown_fingerprint

    if settings.origin.scheme != "https":
        raise InputError("--export-certificate", f"{settings.origin} has none; expected an https:// base_url")
    chain = trio_run(server_chain, settings.origin, settings.limits.connect_timeout)
    try:
        with path.open("xb") as file:
            file.write(as_pem(chain[0]))
    except OSError as error:
        raise StorageError(f"{path}: {describe(error)}") from None
    _print("exported", describe_certificate(chain[0], now()))
    _print("SHA-256", shown_fingerprint(chain[0]))
    exits.say(f"{path} holds what the server showed; nobody has vouched for it: compare its SHA-256 with the owner's")


def _secret(text: str | None) -> str:
    """Where a secret is kept, and nothing of it."""
    reference = parse_reference(text or "")
    if reference is None or reference.kind == "literal":
        return "*** (literal)"
    return f"*** ({reference.kind}:{reference.name})"


def _word(truth: bool) -> str:
    return "true" if truth else "false"
