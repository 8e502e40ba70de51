from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from patchwire.auth.aws_credentials import AwsCredentials
from patchwire.auth.aws_flow import FRESH, MAX_CORRECTION, Algorithm, AwsAuthentication
from patchwire.auth.aws_session import ENDED, AwsSession
from patchwire.auth.aws_signing import Scope, Terms, terms_of
from patchwire.auth.flow import Body, FlowResult, HashBody, Load, Send, Wait
from patchwire.errors import CredentialsError, LocalProtocolError
from patchwire.http.message import Origin, Response, request_to
from tests.support.aws_service import KEYS, NOW, ORIGIN, SCOPE, AwsService, patch
from tests.support.conversations import converse, sent_by

TOKEN = AwsCredentials("ASIAEXAMPLE", "secret-of-session", "canary-token")
LATER = AwsCredentials("ASIALATER", "secret-of-session", "canary-later")


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


def aws(
    credentials: AwsCredentials | None = KEYS,
    load: Callable[[], AwsCredentials] | None = None,
    clock: Callable[[], float] = lambda: NOW,
    scope: Scope = SCOPE,
    origin: Origin = ORIGIN,
    **options: Any,
) -> AwsAuthentication:
    return AwsAuthentication(AwsSession(credentials, load, str(origin)), origin, scope, clock, **options)


def date_of(step: Send) -> str:
    return (step.request.header(b"x-amz-date") or b"").decode()


def refused(code: str, message: str = "", date: bytes | None = b"Sun, 30 Aug 2015 12:36:00 GMT") -> Response:
    headers = () if date is None else ((b"Date", date),)
    return Response(403, (*headers, (b"x-amzn-ErrorType", code.encode())), b'{"message": "%b"}' % message.encode())


@pytest.mark.parametrize("algorithm", ["sigv4", "sigv4a"])
@pytest.mark.parametrize("credentials", [KEYS, TOKEN], ids=["long-term", "temporary"])
def test_a_request_is_signed_and_sent_once(algorithm: Algorithm, credentials: AwsCredentials) -> None:
    service = AwsService(credentials)
    sent, result, told = converse(aws(credentials, algorithm=algorithm), patch(), service)
    assert [result.response.status, result.refusal, result.note, told] == [200, None, None, []]
    assert len(sent) == 1
    assert (sent[0].request.target, sent[0].request.body, sent[0].needs_body) == (b"/restapis/a", b'{"n": 1}', True)


def test_another_origin_is_shown_no_signature() -> None:
    request = request_to("PATCH", "https://elsewhere.example/a", body=b"{}")
    sent, _, _ = converse(aws(), request, [Response(200)])
    assert sent == [Send(request)]


def test_a_request_with_a_signature_of_its_own_is_not_sent() -> None:
    with pytest.raises(LocalProtocolError, match="field 'X-Amz-Date' is the signature's own: leave it out"):
        next(aws().flow(patch(headers=[("X-Amz-Date", "20150830T123600Z")])))


# --- the clock


@pytest.mark.parametrize("ahead", [-3600.0, 3600.0, 400.0])
@pytest.mark.parametrize("service", ["apigateway", "s3"])
def test_a_clock_that_is_wrong_is_corrected_once_by_the_date_of_the_service(ahead: float, service: str) -> None:
    scope = Scope("us-east-1", service)
    authentication, far = aws(scope=scope), AwsService(scope=scope, ahead=ahead)
    sent, result, told = converse(authentication, patch(), far)
    assert [result.response.status, len(sent), len(told)] == [200, 2, 1]
    said = f"{abs(ahead):,.0f} seconds {'ahead of' if ahead > 0 else 'behind'} ours"
    assert told == [f"the service's clock is {said}: signatures follow it"]
    assert not sent[1].after_rejection
    assert len(converse(authentication, patch(), far)[0]) == 1


