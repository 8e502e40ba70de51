"""Which keys of [oauth2] go together, and which of their values can be sent."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from patchwire.auth.jws import ALGORITHMS
from patchwire.auth.oauth2 import OF_A_TOKEN_REQUEST
from patchwire.auth.oauth2_assertion import CLAIMS
from patchwire.auth.oauth2_code import OF_AN_AUTHORIZATION_REQUEST, authorization_url, check_redirect_uri
from patchwire.auth.oauth2_endpoint import check_endpoint
from patchwire.auth.oauth2_terms import NEEDS_A_PERSON, ClientAuthentication, GrantType
from patchwire.errors import LocalProtocolError
from patchwire.settings.oauth2_file import OAUTH2_WORDS, OF_GRANTS, JwtFile, OAuth2File, authentication_of, fault

_URLS: Final = ("authorization_url", "access_token_url", "device_authorization_url", "metadata_url", "issuer")
_visible = re.compile(r"[\x20-\x7e]*").fullmatch
_scope = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+(?: [\x21\x23-\x5b\x5d-\x7e]+)*").fullmatch


def check_oauth2(place: str, oauth2: OAuth2File) -> None:
    """SettingsError where the keys of [oauth2] do not go together."""
    grant = oauth2.grant_type
    if grant is None:
        raise fault(place, "grant_type", f"missing; expected one of {', '.join(OAUTH2_WORDS['oauth2.grant_type'])}")
    for key, grants in OF_GRANTS.items():
        if getattr(oauth2, key) not in (None, {}) and grant not in grants:
            raise fault(place, key, f'has no use with grant_type = "{grant}"')
    for key in _needed(oauth2, grant):
        raise fault(place, key, "missing")
    _check_texts(place, oauth2)
    for key in _URLS:
        url = getattr(oauth2, key)
        try:
            if url is not None:
                check_endpoint(url)
        except LocalProtocolError as error:
            raise fault(place, key, str(error)) from None
    if oauth2.scope and not _scope(oauth2.scope):
        raise fault(place, "scope", "expected names with one blank between them (RFC 6749 section 3.3)")
    _check_client(place, oauth2, grant)
    _check_redirect_uri(place, oauth2)
    _check_parameters(place, oauth2)
    _check_authorization_url(place, oauth2)


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
            raise fault(place, key, "is empty")
    if not _visible(oauth2.client_id or ""):
        raise fault(place, "client_id", "expected printable ASCII (RFC 6749 appendix A.1)")


def _check_client(place: str, oauth2: OAuth2File, grant: GrantType) -> None:
    how = authentication_of(oauth2)
    if how in ("basic", "body", "client_secret_jwt") and oauth2.client_secret is None:
        raise fault(place, "client_secret", f'missing; client_authentication = "{how}" needs it')
    if how in ("none", "private_key_jwt") and oauth2.client_secret is not None:
        raise fault(place, "client_secret", f'has no use with client_authentication = "{how}"')
    if grant == "client_credentials" and oauth2.client_authentication is None and oauth2.client_secret is None:
        remedy = 'or say client_authentication = "private_key_jwt", or "none" where a certificate tells who asks'
        raise fault(place, "client_secret", f"missing; give it, {remedy}")
    if how != "none" and oauth2.client_id is None:
        raise fault(place, "client_id", f'missing; client_authentication = "{how}" needs it')
    _check_jwt(place, oauth2, grant, how)


def _check_jwt(place: str, oauth2: OAuth2File, grant: GrantType, how: ClientAuthentication) -> None:
    """There is one key, which signs the assertion that is the grant, and the one that authenticates the client."""
    jwt, is_grant, with_secret = oauth2.jwt, grant == "jwt_bearer", how == "client_secret_jwt"
    if is_grant and with_secret:
        problem = 'cannot be "client_secret_jwt" with grant_type = "jwt_bearer", whose key is another'
        raise fault(place, "client_authentication", problem)
    needs_key = is_grant or how == "private_key_jwt"
    if needs_key and (jwt is None or jwt.key is None):
        who = 'grant_type = "jwt_bearer"' if is_grant else 'client_authentication = "private_key_jwt"'
        raise fault(place, "jwt.key", f"missing; {who} needs it")
    if jwt is None:
        return
    if not needs_key and not with_secret:
        raise fault(place, "jwt", f'has no use with grant_type = "{grant}" and client_authentication = "{how}"')
    if with_secret and jwt.key is not None:
        raise fault(place, "jwt.key", f'has no use with client_authentication = "{how}", which signs with the secret')
    if is_grant and jwt.issuer is None and oauth2.client_id is None:
        raise fault(place, "jwt.issuer", "missing; where there is no client_id it is needed")
    for key in ("issuer", "subject"):
        if not is_grant and getattr(jwt, key) not in (None, oauth2.client_id):
            problem = "has no use; the assertion that authenticates a client names client_id (RFC 7523 section 3)"
            raise fault(place, f"jwt.{key}", problem)
    for name in jwt.claims:
        if name in CLAIMS or not is_grant:
            problem = "is made by patchwire" if is_grant else 'has no use but with grant_type = "jwt_bearer"'
            raise fault(place, f"jwt.claims.{name}", problem)
    _check_algorithm(place, jwt, how)
    if not 1 <= jwt.lifetime <= 86_400:
        raise fault(place, "jwt.lifetime", f"expected 1 to 86400 seconds, got {jwt.lifetime}")


def _check_algorithm(place: str, jwt: JwtFile, how: ClientAuthentication) -> None:
    """OpenID Connect Core section 9 says which signs with a secret, and which with a private key."""
    known = [
        each
        for each in ALGORITHMS
        if how not in ("client_secret_jwt", "private_key_jwt") or each.startswith("HS") == (how == "client_secret_jwt")
    ]
    if jwt.algorithm is not None and jwt.algorithm not in known:
        raise fault(place, "jwt.algorithm", f"expected one of {', '.join(known)}, got {jwt.algorithm!r}")


def _check_redirect_uri(place: str, oauth2: OAuth2File) -> None:
    if oauth2.redirect_uri is None:
        return
    try:
        check_redirect_uri(oauth2.redirect_uri)
    except LocalProtocolError as error:
        raise fault(place, "redirect_uri", str(error)) from None


def _check_parameters(place: str, oauth2: OAuth2File) -> None:
    # The request for a device code authenticates the client, as that for a token does.
    of_device = OF_A_TOKEN_REQUEST if oauth2.grant_type == "device_code" else ()
    for table, taken in (
        ("access_token_parameters", OF_A_TOKEN_REQUEST),
        ("authorization_parameters", {*OF_AN_AUTHORIZATION_REQUEST, *of_device}),
    ):
        for name in getattr(oauth2, table):
            if name in taken:
                raise fault(place, f"{table}.{name}", "is set by patchwire, and must not stand twice")


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
        raise fault(place, "authorization_url", str(error)) from None
