from __future__ import annotations

import pytest

from patchwire.auth.basic import authorization
from patchwire.auth.credentials import Credentials
from patchwire.auth.flow import Body, FlowResult, Send, Tell, Wait
from patchwire.auth.proxy import Allowed, ProxyAuthentication
from patchwire.http.message import Origin, Request, Response
from tests.support.conversations import converse, sent_by

SVC = Credentials("svc", "canary")
BASIC = b'Basic realm="p"'
DIGEST = b'Digest realm="p", nonce="n", qop="auth", algorithm=SHA-256'
UNUSABLE = b'Digest realm="p", nonce="n", qop="auth", algorithm=SHA-1024'
OK = Response(200)


def proxy(allowed: Allowed = "any", credentials: Credentials | None = SVC) -> ProxyAuthentication:
    return ProxyAuthentication(credentials, lambda: "cnonce", allowed)


def asks(*challenges: bytes) -> Response:
    return Response(407, tuple((b"Proxy-Authenticate", each) for each in challenges))


def tunnel(host: str = "h") -> Request:
    return Request("CONNECT", Origin("https", host, 443), f"{host}:443".encode())


def handed_on(path: str = "/a") -> Request:
    return Request("PATCH", Origin("http", "h", 80), b"http://h" + path.encode(), body=b"{}")


def schemes(sent: list[Send]) -> list[str]:
    """The scheme of each request's credentials, "" where it has none."""
    fields = [step.request.header(b"proxy-authorization") or b"" for step in sent]
    assert all(step.request.header(b"authorization") is None for step in sent)
    return [field.partition(b" ")[0].decode() for field in fields]


def test_a_proxy_that_does_not_ask_is_shown_nothing() -> None:
    authentication = proxy()
    for _ in range(2):
        sent, result, _ = converse(authentication, tunnel(), [OK])
        assert (schemes(sent), result) == ([""], FlowResult(OK))


@pytest.mark.parametrize(
    ("offered", "allowed", "chosen"),
    [
        ([DIGEST], "any", "Digest"), ([BASIC], "any", "Basic"), ([BASIC, DIGEST], "any", "Digest"),
        ([UNUSABLE, BASIC], "any", "Basic"), ([b"Negotiate", BASIC], "any", "Basic"),
        ([DIGEST, BASIC], "basic", "Basic"), ([BASIC, DIGEST], "digest", "Digest"),
    ],
)  # fmt: skip
def test_the_strongest_scheme_that_is_offered_and_allowed_answers_in_the_same_conversation(
    offered: list[bytes], allowed: Allowed, chosen: str
) -> None:
    authentication = proxy(allowed)
    sent, result, _ = converse(authentication, tunnel(), [asks(*offered), OK])
    assert schemes(sent) == ["", chosen]
    assert result.refusal is None
    assert result.shows_acceptance


def test_what_the_proxy_has_accepted_goes_with_the_first_request_of_all_that_follow() -> None:
    for offered, scheme in ((DIGEST, "Digest"), (BASIC, "Basic")):
        authentication = proxy()
        converse(authentication, tunnel(), [asks(offered), OK])
        assert schemes(converse(authentication, tunnel("other"), [OK])[0]) == [scheme]
        assert schemes(converse(authentication, handed_on("/x/y"), [OK])[0]) == [scheme]


def test_any_answer_but_a_challenge_shows_that_the_credentials_are_good() -> None:
    for offered in (DIGEST, BASIC):
        _, result, _ = converse(proxy(), tunnel(), [asks(offered), Response(503)])
        assert result.shows_acceptance


@pytest.mark.parametrize(
    ("offered", "allowed", "problem"),
    [
        ([b"NTLM"], "any", "the proxy asks for Ntlm authentication; proxy.authentication allows Digest and Basic"),
        ([DIGEST], "basic", "the proxy asks for Digest authentication; proxy.authentication allows Basic"),
        ([BASIC], "digest", "the proxy asks for Basic authentication; proxy.authentication allows Digest"),
        ([], "any", "the proxy asks for credentials, and names no scheme; proxy.authentication allows"),
    ],
)  # fmt: skip
def test_a_proxy_that_wants_what_is_not_allowed_is_shown_nothing(
    offered: list[bytes], allowed: Allowed, problem: str
) -> None:
    sent, result, _ = converse(proxy(allowed), tunnel(), [asks(*offered)])
    assert schemes(sent) == [""]
    assert (result.refusal or "").startswith(problem)


def test_without_credentials_the_remedy_is_named() -> None:
    sent, result, _ = converse(proxy(credentials=None), handed_on(), [asks(BASIC)])
    assert schemes(sent) == [""]
    assert result.refusal == "the proxy asks for Basic authentication; give proxy.user and proxy.password"


@pytest.mark.parametrize(("offered", "scheme"), [(DIGEST, "Digest SHA-256"), (BASIC, "Basic")])
def test_a_wrong_password_is_sent_once_and_the_user_named(offered: bytes, scheme: str) -> None:
    sent, result, _ = converse(proxy(), tunnel(), [asks(offered), asks(offered)])
    assert len(sent) == 2
    assert "user 'svc' or its password was rejected by the proxy" in (result.refusal or "")
    assert scheme in (result.refusal or "")


def test_the_first_request_goes_alone_and_the_others_go_with_what_it_has_learnt() -> None:
    authentication = proxy()
    first, second = authentication.flow(tunnel()), authentication.flow(tunnel("other"))
    bare = sent_by(first)
    waits = next(second)
    assert isinstance(waits, Wait)
    assert waits.generation == authentication.generation
    answered = first.send(asks(BASIC))
    while isinstance(answered, Tell):
        answered = first.send(None)
    assert isinstance(answered, Send)
    assert schemes([bare, answered]) == ["", "Basic"]
    third = authentication.flow(tunnel())
    assert isinstance(next(third), Wait)  # what the first has sent is not known to be good
    assert authentication.generation == waits.generation
    with pytest.raises(StopIteration):
        first.send(OK)
    assert authentication.generation != waits.generation
    step = second.send(None)
    assert isinstance(step, Send)
    assert step.request.header(b"proxy-authorization") == authorization(SVC)


def test_where_the_first_is_given_up_the_next_asks() -> None:
    authentication = proxy()
    first, second = authentication.flow(tunnel()), authentication.flow(tunnel("other"))
    sent_by(first)
    waits = next(second)
    assert isinstance(waits, Wait)
    first.close()
    assert authentication.generation != waits.generation
    assert isinstance(second.send(None), Send)


def test_once_a_proxy_asks_for_nothing_nobody_waits_until_it_does() -> None:
    authentication = proxy()
    converse(authentication, tunnel(), [OK])
    first, second = authentication.flow(tunnel()), authentication.flow(tunnel("other"))
    assert isinstance(next(first), Send)
    assert isinstance(next(second), Send)
    for flow in (first, second):
        step = flow.send(asks(DIGEST))
        while isinstance(step, Tell):
            step = flow.send(None)
        assert isinstance(step, Send)
        assert schemes([step]) == ["Digest"]
        with pytest.raises(StopIteration) as stop:
            flow.send(OK)
        assert stop.value.value.refusal is None


def test_a_body_that_can_be_read_once_waits_for_the_challenge() -> None:
    sent, result, _ = converse(proxy(), handed_on(), [asks(DIGEST), OK], Body.ONE_SHOT)
    assert schemes(sent) == ["", "Digest"]
    assert sent[0].request.header(b"expect") == b"100-continue"
    assert result.refusal is None