def test_requests_in_flight_when_the_clock_is_corrected_follow_it_without_correcting_it_again() -> None:
    authentication, service = aws(), AwsService(ahead=3600.0)
    first, second = (authentication.flow(patch()) for _ in range(2))
    steps = [sent_by(first), sent_by(second)]
    again = sent_by(first, service(steps[0]))
    assert steps[1].is_good is not None
    assert not steps[1].is_good()  # had it not left yet, it would be signed anew
    follower = second.send(service(steps[1]))  # tells nothing: the clock is right by now
    assert isinstance(follower, Send)
    assert date_of(again) == date_of(follower) == "20150830T133600Z"
    for flow, step in ((first, again), (second, follower)):
        with pytest.raises(StopIteration) as stop:
            flow.send(service(step))
        assert stop.value.value.response.status == 200


@pytest.mark.parametrize(
    ("date", "said"),
    [
        (None, "set this machine's clock by its own"),
        (b"yesterday", "set this machine's clock by its own"),
        (b"Sun, 30 Aug 2015 12:36:00 GMT", "set this machine's clock by its own, 0 seconds behind this machine's"),
        (b"Wed, 30 Aug 2017 12:36:00 GMT", "by its own, 63,158,400 seconds ahead of this machine's"),
    ],
)
def test_a_clock_that_the_date_does_not_mend_is_told_and_nothing_is_sent_again(date: bytes | None, said: str) -> None:
    sent, result, told = converse(aws(), patch(), [refused("RequestTimeTooSkewed", date=date)])
    assert result.refusal is not None
    assert result.refusal.endswith(said)
    assert (len(sent), told) == (1, [])


def test_a_service_that_finds_the_time_wrong_again_is_believed_once() -> None:
    answers = [
        refused("RequestTimeTooSkewed", date=b"Sun, 30 Aug 2015 13:36:00 GMT"),
        refused("RequestTimeTooSkewed", date=b"Sun, 30 Aug 2015 14:36:00 GMT"),
    ]
    sent, result, _ = converse(aws(), patch(), answers)
    assert len(sent) == 2
    assert result.refusal is not None
    assert "set this machine's clock by its own, 7,200 seconds ahead of this machine's" in result.refusal


def test_nobody_sets_the_clock_by_more_than_a_day() -> None:
    assert MAX_CORRECTION == 86_400
    for date, count in ((b"Mon, 31 Aug 2015 12:36:00 GMT", 2), (b"Mon, 31 Aug 2015 12:36:01 GMT", 1)):
        answers = [refused("RequestTimeTooSkewed", date=date), Response(200)][:count]
        assert len(converse(aws(), patch(), answers)[0]) == count


def test_a_mismatch_is_put_down_to_the_clock_where_the_clocks_are_far_apart() -> None:
    mismatch = refused("SignatureDoesNotMatch", date=b"Sun, 30 Aug 2015 12:41:00 GMT")
    assert len(converse(aws(), patch(), [mismatch, Response(200)])[0]) == 2
    near = refused("SignatureDoesNotMatch", date=b"Sun, 30 Aug 2015 12:38:00 GMT")
    assert len(converse(aws(), patch(), [near])[0]) == 1


def test_a_body_that_is_read_while_it_is_sent_waits_until_the_keys_are_known_to_be_good() -> None:
    authentication, request = aws(), request_to("PATCH", f"{ORIGIN}/a")
    answers = [refused("RequestTimeTooSkewed", date=b"Sun, 30 Aug 2015 13:36:00 GMT"), Response(200)]
    sent, _, _ = converse(authentication, request, answers, Body.REPLAYABLE, "ab" * 32)
    assert [step.request.header(b"expect") for step in sent] == [b"100-continue"] * 2
    assert date_of(sent[1]) == "20150830T133600Z"
    (after,), _, _ = converse(authentication, request, [Response(200)], Body.REPLAYABLE, "ab" * 32)
    assert after.request.header(b"expect") is None


def test_a_service_that_knows_no_expectations_gets_the_body_without() -> None:
    request = request_to("PATCH", f"{ORIGIN}/a")
    sent, result, _ = converse(aws(), request, [Response(417), Response(417)], Body.REPLAYABLE, "ab" * 32)
    assert [step.request.header(b"expect") for step in sent] == [b"100-continue", None]
    assert result == FlowResult(Response(417))


