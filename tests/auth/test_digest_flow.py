from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest

from patchwire.auth.challenge import parse_strictly
from patchwire.auth.credentials import Credentials
from patchwire.auth.digest import Session, Terms, understand
from patchwire.auth.digest_conversation import MAX_REJECTIONS
from patchwire.auth.digest_flow import MAX_REALMS, DigestAuthentication
from patchwire.auth.flow import Body, FlowResult, HashBody, Send, Tell, Wait
from patchwire.auth.nonces import Use
from patchwire.auth.role import PROXY
from patchwire.errors import LocalProtocolError
from patchwire.http.message import Origin, Request, Response, request_to
from tests.support.conversations import converse, sent_by

ORIGIN = Origin("http", "h", 80)
SVC = Credentials("svc", "canary")
OK = Response(200)


def patch(path: str = "/a/b", host: str = "h", body: bytes = b"{}") -> Request:
    return request_to("PATCH", f"http://{host}{path}", body=body)


def digest(**options: Any) -> DigestAuthentication:
    numbers = count(1)
    return DigestAuthentication(SVC, options.pop("origin", ORIGIN), lambda: f"c{next(numbers)}", **options)


def asks(
    nonce: str = "n", more: str = ", qop=auth, algorithm=SHA-256", realm: str = "r", status: int = 401
) -> Response:
    name = b"WWW-Authenticate" if status == 401 else b"Proxy-Authenticate"
    return Response(status, ((name, f'Digest realm="{realm}", nonce="{nonce}"{more}'.encode()),))


def said(step: Send, field: bytes = b"authorization") -> dict[str, str] | None:
    """What the credentials of a request say."""
    value = step.request.header(field)
    if value is None:
        return None
    (found,) = parse_strictly(value)
    return dict(found.parameters)


def uses(sent: list[Send]) -> list[tuple[str, str] | None]:
    """Nonce and count of each request."""
    answers = [said(step) for step in sent]
    return [None if each is None else (each["nonce"], each.get("nc", "")) for each in answers]


def first(authentication: DigestAuthentication, *responses: Response, path: str = "/a/b") -> list[Send]:
    return converse(authentication, patch(path), responses or (asks(), OK))[0]


def test_a_challenge_is_answered_and_its_nonce_remembered_and_counted() -> None:
    authentication = digest()
    sent, result, told = converse(authentication, patch(), [asks(), OK])
    assert (uses(sent), result) == ([None, ("n", "00000001")], FlowResult(OK))
    assert told[0].startswith("the server offers Digest SHA-256; chosen: Digest SHA-256 with qop auth, realm 'r'")
    assert uses(first(authentication, OK)) == [("n", "00000002")]
    assert uses(first(authentication, Response(404))) == [("n", "00000003")]


def test_the_request_is_sent_as_it_is_but_for_its_credentials() -> None:
    for step in first(digest()):
        request = step.request
        assert (request.target, request.body, request.without_header(b"authorization").headers) == (b"/a/b", b"{}", ())
    answer = said(first(digest())[1])
    assert answer is not None
    assert answer["uri"] == "/a/b"


def test_no_challenge_no_credentials() -> None:
    sent, result, _ = converse(digest(), patch(), [OK])
    assert (uses(sent), result) == ([None], FlowResult(OK))


@pytest.mark.parametrize("preemptive", [True, False])
def test_credentials_never_go_to_another_origin(preemptive: bool) -> None:
    authentication = digest(preemptive=preemptive)
    first(authentication)
    for host in ("evil", "h:8080"):
        sent, result, _ = converse(authentication, patch(host=host), [asks()])
        assert (uses(sent), result) == ([None], FlowResult(asks()))


# --- rejections


def test_wrong_credentials_are_sent_once() -> None:
    sent, result, _ = converse(digest(), patch(), [asks("1"), asks("2")])
    assert uses(sent) == [None, ("1", "00000001")]
    assert result.refusal == "user 'svc' or its password was rejected (Digest SHA-256, realm 'r')"


