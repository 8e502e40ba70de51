"""Secrets from where they are kept: the environment, a file, the keyring, or the connection file itself."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from patchwire.auth.secret import Secret
from patchwire.errors import SettingsError
from patchwire.files.read import TooLongError, describe, read_at_most
from patchwire.settings.secret import SecretReference

MAX_SECRET: Final = 65_536
"""Octets of a secret in a file."""


def read_secret(place: str, key: str, reference: SecretReference, directory: Path) -> Secret:
    """The secret; a relative file is relative to `directory`. SettingsError names `place`, `key` and the remedy."""
    name = reference.name
    match reference.kind:
        case "env":
            return _from_environment(place, key, name)
        case "file":
            return _from_file(place, key, directory / name)
        case "keyring":
            return _from_keyring(place, key, name)
        case _:
            return Secret(name)


def _from_environment(place: str, key: str, name: str) -> Secret:
    text = os.environ.get(name)
    if text is None:
        raise SettingsError(place, f"{key}: the environment variable {name} is not set")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise SettingsError(place, f"{key}: the environment variable {name} is not UTF-8") from None
    return Secret(text)


def _from_file(place: str, key: str, path: Path) -> Secret:
    try:
        text = read_at_most(path, MAX_SECRET).decode("utf-8")
    except OSError as error:
        raise SettingsError(place, f"{key}: {path}: {describe(error)}") from None
    except TooLongError:
        raise SettingsError(place, f"{key}: {path}: over 64 KiB: no secret") from None
    except UnicodeDecodeError:
        raise SettingsError(place, f"{key}: {path}: not UTF-8") from None
    except ValueError as error:
        raise SettingsError(place, f"{key}: {str(path)!r}: {error}") from None
    # Editors end a file with a line break; it is no part of the secret.
    return Secret(text.removesuffix("\n").removesuffix("\r"))


def _from_keyring(place: str, key: str, name: str) -> Secret:
    service, slash, user = name.rpartition("/")
    if not slash:
        raise SettingsError(place, f'{key}: expected "keyring:SERVICE/USER"')
    try:
        import keyring
    except ImportError:
        raise SettingsError(place, f"{key}: keyring is not installed: pip install 'patchwire[keyring]'") from None
    try:
        text = keyring.get_password(service, user)
    except keyring.errors.KeyringError as error:
        raise SettingsError(place, f"{key}: the keyring cannot be read ({type(error).__name__})") from None
    if text is None:
        raise SettingsError(place, f"{key}: the keyring holds nothing for {service}/{user}")
    return Secret(text)