def test_a_signature_that_has_waited_is_made_anew() -> None:
    clock = Clock()
    flow = aws(clock=clock).flow(patch())
    step = sent_by(flow)
    assert step.is_good is not None
    clock.now += FRESH - 1
    assert step.is_good()
    clock.now += 1
    assert not step.is_good()
    clock.now = NOW - FRESH  # a clock that was set back
    assert not step.is_good()
    clock.now = NOW + FRESH
    anew = flow.send(None)
    assert isinstance(anew, Send)
    assert (date_of(step), date_of(anew)) == ("20150830T123600Z", "20150830T123700Z")


# --- credentials that end


def test_credentials_that_are_not_there_yet_are_loaded_once_for_all() -> None:
    authentication = aws(None, lambda: TOKEN)
    first, second = (authentication.flow(patch()) for _ in range(2))
    load = next(first)
    assert isinstance(load, Load)
    before = authentication.generation
    assert next(second) == Wait(before)
    signed = first.send(load.read())
    assert isinstance(signed, Send)
    assert authentication.generation > before
    assert isinstance(second.send(None), Send)


def test_a_session_that_has_ended_is_renewed_and_the_request_sent_again_alone() -> None:
    authentication = aws(TOKEN, lambda: LATER)
    flow = authentication.flow(patch())
    expired = refused("ExpiredTokenException")
    step = flow.send((sent_by(flow), expired)[1])
    assert isinstance(step, Load)
    again = flow.send(LATER)
    assert isinstance(again, Send)
    assert again.after_rejection
    assert again.request.header(b"x-amz-security-token") == b"canary-later"
    with pytest.raises(StopIteration) as stop:
        flow.send(Response(200))
    assert stop.value.value == FlowResult(Response(200))


def test_credentials_that_were_renewed_have_to_prove_themselves_anew_and_only_once() -> None:
    authentication = aws(TOKEN, lambda: LATER)
    converse(authentication, patch(), [Response(200)])
    first, second = (authentication.flow(patch()) for _ in range(2))
    for flow in (first, second):
        sent_by(flow)
    assert isinstance(first.send(refused("ExpiredTokenException")), Load)
    first.send(LATER)
    mismatch = refused("SignatureDoesNotMatch")
    assert converse(authentication, patch(), [mismatch])[1].refusal is not None
    with pytest.raises(StopIteration):
        first.send(Response(200))
    second.send(refused("ExpiredTokenException"))  # it was in flight before
    assert converse(authentication, patch(), [mismatch])[1].refusal is None


def test_requests_in_flight_when_a_session_ends_renew_it_once() -> None:
    authentication = aws(TOKEN, lambda: LATER)
    first, second = (authentication.flow(patch()) for _ in range(2))
    for flow in (first, second):
        sent_by(flow)
    assert isinstance(first.send(refused("ExpiredTokenException")), Load)
    first.send(LATER)
    follower = second.send(refused("ExpiredTokenException"))
    assert isinstance(follower, Send)
    assert follower.request.header(b"x-amz-security-token") == b"canary-later"


def test_a_session_that_nobody_renews_is_over() -> None:
    expired = refused("ExpiredTokenException")
    sent, result, _ = converse(aws(TOKEN), patch(), [expired])
    assert (len(sent), result) == (1, FlowResult(expired, f"{ENDED} (ExpiredTokenException)"))
    flow = aws(TOKEN, lambda: TOKEN).flow(patch())
    sent_by(flow)
    assert isinstance(flow.send(expired), Load)
    with pytest.raises(CredentialsError, match=ENDED):
        flow.send(TOKEN)


def test_where_there_is_nothing_to_sign_with_nothing_is_sent() -> None:
    def read() -> AwsCredentials:
        raise CredentialsError("aws.profile: no such profile", origin="")

    flow = aws(None, read).flow(patch())
    next(flow)
    with pytest.raises(CredentialsError, match="no such profile"):
        flow.throw(CredentialsError("aws.profile: no such profile", origin=""))


