"""What stands in [oauth2] of a connection file."""

from __future__ import annotations

from typing import Final, get_args

import msgspec
from msgspec import Struct

from patchwire.auth.oauth2_terms import ClientAuthentication, GrantType
from patchwire.errors import SettingsError
from patchwire.settings.faults import fault_of

OAUTH2_WORDS: Final = {
    "oauth2.grant_type": get_args(GrantType),
    "oauth2.client_authentication": get_args(ClientAuthentication),
}
OAUTH2_SECRETS: Final = ("client_secret", "access_token", "refresh_token", "password")
OF_GRANTS: Final = {
    "authorization_url": ("authorization_code",),
    "redirect_uri": ("authorization_code",),
    "device_authorization_url": ("device_code",),
    "username": ("password",),
    "password": ("password",),
    "refresh_token": ("authorization_code", "device_code", "password"),
    "authorization_parameters": ("authorization_code", "device_code"),
}
"""Keys that only these grants have a use for."""


def is_over_tls(*urls: object) -> bool:
    """Whether one of the URLs of an authorization server or a proxy, if they are any, is one of https."""
    return any(str(url).startswith("https:") for url in urls)


class JwtFile(Struct, frozen=True, forbid_unknown_fields=True):
    """What stands in [oauth2.jwt]; the key is still a reference. `lifetime` in seconds."""

    key: str | None = None
    algorithm: str | None = None
    key_id: str | None = None
    issuer: str | None = None
    subject: str | None = None
    audience: str | None = None
    lifetime: int = 300
    claims: dict[str, str] = {}

    def __repr__(self) -> str:
        """A literal secret is a secret."""
        return f"<JwtFile {self.algorithm}>"


class OAuth2File(Struct, frozen=True, forbid_unknown_fields=True):
    """What stands in [oauth2]; secrets are still references."""

    grant_type: GrantType | None = None
    client_id: str | None = None
    client_secret: str | None = None
    client_authentication: ClientAuthentication | None = None
    authorization_url: str | None = None
    access_token_url: str | None = None
    device_authorization_url: str | None = None
    metadata_url: str | None = None
    issuer: str | None = None
    scope: str = ""
    access_token: str | None = None
    refresh_token: str | None = None
    username: str | None = None
    password: str | None = None
    redirect_uri: str | None = None
    jwt: JwtFile | None = None
    authorization_parameters: dict[str, str] = {}
    access_token_parameters: dict[str, str] = {}

    @property
    def uses_tls(self) -> bool:
        """Whether the authorization server is asked over https."""
        return is_over_tls(self.access_token_url, self.metadata_url)

    def __repr__(self) -> str:
        """A literal secret is a secret."""
        return f"<OAuth2File {self.grant_type} {self.client_id}>"


def read_oauth2(place: str, table: object) -> OAuth2File:
    """What stands in [oauth2]. SettingsError names the key at fault."""
    try:
        return msgspec.convert(table, OAuth2File)
    except msgspec.ValidationError as error:
        raise SettingsError(place, _in_table(fault_of(error))) from None


def authentication_of(oauth2: OAuth2File) -> ClientAuthentication:
    """How the client says who it is: with its secret by Basic, where it has one and nothing else is said."""
    return oauth2.client_authentication or ("none" if oauth2.client_secret is None else "basic")


def fault(place: str, key: str, problem: str) -> SettingsError:
    """What is wrong at a key of [oauth2]."""
    return SettingsError(place, f"oauth2.{key}: {problem}")


def _in_table(fault: str) -> str:
    """What msgspec says of the table itself begins with no key of it."""
    return f"oauth2: {fault}" if fault.startswith("expected") else f"oauth2.{fault}"
