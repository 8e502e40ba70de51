"""What a connection file says in [oauth2], and the terms that come of it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec
from msgspec import Struct

from patchwire.auth.bearer import is_token
from patchwire.auth.jws import ALGORITHMS, check_key
from patchwire.auth.oauth2 import OF_A_TOKEN_REQUEST
from patchwire.auth.oauth2_code import OF_AN_AUTHORIZATION_REQUEST, authorization_url, check_redirect_uri
from patchwire.auth.oauth2_endpoint import check_endpoint, is_loopback
from patchwire.auth.oauth2_terms import NEEDS_A_PERSON, Before, ClientAuthentication, GrantType, JwtTerms, Terms
from patchwire.auth.secret import Secret
from patchwire.errors import LocalProtocolError, SettingsError
from patchwire.http.message import Origin, split_url
from patchwire.settings.faults import fault_of

OAUTH2_WORDS: Final = {
    "oauth2.grant_type": ("authorization_code", "password", "client_credentials", "jwt_bearer", "device_code"),
    "oauth2.client_authentication": ("basic", "body", "none", "private_key_jwt", "client_secret_jwt"),
}
OAUTH2_SECRETS: Final = ("client_secret", "access_token", "refresh_token", "password")
_URLS: Final = ("authorization_url", "access_token_url", "device_authorization_url", "metadata_url", "issuer")
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
_visible = re.compile(r"[\x20-\x7e]*").fullmatch
_scope = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+(?: [\x21\x23-\x5b\x5d-\x7e]+)*").fullmatch


class JwtFile(Struct, frozen=True, forbid_unknown_fields=True):
    """What stands in [oauth2.jwt]; the key is still a reference. `lifetime` in seconds."""

    key: str | None = None
    algorithm: str | None = None
    key_id: str | None = None
    issuer: str | None = None
    subject: str | None = None
    audience: str | None = None
    lifetime: int = 300

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
        return any((url or "").startswith("https:") for url in (self.access_token_url, self.metadata_url))

    def __repr__(self) -> str:
        """A literal secret is a secret."""
        return f"<OAuth2File {self.grant_type} {self.client_id}>"


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


def read_oauth2(place: str, table: object) -> OAuth2File:
    """What stands in [oauth2]. SettingsError names the key at fault."""
    try:
        return msgspec.convert(table, OAuth2File)
    except msgspec.ValidationError as error:
        raise SettingsError(place, _in_table(fault_of(error))) from None


def check_oauth2(place: str, oauth2: OAuth2File) -> None:
    """SettingsError where the keys of [oauth2] do not go together."""
    grant = oauth2.grant_type
    if grant is None:
        raise _fault(place, "grant_type", f"missing; expected one of {', '.join(OAUTH2_WORDS['oauth2.grant_type'])}")
    for key, grants in OF_GRANTS.items():
        if getattr(oauth2, key) not in (None, {}) and grant not in grants:
            raise _fault(place, key, f'has no use with grant_type = "{grant}"')
    for key in _needed(oauth2, grant):
        raise _fault(place, key, "missing")
    _check_texts(place, oauth2)
    for key in _URLS:
        url = getattr(oauth2, key)
        try:
            if url is not None:
                check_endpoint(url)
        except LocalProtocolError as error:
            raise _fault(place, key, str(error)) from None
    if oauth2.scope and not _scope(oauth2.scope):
        raise _fault(place, "scope", "expected names with one blank between them (RFC 6749 section 3.3)")
    _check_client(place, oauth2, grant)
    _check_redirect_uri(place, oauth2)
    _check_parameters(place, oauth2)
    _check_authorization_url(place, oauth2)


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
        raise _fault(place, "access_token", problem)


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


def authentication_of(oauth2: OAuth2File) -> ClientAuthentication:
    """How the client says who it is: with its secret by Basic, where it has one and nothing else is said."""
    return oauth2.client_authentication or ("none" if oauth2.client_secret is None else "basic")


def _needed(oauth2: OAuth2File, grant: GrantType) -> Iterable[str]:
    """Keys that are missing."""
    has_token = oauth2.access_token is not None or oauth2.refresh_token is not None
    if oauth2.client_id is None and grant != "jwt_bearer":
        yield "client_id"
    if grant == "password":
        yield from (key for key in ("username", "password") if getattr(oauth2, key) is None)
    if oauth2.metadata_url is not None:
        return
    is_asked_never = grant in NEEDS_A_PERSON and oauth2.access_token is not None and oauth2.refresh_token is None
    is_asked_first = oauth2.authorization_url is not None or oauth2.device_authorization_url is not None
    if oauth2.access_token_url is None and (is_asked_first or not is_asked_never):
        yield "access_token_url"
    if grant == "authorization_code" and oauth2.authorization_url is None and not has_token:
        yield "authorization_url"
    if grant == "device_code" and oauth2.device_authorization_url is None and not has_token:
        yield "device_authorization_url"


def _check_texts(place: str, oauth2: OAuth2File) -> None:
    """What is sent as it is must be something, and a client's id what RFC 6749 appendix A.1 lets it be."""
    jwt = oauth2.jwt or JwtFile()
    texts = {"client_id": oauth2.client_id, "username": oauth2.username}
    texts |= {f"jwt.{key}": getattr(jwt, key) for key in ("key_id", "issuer", "subject", "audience")}
    for key, text in texts.items():
        if text == "":
            raise _fault(place, key, "is empty")
    if not _visible(oauth2.client_id or ""):
        raise _fault(place, "client_id", "expected printable ASCII (RFC 6749 appendix A.1)")