def test_a_stale_nonce_is_replaced_without_asking_and_not_for_ever() -> None:
    sent, result, _ = converse(digest(), patch(), [asks("1"), asks("2", ", qop=auth, stale=true"), asks("3"), OK])
    assert uses(sent) == [None, ("1", "00000001"), None, ("3", "00000001")]
    assert [step.after_rejection for step in sent] == [False, False, True, True]
    assert result == FlowResult(OK)
    stale = [asks(str(number), ", qop=auth, stale=true") for number in range(2 * MAX_REJECTIONS)]
    sent, result, _ = converse(digest(), patch(), stale)
    assert len(sent) == 2 * MAX_REJECTIONS
    assert (result.refusal or "").startswith("the server calls every nonce stale, also one that has just come")
    assert [step.after_rejection for step in sent] == [False, False, True, True]


def test_a_remembered_nonce_that_is_rejected_is_replaced_and_the_next_credentials_go_alone() -> None:
    authentication = digest()
    first(authentication)
    sent, result, told = converse(authentication, patch(), [asks("new"), OK])
    assert uses(sent) == [("n", "00000002"), ("new", "00000001")]
    assert [step.after_rejection for step in sent] == [False, True]
    assert len(told) == 1
    assert result == FlowResult(OK)


def test_a_nonce_that_is_rejected_while_many_use_it_serves_one_at_a_time_from_then_on() -> None:
    authentication = digest()
    first(authentication)
    other = authentication.flow(patch("/other"))
    sent_by(other)
    sent, result, told = converse(authentication, patch(), [asks("new"), OK])
    assert uses(sent) == [("n", "00000003"), ("new", "00000001")]
    assert told[0] == "the server refuses its nonce counts: from now on a nonce serves one request at a time"
    assert result == FlowResult(OK)


def test_a_remembered_nonce_that_is_stale_is_replaced() -> None:
    authentication = digest()
    first(authentication)
    more = ", qop=auth, algorithm=SHA-256, stale=TRUE"
    sent, _, told = converse(authentication, patch(), [asks("new", more), OK])
    assert uses(sent) == [("n", "00000002"), ("new", "00000001")]
    assert [step.after_rejection for step in sent] == [False, False]
    assert told[0] == "the nonce is stale after 1 requests that it has served"


def test_a_password_that_is_changed_meanwhile_is_a_refusal() -> None:
    authentication = digest()
    first(authentication)
    sent, result, _ = converse(authentication, patch(), [asks("2"), asks("3")])
    assert len(sent) == 2
    assert result.refusal is not None


@pytest.mark.parametrize(
    ("field", "why"),
    [("Basic realm=x", "the server offers Basic, this connection has Digest"),
     ("", "the server offers no scheme at all, this connection has Digest"),
     ("Digest realm=r, nonce=n, qop=crazy",
      "the server offers Digest that cannot be answered (its qop 'crazy' is unknown), this")],
)  # fmt: skip
def test_a_server_that_asks_for_what_we_have_not_is_a_refusal(field: str, why: str) -> None:
    sent, result, _ = converse(digest(), patch(), [Response(401, ((b"WWW-Authenticate", field.encode()),))])
    assert len(sent) == 1
    assert (result.refusal or "").startswith(why)


def test_only_allowed_algorithms_are_used() -> None:
    both = Response(401, (*asks(more=", qop=auth").headers, *asks(more=", qop=auth, algorithm=SHA-256").headers))
    for allowed in ("MD5", "SHA-256"):
        sent, _, _ = converse(digest(algorithms=[allowed]), patch(), [both, OK])
        answer = said(sent[1])
        assert answer is not None
        assert answer.get("algorithm", "MD5") == allowed
    assert converse(digest(algorithms=["SHA-256"]), patch(), [asks(more=", qop=auth")])[1].refusal is not None
    for nothing in ({"algorithms": ()}, {"qops": ()}):
        with pytest.raises(LocalProtocolError, match="at least one Digest algorithm and one qop"):
            digest(**nothing)
    with pytest.raises(LocalProtocolError, match="'MD4' is no Digest algorithm; known are SHA-512-256, SHA-256, MD5"):
        digest(algorithms=["MD4"])


def test_a_weaker_challenge_than_before_is_refused() -> None:
    authentication = digest()
    first(authentication)
    sent, result, _ = converse(authentication, patch(), [asks("m", ", qop=auth")])
    assert (len(sent), result.refusal) == (
        1,
        "the server offers only Digest MD5 with qop auth, where SHA-256 with qop auth was accepted before",
    )  # fmt: skip


# --- protection spaces


