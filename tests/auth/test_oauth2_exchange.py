from __future__ import annotations

from base64 import b64encode
from typing import Any

import pytest

from patchwire.auth import oauth2
from patchwire.auth.oauth2_exchange import LONGEST_WAIT, TRIES
from patchwire.auth.oauth2_terms import JwtTerms, Parameters, Terms
from patchwire.auth.secret import Secret
from patchwire.auth.token import Token
from patchwire.errors import (
    ConnectError,
    ConnectionLostError,
    CredentialsError,
    HandshakeError,
    IncompleteResponseError,
    LocalProtocolError,
    ReadTimeoutError,
    RemoteProtocolError,
    Sent,
    TokenError,
)
from patchwire.http.message import Response
from tests.support.oauth2 import (
    CLIENT_SECRET,
    NOW,
    PASSWORD,
    SERVER,
    AuthorizationServer,
    Clock,
    Driver,
    answer,
    exchange,
    form_of,
    issued,
    refused,
    terms,
)

METADATA = f"{SERVER}/.well-known/oauth-authorization-server"
UNREACHABLE = ConnectError("nobody is there", origin=SERVER)
LOST = ConnectionLostError("it broke", origin=SERVER, sent=Sent.MAYBE)
SILENT = ReadTimeoutError("it was silent", origin=SERVER, sent=Sent.MAYBE)
CUT = IncompleteResponseError("it was cut")
BUSY = Response(503)


def document(**more: object) -> Response:
    return answer({"issuer": SERVER, "token_endpoint": f"{SERVER}/t", **more})


class Asking:
    """One exchange with a scripted server."""

    def __init__(self, *script: Response | Exception, of: Terms | None = None, takes: float = 0.0) -> None:
        self.clock = Clock()
        self.server = AuthorizationServer(*script)
        self.driver = Driver(self.clock, self._answer)
        self.exchange = exchange(of or terms(), self.clock)
        self._takes = takes

    def _answer(self, request: Any) -> Response:
        self.clock.now += self._takes
        return self.server(request)

    def token(self, parameters: Parameters | None = None, *, once: bool = False) -> Token:
        return self.driver.run(
            self.exchange.token(
                lambda of: oauth2.client_credentials(of) if parameters is None else parameters, once=once
            )
        )


# --- a token


def test_a_token_lives_from_when_it_was_asked_for() -> None:
    asking = Asking(issued("a", expires_in=100), takes=7.0)
    assert asking.token() == Token("a", NOW + 100, 100.0)


def test_a_token_without_an_end_has_none() -> None:
    assert Asking(issued("a")).token().expires_at is None


# --- who does not answer


@pytest.mark.parametrize("error", [UNREACHABLE, LOST, SILENT, CUT, RemoteProtocolError("no HTTP")])
def test_who_cannot_be_reached_is_asked_again_after_longer_and_longer_pauses(error: Exception) -> None:
    asking = Asking(error, error)
    assert asking.token().access_token == "access-3"
    assert asking.driver.pauses == [1.0, 2.0]
    assert asking.driver.told[1] == f"{error}; the authorization server is asked again in 2 s"


def test_who_never_answers_is_given_up() -> None:
    asking = Asking(*[UNREACHABLE] * TRIES)
    with pytest.raises(CredentialsError, match="no answer from the authorization server: nobody is there") as said:
        asking.token()
    assert not isinstance(said.value, TokenError)
    assert said.value.origin == SERVER
    assert (len(asking.server.asked), asking.driver.pauses) == (TRIES, [1.0, 2.0, 4.0])


def test_a_handshake_that_failed_is_not_tried_again() -> None:
    asking = Asking(HandshakeError("the certificate is not trusted", origin=SERVER))
    with pytest.raises(CredentialsError, match="the certificate is not trusted"):
        asking.token()
    assert len(asking.server.asked) == 1


def test_what_is_our_own_fault_goes_through_as_it_is() -> None:
    asking = Asking(LocalProtocolError("ours"))
    with pytest.raises(LocalProtocolError, match="ours"):
        asking.token()
    assert len(asking.server.asked) == 1


@pytest.mark.parametrize("response", [BUSY, Response(500), Response(429), refused("temporarily_unavailable")])
def test_who_is_busy_is_asked_again_and_believed_in_the_end(response: Response) -> None:
    asking = Asking(*[response] * (TRIES - 1))
    assert asking.token().access_token == f"access-{TRIES}"
    given_up = Asking(*[response] * TRIES)
    with pytest.raises(TokenError) as said:
        given_up.token()
    assert said.value.status == response.status
    assert (len(given_up.server.asked), given_up.driver.pauses) == (TRIES, [1.0, 2.0, 4.0])


