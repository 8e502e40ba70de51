"""What a connection says of OAuth 2.0: which grant, which client, where, and for what."""

from __future__ import annotations

from typing import Final, Literal

from msgspec import Struct

from patchwire.auth.secret import Secret

GrantType = Literal["authorization_code", "password", "client_credentials", "jwt_bearer", "device_code"]
ClientAuthentication = Literal["basic", "body", "none", "private_key_jwt", "client_secret_jwt"]
Parameters = tuple[tuple[str, Secret], ...]
"""Names and values of a form, in their order."""
NEEDS_A_PERSON: Final = frozenset({"authorization_code", "device_code"})
"""Grants whose first token somebody must accept; the others can be asked for whenever one is needed."""


class JwtTerms(Struct, frozen=True):
    """What assertions are signed with, and what they say (RFC 7523 section 3). `lifetime` in seconds."""

    key: Secret
    algorithm: str
    key_id: str | None = None
    issuer: str | None = None
    subject: str | None = None
    audience: str | None = None
    lifetime: int = 300
    claims: tuple[tuple[str, str], ...] = ()
    """More of them, for a grant: Google wants the scope there."""


class Before(Struct, frozen=True):
    """What was said before any override: of the token that is in force until it ends."""

    access_token: Secret | None = None
    scope: str = ""
    source: str = ""


class Terms(Struct, frozen=True, kw_only=True):
    """The terms on which tokens are asked for. Endpoints that are None are those of the metadata."""

    grant_type: GrantType
    client_id: str = ""
    client_secret: Secret = Secret("")
    client_authentication: ClientAuthentication = "basic"
    prefers_metadata: bool = False
    """Whether the metadata may choose another, since the settings name none."""
    authorization_url: str | None = None
    access_token_url: str | None = None
    device_authorization_url: str | None = None
    metadata_url: str | None = None
    issuer: str | None = None
    requires_issuer: bool = False
    """Whether the answer to an authorization request must name the issuer (RFC 9207 section 2.3)."""
    source: str = ""
    """Origin of the authorization server as it is configured: whose tokens these are."""
    scope: str = ""
    access_token: Secret | None = None
    """One that was obtained elsewhere."""
    refresh_token: Secret | None = None
    username: str = ""
    password: Secret = Secret("")
    redirect_uri: str | None = None
    jwt: JwtTerms | None = None
    authorization_parameters: tuple[tuple[str, str], ...] = ()
    access_token_parameters: Parameters = ()
    remedy: str = "run patchwire authorize with this connection"
    """What to do where somebody must accept."""

    def __repr__(self) -> str:
        """What is sent may be told in many ways."""
        return f"<Terms {self.grant_type} {self.client_id}>"

    def secrets(self) -> list[str]:
        """What a peer that quotes a request must not be quoted with."""
        given = (self.client_secret, self.password, self.access_token, self.refresh_token)
        return [each.reveal() for each in (*given, *(value for _, value in self.access_token_parameters)) if each]


def is_same_scope(one: str, other: str) -> bool:
    """Whether both are of the same names, in whatever order; some servers put commas between them."""
    return sorted(one.replace(",", " ").split()) == sorted(other.replace(",", " ").split())
