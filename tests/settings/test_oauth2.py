from __future__ import annotations

from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchwire.auth import oauth2
from patchwire.auth.oauth2_code import authorization_url
from patchwire.auth.oauth2_terms import Before, ClientAuthentication, GrantType, Parameters, Terms
from patchwire.auth.secret import Secret
from patchwire.errors import SettingsError
from patchwire.http.message import Origin
from patchwire.settings.connection import parse_connection, resolve, secret_references
from patchwire.settings.oauth2 import OAuth2Settings, entry_of
from patchwire.settings.oauth2_file import OAUTH2_WORDS, OAuth2File, authentication_of, read_oauth2
from tests.support.jws_keys import P256, RSA, json_of

TOKENS = "https://as.example/token"
CODE = {"grant_type": "authorization_code", "client_id": "app", "access_token_url": TOKENS,
        "authorization_url": "https://as.example/authorize"}  # fmt: skip
PASSWORD = {"grant_type": "password", "client_id": "app", "access_token_url": TOKENS, "username": "ada",
            "password": "env:P"}  # fmt: skip
CLIENT = {"grant_type": "client_credentials", "client_id": "app", "access_token_url": TOKENS, "client_secret": "env:S"}
DEVICE = {"grant_type": "device_code", "client_id": "app", "access_token_url": TOKENS,
          "device_authorization_url": "https://as.example/device"}  # fmt: skip
GOOGLE = {"grant_type": "jwt_bearer", "access_token_url": "https://oauth2.googleapis.com/token",
          "scope": "https://www.googleapis.com/auth/cloud-platform",
          "jwt": {"key": "env:RSA", "key_id": "k1", "issuer": "svc@p.iam.gserviceaccount.com"}}  # fmt: skip
SALESFORCE = {
    "grant_type": "jwt_bearer",
    "client_id": "3MVG9",
    "access_token_url": TOKENS,
    "jwt": {"key": "env:RSA", "subject": "ada@example.com", "audience": "https://login.salesforce.com"},
}
TEXTS = {
    "P": "canary-p",
    "S": "canary-s",
    "RSA": json_of(RSA),
    "EC": json_of(P256),
    "EMPTY": "",
    "T": "canary-t",
    "ODD": "a b",
}


def without(table: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in table.items() if key not in keys}


def made(table: Any) -> OAuth2Settings:
    """The settings that a connection with this table has, its secrets taken from TEXTS."""
    file = parse_connection("c.toml", {"base_url": "https://h", "authentication": "oauth2", "oauth2": table})
    secrets = {}
    for key, reference in secret_references("c.toml", file).items():
        text = TEXTS.get(reference.name, "") if reference.kind == "env" else reference.name
        secrets[key] = Secret(text)
    settings = resolve("c.toml", file, secrets)
    assert settings.oauth2 is not None
    assert "canary" not in repr(file) + repr(file.oauth2) + repr(file.oauth2.jwt) + repr(settings)
    return settings.oauth2


def refusal(table: Any) -> str:
    with pytest.raises(SettingsError) as caught:
        made(table)
    said = str(caught.value)
    assert said.startswith("c.toml: oauth2")
    assert said.isprintable()
    assert "canary" not in said
    return said.removeprefix("c.toml: ")


def first_parameters(terms: Terms) -> Parameters:
    """Those of the first request for a token, once a person has done their part."""
    match terms.grant_type:
        case "client_credentials":
            return oauth2.client_credentials(terms)
        case "password":
            return oauth2.password(terms)
        case "jwt_bearer":
            return oauth2.jwt_bearer(terms, 1.7e9, "unique")
        case "device_code":
            return oauth2.device_code("code")
    return oauth2.authorization_code("code", terms.redirect_uri or "http://127.0.0.1:1/", "v" * 43)


# --- what users of each grant write


