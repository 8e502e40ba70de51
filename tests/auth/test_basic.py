from __future__ import annotations

from base64 import b64decode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchwire.auth.basic import MAX_SPACES, BasicAuthentication, Credentials, ProtectionSpaces, authorization
from patchwire.auth.flow import FlowResult
from patchwire.errors import LocalProtocolError
from patchwire.http.message import Origin, Request, Response, request_to

ORIGIN = Origin("http", "h", 80)
SVC = Credentials("svc", "canary")
VALUE = authorization(SVC)
ASKS = Response(401, ((b"WWW-Authenticate", b'Digest nonce="x", Basic realm="r"'),))
OK = Response(200)


def talk(authentication: BasicAuthentication, request: Request, *responses: Response) -> tuple[list[bool], FlowResult]:
    """Which requests of the conversation carried the credentials, and its result."""
    flow = authentication.flow(request)
    step = next(flow)
    carried = []
    for response in responses:
        assert step.request.header(b"authorization") in (None, VALUE)
        carried.append(step.request.header(b"authorization") == VALUE)
        assert (step.request.target, step.request.body) == (request.target, request.body)
        try:
            step = flow.send(response)
        except StopIteration as stop:
            assert len(carried) == len(responses)
            return carried, stop.value
    raise AssertionError("the conversation goes on")


def basic(*, preemptive: bool = False) -> BasicAuthentication:
    return BasicAuthentication(SVC, ORIGIN, preemptive=preemptive)


def patch(path: str = "/a/b", host: str = "h") -> Request:
    return request_to("PATCH", f"http://{host}{path}", body=b"{}")


def test_the_examples_of_rfc_7617_are_met() -> None:
    assert authorization(Credentials("Aladdin", "open sesame")) == b"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="
    assert authorization(Credentials("test", "123\u00a3")) == b"Basic dGVzdDoxMjPCow=="


@given(st.text().filter(lambda text: ":" not in text), st.text())
def test_credentials_that_construct_come_out_of_the_field_as_they_went_in(user: str, password: str) -> None:
    try:
        value = authorization(Credentials(user, password))
    except (LocalProtocolError, UnicodeEncodeError):
        return
    assert b64decode(value.removeprefix(b"Basic ")).decode() == f"{user}:{password}"


@pytest.mark.parametrize(
    ("user", "password", "problem"),
    [("a:b", "", "colon"), ("a\n", "", "user name holds a control"), ("a", "\x7fcanary", "password holds a control")],
)
def test_what_cannot_be_sent_is_refused(user: str, password: str, problem: str) -> None:
    with pytest.raises(LocalProtocolError, match=problem) as caught:
        Credentials(user, password)
    assert "canary" not in str(caught.value)


def test_the_password_does_not_show() -> None:
    assert "canary" not in repr(SVC)


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


@pytest.mark.parametrize("responses", [(ASKS, ASKS)])
def test_rejected_credentials_are_a_refusal_and_not_tried_again(responses: tuple[Response, ...]) -> None:
    carried, result = talk(basic(), patch(), *responses)
    assert carried == [False, True]
    assert result.refusal is not None
    assert "'svc'" in result.refusal
    assert "canary" not in result.refusal
    assert talk(basic(preemptive=True), patch(), ASKS)[1].refusal is not None


@pytest.mark.parametrize(
    ("field", "named"), [(b"Digest nonce=x, Bearer", "digest, bearer"), (b"", "no scheme at all")]
)
def test_a_server_that_offers_other_schemes_only_is_a_refusal_that_names_them(field: bytes, named: str) -> None:
    _, result = talk(basic(), patch(), Response(401, ((b"WWW-Authenticate", field),)))
    assert result.refusal == f"the server offers {named}, this connection has Basic"


def test_protection_spaces_are_bounded() -> None:
    spaces = ProtectionSpaces()
    for number in range(MAX_SPACES + 10):
        spaces = spaces.including(patch(f"/{number}/x"))
    assert len(spaces.known) == MAX_SPACES
    assert spaces.covers(patch("/0/y"))
    assert not spaces.covers(patch(f"/{MAX_SPACES}/y"))


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
        flow = authentication.flow(patch(path, "h" if at_home else "evil"))
        told: list[tuple[Request, Response]] = []
        step = next(flow)
        try:
            for answer in answers:
                told.append((step.request, answer))
                step = flow.send(answer)
        except StopIteration as stop:
            result = stop.value
        assert result.response is told[-1][1]
        carried = [request.header(b"authorization") for request, _ in told]
        assert carried.count(VALUE) <= at_home
        assert set(carried) <= {None, VALUE}
        rejected = carried[-1] == VALUE and told[-1][1].status == 401
        assert not rejected or result.refusal is not None
        assert result.refusal is None or told[-1][1].status == 401
