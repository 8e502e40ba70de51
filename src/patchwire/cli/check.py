"""patchwire check: a connection's settings as they will be used."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click
import trio

from patchwire.cli import exits
from patchwire.cli.check_auth import Sources, aws_lines, oauth2_lines, shown_secret, shown_value, word
from patchwire.cli.connection import extension_option
from patchwire.cli.terminal import printable
from patchwire.cli.trio_run import trio_run
from patchwire.errors import InputError, StorageError
from patchwire.files.connection_file import connection_from, read_toml
from patchwire.files.read import describe
from patchwire.net.opening import Opener, open_connection
from patchwire.net.sources import now
from patchwire.net.wire_log import WireLog
from patchwire.settings.connection import ConnectionSettings, parse_connection
from patchwire.settings.overrides import override
from patchwire.settings.written import ConnectionFile

PATIENCE: Final = 0.5
"""Seconds to wait for a server's second thoughts."""
LOOKS: Final = 10
UNSET: Final = {
    "tls_timeout": "what limits.connect_timeout leaves",
    "write_timeout": "as limits.read_timeout",
    "first_byte_timeout": "as limits.read_timeout",
    "request_timeout": "none",
}
"""What holds in place of a limit that is not set."""


@click.command()
@click.argument("connection")
@extension_option
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
def check(connection: str, extension: str | None, connect: bool, export_certificate: str | None, verbose: bool) -> int:
    """Say how CONNECTION (a TOML file) will be used: every setting, secrets redacted, certificates with their dates.

    With --extension also where each value comes from, and whether an override is in force yet.

    Exits with 2 when a setting is wrong, with 1 when --connect finds no way to the server.
    """
    file = Path(connection)
    content = read_toml(file)  # once: it may be a pipe
    over = {} if extension is None else read_toml(Path(extension))
    place, over_place = str(file), str(extension)
    settings = connection_from(content, place=place, directory=file.parent, extension=over, extension_place=over_place)
    overridden = override(place, content, over_place, over)
    written = parse_connection(place, overridden.data)
    sources = None if extension is None else Sources(overridden, settings.oauth2)
    shown = [*_settings(settings, written, connect), *_tls(settings)]
    if sources is not None:
        shown += sources.unshown([name for name, _ in shown])
    for name, value in shown:
        _print(name, value if sources is None else sources.shown(name, value))
    if export_certificate is not None:
        _export(settings, Path(export_certificate))
    if connect:
        exits.warn_of_key_log()
        _print("connected", trio_run(_connect, settings, exits.log_line if verbose else None))
    return exits.DONE


def _print(name: str, value: str) -> None:
    click.echo(f"{click.style(name, bold=True)} {printable(value)}")


def _settings(settings: ConnectionSettings, written: ConnectionFile, connect: bool) -> Iterator[tuple[str, str]]:
    yield "base_url", written.base_url
    yield "authentication", settings.authentication
    if settings.aws is not None:
        yield from aws_lines(settings.aws, written, connect=connect)
    elif settings.oauth2 is not None:
        yield "preemptive", word(settings.preemptive)
        yield from oauth2_lines(settings.oauth2, written.oauth2)
    elif settings.authentication != "none":
        yield "user", settings.user
        yield "password", shown_secret(written.password)
        yield "charset", settings.charset
        yield "preemptive", word(settings.preemptive)
    if settings.authentication == "digest":
        yield "digest.algorithms", ", ".join(settings.digest.algorithms)
        yield "digest.qop", ", ".join(settings.digest.qop)
    for name, text in written.headers.items():
        yield f"headers.{name}", shown_value(text)
    for doubt in settings.doubts():
        yield "warning:", doubt
    yield from _proxy(settings, written)
    yield "outcomes.unknown_statuses", ", ".join(map(str, settings.outcomes.unknown_statuses)) or "none"
    yield "redirects.follow", ", ".join(map(str, settings.redirects.follow)) or "none"
    yield "redirects.other_origins", word(settings.redirects.other_origins)
    yield "redirects.limit", str(settings.redirects.limit)
    limits = settings.limits
    for key in limits.__struct_fields__:
        value = getattr(limits, key)
        unit = "seconds" if key.endswith("timeout") else "bytes"
        yield f"limits.{key}", UNSET[key] if value is None else f"{value} {unit}"


def _proxy(settings: ConnectionSettings, written: ConnectionFile) -> Iterator[tuple[str, str]]:
    proxy = settings.proxies.for_origin(settings.origin)
    where = " (of the environment)" if written.proxy.environment else ""
    yield "proxy.url", f"{'none' if proxy is None else proxy.origin}{where}"
    if proxy is not None:
        yield "proxy.user", proxy.user or "none"
        if proxy.user:
            yield "proxy.password", "(of the environment)" if where else shown_secret(written.proxy.password)
            yield "proxy.authentication", proxy.authentication


def _tls(settings: ConnectionSettings) -> Iterator[tuple[str, str]]:
    if settings.origin.scheme != "https" and not settings.proxies.are_over_tls:
        return
    from patchwire.tls.describe import describe_certificate, describe_trusted, expiry_doubt
    from patchwire.tls.material import client_identity, trusted_certificates

    moment = now()
    yield "tls.minimum_version", settings.tls.minimum_version
    yield "tls.system_roots", word(settings.tls.system_roots)
    trusted = trusted_certificates(settings.tls)
    for certificate in trusted:
        yield "tls.trust", describe_trusted(certificate, moment)
    identity = client_identity(settings.tls)
    if identity is None:
        yield "tls.client_certificate", "none"
    else:
        yield "tls.client_certificate", describe_certificate(identity.certificate, moment)
        for issuer in identity.chain:
            yield "tls.client_certificate, its chain", describe_certificate(issuer, moment)
    ours = [] if identity is None else [identity.certificate, *identity.chain]
    for key, certificates in (("tls.trust", trusted), ("tls.client_certificate", ours)):
        doubts = (expiry_doubt(certificate, moment, key) for certificate in certificates)
        yield from (("warning:", doubt) for doubt in doubts if doubt is not None)


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
    chain = trio_run(Opener(settings).server_chain)
    try:
        with path.open("xb") as file:
            file.write(as_pem(chain[0]))
    except OSError as error:
        raise StorageError(f"{path}: {describe(error)}") from None
    _print("exported", describe_certificate(chain[0], now()))
    _print("SHA-256", shown_fingerprint(chain[0]))
    exits.say(f"{path} holds what the server showed; nobody has vouched for it: compare its SHA-256 with the owner's")