@pytest.mark.parametrize(
    ("table", "how"),
    [
        (CODE, "none"),
        ({**CODE, "redirect_uri": "http://127.0.0.1:8976/callback", "scope": "a b"}, "none"),
        ({**CODE, "client_secret": "env:S"}, "basic"),
        ({**CODE, "client_secret": "env:S", "client_authentication": "body"}, "body"),
        ({**CODE, "authorization_parameters": {"access_type": "offline", "prompt": "consent"}}, "none"),
        ({**without(CODE, "authorization_url"), "refresh_token": "env:T"}, "none"),
        ({**without(CODE, "authorization_url", "access_token_url"), "access_token": "env:T"}, "none"),
        ({**without(CODE, "authorization_url", "access_token_url"), "metadata_url": "https://as.example/m"}, "none"),
        ({**CODE, "client_authentication": "private_key_jwt", "jwt": {"key": "env:RSA"}}, "private_key_jwt"),
        (PASSWORD, "none"),
        ({**PASSWORD, "client_secret": "env:S", "refresh_token": "env:T"}, "basic"),
        ({**PASSWORD, "password": "env:EMPTY"}, "none"),
        (CLIENT, "basic"),
        ({**CLIENT, "client_authentication": "body", "access_token_parameters": {"audience": "x"}}, "body"),
        ({**CLIENT, "client_authentication": "client_secret_jwt"}, "client_secret_jwt"),
        ({**CLIENT, "client_authentication": "client_secret_jwt", "jwt": {"algorithm": "HS512"}}, "client_secret_jwt"),
        ({**without(CLIENT, "client_secret"), "client_authentication": "private_key_jwt",
          "jwt": {"key": "env:EC", "algorithm": "ES256", "audience": "https://as.example"}}, "private_key_jwt"),
        ({**without(CLIENT, "client_secret"), "client_authentication": "private_key_jwt",
          "jwt": {"key": "env:RSA", "issuer": "app", "subject": "app"}}, "private_key_jwt"),
        ({**without(CLIENT, "client_secret"), "client_authentication": "none"}, "none"),
        (GOOGLE, "none"),
        (SALESFORCE, "none"),
        ({**SALESFORCE, "client_secret": "env:S"}, "basic"),
        ({**SALESFORCE, "client_authentication": "private_key_jwt"}, "private_key_jwt"),
        ({**GOOGLE, "jwt": {"key": "env:S", "algorithm": "HS256", "issuer": "me"}}, "none"),
        ({**GOOGLE, "jwt": {"key": "env:RSA", "issuer": "me", "claims": {"scope": "a b"}}}, "none"),
        (DEVICE, "none"),
        ({**DEVICE, "client_secret": "env:S", "authorization_parameters": {"acr": "1"}}, "basic"),
        ({**without(DEVICE, "device_authorization_url"), "refresh_token": "env:T"}, "none"),
        ({**DEVICE, "access_token_url": "http://127.0.0.1:8080/token"}, "none"),
    ],
)  # fmt: skip
def test_what_users_of_each_grant_write_makes_terms_that_a_token_can_be_asked_for_on(
    table: dict[str, Any], how: str
) -> None:
    terms = made(table).terms
    assert (terms.grant_type, terms.client_authentication) == (table["grant_type"], how)
    if terms.access_token_url is not None:
        request = oauth2.token_request(terms, first_parameters(terms), 1.7e9, "unique")
        assert b"grant_type=" in request.body
        assert (request.header(b"authorization") is not None) is (how == "basic")


