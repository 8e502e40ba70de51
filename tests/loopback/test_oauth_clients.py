from __future__ import annotations

from base64 import b64encode

import pytest

from patchwire.errors import LocalProtocolError
from patchwire.http.message import Origin, Request
from patchwire.loopback.forms import Form
from patchwire.loopback.oauth_answers import OAuthError
from patchwire.loopback.oauth_clients import Client, Clients

ODD = Client("a:b c", "canary +%&:\\")
APP, PUBLIC = Client("app", "canary"), Client("public")
CLIENTS = Clients([APP, PUBLIC, ODD])


def client(*authorization: str, **parameters: str) -> Client:
    fields = tuple((b"Authorization", value.encode()) for value in authorization)
    return CLIENTS.authenticated(Request("POST", Origin("http", "h", 80), b"/", fields), Form(parameters))


def basic(pair: str) -> str:
    return "Basic " + b64encode(pair.encode("latin-1")).decode()


@pytest.mark.parametrize(
    ("authorization", "parameters", "expected"),
    [([basic("app:canary")], {}, APP), ([basic("app:canary")], {"client_id": "app"}, APP),
     ([], {"client_id": "app", "client_secret": "canary"}, APP), ([], {"client_id": "public"}, PUBLIC),
     ([basic("public:")], {}, PUBLIC), ([basic("a%3Ab+c:canary+%2B%25%26%3a%5C")], {}, ODD)],
)  # fmt: skip
def test_a_client_proves_itself_by_basic_in_the_body_or_has_no_secret(
    authorization: list[str], parameters: dict[str, str], expected: Client
) -> None:
    assert client(*authorization, **parameters) == expected


@pytest.mark.parametrize(
    ("authorization", "parameters", "expected"),
    [([basic("app:wrong")], {}, ("invalid_client", 401)), ([basic("nobody:canary")], {}, ("invalid_client", 401)),
     ([basic("app:")], {}, ("invalid_client", 401)), ([basic("app")], {}, ("invalid_client", 401)),
     ([basic("app:\xe4")], {}, ("invalid_client", 401)), ([basic("app:%E4")], {}, ("invalid_client", 401)),
     (["Basic a"], {}, ("invalid_client", 401)), (["Basic realm=x"], {}, ("invalid_client", 401)),
     (["Bearer canary"], {}, ("invalid_client", 401)), ([basic("public:canary")], {}, ("invalid_client", 401)),
     ([basic("app:canary")] * 2, {}, ("invalid_client", 401)),
     ([], {}, ("invalid_client", 400)), ([], {"client_id": "app"}, ("invalid_client", 400)),
     ([], {"client_id": "nobody"}, ("invalid_client", 400)),
     ([], {"client_secret": "canary"}, ("invalid_client", 400)),
     ([], {"client_id": "app", "client_secret": "wrong"}, ("invalid_client", 400)),
     ([], {"client_id": "app", "client_secret": "\u00e4"}, ("invalid_client", 400)),
     ([], {"client_id": "public", "client_secret": "canary"}, ("invalid_client", 400)),
     ([], {"client_id": "app", "client_assertion": "x"}, ("invalid_client", 400)),
     ([basic("app:canary")], {"client_id": "app", "client_secret": "canary"}, ("invalid_request", 400)),
     ([basic("app:canary")], {"client_assertion": "x"}, ("invalid_request", 400)),
     ([], {"client_id": "app", "client_secret": "canary", "client_assertion": "x"}, ("invalid_request", 400)),
     ([basic("app:canary")], {"client_id": "public"}, ("invalid_request", 400))],
)  # fmt: skip
def test_a_client_that_proves_nothing_or_twice_is_refused_and_asked_for_basic_where_it_used_authorization(
    authorization: list[str], parameters: dict[str, str], expected: tuple[str, int]
) -> None:
    with pytest.raises(OAuthError) as caught:
        client(*authorization, **parameters)
    response = caught.value.response()
    assert (caught.value.code, response.status) == expected
    asked = response.header(b"www-authenticate")
    assert (asked is not None and asked.startswith(b"Basic realm=")) is (response.status == 401)


@pytest.mark.parametrize(
    ("uri", "allowed"),
    [("https://app.example/back", True), ("https://app.example/back/", False), ("https://app.example/back?a", False),
     ("http://127.0.0.1/", True), ("http://127.0.0.1:5000/callback?a=b", True), ("http://[::1]:5000/x", True),
     ("http://127.0.0.1:1", True), ("http://127.0.0.1?x", True), ("http://localhost:5000/", False),
     ("https://127.0.0.1/", False), ("http://127.0.0.1@evil.example/", False),
     ("http://127.0.0.1:80@evil.example/", False), ("http://127.0.0.1.evil.example/", False),
     ("http://127.0.0.1:5000\\@evil.example/", False), ("http://127.0.0.1/#a", False),
     ("http://127.0.0.1/\r\nX: y", False), ("http://127.0.0.1/\n", False), ("", False)],
)  # fmt: skip
def test_a_code_goes_only_where_the_client_is_registered_or_to_the_loopback_interface(uri: str, allowed: bool) -> None:
    assert Client("app", None, ("https://app.example/back",)).may_be_sent_to(uri) is allowed


@pytest.mark.parametrize(
    ("client_id", "secret", "uri", "complaint"),
    [("", None, "a:b", "client id"), ("\u00e4", None, "a:b", "client id"), ("a", "", "a:b", "client secret"),
     ("a", "x\n", "a:b", "client secret"), ("a", None, "/back", "URI"), ("a", None, "a:b#c", "URI"),
     ("a", None, "https://h/ x", "URI")],
)  # fmt: skip
def test_a_client_that_could_never_be_served_is_refused(
    client_id: str, secret: str | None, uri: str, complaint: str
) -> None:
    with pytest.raises(LocalProtocolError, match=complaint):
        Client(client_id, secret, (uri,))


def test_metadata_names_the_ways_in_which_these_clients_prove_themselves() -> None:
    assert CLIENTS.ways == ["client_secret_basic", "client_secret_post", "none"]
    assert (Clients([APP]).ways, Clients([PUBLIC]).ways) == (["client_secret_basic", "client_secret_post"], ["none"])


def test_no_secret_shows() -> None:
    assert (repr(APP), repr(CLIENTS)) == ("<Client 'app'>", "<3 clients>")