def _check_client(place: str, oauth2: OAuth2File, grant: GrantType) -> None:
    how = authentication_of(oauth2)
    if how in ("basic", "body", "client_secret_jwt") and oauth2.client_secret is None:
        raise _fault(place, "client_secret", f'missing; client_authentication = "{how}" needs it')
    if how in ("none", "private_key_jwt") and oauth2.client_secret is not None:
        raise _fault(place, "client_secret", f'has no use with client_authentication = "{how}"')
    if grant == "client_credentials" and oauth2.client_authentication is None and oauth2.client_secret is None:
        remedy = 'or say client_authentication = "private_key_jwt", or "none" where a certificate tells who asks'
        raise _fault(place, "client_secret", f"missing; give it, {remedy}")
    if how != "none" and oauth2.client_id is None:
        raise _fault(place, "client_id", f'missing; client_authentication = "{how}" needs it')
    _check_jwt(place, oauth2, grant, how)


def _check_jwt(place: str, oauth2: OAuth2File, grant: GrantType, how: ClientAuthentication) -> None:
    """There is one key, which signs the assertion that is the grant, and the one that authenticates the client."""
    jwt, is_grant, with_secret = oauth2.jwt, grant == "jwt_bearer", how == "client_secret_jwt"
    if is_grant and with_secret:
        problem = 'cannot be "client_secret_jwt" with grant_type = "jwt_bearer", whose key is another'
        raise _fault(place, "client_authentication", problem)
    needs_key = is_grant or how == "private_key_jwt"
    if needs_key and (jwt is None or jwt.key is None):
        who = 'grant_type = "jwt_bearer"' if is_grant else 'client_authentication = "private_key_jwt"'
        raise _fault(place, "jwt.key", f"missing; {who} needs it")
    if jwt is None:
        return
    if not needs_key and not with_secret:
        raise _fault(place, "jwt", f'has no use with grant_type = "{grant}" and client_authentication = "{how}"')
    if with_secret and jwt.key is not None:
        raise _fault(place, "jwt.key", f'has no use with client_authentication = "{how}", which signs with the secret')
    if is_grant and jwt.issuer is None and oauth2.client_id is None:
        raise _fault(place, "jwt.issuer", "missing; where there is no client_id it is needed")
    for key in ("issuer", "subject"):
        if not is_grant and getattr(jwt, key) not in (None, oauth2.client_id):
            problem = "has no use; the assertion that authenticates a client names client_id (RFC 7523 section 3)"
            raise _fault(place, f"jwt.{key}", problem)
    _check_algorithm(place, jwt, how)
    if not 1 <= jwt.lifetime <= 86_400:
        raise _fault(place, "jwt.lifetime", f"expected 1 to 86400 seconds, got {jwt.lifetime}")


def _check_algorithm(place: str, jwt: JwtFile, how: ClientAuthentication) -> None:
    """OpenID Connect Core section 9 says which signs with a secret, and which with a private key."""
    known = [
        each
        for each in ALGORITHMS
        if how not in ("client_secret_jwt", "private_key_jwt") or each.startswith("HS") == (how == "client_secret_jwt")
    ]
    if jwt.algorithm is not None and jwt.algorithm not in known:
        raise _fault(place, "jwt.algorithm", f"expected one of {', '.join(known)}, got {jwt.algorithm!r}")


def _check_redirect_uri(place: str, oauth2: OAuth2File) -> None:
    if oauth2.redirect_uri is None:
        return
    try:
        check_redirect_uri(oauth2.redirect_uri)
    except LocalProtocolError as error:
        raise _fault(place, "redirect_uri", str(error)) from None


def _check_parameters(place: str, oauth2: OAuth2File) -> None:
    # The request for a device code authenticates the client, as that for a token does.
    of_device = OF_A_TOKEN_REQUEST if oauth2.grant_type == "device_code" else ()
    for table, taken in (
        ("access_token_parameters", OF_A_TOKEN_REQUEST),
        ("authorization_parameters", {*OF_AN_AUTHORIZATION_REQUEST, *of_device}),
    ):
        for name in getattr(oauth2, table):
            if name in taken:
                raise _fault(place, f"{table}.{name}", "is set by patchwire, and must not stand twice")


def _check_authorization_url(place: str, oauth2: OAuth2File) -> None:
    """Whether a URL can be made of all that goes into it."""
    if oauth2.authorization_url is None:
        return
    try:
        authorization_url(
            oauth2.authorization_url,
            client_id=oauth2.client_id or "",
            redirect_uri=oauth2.redirect_uri or "http://127.0.0.1/",
            scope=oauth2.scope,
            state="state",
            verifier="verifier" * 6,
            parameters=oauth2.authorization_parameters,
        )
    except LocalProtocolError as error:
        raise _fault(place, "authorization_url", str(error)) from None


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
        raise _fault(place, name, str(error)) from None
    return JwtTerms(key, algorithm, jwt.key_id, jwt.issuer, jwt.subject, jwt.audience, jwt.lifetime)


def _in_table(fault: str) -> str:
    """What msgspec says of the table itself begins with no key of it."""
    return f"oauth2: {fault}" if fault.startswith("expected") else f"oauth2.{fault}"


def _fault(place: str, key: str, problem: str) -> SettingsError:
    return SettingsError(place, f"oauth2.{key}: {problem}")
