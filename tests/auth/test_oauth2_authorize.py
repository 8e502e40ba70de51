from __future__ import annotations

from collections.abc import Generator
from contextlib import suppress
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit

import pytest

from patchwire.auth.flow import Answer, Ask, Pause, Step
from patchwire.auth.oauth2_authorize import AuthorizationRequest, Authorizing
from patchwire.auth.oauth2_device import DeviceAuthorization
from patchwire.auth.oauth2_session import TokenSession
from patchwire.auth.oauth2_source import TokenSource
from patchwire.auth.oauth2_terms import Before, GrantType, JwtTerms, Terms
from patchwire.auth.pkce import challenge_of
from patchwire.auth.secret import Secret
from patchwire.auth.token import Token
from patchwire.auth.token_keeping import TokenKeeping, fingerprint
from patchwire.errors import (
    CallbackError,
    ConnectError,
    CredentialsError,
    HandshakeError,
    ReadTimeoutError,
    Sent,
    StorageError,
    TokenError,
)
from patchwire.http.message import Response
from tests.support.oauth2 import (
    API,
    CLIENT_SECRET,
    NOW,
    SERVER,
    AuthorizationServer,
    Clock,
    Driver,
    MemoryStore,
    answer,
    exchange,
    issued,
    refused,
    terms,
)
from tests.support.vectors import VECTORS, load, needs_vectors

T = TypeVar("T")
BACK = "http://127.0.0.1:8976/callback"
PENDING = refused("authorization_pending")
TIMEOUT = ReadTimeoutError("it was silent", origin=SERVER, sent=Sent.MAYBE)
UNREACHABLE = ConnectError("nobody is there", origin=SERVER)
CODES = {"device_code": "canary-device", "user_code": "AB-CD", "verification_uri": "https://as.example/go"}


def usual(grant: GrantType = "authorization_code", **more: Any) -> Terms:
    given: dict[str, Any] = {
        "authorization_url": f"{SERVER}/authorize",
        "device_authorization_url": f"{SERVER}/device",
        "jwt": JwtTerms(Secret("canary-key-of-thirty-two-octets-and-more"), "HS256"),
    }
    return terms(grant, **given | more)


class Generate:
    """One authorization, and what it needs."""

    def __init__(self, of: Terms | None = None, *script: Response | Exception, before: Before | None = None) -> None:
        self.clock = Clock()
        self.terms = usual() if of is None else of
        self.server = AuthorizationServer(*script)
        self.store = MemoryStore()
        self.driver = Driver(self.clock, self.server)
        keeping = TokenKeeping(self.store)
        before = Before(self.terms.access_token, self.terms.scope) if before is None else before
        self.authorizing = Authorizing(exchange(self.terms, self.clock), keeping, API, before)

    def run(self, steps: Generator[Step, Answer, T]) -> T:
        try:
            return self.driver.run(steps)
        finally:
            assert not self.store.is_locked

    def request(self) -> AuthorizationRequest:
        return self.run(self.authorizing.request(BACK))

    def redeemed(self, request: AuthorizationRequest, code: str = "canary-code") -> Token:
        return self.run(self.authorizing.redeemed(request, f"{BACK}?code={code}&state={request.state}"))


# --- at once


@pytest.mark.parametrize("grant", ["client_credentials", "password", "jwt_bearer"])
def test_a_grant_that_needs_nobody_is_asked_for_at_once_and_its_token_kept(grant: GrantType) -> None:
    it = Generate(usual(grant))
    token = it.run(it.authorizing.at_once())
    assert token == it.store.kept.token
    named = {"jwt_bearer": "urn:ietf:params:oauth:grant-type:jwt-bearer"}
    assert it.server.grants == [named.get(grant, grant)]
    assert it.store.kept.scope == "read"


def test_a_token_that_was_obtained_anew_comes_before_those_of_the_settings() -> None:
    of = usual(access_token=Secret("canary-override"), refresh_token=Secret("canary-given"))
    before = Before(Secret("canary-before"), "read")
    it = Generate(of, issued("access-new", expires_in=60, refresh_token="refresh-new"), before=before)
    it.redeemed(it.request())
    kept = it.store.kept
    assert set(kept.rejected) == {fingerprint("canary-before"), fingerprint("canary-override")}
    assert kept.given == fingerprint("canary-given")
    session = TokenSession(TokenSource(exchange(of, it.clock), TokenKeeping(it.store), API, before))
    assert it.run(session.current()).token == kept.token
    it.clock.now += 60
    it.run(session.current())
    assert it.server.forms[-1]["refresh_token"] == "refresh-new"


