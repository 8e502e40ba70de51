"""The embedded authorization server in tests, and the user who sits before its pages."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from hashlib import sha512
from itertools import count
from urllib.parse import parse_qsl, urlencode

import httpx

from patchwire.auth.pkce import challenge_of
from patchwire.http.message import Origin, Request, Response
from patchwire.loopback.authorization import AUTHORIZE, DEVICE, AuthorizationServer
from patchwire.loopback.oauth_clients import Client

ORIGIN = Origin("http", "127.0.0.1", 8080)
VERIFIER = "canary-verifier-0123456789-0123456789-0123456789"
CALLBACK = "http://127.0.0.1:5000/callback"
APP = Client("app", "canary-secret", ("https://app.example/back",))
PUBLIC = Client("public")
BASIC = "Basic YXBwOmNhbmFyeS1zZWNyZXQ="
FORM = "application/x-www-form-urlencoded"


def numbered() -> Callable[[int], bytes]:
    """Entropy that is the same in each test."""
    numbers = count(1)
    return lambda size: sha512(b"canary %d" % next(numbers)).digest()[:size]


def authorization_server(*clients: Client, **options: object) -> AuthorizationServer:
    """With APP and PUBLIC as clients, unless others are given."""
    return AuthorizationServer(clients or (APP, PUBLIC), numbered(), **options)  # type: ignore[arg-type]


def post(path: str, authorization: str | None = BASIC, **parameters: str) -> Request:
    """A form, from APP unless `authorization` says otherwise."""
    fields = [(b"Content-Type", FORM.encode())]
    if authorization is not None:
        fields.append((b"Authorization", authorization.encode()))
    return Request("POST", ORIGIN, path.encode(), tuple(fields), urlencode(parameters).encode())


def asking(**parameters: str | None) -> dict[str, str]:
    """The parameters of a good authorization request; None takes one out."""
    good = {
        "response_type": "code", "client_id": "app", "redirect_uri": CALLBACK, "scope": "read write", "state": "s&1",
        "code_challenge": challenge_of(VERIFIER), "code_challenge_method": "S256",
    }  # fmt: skip
    return {name: value for name, value in {**good, **parameters}.items() if value is not None}


def authorize(**parameters: str | None) -> Request:
    """A request for the page."""
    return Request("GET", ORIGIN, f"{AUTHORIZE}?{urlencode(asking(**parameters))}".encode())


def ticket_in(page: str) -> str:
    """The ticket that the page holds."""
    (ticket,) = re.findall(r'name="ticket" value="([^"]+)"', page)
    return html.unescape(ticket)


def ticket_of(response: Response) -> str:
    """The ticket in a page."""
    return ticket_in(response.body.decode())


def decided(server: AuthorizationServer, request: Request, decision: str = "accept") -> dict[str, str]:
    """The parameters with which the user's decision leads back."""
    ticket = ticket_of(server.handle(request, 0.0))
    return led_back(server.handle(post(AUTHORIZE, None, ticket=ticket, decision=decision), 0.0))


def led_back(response: Response) -> dict[str, str]:
    """The parameters of a redirection."""
    assert response.status == 303
    return dict(parse_qsl((response.header(b"location") or b"").partition(b"?")[2].decode(), strict_parsing=True))


def decided_on_device(server: AuthorizationServer, user_code: str, decision: str = "accept") -> int:
    """The status of the last page after the user has typed the code and decided."""
    ticket = ticket_of(server.handle(post(DEVICE, None, user_code=user_code), 0.0))
    return server.handle(post(DEVICE, None, ticket=ticket, decision=decision), 0.0).status


def decide(client: httpx.Client, url: str, decision: str = "accept") -> str:
    """What a user does whom a program has led to `url`, the authorization endpoint with its query: the URL to which
    the server leads back.
    """
    page = client.get(url)
    assert page.status_code == 200, page.text
    answer = client.post(
        url.partition("?")[0], data={"ticket": ticket_in(page.text), "decision": decision}, follow_redirects=False
    )
    assert answer.status_code == 303, answer.text
    return answer.headers["location"]


def decide_on_device(client: httpx.Client, url: str, user_code: str, decision: str = "accept") -> None:
    """What a user does to whom a device has shown `url`, its verification_uri, and a code."""
    page = client.post(url, data={"user_code": user_code})
    assert page.status_code == 200, page.text
    assert client.post(url, data={"ticket": ticket_in(page.text), "decision": decision}).status_code == 200