def test_terms_hold_what_was_written_and_what_its_secrets_are() -> None:
    table = {
        **CODE, "client_secret": "env:S", "scope": "a b", "issuer": "https://as.example", "access_token": "env:T",
        "refresh_token": "literal:canary-r", "redirect_uri": "https://app.example/cb",
        "authorization_parameters": {"prompt": "login"}, "access_token_parameters": {"a": "1", "b": "env:S"},
    }  # fmt: skip
    settings = made(table)
    assert settings.terms == Terms(
        grant_type="authorization_code", client_id="app", client_secret=Secret("canary-s"),
        client_authentication="basic", authorization_url=CODE["authorization_url"], access_token_url=TOKENS,
        issuer="https://as.example", source="https://as.example", scope="a b",
        access_token=Secret("canary-t"), refresh_token=Secret("canary-r"), prefers_metadata=True,
        redirect_uri="https://app.example/cb", authorization_parameters=(("prompt", "login"),),
        access_token_parameters=(("a", Secret("1")), ("b", Secret("canary-s"))),
        remedy="run patchwire authorize c.toml",
    )  # fmt: skip
    assert settings.before == Before(Secret("canary-t"), "a b", "https://as.example")


def test_a_clients_assertion_is_signed_with_its_secret_where_that_is_what_it_has() -> None:
    plain = made({**CLIENT, "client_authentication": "client_secret_jwt"}).terms.jwt
    assert plain is not None
    assert (plain.key, plain.algorithm, plain.lifetime) == (Secret("canary-s"), "HS256", 300)
    table = {"algorithm": "HS384", "key_id": "k", "audience": "a", "lifetime": 60}
    told = made({**CLIENT, "client_authentication": "client_secret_jwt", "jwt": table}).terms.jwt
    assert told is not None
    assert (told.key, told.algorithm, told.key_id, told.audience, told.lifetime) == (
        Secret("canary-s"), "HS384", "k", "a", 60,
    )  # fmt: skip


def test_a_private_key_signs_with_rs256_unless_another_algorithm_is_named() -> None:
    jwt = made(GOOGLE).terms.jwt
    assert jwt is not None
    assert (jwt.algorithm, jwt.issuer, jwt.subject, jwt.audience) == (
        "RS256", "svc@p.iam.gserviceaccount.com", None, None,
    )  # fmt: skip


# --- what is refused