@pytest.mark.parametrize("status", [429, 503])
def test_a_server_that_asks_to_be_left_alone_for_a_while_is(status: int) -> None:
    asking = Asking(
        Response(status, ((b"Retry-After", b"30"),)),
        Response(status, ((b"Retry-After", b"0"),)),
        Response(status, ((b"Retry-After", b"60"),)),
    )
    assert asking.token().expires_at == NOW + 92 + 3600
    assert asking.driver.pauses == [30.0, 2.0, LONGEST_WAIT]
    assert asking.driver.told[0] == f"{SERVER} answered {status}; the authorization server is asked again in 30 s"


def test_a_server_that_asks_to_be_left_alone_for_longer_has_failed() -> None:
    asking = Asking(Response(503, ((b"Retry-After", b"61"),)))
    with pytest.raises(TokenError, match="answered 503"):
        asking.token()
    assert (len(asking.server.asked), asking.driver.pauses) == (1, [])


@pytest.mark.parametrize("code", ["invalid_grant", "invalid_client", "invalid_scope"])
def test_an_error_is_not_asked_for_again(code: str) -> None:
    asking = Asking(refused(code))
    with pytest.raises(TokenError) as said:
        asking.token()
    assert said.value.code == code
    assert len(asking.server.asked) == 1


def test_o40_a_redirect_is_not_followed() -> None:
    asking = Asking(Response(302, ((b"Location", b"https://evil.example/"),)))
    with pytest.raises(TokenError, match="redirects, which is not followed"):
        asking.token()
    assert len(asking.server.asked) == 1


# --- once


@pytest.mark.parametrize("error", [LOST, SILENT, CUT])
def test_o23_what_may_have_been_acted_upon_is_not_sent_again_where_it_counts_once(error: Exception) -> None:
    asking = Asking(error)
    with pytest.raises(CredentialsError, match="no answer from the authorization server"):
        asking.token(once=True)
    assert len(asking.server.asked) == 1


@pytest.mark.parametrize("status", [408, 500, 502, 504])
def test_o23_a_gateway_that_has_lost_the_answer_is_not_sent_it_again_either(status: int) -> None:
    asking = Asking(Response(status))
    with pytest.raises(TokenError, match=f"answered {status}"):
        asking.token(once=True)
    assert len(asking.server.asked) == 1


@pytest.mark.parametrize("nothing", [UNREACHABLE, Response(429), BUSY])
def test_o23_what_has_not_been_acted_upon_is_sent_again(nothing: Response | Exception) -> None:
    asking = Asking(nothing)
    assert asking.token(once=True).access_token == "access-2"


# --- each try is a request of its own


def test_o35_each_try_has_an_assertion_of_its_own() -> None:
    jwt = JwtTerms(Secret("canary-key-of-thirty-two-octets-and-more"), "HS256")
    asking = Asking(BUSY, UNREACHABLE, of=terms(client_authentication="client_secret_jwt", jwt=jwt))
    asking.token()
    assert len({form["client_assertion"] for form in asking.server.forms}) == 3


def test_the_parameters_are_made_of_the_terms_at_each_try() -> None:
    asking, made = Asking(BUSY, of=terms("jwt_bearer")), []

    def make(of: Terms) -> Parameters:
        made.append(of)
        return oauth2.client_credentials(of)

    asking.driver.run(asking.exchange.token(make))
    assert made == [asking.exchange.terms] * 2


# --- secrets


def test_o42_no_secret_that_the_server_quotes_is_told() -> None:
    of = terms(
        "password",
        client_authentication="body",
        access_token_parameters=(("more", Secret("canary-parameter")),),
        refresh_token=Secret("canary-refresh-of-the-settings"),
        access_token=Secret("canary-access-of-the-settings"),
    )
    quoted = (
        f"{CLIENT_SECRET} {PASSWORD} canary-parameter canary-refresh-of-the-settings canary-access-of-the-settings"
    )
    for parameters, secret in (
        (oauth2.password(of), PASSWORD),
        (oauth2.refresh("canary-refresh"), "canary-refresh"),
        (
            oauth2.authorization_code("canary-code", "http://127.0.0.1/cb", "canary-verifier"),
            "canary-code canary-verifier",
        ),
        (oauth2.device_code("canary-device"), "canary-device"),
    ):
        for words in (secret, quoted):
            with pytest.raises(TokenError) as said:
                Asking(refused("invalid_grant", error_description=words), of=of).token(parameters)
            assert "canary" not in str(said.value)
            assert "***" in str(said.value)


def test_o42_what_proves_the_client_is_not_told_either() -> None:
    basic = b64encode(f"app:{CLIENT_SECRET}".encode()).decode()
    jwt = JwtTerms(Secret("canary-key-of-thirty-two-octets-and-more"), "HS256")
    for of, quoted in (
        (terms(), f"bad field: Basic {basic}"),
        (terms(client_authentication="client_secret_jwt", jwt=jwt), "client_assertion"),
        (terms("jwt_bearer", jwt=jwt), "assertion"),
    ):
        asking = Asking(of=of)
        parameters = oauth2.jwt_bearer(of, NOW, "u") if of.grant_type == "jwt_bearer" else None

        def echo(request: Any, asking: Asking = asking, quoted: str = quoted) -> Response:
            words = form_of(request).get(quoted, quoted)
            asking.server.asked.append(request)
            return refused("invalid_client", 401, error_description=words)

        asking.driver.server = echo
        with pytest.raises(TokenError) as said:
            asking.token(parameters)
        assert "***" in str(said.value)
        assert basic not in str(said.value)
        assert "eyJ" not in str(said.value)


