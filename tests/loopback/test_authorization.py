from __future__ import annotations

import json
from typing import Any

import pytest

from patchwire.http.message import Request, Response
from patchwire.loopback.authorization import (
    AUTHORIZE,
    DEVICE,
    DEVICE_AUTHORIZATION,
    INTROSPECT,
    METADATA,
    TOKEN,
    AuthorizationServer,
)
from tests.support.authorization import APP, ORIGIN, PUBLIC, authorization_server, post


def get(server: AuthorizationServer, path: str, method: str = "GET") -> Response:
    return server.handle(Request(method, ORIGIN, path.encode()), 0.0)


def members(response: Response) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(response.body)
    return value


def tokens(server: AuthorizationServer) -> dict[str, str]:
    request = post(TOKEN, grant_type="password", username="ada", password="pw", scope="read write")
    return members(server.handle(request, 10.5))


def introspect(server: AuthorizationServer, now: float = 11.0, **parameters: str) -> dict[str, Any]:
    response = server.handle(post(INTROSPECT, **parameters), now)
    assert response.header(b"cache-control") == b"no-store"
    return members(response)


def test_metadata_names_the_endpoints_under_the_origin_that_was_asked() -> None:
    response = get(authorization_server(passwords={"ada": "pw"}), METADATA)
    assert (response.status, response.header(b"content-type")) == (200, b"application/json")
    issuer = "http://127.0.0.1:8080"
    assert members(response) == {
        "issuer": issuer,
        "authorization_endpoint": issuer + AUTHORIZE,
        "token_endpoint": issuer + TOKEN,
        "introspection_endpoint": issuer + INTROSPECT,
        "device_authorization_endpoint": issuer + DEVICE_AUTHORIZATION,
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": [
            "authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code",
            "client_credentials", "password",
        ],
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "none"],
        "introspection_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        "authorization_response_iss_parameter_supported": True,
    }  # fmt: skip


def test_metadata_names_nothing_that_these_clients_cannot_do() -> None:
    told = members(get(authorization_server(PUBLIC), METADATA))
    assert told["token_endpoint_auth_methods_supported"] == ["none"]
    assert not {"introspection_endpoint", "introspection_endpoint_auth_methods_supported"} & told.keys()
    assert not {"client_credentials", "password"} & set(told["grant_types_supported"])


def test_a_token_that_holds_is_introspected() -> None:
    server = authorization_server(passwords={"ada": "pw"}, token_lifetime=60)
    given = tokens(server)
    common = {"active": True, "client_id": "app", "username": "ada", "iss": "http://127.0.0.1:8080", "iat": 10,
              "scope": "read write"}  # fmt: skip
    assert introspect(server, token=given["access_token"]) == common | {"exp": 70, "token_type": "Bearer"}
    assert introspect(server, token=given["refresh_token"]) == common | {"exp": 10 + 1_209_600}
    bare = members(server.handle(post(TOKEN, grant_type="client_credentials"), 10.0))["access_token"]
    assert "scope" not in introspect(server, token=bare)


def test_of_a_token_that_does_not_hold_nothing_is_said() -> None:
    server = authorization_server(passwords={"ada": "pw"}, token_lifetime=60)
    assert introspect(server, token="unknown") == {"active": False}
    assert introspect(server, 71.0, token=tokens(server)["access_token"]) == {"active": False}


def test_only_a_client_with_a_secret_may_introspect() -> None:
    server = authorization_server()
    for request, status in (
        (post(INTROSPECT, None, token="x", client_id="public"), 400),
        (post(INTROSPECT, "Basic cHVibGljOg==", token="x"), 401),
        (post(INTROSPECT, "Basic bm9ib2R5OnB3", token="x"), 401),
    ):
        response = server.handle(request, 0.0)
        assert (response.status, members(response)["error"]) == (status, "invalid_client")
    assert introspect(server)["error"] == "invalid_request"


def test_a_device_is_told_its_codes_and_where_to_type_one() -> None:
    answer = members(authorization_server(device_interval=7).handle(post(DEVICE_AUTHORIZATION), 0.0))
    assert len(answer.pop("device_code")) == 43
    assert len(answer.pop("user_code")) == 9
    assert answer == {"verification_uri": f"http://127.0.0.1:8080{DEVICE}", "expires_in": 600, "interval": 7}
    refused = authorization_server().handle(post(DEVICE_AUTHORIZATION, None, client_id="nobody"), 0.0)
    assert members(refused)["error"] == "invalid_client"


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [("GET", TOKEN, 405, b"POST"), ("PATCH", AUTHORIZE, 405, b"GET, HEAD, POST"),
     ("POST", METADATA, 405, b"GET, HEAD"),
     ("GET", "/oauth2/none", 404, None), ("POST", TOKEN, None, None), ("GET", METADATA + "?a", None, None)],
)  # fmt: skip
def test_the_head_alone_is_refused_for_its_path_and_its_method(
    method: str, path: str, status: int | None, allow: bytes | None
) -> None:
    server = authorization_server()
    refusal = server.refuse(Request(method, ORIGIN, path.encode()), 0.0)
    assert (refusal.status if refusal else None) == status
    if refusal is not None:
        assert refusal == get(server, path, method)
        assert refusal.header(b"allow") == allow
        assert refusal.header(b"date") is not None


def test_head_agrees_with_get_but_has_no_body() -> None:
    got, head = (get(authorization_server(), METADATA, method) for method in ("GET", "HEAD"))
    assert (head.status, head.headers, head.body) == (got.status, got.headers, b"")


@pytest.mark.parametrize(
    ("path", "ours"),
    [(METADATA, True), (TOKEN, True), ("/oauth2/none", True), ("/oauth2", False), ("/oauth2x/", False), ("/", False),
     (METADATA + "/a", False)],
)  # fmt: skip
def test_the_server_has_its_metadata_and_what_is_below_oauth2(path: str, ours: bool) -> None:
    assert authorization_server().has(Request("GET", ORIGIN, path.encode())) is ours


def test_no_secret_shows() -> None:
    server = AuthorizationServer([APP], lambda size: b"x" * size, passwords={"ada": "canary"})
    assert repr(server) == "<AuthorizationServer of <1 clients>>"