# --- what is rejected


def test_a_wrong_secret_is_told_from_what_the_service_has_signed_itself() -> None:
    wrong = AwsCredentials(KEYS.access_key, "wrong")
    for service in ("apigateway", "s3"):
        scope = Scope("us-east-1", service)
        sent, result, told = converse(aws(wrong, scope=scope), patch(), AwsService(scope=scope))
        assert (len(sent), told) == (1, [])
        assert result.refusal is not None
        assert result.refusal.endswith(": the secret key of access key AKIDEXAMPLE is wrong")


def test_what_the_service_reads_otherwise_is_told_line_by_line() -> None:
    service = AwsService()
    meddled: list[Response] = []

    def behind_a_proxy(step: Send) -> Response:
        request = step.request.with_header(b"Host", b"internal:8080").with_header(b"X-Api-Key", b"canary-changed")
        meddled.append(service(Send(request)))
        return meddled[-1]

    request = patch(headers=[("X-Api-Key", "canary-sent"), ("X-Mine", "canary-mine")])
    _, result, told = converse(aws(secret_fields=["x-mine"]), request, behind_a_proxy)
    assert result.refusal is not None
    assert result.refusal.endswith(": the service has read the request otherwise, -v shows how")
    assert told[0] == "canonical request: - ours, + the service's"
    assert {"- host:apigateway.us-east-1.amazonaws.com", "+ host:internal:8080"} < set(told)
    assert {"- x-api-key:***", "+ x-api-key:***"} < set(told)
    assert "string to sign: - ours, + the service's" in told
    assert not [line for line in told if "canary" in line]


def test_a_wrong_region_is_named() -> None:
    _, result, _ = converse(aws(scope=Scope("eu-west-1", "apigateway")), patch(), AwsService())
    assert result.refusal is not None
    assert ": it was made for service apigateway in region eu-west-1; " in result.refusal
    assert "it says: Credential should be scoped to 'us-east-1', not 'eu-west-1'." in result.refusal


def test_an_unknown_access_key_is_named() -> None:
    _, result, _ = converse(aws(AwsCredentials("AKIDOTHER", "s")), patch(), AwsService())
    assert result.refusal is not None
    assert result.refusal.startswith("access key AKIDOTHER is not accepted (UnrecognizedClientException): check it")


def test_once_the_credentials_have_served_a_mismatch_is_the_matter_of_its_request() -> None:
    authentication, service = aws(), AwsService()
    mismatch = refused("SignatureDoesNotMatch")
    assert converse(authentication, patch(), [mismatch])[1].refusal is not None
    converse(authentication, patch(), service)
    result = converse(authentication, patch(), [mismatch])[1]
    assert result.refusal is None
    assert result.note is not None
    assert "SignatureDoesNotMatch" in result.note


def test_who_may_not_change_something_has_been_recognised() -> None:
    authentication = aws()
    denied = refused("AccessDeniedException")
    assert converse(authentication, patch(), [denied])[1] == FlowResult(denied, proves=True)
    assert converse(authentication, patch(), [refused("SignatureDoesNotMatch")])[1].refusal is None


def test_a_missing_route_of_an_api_gateway_is_no_missing_signature() -> None:
    _, result, _ = converse(aws(), patch(), [refused("MissingAuthenticationTokenException")])
    assert (result.refusal, result.shows_acceptance) == (None, False)
    assert result.note == "an API Gateway says this of a path or method that it does not have"


def test_a_403_that_no_service_of_aws_has_written_shows_nothing() -> None:
    authentication = aws()
    forbidden = Response(403, (), b"<html>Forbidden</html>")
    assert converse(authentication, patch(), [forbidden])[1] == FlowResult(forbidden, proves=False)
    assert converse(authentication, patch(), [refused("SignatureDoesNotMatch")])[1].refusal is not None


def test_a_server_that_asks_for_another_scheme_is_a_refusal() -> None:
    _, result, _ = converse(aws(), patch(), [Response(401, ((b"WWW-Authenticate", b"Bearer"),))])
    assert result.refusal == "the server asks for Bearer authentication, this connection signs for AWS"


