from __future__ import annotations

import json
from typing import Any

import pytest

from patchwire.http.message import Request
from patchwire.loopback.authorization import DEVICE_AUTHORIZATION, INTROSPECT, TOKEN, AuthorizationServer
from tests.support.authorization import (
    APP,
    BASIC,
    ORIGIN,
    PUBLIC,
    VERIFIER,
    authorization_server,
    authorize,
    decided,
    decided_on_device,
    post,
)

DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
PASSWORDS = {"ada": "canary-p\u00e4ss"}


def ask(server: AuthorizationServer, grant_type: str, **parameters: str) -> tuple[int, dict[str, Any]]:
    """Status and members of the answer, which no cache keeps; from APP unless a client is named."""
    authorization = None if "client_id" in parameters else BASIC
    response = server.handle(post(TOKEN, authorization, grant_type=grant_type, **parameters), 0.0)
    kept = [response.header(name) for name in (b"content-type", b"cache-control", b"pragma")]
    assert kept == [b"application/json", b"no-store", b"no-cache"]
    return response.status, json.loads(response.body)


def test_a_client_with_a_secret_gets_a_token_for_itself_and_the_scope_is_echoed() -> None:
    status, members = ask(authorization_server(token_lifetime=60), "client_credentials", scope="read write read")
    token = members.pop("access_token")
    assert (status, members) == (200, {"token_type": "Bearer", "expires_in": 60, "scope": "read write"})
    assert len(token) == 43


def test_without_a_scope_none_is_told() -> None:
    assert "scope" not in ask(authorization_server(), "client_credentials")[1]


def test_a_code_is_exchanged_for_tokens() -> None:
    server = authorization_server()
    code = decided(server, authorize(redirect_uri=None))["code"]
    status, members = ask(server, "authorization_code", code=code, code_verifier=VERIFIER)
    assert (status, members["scope"], len(members["refresh_token"])) == (200, "read write", 43)
    status, renewed = ask(server, "refresh_token", refresh_token=members["refresh_token"], scope="read")
    assert (status, renewed["scope"]) == (200, "read")
    status, renewed = ask(server, "refresh_token", refresh_token=renewed["refresh_token"])
    assert (status, renewed["scope"]) == (200, "read write")


def test_a_user_and_a_password_are_exchanged_for_tokens_where_some_are_given() -> None:
    server = authorization_server(passwords=PASSWORDS)
    status, members = ask(server, "password", username="ada", password=PASSWORDS["ada"])
    assert (status, "refresh_token" in members) == (200, True)
    assert server.user_of(members["access_token"], 1.0) == "ada"
    for username, password in (("ada", "wrong"), ("bob", PASSWORDS["ada"])):
        status, members = ask(server, "password", username=username, password=password)
        assert (status, members["error"]) == (400, "invalid_grant")
    status, members = ask(authorization_server(), "password", username="ada", password=PASSWORDS["ada"])
    assert members["error"] == "unsupported_grant_type"


def test_a_device_gets_tokens_when_its_user_has_accepted() -> None:
    server = authorization_server()
    begun = json.loads(server.handle(post(DEVICE_AUTHORIZATION, scope="read"), 0.0).body)
    status, members = ask(server, DEVICE_GRANT, device_code=begun["device_code"])
    assert (status, members["error"]) == (400, "authorization_pending")
    assert decided_on_device(server, begun["user_code"]) == 200
    status, members = ask(server, DEVICE_GRANT, device_code=begun["device_code"])
    assert (status, members["scope"], "refresh_token" in members) == (200, "read", True)


def test_a_client_without_a_secret_cannot_act_for_itself() -> None:
    status, members = ask(authorization_server(), "client_credentials", client_id="public")
    assert (status, members["error"]) == (400, "unauthorized_client")
    _, members = ask(authorization_server(PUBLIC), "client_credentials", client_id="public")
    assert members["error"] == "unsupported_grant_type"


@pytest.mark.parametrize(
    ("grant_type", "parameters", "error"),
    [("", {}, "invalid_request"), ("implicit", {}, "unsupported_grant_type"),
     ("client_credentials", {"scope": 'a"b'}, "invalid_scope"),
     ("client_credentials", {"scope": "a  b"}, "invalid_scope"),
     ("client_credentials", {"scope": " a"}, "invalid_scope"),
     ("authorization_code", {"code": "x"}, "invalid_request"),
     ("authorization_code", {"code_verifier": VERIFIER}, "invalid_request"),
     ("authorization_code", {"code": "x", "code_verifier": VERIFIER}, "invalid_grant"),
     ("refresh_token", {}, "invalid_request"), ("refresh_token", {"refresh_token": "x"}, "invalid_grant"),
     (DEVICE_GRANT, {}, "invalid_request"), (DEVICE_GRANT, {"device_code": "x"}, "invalid_grant"),
     ("password", {"username": "ada"}, "invalid_request"), ("password", {"password": "x"}, "invalid_request")],
)  # fmt: skip
def test_what_is_wrong_is_told_in_a_code_of_rfc_6749(grant_type: str, parameters: dict[str, str], error: str) -> None:
    status, members = ask(authorization_server(APP, passwords=PASSWORDS), grant_type, **parameters)
    assert (status, members["error"], bool(members["error_description"])) == (400, error, True)


def test_what_is_no_form_is_an_invalid_request() -> None:
    request = Request("POST", ORIGIN, TOKEN.encode(), ((b"Content-Type", b"application/json"),), b"{}")
    for path in (TOKEN, INTROSPECT, DEVICE_AUTHORIZATION):
        request = Request("POST", ORIGIN, path.encode(), request.headers, request.body)
        response = authorization_server().handle(request, 0.0)
        assert (response.status, json.loads(response.body)["error"]) == (400, "invalid_request")