# --- a code


def test_the_user_is_sent_to_a_url_with_a_state_and_a_challenge_that_are_new_each_time() -> None:
    it = Generate(usual(authorization_parameters=(("prompt", "consent"),)))
    first, second = it.request(), it.request()
    query = parse_qs(urlsplit(first.url).query)
    assert query == {
        "response_type": ["code"],
        "client_id": ["app"],
        "redirect_uri": [BACK],
        "scope": ["read"],
        "state": [first.state],
        "code_challenge": [challenge_of(first.verifier)],
        "code_challenge_method": ["S256"],
        "prompt": ["consent"],
    }
    assert first.url.startswith(f"{SERVER}/authorize?")
    assert len({first.state, first.verifier, second.state, second.verifier}) == 4
    assert first.verifier not in first.url
    assert repr(first) == f"<AuthorizationRequest to {BACK}>"


def test_o14_a_code_is_redeemed_with_the_redirect_uri_and_the_verifier_of_its_request() -> None:
    it = Generate(None, issued("access-new", refresh_token="refresh-new"))
    request = it.request()
    token = it.redeemed(request)
    assert it.server.forms == [
        {
            "grant_type": "authorization_code",
            "code": "canary-code",
            "redirect_uri": BACK,
            "code_verifier": request.verifier,
        }
    ]
    assert token == it.store.kept.token == Token("access-new", refresh_token="refresh-new")


@pytest.mark.parametrize(
    "query", ["code=canary-code", "code=canary-code&state=other", "error=access_denied&state={0}"]
)
def test_a_callback_that_may_not_be_followed_redeems_nothing(query: str) -> None:
    it = Generate()
    request = it.request()
    with pytest.raises(CallbackError) as said:
        it.run(it.authorizing.redeemed(request, f"{BACK}?{query.format(request.state)}"))
    assert "canary" not in str(said.value)
    assert it.server.asked == []


@pytest.mark.parametrize("lost", [TIMEOUT, Response(502), Response(504), Response(500)])
def test_o23_a_code_whose_answer_is_lost_is_not_redeemed_again(lost: Response | Exception) -> None:
    it = Generate(None, lost)
    with pytest.raises(CredentialsError):
        it.redeemed(it.request())
    assert len(it.server.asked) == 1


@pytest.mark.parametrize("nothing", [UNREACHABLE, Response(503), Response(429)])
def test_o23_a_code_that_never_arrived_is_sent_again(nothing: Response | Exception) -> None:
    it = Generate(None, nothing)
    assert it.redeemed(it.request()).access_token == "access-2"


def test_o42_the_code_that_a_server_quotes_is_not_told() -> None:
    it = Generate(None, refused("invalid_grant", error_description=f"canary-code was used; {CLIENT_SECRET}"))
    with pytest.raises(TokenError) as said:
        it.redeemed(it.request())
    assert "canary" not in str(said.value)


def test_a_token_that_cannot_be_kept_is_an_error() -> None:
    it = Generate()
    request = it.request()
    it.store.broken = {"write"}
    with pytest.raises(StorageError, match="the disk is full"):
        it.redeemed(request)


def test_a_code_is_not_spent_while_its_token_could_not_be_kept_for_another_process() -> None:
    it = Generate()
    request = it.request()
    it.store.is_locked_elsewhere = True
    with pytest.raises(CredentialsError, match="another process has been renewing this token"):
        it.redeemed(request)
    assert it.server.asked == []
    it.store.is_locked_elsewhere = False
    assert it.redeemed(request).access_token == "access-1"


def test_who_gives_up_at_whatever_step_leaves_no_lock_behind() -> None:
    for count in range(20):
        for is_taken in (False, True):
            it = Generate(None, Response(503))
            request = it.request()
            steps = it.authorizing.redeemed(request, f"{BACK}?code=c&state={request.state}")
            step = next(steps)
            with suppress(StopIteration):
                for _ in range(count):
                    step = it.driver.resumed(steps, step)
                if is_taken:
                    it.driver.take(step)
            steps.close()
            assert not it.store.is_locked


def metadata(**more: object) -> Response:
    return answer({"issuer": SERVER, "token_endpoint": f"{SERVER}/token", **more})


def discovering(**more: Any) -> Terms:
    url = f"{SERVER}/.well-known/oauth-authorization-server"
    return usual(authorization_url=None, device_authorization_url=None, metadata_url=url, **more)