FOUR = "a secret must not stand here as bare text"


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ({}, "oauth2.grant_type: missing; expected one of authorization_code, password, client_credentials, jwt_bear"),
        ("x", "oauth2: expected `object`, got `str`"),
        ({"grant_type": "implicit"}, "oauth2.grant_type: expected one of authorization_code, password,"),
        ({"grant_type": 1}, "oauth2.grant_type: expected one of"),
        ({**CLIENT, "client_authentication": "tls"}, "oauth2.client_authentication: expected one of basic, body, non"),
        ({**CLIENT, "scoop": "x"}, "oauth2.scoop: unknown key; remove it, or correct its spelling"),
        ({**CLIENT, "scope": ["a"]}, "oauth2.scope: expected `str`, got `array`"),
        ({**CLIENT, "jwt": "x"}, "oauth2.jwt: expected `object | null`, got `str`"),
        ({**CLIENT, "jwt": {"kee": "x"}}, "oauth2.jwt.kee: unknown key"),
        ({**CLIENT, "access_token_parameters": {"a": 1}}, "oauth2.access_token_parameters[...]: expected `str`"),
        # what is missing
        (without(CODE, "client_id"), "oauth2.client_id: missing"),
        (without(CODE, "authorization_url"), "oauth2.authorization_url: missing"),
        (without(CODE, "access_token_url"), "oauth2.access_token_url: missing"),
        ({**without(CODE, "access_token_url"), "access_token": "env:T"}, "oauth2.access_token_url: missing"),
        (without(PASSWORD, "username"), "oauth2.username: missing"),
        (without(PASSWORD, "password"), "oauth2.password: missing"),
        ({**without(PASSWORD, "access_token_url"), "access_token": "env:T"}, "oauth2.access_token_url: missing"),
        (without(DEVICE, "device_authorization_url"), "oauth2.device_authorization_url: missing"),
        (without(CLIENT, "client_secret"), "oauth2.client_secret: missing; give it, or say client_authentication = "),
        ({**without(CLIENT, "client_secret"), "client_authentication": "body"},
         'oauth2.client_secret: missing; client_authentication = "body" needs it'),
        ({**CLIENT, "client_authentication": "private_key_jwt"}, "oauth2.client_secret: has no use with client_authe"),
        ({**CLIENT, "client_authentication": "none"}, "oauth2.client_secret: has no use with client_authentication ="),
        ({**without(CLIENT, "client_secret"), "client_authentication": "private_key_jwt"},
         'oauth2.jwt.key: missing; client_authentication = "private_key_jwt" needs it'),
        (without(GOOGLE, "jwt"), 'oauth2.jwt.key: missing; grant_type = "jwt_bearer" needs it'),
        ({**GOOGLE, "jwt": {"issuer": "x"}}, 'oauth2.jwt.key: missing; grant_type = "jwt_bearer" needs it'),
        ({**GOOGLE, "jwt": {"key": "env:RSA"}}, "oauth2.jwt.issuer: missing; where there is no client_id it is neede"),
        ({**GOOGLE, "client_secret": "env:S"}, 'oauth2.client_id: missing; client_authentication = "basic" needs it'),
        # what has no use
        ({**CLIENT, "authorization_url": "https://h"}, 'oauth2.authorization_url: has no use with grant_type = "clie'),
        ({**PASSWORD, "redirect_uri": "http://127.0.0.1/"}, 'oauth2.redirect_uri: has no use with grant_type = "pas'),
        ({**CLIENT, "username": ""}, 'oauth2.username: has no use with grant_type = "client_credentials"'),
        ({**CLIENT, "refresh_token": "env:T"}, "oauth2.refresh_token: has no use with grant_type"),
        ({**PASSWORD, "authorization_parameters": {"a": "b"}}, "oauth2.authorization_parameters: has no use with"),
        ({**CODE, "jwt": {}}, 'oauth2.jwt: has no use with grant_type = "authorization_code" and client_authenticati'),
        ({**CLIENT, "client_authentication": "client_secret_jwt", "jwt": {"key": "env:RSA"}},
         'oauth2.jwt.key: has no use with client_authentication = "client_secret_jwt", which signs with the secret'),
        ({**CODE, "client_authentication": "private_key_jwt", "jwt": {"key": "env:RSA", "subject": "ada"}},
         "oauth2.jwt.subject: has no use; the assertion that authenticates a client names client_id"),
        ({**CODE, "client_authentication": "private_key_jwt", "jwt": {"key": "env:RSA", "issuer": "ada"}},
         "oauth2.jwt.issuer: has no use; the assertion that authenticates a client names client_id"),
        # what no server takes, or nobody can be sent to
        ({**CLIENT, "client_id": ""}, "oauth2.client_id: is empty"),
        ({**CLIENT, "client_id": "\u00e4pp"}, "oauth2.client_id: expected printable ASCII (RFC 6749 appendix A.1)"),
        ({**PASSWORD, "username": ""}, "oauth2.username: is empty"),
        ({**GOOGLE, "jwt": {"key": "env:RSA", "issuer": "me", "claims": {"exp": "1"}}},
         "oauth2.jwt.claims.exp: is made by patchwire"),
        ({**without(CLIENT, "client_secret"), "client_authentication": "private_key_jwt",
          "jwt": {"key": "env:RSA", "claims": {"a": "b"}}}, "oauth2.jwt.claims.a: has no use but with grant_type"),
        ({**GOOGLE, "jwt": {"key": "env:RSA", "issuer": ""}}, "oauth2.jwt.issuer: is empty"),
        ({**SALESFORCE, "jwt": {"key": "env:RSA", "subject": ""}}, "oauth2.jwt.subject: is empty"),
        ({**SALESFORCE, "jwt": {"key": "env:RSA", "audience": ""}}, "oauth2.jwt.audience: is empty"),
        ({**CODE, "access_token": "env:ODD"}, "oauth2.access_token: is empty, or holds a character that no token may"),
        ({**CODE, "access_token": "env:EMPTY"}, "oauth2.access_token: is empty, or holds a character that no token"),
        ({**CLIENT, "access_token_url": "http://as.example/"}, "oauth2.access_token_url: 'http://as.example/' must b"),
        ({**CLIENT, "access_token_url": ""}, "oauth2.access_token_url: '' must begin with http:// or https://"),
        ({**CLIENT, "access_token_url": "https://u:canary@h/"}, "oauth2.access_token_url: a URL must not hold user a"),
        ({**CODE, "metadata_url": "https://h/#x"}, "oauth2.metadata_url: 'https://h/#x' holds a fragment"),
        ({**CODE, "issuer": "as.example"}, "oauth2.issuer: 'as.example' must begin with http:// or https://"),
        ({**CODE, "scope": "a  b"}, "oauth2.scope: expected names with one blank between them (RFC 6749 section 3.3)"),
        ({**CODE, "scope": " "}, "oauth2.scope: expected names with one blank between them"),
        ({**CODE, "redirect_uri": "http://app.example/"}, "oauth2.redirect_uri: the redirect URI 'http://app.example"),
        ({**CODE, "redirect_uri": ""}, "oauth2.redirect_uri: the redirect URI '' is no absolute URI"),
        ({**CODE, "authorization_url": "https://h/?state=x"}, "oauth2.authorization_url: the authorization endpoint'"),
        ({**CODE, "authorization_url": "https://h/?a=1", "authorization_parameters": {"a": "2"}},
         "oauth2.authorization_url: the parameter 'a' is not to be set: it is in the request already"),
        ({**CODE, "authorization_parameters": {"state": "x"}}, "oauth2.authorization_parameters.state: is set by pat"),
        ({**CLIENT, "access_token_parameters": {"scope": "x"}}, "oauth2.access_token_parameters.scope: is set by"),
        ({**DEVICE, "authorization_parameters": {"client_secret": "x"}},
         "oauth2.authorization_parameters.client_secret: is set by patchwire, and must not stand twice"),
        # keys and algorithms
        ({**GOOGLE, "jwt": {**GOOGLE["jwt"], "algorithm": "none"}},  # type: ignore[dict-item]
         "oauth2.jwt.algorithm: expected one of HS256, "),
        ({**CLIENT, "client_authentication": "client_secret_jwt", "jwt": {"algorithm": "RS256"}},
         "oauth2.jwt.algorithm: expected one of HS256, HS384, HS512, got 'RS256'"),
        ({**CODE, "client_authentication": "private_key_jwt", "jwt": {"key": "env:RSA", "algorithm": "HS256"}},
         "oauth2.jwt.algorithm: expected one of RS256, "),
        ({**SALESFORCE, "client_secret": "env:S", "client_authentication": "client_secret_jwt"},
         'oauth2.client_authentication: cannot be "client_secret_jwt" with grant_type = "jwt_bearer", whose key is a'),
        ({**SALESFORCE, "jwt": {"key": "env:S"}}, "oauth2.jwt.key: the key to sign with is neither PEM"),
        ({**SALESFORCE, "jwt": {"key": "env:EC"}}, "oauth2.jwt.key: RS256 needs an RSA key of 2048 bits or more, and"),
        ({**CLIENT, "client_secret": "env:EMPTY", "client_authentication": "client_secret_jwt"},
         "oauth2.client_secret: the secret to sign with is empty"),
        ({**SALESFORCE, "jwt": {"key": "env:RSA", "lifetime": 0}}, "oauth2.jwt.lifetime: expected 1 to 86400 seconds"),
        ({**SALESFORCE, "jwt": {"key": "env:RSA", "lifetime": 86_401}}, "oauth2.jwt.lifetime: expected 1 to 86400"),
        # secrets that stand there themselves
        ({**CLIENT, "client_secret": "canary"}, f"oauth2.client_secret: {FOUR}"),
        ({**PASSWORD, "password": "canary"}, f"oauth2.password: {FOUR}"),
        ({**CODE, "access_token": "canary"}, f"oauth2.access_token: {FOUR}"),
        ({**CODE, "refresh_token": "canary"}, f"oauth2.refresh_token: {FOUR}"),
        ({**SALESFORCE, "jwt": {"key": "canary"}}, f"oauth2.jwt.key: {FOUR}"),
    ],
)  # fmt: skip
def test_what_does_not_go_together_is_one_line_with_its_key(table: Any, problem: str) -> None:
    assert refusal(table).startswith(problem), refusal(table)


