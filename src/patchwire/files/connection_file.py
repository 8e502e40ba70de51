"""Connection files: TOML from disk to settings ready for use."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from patchwire.auth.oauth2_terms import Before
from patchwire.auth.secret import Secret
from patchwire.errors import CredentialsError, LocalProtocolError, SettingsError
from patchwire.files.aws_chain import refuse_without_botocore
from patchwire.files.aws_credentials import load_aws_credentials
from patchwire.files.read import TooLongError, describe, read_at_most
from patchwire.files.secrets import read_secret
from patchwire.http.message import Origin, split_url
from patchwire.settings.authentication import credentials_of
from patchwire.settings.aws import AwsSettings
from patchwire.settings.connection import (
    ConnectionSettings,
    material_names,
    parse_connection,
    resolve,
    secret_references,
)
from patchwire.settings.oauth2 import OAuth2Settings, check_token, entry_of, source_of
from patchwire.settings.oauth2_file import read_oauth2
from patchwire.settings.overrides import Overridden, override
from patchwire.settings.secret import reference_of
from patchwire.settings.tls import Material

MAX_CONNECTION: Final = 1_048_576
MAX_MATERIAL: Final = 16_777_216
"""Octets of a file of certificates: what all systems together trust is a tenth of it."""
_OBTAINED_ELSEWHERE: Final = "oauth2.access_token"


def load_connection(
    path: str | os.PathLike[str], extension: str | os.PathLike[str] | None = None
) -> ConnectionSettings:
    """The connection that a TOML file describes, its secrets and certificates read. An `extension` is a file with
    other values for keys that it declares extensible.

    SettingsError names the file, the key and what was expected.
    """
    file = Path(path)
    data = read_toml(file)
    if extension is None:
        return connection_from(data, place=str(file), directory=file.parent)
    place, given = str(extension), read_toml(Path(extension))
    return connection_from(data, place=str(file), directory=file.parent, extension=given, extension_place=place)


def read_toml(file: Path) -> dict[str, Any]:
    """What stands in a connection file, nothing of it checked. SettingsError where it cannot be read."""
    place = str(file)
    try:
        return tomllib.loads(read_at_most(file, MAX_CONNECTION).decode("utf-8"))
    except OSError as error:
        raise SettingsError(place, describe(error)) from None
    except TooLongError:
        raise SettingsError(place, "over 1 MiB: no connection file") from None
    except UnicodeDecodeError as error:
        raise SettingsError(place, f"not UTF-8: byte {error.start + 1} is invalid") from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(place, f"not valid TOML: {error}") from None
    except ValueError as error:  # an integer of thousands of digits
        raise SettingsError(place, f"not valid TOML: {error}") from None
    except RecursionError:
        raise SettingsError(place, "not valid TOML: nested too deeply") from None


def connection_from(
    data: Mapping[str, Any],
    *,
    files: Mapping[str, bytes] | None = None,
    directory: str | os.PathLike[str] = ".",
    place: str = "connection",
    extension: Mapping[str, Any] | None = None,
    extension_place: str = "extension",
) -> ConnectionSettings:
    """The connection that a mapping with the keys of a connection file describes, with the overrides of `extension`.

    A certificate file that `files` holds by its name is not read from disk; other names are relative to `directory`.
    SettingsError names `place`, the key and what was expected.
    """
    overridden = override(place, data, extension_place, extension or {})
    settings = _settings(overridden, files or {}, Path(directory))
    if settings.oauth2 is not None and extension:
        behind = _behind(settings.oauth2, settings.origin, overridden, Path(directory))
        return msgspec.structs.replace(settings, oauth2=behind)
    return settings


def _settings(overridden: Overridden, files: Mapping[str, bytes], directory: Path) -> ConnectionSettings:
    place = overridden.place
    with overridden.blaming():
        connection = parse_connection(place, overridden.data)
        references = secret_references(place, connection)
    secrets = {
        key: read_secret(overridden.place_of(key), key, reference, directory) for key, reference in references.items()
    }
    material = {
        key: Material(
            name, files[name] if name in files else _read_material(overridden.place_of(key), key, directory / name)
        )
        for key, name in material_names(connection).items()
    }
    with overridden.blaming():
        settings = _with_place(place, resolve(place, connection, secrets, material, os.environ), directory)
        _try_out(place, settings)
    return settings


def _behind(settings: OAuth2Settings, origin: Origin, overridden: Overridden, directory: Path) -> OAuth2Settings:
    """The settings behind the token that is kept, which hangs on what they were before they were overridden. Another
    `origin` than theirs is shown none that was obtained for that (RFC 6750 section 5.3).
    """
    place, data = overridden.place, overridden.original
    oauth2, base_url = read_oauth2(place, data.get("oauth2", {})), str(data.get("base_url", ""))
    is_at_home = _leads_to(base_url, origin)
    token = settings.terms.access_token
    if overridden.place_of(_OBTAINED_ELSEWHERE) != place:
        is_needed = is_at_home and oauth2.access_token is not None
        token = _own_token(place, oauth2.access_token or "", directory) if is_needed else None
    remedy = f"{settings.terms.remedy} --extension {overridden.extension_place}"
    entry = entry_of(base_url, oauth2)
    return msgspec.structs.replace(
        settings,
        terms=msgspec.structs.replace(settings.terms, remedy=remedy),
        before=Before(token, oauth2.scope, source_of(oauth2)),
        entry=entry if is_at_home else f"{entry}\n{origin}",
    )


def _leads_to(base_url: str, origin: Origin) -> bool:
    try:
        return split_url(base_url)[0] == origin
    except LocalProtocolError:
        return False


def _own_token(place: str, text: str, directory: Path) -> Secret | None:
    """The access token that was overridden. It may be out of reach in the environment that has another."""
    reference = reference_of(place, _OBTAINED_ELSEWHERE, text)
    try:
        token = read_secret(place, _OBTAINED_ELSEWHERE, reference, directory)
    except SettingsError:
        return None
    check_token(place, token)
    return token


def _with_place(place: str, settings: ConnectionSettings, directory: Path) -> ConnectionSettings:
    """The settings with the whole name of a file that will be read later on, whatever the directory is then."""
    aws = settings.aws
    if aws is None or aws.credentials_file is None:
        return settings
    try:
        whole = str((directory / Path(aws.credentials_file).expanduser()).absolute())
    except RuntimeError:
        problem = f"aws.credentials_file: {aws.credentials_file!r}: there is no such home directory"
        raise SettingsError(place, problem) from None
    return msgspec.structs.replace(settings, aws=msgspec.structs.replace(aws, credentials_file=whole))


def _try_out(place: str, settings: ConnectionSettings) -> None:
    """What credentials or certificates cannot be is said here, where the file has a name."""
    try:
        if settings.aws is not None:
            _try_out_aws(settings.aws)
        elif settings.oauth2 is None:
            credentials_of(settings)
        for proxy in (settings.proxies.http, settings.proxies.https):
            if proxy is not None:
                proxy.credentials()
        if settings.origin.scheme == "https" or settings.proxies.are_over_tls:
            from patchwire.tls.context import client_context  # OpenSSL takes a while to load

            client_context(settings.tls)
    except (SettingsError, LocalProtocolError, CredentialsError) as error:
        raise SettingsError(place, str(error)) from None


def _try_out_aws(aws: AwsSettings) -> None:
    if aws.credentials == "keys":
        try:
            aws.keys()
        except LocalProtocolError as error:
            raise SettingsError("", f"aws: {error}") from None
    elif aws.credentials == "chain":
        refuse_without_botocore()  # to ask it may take a while, and go over the network
    else:
        load_aws_credentials(aws)


def _read_material(place: str, key: str, path: Path) -> bytes:
    try:
        return read_at_most(path, MAX_MATERIAL)
    except OSError as error:
        raise SettingsError(place, f"{key}: {path}: {describe(error)}") from None
    except TooLongError:
        raise SettingsError(place, f"{key}: {path}: over 16 MiB: no certificate or key") from None
    except ValueError as error:
        raise SettingsError(place, f"{key}: {str(path)!r}: {error}") from None
