"""Connection files: TOML from disk to settings ready for use."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

from patchwire.errors import LocalProtocolError, SettingsError
from patchwire.files.read import describe
from patchwire.files.secrets import read_secret
from patchwire.settings.authentication import authentication_for
from patchwire.settings.connection import ConnectionSettings, parse_connection, resolve, secret_references


def load_connection(path: str | os.PathLike[str]) -> ConnectionSettings:
    """The connection that a TOML file describes, its secrets read.

    SettingsError names the file, the key and what was expected.
    """
    file = Path(path)
    place = str(file)
    try:
        data = tomllib.loads(file.read_bytes().decode("utf-8"))
    except OSError as error:
        raise SettingsError(place, describe(error)) from None
    except UnicodeDecodeError as error:
        raise SettingsError(place, f"not UTF-8: byte {error.start + 1} is invalid") from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(place, f"not valid TOML: {error}") from None
    except ValueError as error:  # an integer of thousands of digits
        raise SettingsError(place, f"not valid TOML: {error}") from None
    except RecursionError:
        raise SettingsError(place, "not valid TOML: nested too deeply") from None
    connection = parse_connection(place, data)
    references = secret_references(place, connection)
    secrets = {key: read_secret(place, key, reference, file.parent) for key, reference in references.items()}
    settings = resolve(place, connection, secrets)
    try:
        authentication_for(settings)  # what its credentials cannot be is said here, where the file has a name
    except LocalProtocolError as error:
        raise SettingsError(place, str(error)) from None
    return settings
