"""OAuth 2.0 as a client: requests for tokens, grant by grant, and the token in the answer to them.

Each grant is a function that gives the parameters of its request; `token_request` makes a request of them, and
`token_in` a token of the response (auth/oauth2_answer.py). TokenSession and Authorizing drive them.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from typing import Final
from urllib.parse import parse_qsl, quote_plus, urlencode

from patchwire.auth import jws
from patchwire.auth.oauth2_answer import token_in
from patchwire.auth.oauth2_assertion import CLIENT_ASSERTION_TYPE, GRANT_TYPE, assertion_claims
from patchwire.auth.oauth2_terms import JwtTerms, Parameters, Terms
from patchwire.auth.secret import Secret
from patchwire.http.message import Headers, Request, split_url

__all__ = [
    "authorization_code",
    "client_credentials",
    "device_authorization_request",
    "device_code",
    "jwt_bearer",
    "password",
    "refresh",
    "secrets_in",
    "token_in",
    "token_request",
]

DEVICE_CODE: Final = "urn:ietf:params:oauth:grant-type:device_code"
OF_A_TOKEN_REQUEST: Final = frozenset(
    {
        "grant_type", "client_id", "client_secret", "client_assertion", "client_assertion_type", "scope", "username",
        "password", "code", "code_verifier", "redirect_uri", "refresh_token", "assertion", "device_code",
    }
)  # fmt: skip
"""Parameters with a meaning of their own; no extra parameter may have such a name (RFC 6749 section 3.2)."""
_NO_SECRETS: Final = frozenset(
    {"grant_type", "client_id", "client_assertion_type", "scope", "username", "redirect_uri"}
)


def client_credentials(terms: Terms) -> Parameters:
    """RFC 6749 section 4.4."""
    return (*_grant("client_credentials"), *_scope(terms))


def password(terms: Terms) -> Parameters:
    """Resource owner password credentials: RFC 6749 section 4.3, which RFC 9700 section 2.4 advises against."""
    who = (("username", Secret(terms.username)), ("password", terms.password))
    return (*_grant("password"), *who, *_scope(terms))


def authorization_code(code: str, redirect_uri: str, verifier: str) -> Parameters:
    """RFC 6749 section 4.1.3, with the PKCE verifier of the same transaction (RFC 7636 section 4.5)."""
    mine = (("code", Secret(code)), ("redirect_uri", Secret(redirect_uri)), ("code_verifier", Secret(verifier)))
    return (*_grant("authorization_code"), *mine)


def refresh(refresh_token: str, scope: str = "") -> Parameters:
    """RFC 6749 section 6; `scope` only where it is to be narrower than it was."""
    narrower = (("scope", Secret(scope)),) if scope else ()
    return (*_grant("refresh_token"), ("refresh_token", Secret(refresh_token)), *narrower)


def jwt_bearer(terms: Terms, now: float, unique: str) -> Parameters:
    """RFC 7523 section 2.1: an assertion about `jwt.subject`, issued by `jwt.issuer`, else by the client."""
    assert terms.jwt is not None  # noqa: S101 - settings without are refused
    jwt = terms.jwt
    issuer = jwt.issuer or terms.client_id
    assertion = _assertion(terms, jwt, issuer, jwt.subject or issuer, now, unique, jwt.claims)
    return (*_grant(GRANT_TYPE), ("assertion", Secret(assertion)), *_scope(terms))


def device_code(code: str) -> Parameters:
    """RFC 8628 section 3.4."""
    return (*_grant(DEVICE_CODE), ("device_code", Secret(code)))


def token_request(terms: Terms, parameters: Parameters, now: float, unique: str) -> Request:
    """A request to the token endpoint, with the client's authentication and the connection's own parameters.

    `now` in Unix seconds, and `unique` a text that is never used again, for signed assertions.
    """
    assert terms.access_token_url is not None  # noqa: S101 - the session has discovered it
    return _form(terms, terms.access_token_url, (*parameters, *terms.access_token_parameters), now, unique)


def device_authorization_request(terms: Terms, now: float, unique: str) -> Request:
    """The request for a device code and a code for the user (RFC 8628 section 3.1)."""
    assert terms.device_authorization_url is not None  # noqa: S101 - the session has discovered it
    own = tuple((name, Secret(value)) for name, value in terms.authorization_parameters)
    named = (("client_id", Secret(terms.client_id)),) if terms.client_authentication == "basic" else ()
    return _form(terms, terms.device_authorization_url, (*named, *_scope(terms), *own), now, unique)


def secrets_in(request: Request) -> list[str]:
    """What must not be told of such a request: the grant, and what proves who the client is."""
    field = request.header(b"authorization") or b""
    proof = field.decode("ascii").removeprefix("Basic ")
    return [proof] + [value for name, value in parse_qsl(request.body.decode("ascii")) if name not in _NO_SECRETS]


def _form(terms: Terms, url: str, parameters: Parameters, now: float, unique: str) -> Request:
    origin, target = split_url(url)
    fields, authentication = _authenticated(terms, now, unique)
    content = urlencode([(name, value.reveal()) for name, value in (*parameters, *authentication)])
    headers = (
        (b"Content-Type", b"application/x-www-form-urlencoded"),
        (b"Accept", b"application/json"),
        *fields,
    )
    return Request("POST", origin, target, headers, content.encode("ascii"))


def _authenticated(terms: Terms, now: float, unique: str) -> tuple[Headers, Parameters]:
    """The fields and parameters with which the client says who it is: in one way alone (RFC 6749 section 2.3)."""
    named = ("client_id", Secret(terms.client_id))
    match terms.client_authentication:
        case "basic":
            return (_basic(terms.client_id, terms.client_secret.reveal()),), ()
        case "body":
            return (), (named, ("client_secret", terms.client_secret))
        case "none":
            return (), (named,) if terms.client_id else ()
        case _:
            assert terms.jwt is not None  # noqa: S101 - settings without are refused
            assertion = _assertion(terms, terms.jwt, terms.client_id, terms.client_id, now, unique)
            kind = ("client_assertion_type", Secret(CLIENT_ASSERTION_TYPE))
            return (), (named, kind, ("client_assertion", Secret(assertion)))


def _basic(client_id: str, client_secret: str) -> tuple[bytes, bytes]:
    """Each form-encoded first, since a colon parts them (RFC 6749 section 2.3.1)."""
    pair = f"{quote_plus(client_id)}:{quote_plus(client_secret)}".encode("ascii")
    return b"Authorization", b"Basic " + b64encode(pair)


def _assertion(
    terms: Terms,
    jwt: JwtTerms,
    issuer: str,
    subject: str,
    now: float,
    unique: str,
    more: Sequence[tuple[str, str]] = (),
) -> str:
    """Signed; the audience is the token endpoint unless another is set."""
    claims = dict(more) | assertion_claims(
        issuer=issuer,
        subject=subject,
        audience=jwt.audience or terms.access_token_url or "",
        now=now,
        lifetime=jwt.lifetime,
        token_id=unique,
    )
    return jws.sign(claims, jwt.key.reveal(), jwt.algorithm, jwt.key_id)


def _grant(grant_type: str) -> Parameters:
    return (("grant_type", Secret(grant_type)),)


def _scope(terms: Terms) -> Parameters:
    return (("scope", Secret(terms.scope)),) if terms.scope else ()
