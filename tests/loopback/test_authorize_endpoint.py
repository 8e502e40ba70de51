from __future__ import annotations

import pytest

from patchwire.http.message import Request, Response
from patchwire.loopback.authorization import AUTHORIZE, AuthorizationServer
from patchwire.loopback.authorize_endpoint import TICKET_LIFETIME
from tests.support.authorization import (
    APP,
    CALLBACK,
    ORIGIN,
    authorization_server,
    authorize,
    decided,
    led_back,
    post,
    ticket_of,
)

ISSUER = "http://127.0.0.1:8080"


def decide(server: AuthorizationServer, now: float = 0.0, **parameters: str) -> Response:
    return server.handle(post(AUTHORIZE, None, **parameters), now)


def test_the_page_names_client_scope_and_where_it_leads_back_to() -> None:
    page = authorization_server().handle(authorize(), 0.0)
    text = page.body.decode()
    assert (page.status, page.header(b"content-type")) == (200, b"text/html; charset=utf-8")
    assert all(f"<dd>{value}</dd>" in text for value in ("app", "read write", CALLBACK))
    assert f'<form method="post" action="{AUTHORIZE}">' in text
    assert b"form-action 'self' http:;" in (page.header(b"content-security-policy") or b"")
    assert "none named" in authorization_server().handle(authorize(scope=None), 0.0).body.decode()


def test_accepting_leads_back_with_code_state_and_issuer() -> None:
    server = authorization_server()
    response = decide(server, ticket=ticket_of(server.handle(authorize(), 0.0)), decision="accept")
    assert (response.status, response.header(b"cache-control")) == (303, b"no-store")
    assert (response.header(b"location") or b"").startswith(CALLBACK.encode() + b"?code=")
    parameters = led_back(response)
    assert len(parameters.pop("code")) == 43
    assert parameters == {"state": "s&1", "iss": ISSUER}


def test_denying_leads_back_with_access_denied() -> None:
    parameters = decided(authorization_server(), authorize(), "deny")
    del parameters["error_description"]
    assert parameters == {"error": "access_denied", "state": "s&1", "iss": ISSUER}


def test_without_a_state_none_is_sent_back_and_a_query_of_the_redirect_uri_stays() -> None:
    parameters = decided(authorization_server(), authorize(state=None, redirect_uri=CALLBACK + "?a=b"))
    del parameters["code"]
    assert parameters == {"a": "b", "iss": ISSUER}


def test_the_only_registered_redirect_uri_need_not_be_named() -> None:
    server = authorization_server()
    ticket = ticket_of(server.handle(authorize(redirect_uri=None), 0.0))
    location = decide(server, ticket=ticket, decision="accept").header(b"location") or b""
    assert location.startswith(APP.redirect_uris[0].encode() + b"?code=")


@pytest.mark.parametrize(
    "request_",
    [authorize(client_id="nobody"), authorize(client_id=None), authorize(redirect_uri="https://evil.example/"),
     authorize(client_id="public", redirect_uri=None), Request("GET", ORIGIN, authorize().target + b"&client_id=app"),
     Request("GET", ORIGIN, authorize().target + b"&redirect_uri=x"),
     Request("GET", ORIGIN, authorize().target + b"&a=%FF"),
     Request("GET", ORIGIN, authorize().target + b"&state=x"), authorize(redirect_uri='https://"><script>')],
    ids=range(9),
)  # fmt: skip
def test_nobody_is_sent_to_where_the_client_is_not_registered(request_: Request) -> None:
    page = authorization_server().handle(request_, 0.0)
    assert (page.status, page.header(b"location")) == (400, None)
    assert page.header(b"content-type") == b"text/html; charset=utf-8"
    assert b"<script" not in page.body


@pytest.mark.parametrize(
    ("parameters", "error"),
    [({"response_type": None}, "invalid_request"), ({"response_type": "token"}, "unsupported_response_type"),
     ({"code_challenge": None}, "invalid_request"), ({"code_challenge": "short"}, "invalid_request"),
     ({"code_challenge_method": None}, "invalid_request"), ({"code_challenge_method": "plain"}, "invalid_request"),
     ({"scope": "a  b"}, "invalid_scope")],
)  # fmt: skip
def test_other_faults_are_told_to_the_client(parameters: dict[str, str | None], error: str) -> None:
    back = led_back(authorization_server().handle(authorize(**parameters), 0.0))
    assert (back["error"], back["state"], back["iss"]) == (error, "s&1", ISSUER)


def test_another_parameter_that_is_repeated_is_told_to_the_client() -> None:
    response = authorization_server().handle(Request("GET", ORIGIN, authorize().target + b"&scope=x"), 0.0)
    assert led_back(response)["error"] == "invalid_request"


def test_a_ticket_is_good_for_one_decision_and_for_a_while() -> None:
    server = authorization_server()
    ticket, late = (ticket_of(server.handle(authorize(), 0.0)) for _ in range(2))
    assert decide(server, ticket=ticket, decision="perhaps").status == 400
    assert decide(server, ticket=ticket, decision="accept").status == 303
    assert decide(server, ticket=ticket, decision="accept").status == 400
    assert decide(server, TICKET_LIFETIME, ticket=late, decision="accept").status == 400
    assert decide(server, decision="accept").status == 400


def test_tickets_are_bounded() -> None:
    server = authorization_server(most=1)
    first, second = (ticket_of(server.handle(authorize(), 0.0)) for _ in range(2))
    assert decide(server, ticket=first, decision="accept").status == 400
    assert decide(server, ticket=second, decision="accept").status == 303


def test_what_is_posted_and_no_form_is_refused_with_a_page() -> None:
    page = authorization_server().handle(Request("POST", ORIGIN, AUTHORIZE.encode(), (), b"x"), 0.0)
    assert (page.status, page.header(b"content-type")) == (400, b"text/html; charset=utf-8")


def test_neither_state_nor_ticket_shows() -> None:
    server = authorization_server()
    ticket = ticket_of(server.handle(authorize(state="canary"), 0.0))
    (endpoint,) = (each for path, each in vars(server)["_endpoints"].items() if path == AUTHORIZE)
    held = [asked for _, asked in vars(vars(endpoint)["_tickets"])["_held"].values()]
    assert len(held) == 1
    seen = repr((held, vars(endpoint)))
    assert "canary" not in seen
    assert ticket not in seen
