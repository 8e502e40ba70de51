from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchwire.auth.basic import BasicAuthentication, authorization
from patchwire.auth.bearer import BearerAuthentication
from patchwire.auth.credentials import Credentials
from patchwire.auth.flow import Body, FlowResult
from patchwire.auth.protection import MAX_SPACES
from patchwire.auth.role import PROXY
from patchwire.http.message import Origin, Request, Response, request_to
from tests.support.conversations import converse

ORIGIN = Origin("http", "h", 80)
SVC = Credentials("svc", "canary")
VALUE = authorization(SVC)
ASKS = Response(401, ((b"WWW-Authenticate", b'Digest nonce="x", Basic realm="r"'),))
OK = Response(200)


def talk(authentication: BasicAuthentication, request: Request, *responses: Response) -> tuple[list[bool], FlowResult]:
    """Which requests of the conversation carried the credentials, and its result."""
    sent, result, _ = converse(authentication, request, responses)
    for step in sent:
        assert step.request.header(b"authorization") in (None, VALUE)
        assert (step.request.target, step.request.body) == (request.target, request.body)
    return [step.request.header(b"authorization") == VALUE for step in sent], result


def basic(*, preemptive: bool = False) -> BasicAuthentication:
    return BasicAuthentication(SVC, ORIGIN, preemptive=preemptive)


def patch(path: str = "/a/b", host: str = "h") -> Request:
    return request_to("PATCH", f"http://{host}{path}", body=b"{}")


def test_preemptive_credentials_go_with_the_first_request() -> None:
    assert talk(basic(preemptive=True), patch(), OK) == ([True], FlowResult(OK))


def test_credentials_wait_for_the_challenge() -> None:
    assert talk(basic(), patch(), ASKS, OK) == ([False, True], FlowResult(OK))


def test_no_challenge_no_credentials() -> None:
    assert talk(basic(), patch(), OK) == ([False], FlowResult(OK))


def test_a_challenge_is_foreseen_at_and_below_the_path_where_it_was_met() -> None:
    authentication = basic()
    talk(authentication, patch("/a/b?x"), ASKS, OK)
    assert talk(authentication, patch("/a/c"), OK)[0] == [True]
    assert talk(authentication, patch("/a/c/d"), OK)[0] == [True]
    assert talk(authentication, patch("/other"), OK)[0] == [False]


@pytest.mark.parametrize("preemptive", [True, False])
def test_credentials_never_go_to_another_origin(preemptive: bool) -> None:
    authentication = basic(preemptive=preemptive)
    assert talk(authentication, patch(host="evil"), ASKS) == ([False], FlowResult(ASKS))
    assert talk(authentication, patch(host="h:8080"), ASKS) == ([False], FlowResult(ASKS))


def test_rejected_credentials_are_a_refusal_and_not_tried_again() -> None:
    carried, result = talk(basic(), patch(), ASKS, ASKS)
    assert carried == [False, True]
    assert result.refusal == "user 'svc' or its password was rejected (Basic, realm 'r')"
    assert talk(basic(preemptive=True), patch(), ASKS)[1].refusal is not None


@pytest.mark.parametrize(
    ("field", "named"),
    [(b"Digest nonce=x, Bearer, Digest nonce=y", "Digest, Bearer authentication"),
     (b"", "credentials, and names no scheme"), (b"a,b,c,d,e,f", "A, B, C, D and 2 more authentication")],
)  # fmt: skip
def test_a_server_that_offers_other_schemes_only_is_a_refusal_that_names_them(field: bytes, named: str) -> None:
    _, result = talk(basic(), patch(), Response(401, ((b"WWW-Authenticate", field),)))
    assert result.refusal == f"the server asks for {named}, this connection has Basic"
    refused = Response(401, ((b"WWW-Authenticate", field),))
    assert talk(basic(preemptive=True), patch(), refused)[1].refusal == result.refusal


def test_the_log_tells_what_was_offered_and_chosen() -> None:
    _, _, told = converse(basic(), patch(), [ASKS, OK])
    assert told == ["the server asks for Digest, Basic authentication; chosen: Basic"]


