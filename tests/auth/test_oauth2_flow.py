from __future__ import annotations

from typing import Any

import pytest

from patchwire.auth.flow import Body, FlowResult, Send, Step, Wait
from patchwire.auth.oauth2_flow import OAuth2Authentication
from patchwire.auth.oauth2_session import TokenSession
from patchwire.auth.oauth2_source import TokenSource
from patchwire.auth.token_keeping import TokenKeeping
from patchwire.errors import CredentialsError
from patchwire.http.message import Origin, Request, Response, request_to
from tests.support.oauth2 import (
    API,
    AuthorizationServer,
    Clock,
    Driver,
    MemoryStore,
    exchange,
    refused,
    terms,
)

ORIGIN = Origin("https", "api.example", 443)
OK = Response(200)


def challenged(field: str, status: int = 401) -> Response:
    return Response(status, ((b"WWW-Authenticate", field.encode()),))


PLAIN = challenged('Bearer realm="r"')
INVALID = challenged('Bearer error="invalid_token", error_description="it expired"')
BASIC = challenged('Basic realm="r"')


def patch(path: str = "/a/b", at: str = API, method: str = "PATCH") -> Request:
    return request_to(method, f"{at}{path}", body=b"{}")


class Talk:
    """One authentication, and a resource server with a script."""

    def __init__(
        self, *script: Response | None, preemptive: bool = True, asked: AuthorizationServer | None = None
    ) -> None:
        self.clock = Clock()
        self.server = asked or AuthorizationServer()
        self.store = MemoryStore()
        self.script = list(script)
        self.sent: list[Send] = []
        self.driver = Driver(self.clock, self.server, self._resource)
        keeping = TokenKeeping(self.store)
        self.session = TokenSession(TokenSource(exchange(terms(), self.clock), keeping, API))
        self.authentication = OAuth2Authentication(self.session, ORIGIN, preemptive=preemptive)

    def _resource(self, step: Send) -> Response | None:
        self.sent.append(step)
        return self.script.pop(0) if self.script else OK

    def result(self, request: Request | None = None, body: Body = Body.IN_REQUEST) -> FlowResult:
        return self.driver.run(self.authentication.flow(request or patch(), body))

    @property
    def fields(self) -> list[bytes | None]:
        return [step.request.header(b"authorization") for step in self.sent]


def first(number: int = 1) -> bytes:
    return f"Bearer access-{number}".encode()


# --- to whom, and when


def test_o24_the_token_goes_in_the_authorization_field_and_nowhere_else() -> None:
    talk = Talk()
    assert talk.result() == FlowResult(OK)
    ((step),) = talk.sent
    assert talk.fields == [b"Bearer access-1"]
    assert step.request.target == b"/a/b"
    assert step.request.body == b"{}"
    assert [name for name, value in step.request.headers if b"access-1" in value] == [b"Authorization"]


def test_o24_a_field_of_the_request_itself_is_replaced_and_not_joined() -> None:
    talk = Talk()
    talk.result(patch().with_header(b"Authorization", b"Basic canary"))
    assert talk.sent[0].request.all_values(b"authorization") == [b"Bearer access-1"]


@pytest.mark.parametrize("at", ["https://evil.example", "http://api.example", "https://api.example:444"])
def test_o25_another_origin_is_shown_no_token_also_where_it_asks_for_one(at: str) -> None:
    talk = Talk(PLAIN)
    assert talk.result(patch(at=at)).response is PLAIN
    assert talk.fields == [None]
    assert talk.server.asked == []


def test_a_token_waits_for_its_challenge_unless_it_is_to_go_at_once() -> None:
    talk = Talk(PLAIN, OK, preemptive=False)
    assert talk.result() == FlowResult(OK)
    assert talk.fields == [None, first()]
    assert talk.driver.told == ["the server asks for Bearer authentication; chosen: Bearer"]


def test_without_a_challenge_no_token_is_asked_for() -> None:
    talk = Talk(OK, preemptive=False)
    assert talk.result() == FlowResult(OK)
    assert (talk.fields, talk.server.asked) == ([None], [])


def test_a_challenge_is_foreseen_at_and_below_the_path_where_it_was_met() -> None:
    talk = Talk(PLAIN, preemptive=False)
    talk.result()
    for path in ("/a/c", "/a/c/d", "/other"):
        talk.result(patch(path))
    assert talk.fields == [None, first(), first(), first(), None]


def test_a_challenge_for_something_else_shows_no_token() -> None:
    talk = Talk(BASIC, preemptive=False)
    assert talk.result().refusal == (
        "the server asks for Basic authentication, this connection has a bearer token of OAuth 2.0"
    )
    assert (talk.fields, talk.server.asked) == ([None], [])


def test_a_body_that_is_not_in_memory_waits_for_the_challenge() -> None:
    talk = Talk(PLAIN, preemptive=False)
    talk.result(body=Body.REPLAYABLE)
    assert [step.request.header(b"expect") for step in talk.sent] == [b"100-continue", None]


# --- rejected


@pytest.mark.parametrize("rejection", [INVALID, PLAIN, challenged("Bearer"), Response(401)])
def test_o26_a_token_that_is_rejected_is_renewed_and_the_request_sent_once_more(rejection: Response) -> None:
    talk = Talk(rejection, OK)
    assert talk.result() == FlowResult(OK)
    assert talk.fields == [first(1), first(2)]
    assert talk.driver.told[0].startswith("the token was rejected: ")


def test_o26_one_that_was_renewed_and_is_rejected_too_is_a_refusal() -> None:
    talk = Talk(PLAIN, INVALID)
    result = talk.result()
    assert result.refusal == "the token was rejected: invalid_token: it expired"
    assert result.response is INVALID
    assert talk.fields == [first(1), first(2)]
    assert not result.shows_acceptance


