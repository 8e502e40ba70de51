"""What patchwire serve proves itself with over TLS: a certificate that is given, or one that is made."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
from msgspec import Struct

from patchwire.auth.secret import Secret
from patchwire.cli import exits
from patchwire.errors import InputError, SettingsError, StorageError
from patchwire.files.connection_file import MAX_MATERIAL
from patchwire.files.read import TooLongError, describe, read_at_most
from patchwire.files.secrets import read_secret
from patchwire.settings.secret import SecretReference, parse_reference
from patchwire.settings.tls import Material

if TYPE_CHECKING:
    from OpenSSL import SSL

HOSTS: Final = ("localhost", "127.0.0.1", "::1")
MADE: Final = "patchwire serve"
"""The name of the CA of a certificate that is made."""


class TlsOptions(Struct, frozen=True):
    """The options of the command, as they were given."""

    tls: bool
    certificate: str | None
    key: str | None
    key_password: str | None
    authority: str | None
    client_ca: str | None


def server_tls(options: TlsOptions, now: float) -> SSL.Context | None:
    """The server's context, or None for plain http. What is at fault is a UsageError, an InputError or a StorageError
    that names the option.
    """
    _check(options)
    if not options.tls:
        return None
    from patchwire.tls.context import server_context
    from patchwire.tls.issue import Authority
    from patchwire.tls.material import read_certificates, read_identity

    clients = []
    if options.client_ca is not None:
        clients = read_certificates(_material("--client-ca", options.client_ca), None, ("--client-ca", ""))
    if options.certificate is not None:
        password = None if options.key_password is None else secret_option("--key-password", options.key_password)
        key = None if options.key is None else _material("--key", options.key)
        names = ("--certificate", "--key", "--key-password")
        return server_context(
            read_identity(_material("--certificate", options.certificate), key, password, names), clients
        )
    authority = Authority(MADE, now)
    if options.authority is None:
        exits.say("made a certificate that nobody trusts: --authority FILE leaves its CA, for tls.trust")
    else:
        _leave(options.authority, authority.pem)
    return server_context(authority.issue_server(HOSTS), clients)


def secret_option(option: str, text: str) -> Secret:
    """A secret that was given as an option: a reference, or the text itself."""
    return read_secret("serve", option, parse_reference(text) or SecretReference("literal", text), Path.cwd())


def _check(options: TlsOptions) -> None:
    of_tls = {
        "--certificate": options.certificate, "--client-ca": options.client_ca, "--authority": options.authority,
    }  # fmt: skip
    of_a_certificate = {"--key": options.key, "--key-password": options.key_password}
    for needed, given, dependent in (
        ("--tls", options.tls, of_tls), ("--certificate", options.certificate, of_a_certificate),
    ):  # fmt: skip
        for option, value in dependent.items():
            if value is not None and not given:
                raise click.UsageError(f"{option} needs {needed}")
    if options.certificate is not None and options.authority is not None:
        raise click.UsageError("--authority is for a certificate that is made; --certificate gives one")


def _leave(name: str, pem: bytes) -> None:
    """Write the CA, over one that an earlier run has left, and over nothing else."""
    from patchwire.tls.material import read_certificates

    path = Path(name)
    try:
        if path.exists() and path.stat().st_size:
            subject = ""
            try:
                (before,) = read_certificates(Material(name, path.read_bytes()), None, ("--authority", ""))
                subject = before.subject.rfc4514_string()
            except (SettingsError, ValueError):
                pass
            if subject != f"CN={MADE}":
                raise InputError(f"--authority: {name}", "is not what patchwire serve has left; name another file")
        path.write_bytes(pem)
    except OSError as error:
        raise StorageError(f"{name}: {describe(error)}") from None


def _material(option: str, name: str) -> Material:
    try:
        return Material(name, read_at_most(Path(name), MAX_MATERIAL))
    except OSError as error:
        raise SettingsError(f"{option}: {name}", describe(error)) from None
    except TooLongError:
        raise SettingsError(f"{option}: {name}", "over 16 MiB: no certificate or key") from None
