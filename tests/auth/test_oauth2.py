from __future__ import annotations

import hashlib
import hmac
import json
from base64 import b64decode, urlsafe_b64decode
from typing import Any
from urllib.parse import unquote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from patchwire.auth import oauth2
from patchwire.auth.oauth2_assertion import CLIENT_ASSERTION_TYPE, GRANT_TYPE
from patchwire.auth.oauth2_terms import JwtTerms, Parameters, Terms
from patchwire.auth.secret import Secret
from patchwire.http.message import Origin, Request
from tests.support.oauth2 import CLIENT_SECRET, NOW, PASSWORD, TOKEN_URL, form_of, terms
from tests.support.vectors import VECTORS, load, needs_vectors

KEY = "canary-key-of-thirty-two-octets-and-more"
HS256 = JwtTerms(Secret(KEY), "HS256", "key-1")
TO_DEVICES = "https://as.example/device"


def request(of: Terms, parameters: Parameters | None = None) -> Request:
    return oauth2.token_request(of, oauth2.client_credentials(of) if parameters is None else parameters, NOW, "u-1")


def claims_in(assertion: str) -> dict[str, Any]:
    """The claims, whose signature is right."""
    signed, _, signature = assertion.rpartition(".")
    expected = hmac.digest(KEY.encode(), signed.encode(), hashlib.sha256)
    assert urlsafe_b64decode(signature + "=") == expected
    claims: dict[str, Any] = json.loads(urlsafe_b64decode(signed.partition(".")[2] + "=="))
    return claims


def basic_of(of: Request) -> tuple[str, str]:
    """Client id and secret as a server reads them (RFC 6749 section 2.3.1)."""
    field = of.header(b"authorization") or b""
    assert field.startswith(b"Basic ")
    client_id, _, secret = b64decode(field.removeprefix(b"Basic ")).decode("ascii").partition(":")
    return unquote_plus(client_id), unquote_plus(secret)


def test_o14_a_token_request_is_a_form_that_is_posted() -> None:
    asked = request(terms())
    assert (asked.method, asked.origin, asked.target) == ("POST", Origin("https", "as.example", 443), b"/token")
    assert asked.header(b"content-type") == b"application/x-www-form-urlencoded"
    assert asked.header(b"accept") == b"application/json"
    assert form_of(asked) == {"grant_type": "client_credentials", "scope": "read"}


def test_o14_the_redirect_uri_of_the_authorization_request_is_repeated_with_the_code_and_its_verifier() -> None:
    asked = request(terms("authorization_code"), oauth2.authorization_code("c&1", "http://127.0.0.1:1/cb?a=b", "v"))
    assert form_of(asked) == {
        "grant_type": "authorization_code",
        "code": "c&1",
        "redirect_uri": "http://127.0.0.1:1/cb?a=b",
        "code_verifier": "v",
    }


def test_the_password_grant_names_the_user() -> None:
    of = terms("password", scope="", password=Secret("p\u00e4ss w\u20acrd&="))
    assert form_of(request(of, oauth2.password(of))) == {
        "grant_type": "password",
        "username": "ada",
        "password": "p\u00e4ss w\u20acrd&=",
    }


def test_o21_a_refresh_names_a_scope_only_where_it_is_to_be_another() -> None:
    usual = {"grant_type": "refresh_token", "refresh_token": "r"}
    assert form_of(request(terms(), oauth2.refresh("r"))) == usual
    assert form_of(request(terms(), oauth2.refresh("r", "a"))) == {**usual, "scope": "a"}


def test_o32_the_grant_type_of_a_device_code_is_exact() -> None:
    assert form_of(request(terms("device_code"), oauth2.device_code("d"))) == {
        "grant_type": "urn:ietf:params:oauth:grant-type:device_code",
        "device_code": "d",
    }


def test_parameters_of_the_settings_come_with_every_token_request() -> None:
    of = terms(access_token_parameters=(("audience", Secret("https://api")), ("resource", Secret("a b"))))
    assert form_of(request(of, oauth2.refresh("r")))["audience"] == "https://api"
    assert form_of(request(of))["resource"] == "a b"


# --- who the client is


def test_o15_the_client_says_in_one_way_who_it_is_and_never_in_the_url() -> None:
    for how in ("basic", "body", "none", "client_secret_jwt"):
        asked = request(terms(client_authentication=how, jwt=HS256))
        form = form_of(asked)
        ways = [
            asked.header(b"authorization") is not None,
            "client_secret" in form,
            "client_assertion" in form,
        ]
        assert sum(ways) == (how != "none"), how
        assert ("client_id" in form) == (how != "basic")
        assert b"?" not in asked.target
        assert "canary" not in repr(asked)