def test_without_a_domain_the_space_is_the_whole_origin() -> None:
    authentication = digest()
    first(authentication)
    assert uses(first(authentication, OK, path="/else/where")) == [("n", "00000002")]


@pytest.mark.parametrize(
    ("domain", "path", "is_covered"),
    [("/a", "/a/x", True), ("/a", "/b", False), ("/a/ http://h/b", "/b/c", True), ("http://evil/", "/a", False),
     ("//evil/", "/a", False), ("/b?x", "/b", True), ("http://h:80/c?y /d", "/c", True), ("https://h/", "/a", False),
     ("mailto:x", "/a", False), ("/\u00e4", "/a", False), ("http://\u00e4/a", "/a", False)],
)  # fmt: skip
def test_a_domain_names_the_space(domain: str, path: str, is_covered: bool) -> None:
    headers = ((b"WWW-Authenticate", f'Digest realm="r", nonce="n", qop=auth, domain="{domain}"'.encode("latin-1")),)
    authentication = digest()
    converse(authentication, patch("/challenged"), [Response(401, headers), OK])
    assert (uses(first(authentication, OK, path=path)) != [None]) is is_covered
    ahead = digest(preemptive=True)
    converse(ahead, patch("/challenged"), [Response(401, headers), OK])
    assert uses(first(ahead, OK, path=path)) == [("n", "00000002")]


def test_two_realms_of_an_origin_keep_their_nonces_apart() -> None:
    authentication = digest()
    first(authentication, asks("a", realm="A"), OK, path="/a/1")
    sent = first(authentication, asks("b", realm="B"), OK, path="/b/1")
    assert uses(sent) == [("a", "00000002"), ("b", "00000001")]
    assert [step.after_rejection for step in sent] == [False, True]
    for number in range(3):
        assert uses(first(authentication, OK, path="/a/2")) == [("a", f"{number + 3:08x}")]
        assert uses(first(authentication, OK, path="/b/2")) == [("b", f"{number + 2:08x}")]


def test_realms_are_bounded() -> None:
    authentication = digest()
    for number in range(MAX_REALMS + 10):
        converse(authentication, patch(f"/{number}/"), [asks(str(number), realm=str(number)), OK])
    assert len(authentication._realms) == MAX_REALMS


# --- side by side


def test_while_the_first_request_asks_the_others_wait_and_then_share_its_nonce() -> None:
    authentication = digest()
    asking, waiting = authentication.flow(patch("/1")), authentication.flow(patch("/2"))
    assert sent_by(asking).request.header(b"authorization") is None
    step = next(waiting)
    assert isinstance(step, Wait)
    assert step.generation == authentication.generation
    assert uses([sent_by(asking, asks())]) == [("n", "00000001")]
    for flow in (waiting, authentication.flow(patch("/begun-later"))):
        again = flow.send(None)  # with None a flow begins, too
        assert isinstance(again, Wait)
    with pytest.raises(StopIteration):
        asking.send(OK)
    assert authentication.generation > step.generation
    assert uses([sent_by(waiting)]) == [("n", "00000002")]


def test_where_the_first_hears_that_nothing_is_asked_for_all_go_side_by_side() -> None:
    authentication = digest()
    asking, waiting = authentication.flow(patch("/1")), authentication.flow(patch("/2"))
    sent_by(asking)
    next(waiting)
    with pytest.raises(StopIteration):
        asking.send(OK)
    assert uses([sent_by(waiting), sent_by(authentication.flow(patch("/3")))]) == [None, None]


def test_where_the_first_is_given_up_the_next_takes_its_place() -> None:
    authentication = digest()
    asking, waiting = authentication.flow(patch("/1")), authentication.flow(patch("/2"))
    sent_by(asking)
    before = authentication.generation
    next(waiting)
    asking.close()
    assert authentication.generation > before
    assert uses([sent_by(waiting)]) == [None]


def test_a_nonce_that_has_ended_is_renewed_by_one_while_the_others_wait() -> None:
    authentication = digest()
    first(authentication)
    old = authentication.flow(patch("/1"))
    sent_by(old)
    renewing = sent_by(old, asks("2", ", qop=auth, algorithm=SHA-256, stale=true"))
    assert uses([renewing]) == [("2", "00000001")]
    waiting = authentication.flow(patch("/2"))
    assert isinstance(next(waiting), Wait)
    with pytest.raises(StopIteration):
        old.send(OK)
    assert uses([sent_by(waiting)]) == [("2", "00000002")]