def test_a_body_that_was_changed_on_its_way_says_nothing_of_the_credentials() -> None:
    _, result, _ = converse(aws(), patch(), [refused("XAmzContentSHA256Mismatch")])
    assert (result.refusal, result.shows_acceptance) == (None, False)
    assert result.note is not None
    assert result.note.startswith("the body that came is not the one that was signed")


@pytest.mark.parametrize("code", ["ExpiredToken", "AccessDenied", "InvalidToken", "SomethingElse"])
def test_what_a_service_quotes_of_a_token_that_it_refuses_is_without_it(code: str) -> None:
    token = AwsCredentials("ASIA", "canary/secret", "canary/token")
    quoted = b"<Error><Code>%b</Code><Token-0>canary/token</Token-0></Error>" % code.encode()
    _, result, _ = converse(aws(token), patch(), [Response(403, (), quoted)])
    assert result.response.body == quoted.replace(b"canary/token", b"***")


def test_what_a_service_quotes_of_a_rejected_request_is_without_its_secrets() -> None:
    token = AwsCredentials("ASIA", "canary/secret", "canary/token")
    quoted = b'{"message": "canary/token canary%2Ftoken canary-cookie canary-key short"}'
    request = patch(headers=[("Cookie", "canary-cookie"), ("X-Mine", "canary-key"), ("X-Api-Key", "short")])
    answer = Response(403, ((b"x-amzn-ErrorType", b"SignatureDoesNotMatch"),), quoted)
    _, result, _ = converse(aws(token, secret_fields=["x-mine"]), request, [answer])
    assert result.response.body == b'{"message": "*** *** *** *** short"}'
    assert result.refusal is not None
    assert result.refusal.endswith("; it says: *** *** *** *** short")


# --- bodies that are not in memory


def test_a_body_that_is_read_while_it_is_sent_is_hashed_first() -> None:
    flow = aws().flow(request_to("PATCH", f"{ORIGIN}/restapis/a"), Body.REPLAYABLE)
    assert next(flow) == HashBody("sha256")
    step = flow.send("44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a")  # of {}
    assert isinstance(step, Send)
    request = request_to("PATCH", f"{ORIGIN}/restapis/a", body=b"{}")
    (inside,), _, _ = converse(aws(), request, [Response(200)])
    assert step.request.header(b"authorization") == inside.request.header(b"authorization")


def test_a_stream_goes_unsigned_where_the_service_takes_that_over_tls_and_not_at_all_elsewhere() -> None:
    request = request_to("PATCH", f"{ORIGIN}/a")
    (sent,), _, _ = converse(aws(scope=Scope("r", "s3")), request, [Response(200)], Body.ONE_SHOT)
    assert sent.request.header(b"x-amz-content-sha256") == b"UNSIGNED-PAYLOAD"
    in_the_open = Origin("http", "h", 80)
    for scope, origin in ((SCOPE, ORIGIN), (Scope("r", "s3"), in_the_open)):
        flow = aws(scope=scope, origin=origin).flow(request_to("PATCH", f"{origin}/a"), Body.ONE_SHOT)
        next(flow)
        with pytest.raises(LocalProtocolError, match="give it as bytes, as a file, or as a function"):
            flow.send(None)


def test_terms_that_do_not_sign_the_body_need_no_hash_of_it() -> None:
    terms = Terms(path=terms_of("apigateway").path, signs_payload=False)
    (sent,), _, _ = converse(aws(terms=terms), request_to("PATCH", f"{ORIGIN}/a"), [Response(200)], Body.ONE_SHOT)
    assert sent.request.header(b"x-amz-content-sha256") == b"UNSIGNED-PAYLOAD"


def test_no_representation_shows_a_secret() -> None:
    authentication = aws(TOKEN)
    step = sent_by(authentication.flow(patch()))
    for shown in (repr(authentication), repr(step), str(step.is_good)):
        assert "canary" not in shown
        assert "secret-of-session" not in shown