def test_the_endpoints_of_the_metadata_are_used() -> None:
    found = metadata(
        authorization_endpoint=f"{SERVER}/a",
        code_challenge_methods_supported=["S256"],
        authorization_response_iss_parameter_supported=True,
    )
    it = Generate(discovering(), found)
    request = it.request()
    assert request.url.startswith(f"{SERVER}/a?")
    assert (request.issuer, request.requires_issuer) == (SERVER, True)
    with pytest.raises(CallbackError, match="does not name its issuer"):
        it.redeemed(request)


def test_where_nobody_names_an_endpoint_the_error_says_what_to_set() -> None:
    with pytest.raises(CredentialsError, match="no authorization endpoint is known: set oauth2.authorization_url"):
        Generate(discovering(), metadata()).request()
    it = Generate(discovering(), metadata())
    with pytest.raises(CredentialsError, match="no device authorization endpoint is known: set oauth2.device_"):
        it.run(it.authorizing.device())


@pytest.mark.parametrize("grant", ["authorization_code", "device_code"])
def test_without_a_token_endpoint_nobody_is_asked_to_accept(grant: GrantType) -> None:
    """Settings with an access token need none, until a person is to authorize."""
    it = Generate(usual(grant, access_token_url=None))
    with pytest.raises(CredentialsError, match="no token endpoint is known: set oauth2.access_token_url"):
        it.run(it.authorizing.device()) if grant == "device_code" else it.request()
    assert it.server.asked == []


def test_o04_a_server_that_does_not_offer_s256_is_not_authorized_with() -> None:
    found = metadata(authorization_endpoint=f"{SERVER}/a", code_challenge_methods_supported=["plain"])
    it = Generate(discovering(), found)
    with pytest.raises(CredentialsError, match="does not offer PKCE with S256"):
        it.request()


@pytest.mark.parametrize(
    ("query", "is_one"),
    [("code=c&state={0}", True), ("state={0}&error=x", True), ("code=c", False), ("state=other", False),
     ("state={0}&state={0}", False), ("", False), ("state={0}x", False), ("state=%ff%e2%82%ac", False)],
)  # fmt: skip
def test_o05_the_answer_to_another_tab_is_told_from_ours(query: str, is_one: bool) -> None:
    request = Generate().request()
    assert request.is_answered_by(f"/callback?{query.format(request.state)}") is is_one
    assert not request.is_answered_by("/callback")


# --- a device


def device(interval: float = 5.0, lasts: float = 600.0) -> DeviceAuthorization:
    return DeviceAuthorization("canary-device", "AB-CD", "https://as.example/go", None, NOW + lasts, interval)


def polled(it: Generate, of: DeviceAuthorization | None = None) -> Token:
    return it.run(it.authorizing.polled(of or device()))


def test_a_device_code_is_asked_for_and_lives_from_then_on() -> None:
    it = Generate(usual("device_code"), Response(503), answer(CODES | {"expires_in": 60}))
    found = it.run(it.authorizing.device())
    assert found.device_code == "canary-device"
    assert found.expires_at == NOW + 60
    assert it.server.forms[1] == {"client_id": "app", "scope": "read"}


def test_o42_what_a_server_quotes_of_the_client_is_not_told() -> None:
    it = Generate(usual("device_code"), refused("invalid_client", 401, error_description=f"no {CLIENT_SECRET}"))
    with pytest.raises(TokenError, match="invalid_client: no \\*\\*\\*"):
        it.run(it.authorizing.device())


def test_o32_a_device_asks_at_the_interval_until_the_user_has_accepted_and_keeps_the_token() -> None:
    it = Generate(usual("device_code"), PENDING, PENDING, issued("access-new"))
    assert polled(it, device(7.0)) == it.store.kept.token == Token("access-new")
    assert it.driver.pauses == [7.0, 7.0, 7.0]
    assert it.server.forms[0] == {
        "grant_type": "urn:ietf:params:oauth:grant-type:device_code",
        "device_code": "canary-device",
    }


def test_o32_each_slow_down_adds_five_seconds_for_good() -> None:
    it = Generate(usual("device_code"), refused("slow_down"), PENDING, refused("slow_down"), PENDING)
    polled(it)
    assert it.driver.pauses == [5.0, 10.0, 10.0, 15.0, 15.0]


@pytest.mark.parametrize("code", ["access_denied", "expired_token", "invalid_grant", "whatever"])
def test_o32_every_other_error_ends_it(code: str) -> None:
    it = Generate(usual("device_code"), PENDING, refused(code, error_description="canary-device"))
    with pytest.raises(TokenError) as said:
        polled(it)
    assert said.value.code == code
    assert "canary" not in str(said.value)
    assert len(it.server.asked) == 2


