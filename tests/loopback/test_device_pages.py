from __future__ import annotations

import json

from patchwire.http.message import Request, Response
from patchwire.loopback.authorization import DEVICE, DEVICE_AUTHORIZATION, TOKEN, AuthorizationServer
from patchwire.loopback.device_codes import DEVICE_LIFETIME
from patchwire.loopback.token_endpoint import DEVICE_GRANT
from tests.support.authorization import ORIGIN, authorization_server, decided_on_device, post, ticket_of


def begin(server: AuthorizationServer) -> dict[str, str]:
    response = server.handle(post(DEVICE_AUTHORIZATION, scope="read"), 0.0)
    members: dict[str, str] = json.loads(response.body)
    return members


def send(server: AuthorizationServer, now: float = 0.0, **parameters: str) -> Response:
    return server.handle(post(DEVICE, None, **parameters), now)


def error_of(server: AuthorizationServer, begun: dict[str, str]) -> str | None:
    response = server.handle(post(TOKEN, grant_type=DEVICE_GRANT, device_code=begun["device_code"]), 0.0)
    error: str | None = json.loads(response.body).get("error")
    return error


def test_the_user_types_the_code_sees_who_asks_and_accepts() -> None:
    server = authorization_server()
    begun = begin(server)
    assert b'name="user_code"' in server.handle(Request("GET", ORIGIN, DEVICE.encode()), 0.0).body
    page = send(server, user_code=begun["user_code"].lower())
    assert page.status == 200
    assert all(value in page.body for value in (b"<dd>app</dd>", b"<dd>read</dd>"))
    assert send(server, ticket=ticket_of(page), decision="accept").status == 200
    assert error_of(server, begun) is None


def test_a_device_may_be_denied() -> None:
    server = authorization_server()
    begun = begin(server)
    assert decided_on_device(server, begun["user_code"], "deny") == 200
    assert error_of(server, begun) == "access_denied"


def test_a_code_for_which_nothing_waits_is_asked_for_again() -> None:
    page = send(authorization_server(), user_code="BBBB-BBBB")
    assert (page.status, b'name="user_code"' in page.body) == (400, True)
    assert send(authorization_server()).status == 400
    assert authorization_server().handle(Request("POST", ORIGIN, DEVICE.encode()), 0.0).status == 400


def test_a_page_is_answered_once_and_in_time() -> None:
    server = authorization_server()
    begun, late = begin(server), begin(server)
    ticket, other, last = (
        ticket_of(send(server, user_code=code["user_code"])) for code in (begun, begun, late)
    )  # fmt: skip
    assert send(server, ticket=ticket).status == 400
    assert send(server, ticket=ticket, decision="accept").status == 200
    for again in (ticket, other):
        assert send(server, ticket=again, decision="deny").status == 400
    assert send(server, DEVICE_LIFETIME, ticket=last, decision="accept").status == 400
    assert error_of(server, begun) is None
