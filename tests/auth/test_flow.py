from __future__ import annotations

import pytest

from patchwire.auth.flow import Ask, FlowResult, Load, NoAuthentication, accepts, send
from patchwire.http.message import Response, request_to
from tests.support.conversations import sent_by

PATCH = request_to("PATCH", "http://h/a", body=b"{}")


@pytest.mark.parametrize(
    ("status", "note"), [(200, None), (401, "the server asks for credentials, and names no scheme"), (500, None)]
)
def test_without_authentication_one_request_gets_one_response(status: int, note: str | None) -> None:
    flow = NoAuthentication().flow(PATCH)
    assert sent_by(flow).request is PATCH
    with pytest.raises(StopIteration) as end:
        flow.send(Response(status))
    assert end.value.value == FlowResult(Response(status), note=note)


@pytest.mark.parametrize(
    ("status", "good"),
    [(200, True), (204, True), (403, True), (404, False), (412, True), (401, False), (407, False), (408, False),
     (400, False), (405, False), (422, True), (425, False), (429, False), (302, False), (500, False), (503, False)],
)  # fmt: skip
def test_only_an_answer_about_the_request_itself_says_that_the_credentials_were_good(status: int, good: bool) -> None:
    assert accepts(Response(status)) is good


@pytest.mark.parametrize("status", [200, 404])
def test_any_other_answer_to_an_authorization_field_is_no_refusal(status: int) -> None:
    flow = NoAuthentication().flow(PATCH.with_header(b"Authorization", b"Bearer canary"))
    next(flow)
    with pytest.raises(StopIteration) as end:
        flow.send(Response(status))
    assert end.value.value == FlowResult(Response(status))


def test_a_401_to_an_authorization_field_of_the_connection_is_a_refusal() -> None:
    flow = NoAuthentication().flow(PATCH.with_header(b"Authorization", b"Bearer canary"))
    next(flow)
    with pytest.raises(StopIteration) as end:
        flow.send(Response(401))
    assert "Authorization field" in str(end.value.value.refusal)
    assert "canary" not in str(end.value.value.refusal)


def test_a_401_to_a_request_without_credentials_says_what_is_asked_for() -> None:
    flow = NoAuthentication().flow(PATCH)
    next(flow)
    challenges = (b"WWW-Authenticate", b"Digest realm=r, nonce=n, Basic realm=r, Digest realm=r, nonce=m")
    with pytest.raises(StopIteration) as end:
        flow.send(Response(401, (challenges,)))
    assert end.value.value.note == "the server asks for Digest, Basic authentication"
    assert end.value.value.refusal is None


def test_a_flow_that_is_given_up_closes_without_a_word() -> None:
    flow = NoAuthentication().flow(PATCH)
    next(flow)
    flow.close()
    with pytest.raises(StopIteration):
        next(flow)


def test_acceptance_is_shown_by_the_status_or_by_who_knows_more() -> None:
    assert FlowResult(Response(200)).shows_acceptance
    assert FlowResult(Response(403)).shows_acceptance
    assert not FlowResult(Response(403), proves=False).shows_acceptance
    assert FlowResult(Response(404), proves=True).shows_acceptance
    assert not FlowResult(Response(200), "refused").shows_acceptance
    assert not FlowResult(Response(200), doubt="unproven").shows_acceptance


def test_a_request_of_the_authentications_own_is_resumed_with_its_response() -> None:
    asking = send(Ask(PATCH))
    assert next(asking) == Ask(PATCH)
    with pytest.raises(StopIteration) as end:
        asking.send(Response(200))
    assert end.value.value == Response(200)


def test_what_is_read_may_be_given_up_unless_it_is_brief() -> None:
    assert not Load(lambda: None).is_brief