def test_where_order_matters_each_of_several_brings_a_nonce_of_its_own() -> None:
    authentication = digest(use=Use.ORDERED)
    first(authentication)
    flows = [authentication.flow(patch(f"/{number}")) for number in range(3)]
    assert uses([sent_by(flow) for flow in flows]) == [("n", "00000002"), None, None]
    assert uses([sent_by(flow, asks(nonce)) for nonce, flow in zip("xy", flows[1:], strict=True)]) == [
        ("x", "00000001"), ("y", "00000001"),
    ]  # fmt: skip
    for flow in flows:
        with pytest.raises(StopIteration):
            flow.send(OK)
    flows = [authentication.flow(patch(f"/{number}")) for number in range(3)]
    assert sorted(str(each) for each in uses([sent_by(flow) for flow in flows])) == [
        "('n', '00000003')", "('x', '00000002')", "('y', '00000002')",
    ]  # fmt: skip


def test_where_order_matters_and_the_server_has_one_nonce_for_all_they_take_turns() -> None:
    authentication = digest(use=Use.ORDERED)
    first(authentication)
    holder, other = authentication.flow(patch("/1")), authentication.flow(patch("/2"))
    assert uses([sent_by(holder), sent_by(other)]) == [("n", "00000002"), None]
    step = other.send(asks())
    while isinstance(step, Tell):
        step = other.send(None)
    assert isinstance(step, Wait)
    with pytest.raises(StopIteration):
        holder.send(OK)
    assert uses([sent_by(other)]) == [("n", "00000003")]


# --- what the server proves


def terms(more: str = ", qop=auth, algorithm=SHA-256") -> Terms:
    (challenge,) = parse_strictly(f'Digest realm="r", nonce="n"{more}'.encode())
    return understand(challenge)


def info(text: str, status: int = 200, body: bytes = b"ok", error: str | None = None) -> Response:
    return Response(status, ((b"Authentication-Info", text.encode()),), body, b"", error)


def proof(more: str = ", qop=auth, algorithm=SHA-256", body: bytes = b"ok") -> str:
    made = Session(terms(more), SVC, b"c1")
    return made.rspauth(b"/a/b", 1, made.terms.algorithm.hash(body))


def test_a_server_that_proves_itself_is_believed() -> None:
    sent, result, _ = converse(
        digest(), patch(), [asks(), info(f'rspauth="{proof()}", qop=auth, cnonce="c1", nc=00000001')]
    )
    assert result.doubt is None
    assert not sent[1].needs_body


@pytest.mark.parametrize("status", [200, 404, 500])
@pytest.mark.parametrize(
    ("text", "doubt"),
    [('rspauth="00"', "the server does not prove that it knows the password (rspauth): it is wrong"),
     ('rspauth="PROOF", cnonce="other"', "the server does not prove that it knows the password (rspauth): its nc or"),
     ('rspauth="PROOF', "the server does not prove that it knows the password (rspauth): "),
     ('RSPAUTH="PROOF", rspauth=""', "the server does not prove that it knows the password (rspauth): each")],
)  # fmt: skip
def test_a_proof_that_is_wrong_or_cannot_be_checked_is_a_doubt(status: int, text: str, doubt: str) -> None:
    authentication = digest()
    response = info(text.replace("PROOF", proof()) + ', nextnonce="evil"', status)
    sent, result, _ = converse(authentication, patch(), [asks(), response])
    assert len(sent) == 2
    assert (result.doubt or "").startswith(doubt)
    assert result.response is response
    assert uses(first(authentication, OK))[0] != ("evil", "00000001")


def test_a_field_without_proof_that_makes_no_sense_is_passed_over() -> None:
    assert converse(digest(), patch(), [asks(), info("=")])[1].doubt is None


@pytest.mark.parametrize(("error", "is_doubted"), [(None, False), ("the body was cut", True)])
def test_a_proof_over_the_body_needs_the_whole_body(error: str | None, is_doubted: bool) -> None:
    more = ", qop=auth-int, algorithm=SHA-256"
    response = info(f'rspauth="{proof(more)}", qop=auth-int', error=error)
    sent, result, _ = converse(digest(), patch(), [asks(more=more), response])
    assert sent[1].needs_body
    assert (result.doubt is not None) is is_doubted