def test_protection_spaces_are_bounded() -> None:
    authentication = basic()
    for number in range(MAX_SPACES + 10):
        talk(authentication, patch(f"/{number}/x"), ASKS, OK)
    assert talk(authentication, patch(f"/{MAX_SPACES}/y"), OK)[0] == [True]
    assert talk(authentication, patch("/0/y"), OK)[0] == [False]


def test_a_token_is_sent_by_the_same_rules() -> None:
    authentication = BearerAuthentication("canary", ORIGIN, preemptive=False)
    asks = Response(401, ((b"WWW-Authenticate", b"Bearer"),))
    sent, result, _ = converse(authentication, patch(), [asks, OK])
    assert [step.request.header(b"authorization") for step in sent] == [None, b"Bearer canary"]
    assert result == FlowResult(OK)
    assert converse(authentication, patch(host="evil"), [asks])[0][0].request.header(b"authorization") is None


def test_a_proxy_is_answered_with_its_own_fields_and_to_all_targets() -> None:
    authentication = BasicAuthentication(SVC, None, preemptive=False, role=PROXY)
    asks = Response(407, ((b"Proxy-Authenticate", b"Basic realm=p"),))
    sent, result, told = converse(authentication, patch(), [asks, OK])
    assert [step.request.header(b"proxy-authorization") for step in sent] == [None, VALUE]
    assert told == ["the proxy asks for Basic authentication; chosen: Basic"]
    assert converse(authentication, patch("/else", "other"), [OK])[0][0].request.header(b"proxy-authorization")
    sent, result, _ = converse(authentication, patch(), [Response(401)])
    assert result == FlowResult(Response(401), proves=True)


@pytest.mark.parametrize("body", [Body.REPLAYABLE, Body.ONE_SHOT])
def test_a_body_that_is_not_in_memory_waits_for_100_continue_while_a_challenge_may_come(body: Body) -> None:
    authentication = basic()
    sent, _, _ = converse(authentication, patch(), [ASKS, OK], body)
    assert [step.request.header(b"expect") for step in sent] == [b"100-continue", None]
    sent, _, _ = converse(authentication, patch(), [OK], body)
    assert [step.request.header(b"expect") for step in sent] == [None]


def test_a_server_that_knows_no_expectation_is_asked_without_one() -> None:
    sent, result, _ = converse(basic(), patch(), [Response(417), OK], Body.ONE_SHOT)
    assert [step.request.header(b"expect") for step in sent] == [b"100-continue", None]
    assert result == FlowResult(OK)
    asking = patch().with_header(b"Expect", b"100-continue")
    assert converse(basic(), asking, [Response(417)], Body.ONE_SHOT)[1] == FlowResult(Response(417))


ANSWERS = st.sampled_from([200, 202, 404, 500, 503]).map(Response) | st.sampled_from(
    [ASKS, Response(401), Response(401, ((b"WWW-Authenticate", b"Bearer"),))]
)


@given(
    st.booleans(),
    st.lists(st.tuples(st.sampled_from(["/", "/a", "/a/b", "/c?d"]), st.booleans(), ANSWERS, ANSWERS), max_size=5),
)
def test_whatever_a_server_answers_credentials_stay_at_home_and_are_sent_once_a_request(
    preemptive: bool, conversations: list[tuple[str, bool, Response, Response]]
) -> None:
    authentication = basic(preemptive=preemptive)
    for path, at_home, *answers in conversations:
        left: list[Any] = list(answers)
        request = patch(path, "h" if at_home else "evil")
        sent, result, _ = converse(authentication, request, lambda _, left=left: left.pop(0))  # type: ignore[misc]
        assert result.response is answers[len(sent) - 1]
        carried = [step.request.header(b"authorization") for step in sent]
        assert carried.count(VALUE) <= at_home
        assert set(carried) <= {None, VALUE}
        rejected = carried[-1] == VALUE and result.response.status == 401
        assert not rejected or result.refusal is not None
        assert result.refusal is None or result.response.status == 401
