"""The terms on which a connection asks for tokens, and whose they are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct

from patchwire.auth.bearer import is_token
from patchwire.auth.jws import check_key
from patchwire.auth.oauth2_endpoint import is_loopback
from patchwire.auth.oauth2_terms import NEEDS_A_PERSON, Before, JwtTerms, Terms
from patchwire.auth.secret import Secret
from patchwire.errors import LocalProtocolError
from patchwire.http.message import Origin, split_url
from patchwire.settings.oauth2_file import JwtFile, OAuth2File, authentication_of, fault


class OAuth2Settings(Struct, frozen=True):
    """OAuth 2.0, ready for use. Tokens are asked for on the `terms`; `entry` names the one that is kept, by what the
    connection said before any override.
    """

    terms: Terms
    before: Before
    entry: str

    def doubts(self, origin: Origin) -> Iterable[str]:
        """Warnings of what is valid, and not advised; `origin` is whom the tokens are shown to."""
        if origin.scheme == "http" and not is_loopback(origin):
            yield "the token goes over plain http, where anybody on the way can take it (RFC 6750 section 5.3)"
        if self.terms.grant_type == "password":
            yield "the password grant shows this client the user's password, as RFC 9700 section 2.4 says it must not"


def terms_of(place: str, oauth2: OAuth2File, secrets: Mapping[str, Secret]) -> Terms:
    """The terms, with the texts of the secrets by their keys. SettingsError where a key or a token is of no use."""
    assert oauth2.grant_type is not None  # noqa: S101 - it was checked
    jwt = _jwt(place, oauth2, secrets)
    token = secrets.get("oauth2.access_token")
    if token is not None:
        check_token(place, token)
    parameters = tuple(
        (name, secrets.get(f"oauth2.access_token_parameters.{name}", Secret(text)))
        for name, text in oauth2.access_token_parameters.items()
    )
    return Terms(
        grant_type=oauth2.grant_type,
        client_id=oauth2.client_id or "",
        client_secret=secrets.get("oauth2.client_secret", Secret("")),
        client_authentication=authentication_of(oauth2),
        prefers_metadata=oauth2.client_authentication is None and oauth2.client_secret is not None,
        authorization_url=oauth2.authorization_url,
        access_token_url=oauth2.access_token_url,
        device_authorization_url=oauth2.device_authorization_url,
        metadata_url=oauth2.metadata_url,
        issuer=oauth2.issuer,
        source=source_of(oauth2),
        scope=oauth2.scope,
        access_token=token,
        refresh_token=secrets.get("oauth2.refresh_token"),
        username=oauth2.username or "",
        password=secrets.get("oauth2.password", Secret("")),
        redirect_uri=oauth2.redirect_uri,
        jwt=jwt,
        authorization_parameters=tuple(oauth2.authorization_parameters.items()),
        access_token_parameters=parameters,
        remedy=f"run patchwire authorize {place}",
    )


def source_of(oauth2: OAuth2File) -> str:
    """The origin of the authorization server; empty where nobody is ever asked, or the URL is none."""
    try:
        return str(split_url(oauth2.access_token_url or oauth2.metadata_url or "")[0])
    except LocalProtocolError:
        return ""


def check_token(place: str, token: Secret) -> None:
    """SettingsError where no request can carry the access token of the settings."""
    if not is_token(token.reveal()):
        problem = "is empty, or holds a character that no token may have (RFC 6750 section 2.1)"
        raise fault(place, "access_token", problem)


def entry_of(base_url: str, oauth2: OAuth2File) -> str:
    """What names the kept token of a connection: whose it is, from whom, and for what; never for which scope."""
    named: tuple[str | None, ...] = (
        base_url,
        oauth2.grant_type,
        oauth2.client_id,
        oauth2.access_token_url or oauth2.metadata_url,
        oauth2.authorization_url,
        oauth2.username,
        *(() if oauth2.jwt is None else (oauth2.jwt.issuer, oauth2.jwt.subject)),
    )
    if oauth2.grant_type not in NEEDS_A_PERSON:  # such as for whom the token is; who has accepted is not asked again
        named += tuple(f"{name}={text}" for name, text in oauth2.access_token_parameters.items())
    return "\n".join(each or "" for each in named)


def _jwt(place: str, oauth2: OAuth2File, secrets: Mapping[str, Secret]) -> JwtTerms | None:
    """What assertions are signed with: the client's secret, where that is what it has (OpenID Connect Core 9)."""
    with_secret = authentication_of(oauth2) == "client_secret_jwt"
    if oauth2.jwt is None and not with_secret:
        return None
    jwt = oauth2.jwt or JwtFile()
    name = "client_secret" if with_secret else "jwt.key"
    key = secrets[f"oauth2.{name}"]
    algorithm = jwt.algorithm or ("HS256" if with_secret else "RS256")
    try:
        check_key(key.reveal(), algorithm)
    except LocalProtocolError as error:
        raise fault(place, name, str(error)) from None
    return JwtTerms(
        key, algorithm, jwt.key_id, jwt.issuer, jwt.subject, jwt.audience, jwt.lifetime, tuple(jwt.claims.items())
    )