@pytest.mark.parametrize("error", ["insufficient_scope", "invalid_request"])
def test_o26_what_another_token_would_not_end_is_not_tried_again(error: str) -> None:
    talk = Talk(challenged(f'Bearer error="{error}"'))
    result = talk.result()
    assert (result.refusal, result.note) == (None, f"the token was rejected: {error}")
    assert not result.shows_acceptance
    assert len(talk.server.asked) == 1
    assert talk.session.at_hand() is not None


def test_a_server_that_asks_for_something_else_gets_one_more_token_and_then_none() -> None:
    talk = Talk(BASIC, BASIC)
    assert talk.result().refusal == (
        "the server asks for Basic authentication, this connection has a bearer token of OAuth 2.0"
    )
    assert talk.fields == [first(1), first(2)]


@pytest.mark.parametrize("status", [200, 204, 400, 404, 412, 500, 503, 407])
def test_what_is_no_401_is_the_answer(status: int) -> None:
    talk = Talk(Response(status))
    assert talk.result() == FlowResult(Response(status))
    assert len(talk.sent) == 1


@pytest.mark.parametrize(
    ("field", "note"),
    [('Bearer error="insufficient_scope", scope="write"',
      "the token's scope is not enough: it needs 'write' (oauth2.scope)"),
     ('Bearer error="insufficient_scope"', "the token's scope is not enough (oauth2.scope)"),
     ('Bearer error="invalid_token"', None), ("Bearer", None), ("Basic", None)],
)  # fmt: skip
def test_o26_a_scope_that_is_not_enough_is_said_and_shows_that_the_token_is_good(field: str, note: str | None) -> None:
    talk = Talk(challenged(field, 403))
    result = talk.result()
    assert (result.note, result.refusal, result.shows_acceptance) == (note, None, True)
    assert len(talk.sent) == 1
    assert Talk(Response(403)).result().note is None


def test_what_the_server_says_of_a_scope_at_length_is_cut() -> None:
    assert (
        len(Talk(challenged(f'Bearer error="insufficient_scope", scope="{"x" * 9000}"', 403)).result().note or "")
        < 300
    )


# --- many flows


def test_o26_flows_whose_token_was_rejected_meanwhile_take_the_new_one_without_a_question() -> None:
    talk = Talk(PLAIN)
    flows = [talk.authentication.flow(patch()) for _ in range(20)]
    steps: list[Step] = []
    for flow in flows:
        step = next(flow)
        while not isinstance(step, Send):
            step = talk.driver.resumed(flow, step)
        steps.append(step)
    for flow, step in zip(flows, steps, strict=True):
        assert isinstance(step, Send)
        assert step.request.header(b"authorization") == first(1)
        again: Step = flow.send(INVALID)
        while not isinstance(again, Send):
            again = talk.driver.resumed(flow, again)
        assert again.request.header(b"authorization") == first(2)
        with pytest.raises(StopIteration):
            flow.send(OK)
    assert len(talk.server.asked) == 2


def test_a_flow_whose_token_was_replaced_before_it_left_sends_the_new_one() -> None:
    talk = Talk()
    flow = talk.authentication.flow(patch())
    step: Step = next(flow)
    while not isinstance(step, Send):
        step = talk.driver.resumed(flow, step)
    assert step.is_good is not None
    assert step.is_good()
    before = talk.authentication.generation
    talk.session.reject(talk.session.state.generation)
    assert talk.authentication.generation > before
    assert not step.is_good()
    following: Step = flow.send(None)
    while not isinstance(following, Send):
        following = talk.driver.resumed(flow, following)
    assert following.request.header(b"authorization") == first(2)
    with pytest.raises(StopIteration):
        flow.send(OK)


def test_flows_wait_for_the_one_that_asks() -> None:
    talk = Talk()
    asking, waiting = talk.authentication.flow(patch()), talk.authentication.flow(patch())
    step = next(asking)
    assert next(waiting) == Wait(talk.authentication.generation)
    while not isinstance(step, Send):
        step = talk.driver.resumed(asking, step)
    following = waiting.send(None)
    assert isinstance(following, Send)
    assert following.request.header(b"authorization") == first(1)
    assert len(talk.server.asked) == 1
    asking.close()
    waiting.close()


def test_where_there_is_no_token_nothing_is_sent() -> None:
    talk = Talk(asked=AuthorizationServer(refused("invalid_client", 401)))
    with pytest.raises(CredentialsError, match="invalid_client"):
        talk.result()
    assert talk.sent == []


def test_an_unlucky_answer_in_the_place_of_a_token_is_no_challenge_of_the_resource() -> None:
    talk = Talk(asked=AuthorizationServer(Response(401, ((b"WWW-Authenticate", b'Basic realm="t"'),))))
    with pytest.raises(CredentialsError, match="answered 401"):
        talk.result()
    assert talk.sent == []


@pytest.mark.parametrize("options", [{"preemptive": True}, {"preemptive": False}])
def test_o42_neither_refusals_nor_what_is_told_hold_a_token(options: dict[str, Any]) -> None:
    quoting = [
        challenged(f'Bearer error="invalid_token", error_description="no {words}"')
        for words in ("access-1", "access-2, access-1")
    ]
    talk = Talk(*([] if options["preemptive"] else [PLAIN]), *quoting, **options)
    result = talk.result()
    assert "***" in (result.refusal or "")
    assert "access-" not in (result.refusal or "")
    assert "access-" not in "".join(talk.driver.told)
    lacking = challenged('Bearer error="insufficient_scope", scope="access-1"', 403)
    assert "access-" not in (Talk(lacking).result().note or "")
