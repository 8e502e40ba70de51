"""What all sources of AWS credentials have in common: values are checked, times read, faults named the same way."""

from __future__ import annotations

from datetime import datetime
from difflib import get_close_matches
from typing import Final

from patchwire.auth.aws_credentials import AwsCredentials
from patchwire.errors import CredentialsError, LocalProtocolError

_SHOWN: Final = 200
"""Characters of a name that an error shows."""


def fault(key: str, problem: str) -> CredentialsError:
    """The error of a source of credentials: `key` of the connection file is what to look at."""
    return CredentialsError(f"{key}: {problem}", origin="")


def checked(
    key: str, place: str, access_key: str, secret_key: str, token: str | None, expires_at: float | None
) -> AwsCredentials:
    """The credentials that `place` holds. CredentialsError where no request could carry them."""
    try:
        return AwsCredentials(access_key, secret_key, token or None, expires_at)
    except LocalProtocolError as error:
        raise fault(key, f"{place}: {error}") from None


def moment_of(text: str) -> float | None:
    """Unix seconds of a time of ISO 8601; None where it is none, or does not say in which zone."""
    try:
        moment = datetime.fromisoformat(text.strip())
        return None if moment.tzinfo is None else moment.timestamp()
    except ValueError:
        return None


def shown(name: str) -> str:
    """A name for one line of an error: as it is, or in quotes where that would not be one."""
    return name if name.isprintable() and len(name) <= _SHOWN else repr(name[:_SHOWN])


def nearby(name: str, names: list[str]) -> str:
    """What else there is: the names most like it, or some of all."""
    close = get_close_matches(name, names, n=3)
    if close:
        return f"did you mean {', '.join(repr(each[:80]) for each in close)}?"
    if not names:
        return "there is none"
    listed = ", ".join(repr(each[:80]) for each in sorted(names)[:5])
    return f"there are {listed}{' and others' if len(names) > 5 else ''}"