@pytest.mark.parametrize("error", [TIMEOUT, UNREACHABLE, Response(503)])
def test_o33_who_cannot_be_reached_is_asked_less_often_and_never_more(error: Response | Exception) -> None:
    """RFC 8628 section 3.5: the frequency must be reduced before the next try."""
    it = Generate(usual("device_code"), error, error, PENDING)
    polled(it)
    assert it.driver.pauses == [5.0, 10.0, 20.0, 5.0]


def test_o33_who_cannot_be_reached_for_long_is_asked_less_often_for_good() -> None:
    it = Generate(usual("device_code"), *[TIMEOUT] * 4, PENDING)
    polled(it)
    assert it.driver.pauses == [5.0, 10.0, 20.0, 40.0, 10.0, 10.0]


def test_a_device_that_asks_seldom_outlasts_a_server_that_is_busy_for_a_moment() -> None:
    it = Generate(usual("device_code"), Response(503), PENDING)
    polled(it, device(40.0))
    assert it.driver.pauses == [40.0, 80.0, 40.0]


def test_o34_once_the_code_has_ended_nobody_is_asked() -> None:
    it = Generate(usual("device_code"), *[PENDING] * 100)
    with pytest.raises(CredentialsError, match="nobody accepted before the code ended: try again") as said:
        polled(it, device(lasts=21.0))
    assert said.value.origin == API
    assert len(it.server.asked) == 4
    assert it.clock.now < NOW + 21


def test_a_device_code_that_ended_while_nobody_answered_says_that() -> None:
    it = Generate(usual("device_code"), *[HandshakeError("the certificate is not trusted", origin=SERVER)] * 100)
    with pytest.raises(CredentialsError, match="the certificate is not trusted"):
        polled(it)
    assert len(it.server.asked) < 10


def test_a_device_code_that_ended_after_answers_says_that_nobody_accepted() -> None:
    it = Generate(usual("device_code"), *[TIMEOUT] * 4, *[PENDING] * 100)
    with pytest.raises(CredentialsError, match="nobody accepted before the code ended"):
        polled(it)


def test_a_device_whose_token_cannot_be_kept_is_told() -> None:
    it = Generate(usual("device_code"))
    it.store.broken = {"write"}
    with pytest.raises(StorageError):
        polled(it)
    assert len(it.server.asked) == 1


@pytest.mark.parametrize("broken", ["prepare", "lock"])
@pytest.mark.parametrize("grant", ["authorization_code", "device_code"])
def test_nobody_is_asked_to_accept_what_could_not_be_kept(grant: GrantType, broken: str) -> None:
    it = Generate(usual(grant))
    it.store.broken = {broken}
    steps: Generator[Step, Answer, object]
    steps = it.authorizing.request(BACK) if grant == "authorization_code" else it.authorizing.device()
    with pytest.raises(StorageError):
        it.run(steps)
    assert it.server.asked == []


def test_the_lock_is_not_held_while_the_user_makes_up_their_mind() -> None:
    it = Generate(usual("device_code"), PENDING)
    steps = it.authorizing.polled(device())
    step = next(steps)
    for _ in range(4):
        assert not it.store.is_locked
        assert isinstance(step, Pause | Ask)
        step = it.driver.resumed(steps, step)
    steps.close()


@needs_vectors
@pytest.mark.parametrize(
    "case", load("oauth2/vectors.json")["device_polling"] if VECTORS else [], ids=lambda case: str(case)[:60]
)
def test_a_device_does_as_the_vectors_say(case: dict[str, str]) -> None:
    event, expected = case.get("event"), case["expect"]
    if event == "no interval member":
        it = Generate(usual("device_code"), answer(CODES))
        assert it.run(it.authorizing.device()).interval == 5
        return
    first: Response | Exception | None = TIMEOUT if event == "connection timeout" else PENDING if event else None
    it = Generate(usual("device_code"), first or refused(case["error"]), PENDING)
    of = device(lasts=6.0 if event == "expires_in reached locally" else 600.0)
    if expected.startswith("stop"):
        with pytest.raises(CredentialsError):
            polled(it, of)
        assert len(it.server.asked) == 1
        return
    polled(it, of)
    waited = {"poll again after interval": [5, 5, 5], "interval += 5 s, for this and all later polls": [5, 10, 10]}
    assert it.driver.pauses == waited.get(expected, [5, 10, 5])