@pytest.mark.parametrize("status", [200, 404, 503])
def test_the_next_nonce_of_any_answer_is_used(status: int) -> None:
    authentication = digest()
    first(authentication, asks(), info('nextnonce="m"', status))
    assert uses(first(authentication, info('nextnonce=""'))) == [("m", "00000001")]
    assert uses(first(authentication, info(f'nextnonce="{"m" * 5000}"'))) == [("m", "00000002")]
    assert uses(first(authentication, OK)) == [("m", "00000003")]


# --- bodies


def hashed(body: Body, answer: str | None) -> Iterator[tuple[list[Send], FlowResult]]:
    request = patch(body=b"" if body is not Body.IN_REQUEST else b"{}")
    sent, result, _ = converse(digest(), request, [asks(more=", qop=auth-int"), OK], body, answer)
    yield sent, result


def test_auth_int_covers_the_very_octets_that_are_sent() -> None:
    ((sent, _),) = hashed(Body.IN_REQUEST, None)
    ((other, _),) = hashed(Body.REPLAYABLE, terms(", qop=auth-int").algorithm.hash(b"{}").decode())
    assert said(sent[1]) == said(other[1])
    ((different, _),) = hashed(Body.REPLAYABLE, "0" * 32)
    assert (said(sent[1]) or {})["response"] != (said(different[1]) or {})["response"]


def test_auth_int_over_a_body_that_cannot_be_read_beforehand_is_refused() -> None:
    flow = digest().flow(patch(body=b""), Body.ONE_SHOT)
    sent_by(flow)
    step: Any = flow.send(asks(more=", qop=auth-int"))
    while not isinstance(step, HashBody):
        step = flow.send(None)
    assert step.algorithm == "md5"
    with pytest.raises(
        LocalProtocolError, match="comes from a stream and cannot be read beforehand; give it as bytes"
    ):
        flow.send(None)


def test_a_body_that_can_be_read_once_always_waits_for_100_continue() -> None:
    authentication = digest()
    sent, _, _ = converse(authentication, patch(), [asks(), OK], Body.ONE_SHOT)
    assert [step.request.header(b"expect") for step in sent] == [b"100-continue"] * 2
    sent, _, _ = converse(authentication, patch(), [Response(417), OK], Body.ONE_SHOT)
    assert [step.request.header(b"expect") for step in sent] == [b"100-continue", None]
    assert uses(sent) == [("n", "00000002"), ("n", "00000003")]
    sent, _, _ = converse(authentication, patch(), [OK], Body.REPLAYABLE)
    assert [step.request.header(b"expect") for step in sent] == [None]


# --- proxies


def test_a_proxy_is_answered_with_its_own_fields_for_whatever_target() -> None:
    authentication = digest(origin=None, role=PROXY)
    request = Request("PATCH", Origin("http", "h", 80), b"http://h/a?b")
    response = Response(
        200, ((b"Proxy-Authentication-Info", b'nextnonce="m"'), (b"Authentication-Info", b'rspauth=""'))
    )
    sent, result, told = converse(authentication, request, [asks(status=407), response])
    assert (said(sent[1], b"proxy-authorization") or {})["uri"] == "http://h/a?b"
    assert sent[1].request.header(b"authorization") is None
    assert result == FlowResult(response, proves=True)
    assert told[0].startswith("the proxy offers Digest")
    tunnel = Request("CONNECT", Origin("https", "other", 443), b"other:443")
    sent, result, _ = converse(authentication, tunnel, [asks("o", status=407), asks("p", status=407)])
    answers = [said(step, b"proxy-authorization") or {} for step in sent]
    assert [(each["uri"], each["nonce"]) for each in answers] == [("other:443", "m"), ("other:443", "o")]
    assert "user 'svc' or its password was rejected by the proxy (Digest SHA-256, realm 'r')" in (result.refusal or "")


def test_nothing_shows_the_password() -> None:
    assert "canary" not in repr(digest())
    _, result, told = converse(digest(), patch(), [asks("1"), asks("2")])
    assert "canary" not in repr(result) + repr(told)