def test_what_is_no_secret_is_told() -> None:
    parameters = oauth2.authorization_code("canary-code", "http://127.0.0.1/callback", "canary-verifier")
    asking = Asking(refused("invalid_grant", error_description="no http://127.0.0.1/callback of authorization_code"))
    with pytest.raises(TokenError, match="no http://127.0.0.1/callback of authorization_code"):
        asking.token(parameters)


# --- metadata


def test_endpoints_that_the_terms_do_not_name_are_those_of_the_metadata_which_is_asked_for_once() -> None:
    of = terms(access_token_url=None, metadata_url=METADATA)
    found = document(
        authorization_endpoint=f"{SERVER}/a",
        device_authorization_endpoint=f"{SERVER}/d",
        authorization_response_iss_parameter_supported=True,
    )
    asking = Asking(found, of=of)
    asking.token()
    asking.token()
    assert [(each.method, each.target) for each in asking.server.asked] == [
        ("GET", b"/.well-known/oauth-authorization-server"), ("POST", b"/t"), ("POST", b"/t"),
    ]  # fmt: skip
    assert asking.server.asked[0].headers == ((b"Accept", b"application/json"),)
    now = asking.exchange.terms
    assert (now.authorization_url, now.device_authorization_url) == (f"{SERVER}/a", f"{SERVER}/d")
    assert (now.issuer, now.requires_issuer) == (SERVER, True)


@pytest.mark.parametrize(
    ("ways", "prefers", "is_in_body"),
    [
        (["client_secret_post"], True, True),
        (["client_secret_post", "private_key_jwt"], True, True),
        (["client_secret_post"], False, False),
        (["client_secret_basic", "client_secret_post"], True, False),
        (["private_key_jwt"], True, False),
        (None, True, False),
    ],
)
def test_where_the_settings_leave_it_open_the_secret_goes_as_the_metadata_have_it(
    ways: list[str] | None, prefers: bool, is_in_body: bool
) -> None:
    of = terms(access_token_url=None, metadata_url=METADATA, prefers_metadata=prefers)
    asking = Asking(document(token_endpoint_auth_methods_supported=ways), of=of)
    asking.token()
    request = asking.server.asked[-1]
    assert ("client_secret" in form_of(request), request.header(b"authorization") is None) == (is_in_body, is_in_body)


def test_endpoints_that_the_terms_name_stay() -> None:
    of = terms(metadata_url=METADATA, authorization_url=f"{SERVER}/1", device_authorization_url=f"{SERVER}/2")
    asking = Asking(document(authorization_endpoint=f"{SERVER}/a", device_authorization_endpoint=f"{SERVER}/d"), of=of)
    asking.token()
    now = asking.exchange.terms
    assert (now.authorization_url, now.device_authorization_url) == (f"{SERVER}/1", f"{SERVER}/2")
    assert asking.server.asked[1].target == b"/token"


@pytest.mark.parametrize("response", [Response(404), document(issuer="https://evil.example"), answer([])])
def test_metadata_that_must_not_be_used_is_an_error_and_no_token_is_asked_for(response: Response) -> None:
    asking = Asking(response, of=terms(access_token_url=None, metadata_url=METADATA))
    with pytest.raises(CredentialsError, match="no metadata of an authorization server that can be used") as said:
        asking.token()
    assert said.value.origin == METADATA
    assert len(asking.server.asked) == 1
    asking.server.script = [document()]
    assert asking.token().access_token == "access-3", "it may be mended while the run goes on"


def test_o29_metadata_of_another_issuer_than_the_settings_expect_is_not_used() -> None:
    elsewhere = f"{SERVER}/metadata"
    for issuer, is_good in ((SERVER, True), (f"{SERVER}/", False), (None, False)):
        asking = Asking(document(), of=terms(access_token_url=None, metadata_url=elsewhere, issuer=issuer))
        if is_good:
            assert asking.token().access_token == "access-2"
            continue
        with pytest.raises(CredentialsError, match="no metadata of an authorization server that can be used"):
            asking.token()


def test_metadata_of_a_server_that_is_busy_is_asked_for_again() -> None:
    asking = Asking(BUSY, LOST, document(), of=terms(access_token_url=None, metadata_url=METADATA))
    asking.token(once=True)
    assert [each.method for each in asking.server.asked] == ["GET", "GET", "GET", "POST"]
