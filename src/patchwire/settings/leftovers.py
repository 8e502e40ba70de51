"""What of a connection has lost its use by an override: an extension file can change a value, and remove none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from patchwire.settings.aws import CUSTOM
from patchwire.settings.checks import WITHOUT_USER
from patchwire.settings.oauth2_file import OF_GRANTS

_OF_CREDENTIALS = {
    "access_key": ("keys",),
    "secret_key": ("keys",),
    "session_token": ("keys",),
    "profile": ("profile", "chain"),
    "credentials_file": ("profile",),
}
"""Keys of [aws], and what `credentials` must be."""


def leftovers(values: Mapping[str, object]) -> Iterator[str]:
    """Keys and tables that have no use with the overridden `values`, which are given by key."""
    for key, value in values.items():
        match key:
            case "base_url":
                yield from ["tls"] if str(value).lower().startswith("http://") else []
            case "authentication":
                yield from ["user", "password"] if str(value) in WITHOUT_USER else []
                yield from (table for table in ("digest", "oauth2", "aws") if table != value)
            case "oauth2.grant_type":
                yield from (f"oauth2.{name}" for name, grants in OF_GRANTS.items() if value not in grants)
            case "oauth2.client_authentication":
                yield from ["oauth2.client_secret"] if value in ("none", "private_key_jwt") else []
            case "aws.service" | "aws.region":
                yield from [key.replace(".", ".custom_")] if value != CUSTOM else []
            case "proxy.environment":
                yield from (f"proxy.{name}" for name in ("url", "user", "password", "no_proxy") if value is True)
            case "aws.credentials":
                yield from (f"aws.{name}" for name, sources in _OF_CREDENTIALS.items() if value not in sources)