@pytest.mark.parametrize("body", [Body.IN_REQUEST, Body.REPLAYABLE])
def test_a_remembered_nonce_with_auth_int_is_replaced_too(body: Body) -> None:
    more = ", qop=auth-int, algorithm=SHA-256"
    authentication = digest()
    converse(authentication, patch(), [asks("1", more), OK], body, "0" * 64)
    sent, result, _ = converse(authentication, patch(), [asks("2", more + ", stale=true"), OK], body, "0" * 64)
    assert (uses(sent), result) == ([("1", "00000002"), ("2", "00000001")], FlowResult(OK))


def test_a_claim_that_is_no_longer_good_is_made_anew() -> None:
    authentication = digest()
    first(authentication)
    rejected, queued = authentication.flow(patch("/1")), authentication.flow(patch("/2"))
    sent_by(rejected)
    step = sent_by(queued)
    assert step.is_good is not None
    assert step.is_good()
    assert uses([sent_by(rejected, asks("2", ", qop=auth, algorithm=SHA-256, stale=true"))]) == [("2", "00000001")]
    assert not step.is_good()
    assert isinstance(queued.send(None), Wait)
    with pytest.raises(StopIteration):
        rejected.send(OK)
    assert uses([sent_by(queued)]) == [("2", "00000002")]


def test_a_domain_that_does_not_cover_its_own_challenge_costs_one_challenge() -> None:
    authentication = digest()
    first(authentication, asks(more=', qop=auth, domain="/other"'), OK)
    assert uses(first(authentication, OK, path="/a/c")) == [("n", "00000002")]
    assert uses(first(authentication, OK, path="/b")) == [None]
    at_the_top = digest()
    first(at_the_top, asks(more=', qop=auth, domain="/other"'), OK, path="/c")
    assert uses(first(at_the_top, OK, path="/c")) == [("n", "00000002")]
    assert uses(first(at_the_top, OK, path="/d")) == [None]


OPAQUE = ', qop=auth, algorithm=SHA-256, opaque="1"'
OTHER = ', qop=auth, algorithm=SHA-256, opaque="2"'


def test_a_nonce_that_came_with_a_rejection_is_not_counted_on_where_it_may_be_tied_to_its_opaque() -> None:
    authentication = digest()
    first(authentication, asks(more=OPAQUE), OK)
    sent, result, _ = converse(authentication, patch(), [asks("2", OPAQUE), asks("3", OTHER), OK])
    assert uses(sent) == [("n", "00000002"), None, ("3", "00000001")]
    assert result == FlowResult(OK)


def test_a_rejection_of_a_nonce_that_is_tied_to_its_opaque_says_nothing_of_the_password() -> None:
    authentication = digest()
    first(authentication, asks(more=OPAQUE), OK)
    stale = OPAQUE + ", stale=true"
    sent, result, _ = converse(authentication, patch(), [asks("2", stale), asks("3", OPAQUE), asks("4", OTHER), OK])
    assert uses(sent) == [("n", "00000002"), ("2", "00000001"), None, ("4", "00000001")]
    assert result == FlowResult(OK)


def test_of_a_nonce_that_was_asked_for_without_credentials_it_does() -> None:
    authentication = digest()
    first(authentication, asks(more=OPAQUE), OK)
    sent, result, _ = converse(authentication, patch(), [asks("2", OPAQUE), asks("3", OTHER), asks("4", OTHER)])
    assert len(sent) == 3
    assert "its password was rejected" in (result.refusal or "")


def test_where_nothing_is_asked_for_any_more_the_request_goes_without_credentials() -> None:
    authentication = digest()
    first(authentication, asks(more=OPAQUE), OK)
    sent, result, _ = converse(authentication, patch(), [asks("2", OPAQUE), OK])
    assert uses(sent) == [("n", "00000002"), None]
    assert result == FlowResult(OK)


def test_an_offer_that_is_no_use_in_place_of_an_answer_is_a_refusal() -> None:
    authentication = digest()
    first(authentication)
    sent, result, _ = converse(authentication, patch(), [Response(401, ((b"WWW-Authenticate", b"Negotiate"),))])
    assert (len(sent), result.refusal) == (1, "the server offers Negotiate, this connection has Digest")


def test_a_space_is_learned_from_a_nonce_that_is_known_already_too() -> None:
    authentication = digest()
    more = ', qop=auth, domain="/other"'
    first(authentication, asks(more=more), OK, path="/a/1")
    first(authentication, asks(more=more), OK, path="/b/1")
    assert uses(first(authentication, OK, path="/b/2")) == [("n", "00000003")]
