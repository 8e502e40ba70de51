"""A profile of the file of credentials that all of AWS's own tools share.

The file means here what it means to botocore: the same parser with the same rules, so two sections of one name are a
fault (their keys might get mixed), and [DEFAULT] gives values to all. Other than botocore we prefer
aws_session_token to aws_security_token, since most of AWS's tools know no other.

https://docs.aws.amazon.com/sdkref/latest/guide/file-format.html
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from configparser import DuplicateOptionError, DuplicateSectionError, Error, ParsingError, RawConfigParser
from pathlib import Path
from typing import Final

from msgspec import Struct

from patchwire.auth.aws_credentials import AwsCredentials
from patchwire.errors import CredentialsError
from patchwire.files.aws_values import checked, fault, moment_of, nearby, shown
from patchwire.files.read import TooLongError, describe, read_at_most

MAX_FILE: Final = 1_048_576
"""Octets of a file of credentials."""
EXPIRY: Final = (
    "x_security_token_expires",  # saml2aws and its kin
    "aws_session_expiration",
    "aws_session_token_expiration",
    "aws_expiration",
    "expiration",  # some write it without a zone, in UTC or in local time: that is no time at all
)
"""Keys to which tools write when a session ends. AWS itself has none in this file."""
ELSEWHERE: Final = (
    "credential_process",
    "sso_session",
    "sso_start_url",
    "sso_account_id",
    "role_arn",
    "source_profile",
    "credential_source",
    "web_identity_token_file",
    "login_session",
)
"""Keys that say where credentials come from, which takes more than to read a file."""


class _Place(Struct, frozen=True):
    """The file, and the key of the connection file that led to it."""

    key: str
    path: Path

    def __str__(self) -> str:
        return shown(str(self.path))

    def fault(self, problem: str) -> CredentialsError:
        return fault(self.key, f"{self}: {problem}")


def profile_credentials(profile: str | None, credentials_file: str | None) -> AwsCredentials:
    """The keys of a profile, and when they end where a tool has written that.

    Without names they are those of AWS_PROFILE and AWS_SHARED_CREDENTIALS_FILE, or "default" and ~/.aws/credentials.
    CredentialsError names the key at fault, and nothing of what the file holds but names of profiles and keys.
    """
    place = _place(credentials_file)
    parser = _parsed(place)
    name = profile or os.environ.get("AWS_PROFILE") or "default"
    if not parser.has_section(name):
        raise fault("aws.profile", _unknown(name, place, parser.sections()))
    return _credentials(place, name, dict(parser.items(name)))


def _place(credentials_file: str | None) -> _Place:
    if credentials_file is not None:
        return _Place("aws.credentials_file", Path(credentials_file))
    named = os.environ.get("AWS_SHARED_CREDENTIALS_FILE")
    key = "aws.credentials: AWS_SHARED_CREDENTIALS_FILE" if named else "aws.credentials"
    path = Path(named or "~/.aws/credentials")
    try:
        return _Place(key, path.expanduser())
    except RuntimeError:
        problem = "there is no such home directory; name the file as aws.credentials_file"
        raise _Place(key, path).fault(problem) from None


def _parsed(place: _Place) -> RawConfigParser:
    parser = RawConfigParser()
    try:
        parser.read_string(read_at_most(place.path, MAX_FILE).decode("utf-8-sig"))
    except FileNotFoundError as error:
        remedy = 'name another as aws.credentials_file, or use credentials = "environment" or "chain"'
        raise place.fault(f"{describe(error)}: {remedy}") from None
    except OSError as error:
        raise place.fault(describe(error)) from None
    except TooLongError:
        raise place.fault("over 1 MiB: no file of credentials") from None
    except UnicodeDecodeError as error:
        raise place.fault(f"not UTF-8: byte {error.start + 1} is invalid") from None
    except Error as error:
        raise place.fault(_ill_formed(error)) from None
    except ValueError as error:  # a null byte in the name
        raise place.fault(str(error)) from None
    return parser


def _ill_formed(error: Error) -> str:
    """What is wrong in which line. The error's own text quotes the line, which may hold a secret."""
    match error:
        case DuplicateSectionError(lineno=line, section=name):
            return f"line {line}: profile {str(name)[:80]!r} stands there twice: remove one"
        case DuplicateOptionError(lineno=line):
            return f"line {line}: this key stands there twice in its profile: remove one"
        case ParsingError(errors=[(line, _), *_]):
            return f"line {line}: neither [PROFILE] nor KEY = VALUE"
    line = getattr(error, "lineno", None)  # MissingSectionHeaderError
    return f"line {line}: expected [PROFILE] above it" if line else "not a file of profiles"


def _unknown(name: str, place: _Place, names: list[str]) -> str:
    wanted = f"{place} holds no profile {name[:80]!r}"
    if f"profile {name}" in names:
        return f"{wanted}: write [{shown(name)}] there; the word profile belongs to ~/.aws/config only"
    return f'{wanted}: {nearby(name, names)}; those of ~/.aws/config need credentials = "chain"'


def _credentials(place: _Place, name: str, keys: Mapping[str, str]) -> AwsCredentials:
    where = f"{place}, profile {name[:80]!r}"
    for key in ("aws_access_key_id", "aws_secret_access_key"):
        if not keys.get(key):
            raise fault("aws.profile", f"{where}: {_missing(key, keys)}")
    token = keys.get("aws_session_token") or keys.get("aws_security_token")
    ends = [moment for key in EXPIRY if (moment := moment_of(keys.get(key, ""))) is not None]
    return checked(
        "aws.profile", where, keys["aws_access_key_id"], keys["aws_secret_access_key"], token, min(ends, default=None)
    )


def _missing(key: str, keys: Mapping[str, str]) -> str:
    for other in ELSEWHERE:
        if other in keys:
            return f"no {key}, but {other}: credentials = \"chain\" follows it (pip install 'patchwire[aws]')"
    return f"no {key}: add it, or name another profile"