def test_the_words_of_the_settings_are_those_that_the_terms_know() -> None:
    assert OAUTH2_WORDS["oauth2.grant_type"] == get_args(GrantType)
    assert OAUTH2_WORDS["oauth2.client_authentication"] == get_args(ClientAuthentication)


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ("x", "oauth2: expected `object`, got `str`"),
        ({"scope": 1}, "oauth2.scope: expected `str`, got `int`"),
        ({"x": 1}, "oauth2.x: unknown key; remove it, or correct its spelling"),
    ],
)
def test_a_table_that_is_read_alone_has_the_same_faults(table: Any, problem: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read_oauth2("c.toml", table)
    assert str(caught.value) == f"c.toml: {problem}"


# --- the entry of the token store


def entry(table: dict[str, Any], base_url: str = "https://h") -> str:
    return entry_of(base_url, read_oauth2("c.toml", table))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (CODE, {**CODE, "client_id": "other"}),
        (CODE, {**CODE, "authorization_url": "https://other/"}),
        (CODE, {**CODE, "access_token_url": "https://other/"}),
        (PASSWORD, {**PASSWORD, "username": "bob"}),
        (CODE, {**CODE, "grant_type": "device_code"}),
        (SALESFORCE, {**SALESFORCE, "jwt": {"key": "env:RSA", "subject": "bob@example.com"}}),
        (GOOGLE, {**GOOGLE, "jwt": {"key": "env:RSA", "issuer": "other@p.iam.gserviceaccount.com"}}),
    ],
)
def test_tokens_of_others_or_from_others_are_kept_apart(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert entry(one) != entry(other)
    assert entry(one) != entry(one, "https://i")


def test_a_secret_or_a_scope_that_changes_leaves_the_entry_as_it_is() -> None:
    assert entry(CLIENT) == entry({**CLIENT, "client_secret": "env:T", "scope": "x", "access_token": "env:T"})
    assert made(CLIENT).entry == entry(CLIENT)


# --- doubts


@pytest.mark.parametrize(
    ("table", "origin", "doubts"),
    [
        (CODE, Origin("https", "h", 443), []),
        (CODE, Origin("http", "127.0.0.1", 80), []),
        (CODE, Origin("http", "h", 80), ["the token goes over plain http"]),
        (PASSWORD, Origin("https", "h", 443), ["the password grant shows this client the user's password"]),
    ],
)
def test_what_is_valid_and_not_advised_is_a_doubt(table: dict[str, Any], origin: Origin, doubts: list[str]) -> None:
    found = list(made(table).doubts(origin))
    assert len(found) == len(doubts)
    for doubt, expected in zip(found, doubts, strict=True):
        assert doubt.startswith(expected)


@pytest.mark.parametrize(
    ("file", "how"),
    [
        (OAuth2File(), "none"),
        (OAuth2File(client_secret="env:S"), "basic"),
        (OAuth2File(client_secret="env:S", client_authentication="body"), "body"),
    ],
)
def test_a_client_with_a_secret_says_who_it_is_by_basic(file: OAuth2File, how: str) -> None:
    assert authentication_of(file) == how


# --- anything at all

odd = st.sampled_from(["", " ", "x", "\u00e4", "a b", "a\nb", "\x00", "\x7f", "%", "app", "0"]) | st.text(max_size=8)
secrets_ = st.sampled_from([f"env:{name}" for name in TEXTS] + ["bare", "literal:", "literal:\u00e4\n", "env:"])
urls = odd | st.sampled_from([
    TOKENS, "https://as.example", "https://h/?a=1", "https://h/?state=1", "http://127.0.0.1:1/", "http://localhost/x",
    "http://h/", "https://[::1", "https://h:99999/", "https://h/\u00e4", "https://h/#f", "https://h:/", "https:///x",
    "https://[v1.x]/", "https://u@h/", "ftp://h/", "HTTPS://H/", "https://h/ x", "app.example:/cb", "http://[::1]/cb",
])  # fmt: skip
parameters = st.dictionaries(
    odd | st.sampled_from(["audience", "resource", "state", "scope"]), odd | secrets_, max_size=3
)
jwts = st.fixed_dictionaries(
    {},
    optional={
        "key": secrets_,
        "algorithm": st.sampled_from(["RS256", "ES256", "HS256", "PS512", "EdDSA", "none", ""]),
        "key_id": odd, "issuer": odd, "subject": odd, "audience": odd | urls,
        "lifetime": st.integers(-1, 100_000) | st.just(300),
    },
)  # fmt: skip
OPTIONAL = {
    "client_id": odd, "client_secret": secrets_, "authorization_url": urls,
    "client_authentication": st.sampled_from(OAUTH2_WORDS["oauth2.client_authentication"]),
    "access_token_url": urls, "device_authorization_url": urls, "metadata_url": urls, "issuer": urls,
    "scope": odd, "access_token": secrets_, "refresh_token": secrets_, "username": odd, "password": secrets_,
    "redirect_uri": urls, "jwt": jwts, "authorization_parameters": parameters, "access_token_parameters": parameters,
}  # fmt: skip
GOOD: tuple[dict[str, Any], ...] = (CODE, PASSWORD, CLIENT, DEVICE, GOOGLE, SALESFORCE, {})
wrong = st.sampled_from([1, True, None, [], ["x"], {}, {"x": "y"}, 1.5])
grants = st.sampled_from(OAUTH2_WORDS["oauth2.grant_type"])


@st.composite
def tables(draw: st.DrawFn) -> dict[str, Any]:
    """A table that works, or none, with up to four keys changed, some of them to another type."""
    table: dict[str, Any] = dict(draw(st.sampled_from(GOOD)))
    for key in draw(st.lists(st.sampled_from([*OPTIONAL, "grant_type"]), max_size=4)):
        table[key] = draw(grants if key == "grant_type" else OPTIONAL[key])
    for key in draw(st.lists(st.sampled_from([*OPTIONAL, "grant_type"]), max_size=1)):
        if draw(st.booleans()):
            table.pop(key, None)
        elif draw(st.integers(0, 9)) == 0:
            table[key] = draw(wrong)
    return table


@given(tables())
def test_any_table_gives_settings_on_which_tokens_can_be_asked_for_or_one_error(table: dict[str, Any]) -> None:
    try:
        terms = made(table).terms
    except SettingsError as error:
        assert str(error).startswith("c.toml: oauth2")
        assert "canary" not in str(error)
        return
    if terms.access_token_url is not None:
        oauth2.token_request(terms, first_parameters(terms), 1.7e9, "unique")
        oauth2.token_request(terms, oauth2.refresh("token", terms.scope), 1.7e9, "unique")
    else:
        assert terms.metadata_url is not None or terms.access_token is not None
        assert terms.metadata_url is not None or terms.authorization_url is None
    if terms.device_authorization_url is not None:
        oauth2.device_authorization_request(terms, 1.7e9, "unique")
    if terms.authorization_url is not None:
        redirect = terms.redirect_uri or "http://127.0.0.1:1/callback"
        authorization_url(
            terms.authorization_url, client_id=terms.client_id, redirect_uri=redirect, scope=terms.scope, state="s",
            verifier="v" * 43, parameters=dict(terms.authorization_parameters),
        )  # fmt: skip