def test_o15_a_client_without_a_secret_says_its_name_alone_where_it_has_one() -> None:
    assert form_of(request(terms(client_authentication="none"))) == {
        "grant_type": "client_credentials",
        "scope": "read",
        "client_id": "app",
    }
    assert "client_id" not in form_of(request(terms(client_authentication="none", client_id="")))


def test_o15_a_secret_in_the_body_stands_beside_the_id() -> None:
    form = form_of(request(terms(client_authentication="body")))
    assert (form["client_id"], form["client_secret"]) == ("app", CLIENT_SECRET)


def vectors(kind: str) -> list[dict[str, str]]:
    cases: list[dict[str, str]] = load("oauth2/vectors.json")[kind] if VECTORS else []
    return cases


@needs_vectors
@pytest.mark.parametrize("case", vectors("client_secret_basic"), ids=lambda case: case["client_id"])
def test_o15_id_and_secret_are_encoded_as_the_vectors_say(case: dict[str, str]) -> None:
    of = terms(client_id=case["client_id"], client_secret=Secret(case["client_secret"]))
    theirs = b64decode(case["authorization"].removeprefix("Basic ")).decode("ascii").partition(":")
    assert basic_of(request(of)) == (unquote_plus(theirs[0]), unquote_plus(theirs[2]))


@given(st.text(st.characters(exclude_categories=["Cs"])), st.text(st.characters(exclude_categories=["Cs"])))
def test_o15_whatever_id_and_secret_are_a_server_reads_them_as_they_are(client_id: str, secret: str) -> None:
    assert basic_of(request(terms(client_id=client_id, client_secret=Secret(secret)))) == (client_id, secret)


# --- assertions


@pytest.mark.parametrize("how", ["private_key_jwt", "client_secret_jwt"])
def test_o35_o36_a_client_assertion_is_of_the_client_about_itself_for_the_token_endpoint(how: str) -> None:
    form = form_of(request(terms(client_authentication=how, jwt=HS256)))
    assert form["client_assertion_type"] == CLIENT_ASSERTION_TYPE
    assert "client_secret" not in form
    assert claims_in(form["client_assertion"]) == {
        "iss": "app", "sub": "app", "aud": TOKEN_URL, "jti": "u-1", "iat": int(NOW), "exp": int(NOW) + 300,
    }  # fmt: skip


def test_o35_the_audience_may_be_the_issuer_and_the_subject_a_user() -> None:
    jwt = JwtTerms(Secret(KEY), "HS256", None, "issuer", "user", "https://as.example", 60)
    of = terms("jwt_bearer", jwt=jwt)
    form = form_of(request(of, oauth2.jwt_bearer(of, NOW, "u-2")))
    assert form["grant_type"] == GRANT_TYPE
    assert form["scope"] == "read"
    assert claims_in(form["assertion"]) == {
        "iss": "issuer", "sub": "user", "aud": "https://as.example", "jti": "u-2", "iat": int(NOW),
        "exp": int(NOW) + 60,
    }  # fmt: skip


def test_a_grant_may_have_claims_of_any_name_which_the_client_never_says_of_itself() -> None:
    of = terms("jwt_bearer", jwt=replace(HS256, claims=(("scope", "a b"), ("iss", "another"))))
    claims = claims_in(dict(oauth2.jwt_bearer(of, NOW, "u"))["assertion"].reveal())
    assert (claims["scope"], claims["iss"]) == ("a b", "app")
    of = replace(of, client_authentication="private_key_jwt")
    form = form_of(request(of, oauth2.client_credentials(of)))
    assert "scope" not in claims_in(form["client_assertion"])


def test_o35_an_assertion_that_names_nobody_is_about_the_client() -> None:
    claims = claims_in(dict(oauth2.jwt_bearer(terms("jwt_bearer", jwt=HS256), NOW, "u"))["assertion"].reveal())
    assert (claims["iss"], claims["sub"]) == ("app", "app")


# --- devices


def test_o32_a_device_code_is_asked_for_with_the_id_whatever_proves_it() -> None:
    of = terms(
        "device_code", device_authorization_url=TO_DEVICES, authorization_parameters=(("audience", "https://api"),)
    )
    asked = oauth2.device_authorization_request(of, NOW, "u")
    assert asked.target == b"/device"
    assert form_of(asked) == {"client_id": "app", "scope": "read", "audience": "https://api"}
    assert basic_of(asked) == ("app", CLIENT_SECRET)
    public = terms("device_code", device_authorization_url=TO_DEVICES, client_authentication="none", scope="")
    assert form_of(oauth2.device_authorization_request(public, NOW, "u")) == {"client_id": "app"}


def test_o42_what_is_asked_prints_no_secret() -> None:
    of = terms("password")
    for parameters in (oauth2.password(of), oauth2.refresh("canary-r"), oauth2.authorization_code("canary-c", "", "")):
        assert "canary" not in repr(parameters)
        assert "canary" not in repr(request(of, parameters))
    assert PASSWORD.startswith("canary")
