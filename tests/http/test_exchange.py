from __future__ import annotations

from itertools import pairwise
from typing import Any

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchwire.errors import IncompleteResponseError, LocalProtocolError, RemoteProtocolError
from patchwire.http.exchange import (
    DEFAULT_LIMITS,
    LARGE_BODY,
    MAX_INTERIM_RESPONSES,
    BodyData,
    Complete,
    Event,
    Exchange,
    Failed,
    InterimResponse,
    Limits,
    ResponseHead,
)
from patchwire.http.message import Request, request_to
from patchwire.http.request_head import request_head
from patchwire.http.states import TRANSITIONS, State, Step
from tests.support.responses import Ending, read_case, response_cases
from tests.support.vectors import needs_vectors

PATCH = request_to("PATCH", "http://example.com/x", [("Content-Type", "application/merge-patch+json")], b"{}")
EXPECTING = PATCH.with_header(b"Expect", b"100-continue")
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


def started(request: Request = PATCH, limits: Limits = DEFAULT_LIMITS) -> Exchange:
    exchange = Exchange(request, limits)
    exchange.bytes_to_send(0.0)
    exchange.all_sent()
    return exchange


def joined(events: list[Event]) -> list[Any]:
    """Events as comparable values, adjacent body data as one."""
    values: list[Any] = []
    for event in events:
        if isinstance(event, BodyData) and values and isinstance(values[-1], BodyData):
            values[-1] = BodyData(values[-1].data + event.data)
        elif isinstance(event, Failed):
            values.append((type(event.error), str(event.error)))
        else:
            values.append(event)
    return values


def fed(raw: bytes, cuts: list[int], *, eof: bool, request: Request = PATCH, limits: Limits = DEFAULT_LIMITS) -> Any:
    exchange = started(request, limits)
    events: list[Event] = []
    edges = sorted({min(cut, len(raw)) for cut in cuts} | {0, len(raw)})
    for start, end in pairwise(edges):
        events += exchange.receive(raw[start:end])
    if eof:
        events += exchange.receive(b"")
    return joined(events), exchange.state, exchange.reusable, exchange.surplus


# --- the request


def test_a_patch_goes_out_as_head_and_body_with_host_and_length() -> None:
    assert Exchange(PATCH).bytes_to_send(0.0) == (
        b"PATCH /x HTTP/1.1\r\nHost: example.com\r\nContent-Type: application/merge-patch+json\r\n"
        b"Content-Length: 2\r\n\r\n{}"
    )


def test_a_patch_without_body_says_content_length_0() -> None:
    assert b"\r\nContent-Length: 0\r\n\r\n" in Exchange(request_to("PATCH", "http://h/")).bytes_to_send(0.0)


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "OPTIONS"])
def test_a_method_without_body_says_no_length(method: str) -> None:
    assert b"Content-Length" not in Exchange(request_to(method, "http://h/")).bytes_to_send(0.0)


def test_a_host_field_of_the_caller_stands_alone() -> None:
    sent = Exchange(PATCH.with_header(b"Host", b"tunnel.example")).bytes_to_send(0.0)
    assert sent.lower().count(b"\r\nhost:") == 1
    assert b"\r\nHost: tunnel.example\r\n" in sent


@pytest.mark.parametrize(
    ("headers", "complaint"),
    [
        ([("Host", "a"), ("Host", "b")], "Host"),
        ([("Upgrade", "websocket")], "Upgrade"),
        ([("Connection", "close;")], "Connection"),
    ],
)
def test_fields_that_contradict_an_exchange_are_refused(headers: list[tuple[str, str]], complaint: str) -> None:
    exchange = Exchange(request_to("PATCH", "http://h/", headers))
    with pytest.raises(LocalProtocolError, match=complaint):
        exchange.bytes_to_send(0.0)


def test_each_octet_is_handed_out_once() -> None:
    exchange = Exchange(PATCH)
    assert exchange.bytes_to_send(0.0)
    assert exchange.bytes_to_send(0.0) == b""


@given(st.binary(max_size=300), st.sampled_from(["PATCH", "PUT", "POST"]))
def test_a_server_reads_the_request_that_was_meant(body: bytes, method: str) -> None:
    request = request_to(method, "http://[::1]:8080/a%20b?c=%2F", [("X-A", "1"), ("X-A", "2")], body)
    server = h11.Connection(h11.SERVER)
    server.receive_data(Exchange(request).bytes_to_send(0.0))
    head = server.next_event()
    assert isinstance(head, h11.Request)
    assert (head.method, head.target) == (method.encode(), b"/a%20b?c=%2F")
    assert [value for name, value in head.headers if name == b"x-a"] == [b"1", b"2"]
    assert dict(head.headers)[b"host"] == b"[::1]:8080"
    read = b""
    while isinstance(event := server.next_event(), h11.Data):
        read += event.data
    assert read == body
    assert isinstance(event, h11.EndOfMessage)


def test_connection_close_is_seen_in_a_list_of_options() -> None:
    assert request_head(PATCH.with_header(b"Connection", b"foo, Close"))[2]
    exchange = started(PATCH.with_header(b"Connection", b"close"))
    exchange.receive(OK)
    assert exchange.state is State.COMPLETE
    assert not exchange.reusable


# --- the transition table


@pytest.mark.parametrize("state", list(State))
@pytest.mark.parametrize("step", list(Step))
def test_a_step_that_is_not_in_the_table_is_the_callers_fault(state: State, step: Step) -> None:
    exchange = Exchange(PATCH)
    exchange.state = state
    if (state, step) in TRANSITIONS:
        exchange._step(step)
        assert exchange.state is TRANSITIONS[state, step]
    else:
        with pytest.raises(LocalProtocolError, match=step.name):
            exchange._step(step)
        assert exchange.state is state


def test_every_state_can_be_reached_and_ends() -> None:
    reached = {State.READY}
    for _ in State:
        reached |= {target for (source, _), target in TRANSITIONS.items() if source in reached}
    assert reached == set(State)
    assert {source for source, _ in TRANSITIONS} == set(State) - {State.COMPLETE, State.FAILED}


def test_a_response_before_its_request_is_the_callers_fault() -> None:
    with pytest.raises(LocalProtocolError):
        Exchange(PATCH).receive(OK)


ACTIONS = st.sampled_from(["send", "all_sent", "late", "eof"]) | st.sampled_from(
    [OK, CONTINUE, b"HTTP/1.1 204 No Content\r\n\r\n", b"HTTP/1.1 200", b" OK\r\n\r\n", b"x", b"\r\n", b"\n"]
)


@given(st.lists(ACTIONS, max_size=12), st.booleans())
def test_whatever_is_done_to_an_exchange_it_stays_in_its_table(actions: list[str | bytes], expecting: bool) -> None:
    exchange = Exchange(EXPECTING if expecting else PATCH)
    events: list[Event] = []
    out = b""
    for action in actions:
        before = exchange.state
        try:
            if action == "send":
                out += exchange.bytes_to_send(0.0)
            elif action == "late":
                out += exchange.bytes_to_send(1e9)
            elif action == "all_sent":
                exchange.all_sent()
            else:
                events += exchange.receive(b"" if action == "eof" else action)  # type: ignore[arg-type]
        except LocalProtocolError:
            assert exchange.state is before
    whole = b"".join((request_head(exchange.request)[0], exchange.request.body))
    assert whole.startswith(out)
    endings = [event for event in events if isinstance(event, Complete | Failed)]
    assert len(endings) == exchange.ended
    assert not endings or events[-1] is endings[0]
    assert sum(isinstance(event, ResponseHead) for event in events) <= 1
    if exchange.reusable:
        assert out == whole
        assert isinstance(events[-1], Complete)


# --- the response, against the corpus and cut in every way


@needs_vectors
@pytest.mark.parametrize("case", response_cases(), ids=lambda case: case.id)
def test_the_response_corpus_meets_its_demands(case: Ending) -> None:
    assert read_case(case, 1 << 30) == case.expected
    assert read_case(case, 1) == case.expected


RESPONSES = [
    OK,
    b'HTTP/1.1 204 No Content\r\nETag: "a"\r\n\r\n',
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\n" + OK,
    b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a="b"\r\nhello\r\n3 ; x\r\nyou\r\n0\r\nX-T: 1\r\n\r\n',
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n1\r\nx\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n\r\nuntil the end",
    b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi",
    OK + OK,
    b"HTTP/1.1 200 OK\nContent-Length: 5\n\nhello",
    b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\nxHTTP/1.1 500 No\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloXX0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nX: a\x00b\r\n\r\n",
    b"\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
    b"SSH-2.0-OpenSSH_9.2\r\n",
    b"\x15\x03\x01\x00\x02\x02\x46",
]


@given(st.sampled_from(RESPONSES), st.lists(st.integers(0, 250), max_size=20), st.booleans(), st.data())
def test_any_response_cut_anywhere_gives_the_same_events(
    raw: bytes, cuts: list[int], eof: bool, data: st.DataObject
) -> None:
    raw = raw[: data.draw(st.integers(0, len(raw)))]
    limits = Limits(max_response_head=data.draw(st.integers(1, 200)), max_response_body=data.draw(st.integers(1, 20)))
    whole = fed(raw, [], eof=eof, limits=limits)
    assert fed(raw, cuts, eof=eof, limits=limits) == whole
    assert fed(raw, list(range(len(raw))), eof=eof, limits=limits) == whole


@given(st.binary(max_size=200), st.lists(st.integers(0, 250), max_size=20), st.booleans())
def test_any_bytes_cut_anywhere_give_the_same_events(tail: bytes, cuts: list[int], eof: bool) -> None:
    for start in (b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"):
        assert fed(start + tail, cuts, eof=eof) == fed(start + tail, [], eof=eof)


def test_bytes_after_the_final_response_are_never_an_answer_and_forbid_reuse() -> None:
    exchange = started()
    events = exchange.receive(OK + OK)
    assert sum(isinstance(event, ResponseHead) for event in events) == 1
    assert exchange.surplus == OK
    assert not exchange.reusable


def test_bytes_that_come_later_forbid_reuse_too() -> None:
    exchange = started()
    exchange.receive(OK)
    assert exchange.reusable
    assert exchange.receive(b"HTTP/1.1 408 Request Timeout\r\n\r\n") == []
    assert not exchange.reusable


def test_a_close_after_the_final_response_forbids_reuse() -> None:
    exchange = started()
    exchange.receive(OK)
    exchange.receive(b"")
    assert not exchange.reusable


def test_nothing_is_kept_of_what_follows_a_failure() -> None:
    exchange = started()
    exchange.receive(b"nonsense\r\n\r\n")
    assert exchange.receive(b"x" * 1000) == []
    assert exchange.surplus == b""


@pytest.mark.parametrize("cut", [1, 7, 1 << 20])
def test_the_head_limit_does_not_depend_on_how_the_bytes_are_cut(cut: int) -> None:
    def outcome(length: int) -> Any:
        raw = b"HTTP/1.1 204 No\r\nX: " + b"a" * (length - 24) + b"\r\n\r\n"
        assert len(raw) == length
        return fed(raw, list(range(0, length, cut)), eof=False, limits=Limits(max_response_head=1000))[0][-1]

    assert isinstance(outcome(1000), Complete)
    assert outcome(1001)[0] is RemoteProtocolError
    assert outcome(200_000)[0] is RemoteProtocolError


@pytest.mark.parametrize("cut", [1, 7, 1 << 20])
def test_the_body_limit_delivers_what_fits_and_fails_then(cut: int) -> None:
    raw = b"HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\n" + b"a" * 30
    values, *_ = fed(raw, list(range(0, len(raw), cut)), eof=False, limits=Limits(max_response_body=20))
    assert values[1] == BodyData(b"a" * 20)
    assert values[2][0] is RemoteProtocolError


@pytest.mark.parametrize("cut", [1, 4096, 1 << 20])
@pytest.mark.parametrize(("extension", "passes"), [(4089, True), (4090, False), (20_000, False)])
def test_chunk_extensions_are_bounded_however_they_are_cut(extension: int, passes: bool, cut: int) -> None:
    line = b"5;" + b"a" * extension
    raw = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + line + b"\r\nhello\r\n0\r\n\r\n"
    values, *_ = fed(raw, list(range(0, len(raw), cut)), eof=False)
    assert isinstance(values[-1], Complete) is (len(line) + 2 <= 4096)
    assert isinstance(values[-1], Complete) is (passes or extension == 4090)


@pytest.mark.parametrize("cut", [1, 1 << 20])
def test_a_trailer_section_is_bounded_like_a_head(cut: int) -> None:
    raw = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: " + b"a" * 2000 + b"\r\n\r\n"
    values, *_ = fed(raw, list(range(0, len(raw), cut)), eof=False, limits=Limits(max_response_head=1000))
    assert values[-1][0] is RemoteProtocolError
    assert "trailer" in values[-1][1]


def test_interim_responses_are_bounded() -> None:
    interim = b"HTTP/1.1 102 Processing\r\n\r\n"
    exchange = started()
    events = exchange.receive(interim * MAX_INTERIM_RESPONSES)
    assert all(isinstance(event, InterimResponse) for event in events)
    assert not exchange.ended
    (last,) = exchange.receive(interim)
    assert isinstance(last, Failed)


def test_switching_protocols_unasked_is_an_error() -> None:
    (event,) = started().receive(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n")
    assert isinstance(event, Failed)


@pytest.mark.parametrize("cut", range(len(OK)))
def test_a_response_cut_within_its_head_has_no_head_and_after_it_keeps_it(cut: int) -> None:
    exchange = started()
    events = exchange.receive(OK[:cut]) if cut else []
    events += exchange.receive(b"")
    head_is_whole = cut >= OK.index(b"\r\n\r\n") + 4
    assert any(isinstance(event, ResponseHead) for event in events) is head_is_whole
    last = events[-1]
    assert isinstance(last, Failed)
    assert isinstance(last.error, IncompleteResponseError)


@pytest.mark.parametrize(
    ("method", "answer", "opened"),
    [
        ("CONNECT", b"HTTP/1.1 200 Connection established\r\n\r\n", True),
        ("CONNECT", b"HTTP/1.1 204 OK\r\nContent-Length: 5\r\n\r\n", True),
        ("CONNECT", b"HTTP/1.1 200 OK\r\n\r\nearly", False),
        ("CONNECT", b"HTTP/1.1 407 Who\r\nContent-Length: 0\r\n\r\n", False),
        ("CONNECT", b"HTTP/1.1 200 OK\r\n", False),
        ("PATCH", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", False),
    ],
)
def test_a_tunnel_is_open_once_connect_was_granted_and_nothing_has_come_behind(
    method: str, answer: bytes, opened: bool
) -> None:
    target = b"example.com:443" if method == "CONNECT" else b"/"
    exchange = started(Request(method, PATCH.origin, target))
    assert not exchange.opened_tunnel
    exchange.receive(answer)
    assert exchange.opened_tunnel is opened
    assert not (opened and exchange.reusable)


def test_a_tunnel_opens_with_a_2xx_to_connect_and_its_bytes_are_surplus() -> None:
    request = Request("CONNECT", PATCH.origin, b"example.com:443")
    exchange = started(request)
    events = exchange.receive(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
    assert [type(event) for event in events] == [ResponseHead, Complete]
    assert exchange.surplus == b"hello"
    assert not exchange.reusable


# --- a final response while the body is on its way


def test_an_early_final_response_forbids_reuse() -> None:
    exchange = Exchange(PATCH)
    exchange.bytes_to_send(0.0)
    exchange.receive(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
    assert exchange.state is State.COMPLETE
    assert not exchange.reusable


def test_an_early_final_response_allows_reuse_when_the_body_was_sent_to_its_end() -> None:
    exchange = Exchange(PATCH)
    exchange.bytes_to_send(0.0)
    exchange.receive(OK[:-2])
    assert exchange.state is State.EARLY
    exchange.all_sent()
    exchange.receive(OK[-2:])
    assert exchange.reusable


# --- Expect: 100-continue


def test_an_expecting_request_holds_its_body_until_100_continue() -> None:
    exchange = Exchange(EXPECTING)
    assert exchange.bytes_to_send(10.0).endswith(b"\r\n\r\n")
    exchange.all_sent()
    assert exchange.bytes_to_send(10.5) == b""
    assert [type(event) for event in exchange.receive(CONTINUE)] == [InterimResponse]
    assert exchange.bytes_to_send(10.6) == b"{}"
    exchange.all_sent()
    exchange.receive(OK)
    assert exchange.reusable


def test_another_interim_response_does_not_release_the_body() -> None:
    exchange = Exchange(EXPECTING)
    exchange.bytes_to_send(0.0)
    exchange.receive(b"HTTP/1.1 103 Early Hints\r\n\r\n")
    assert exchange.bytes_to_send(0.5) == b""


def test_an_expecting_request_sends_its_body_when_the_deadline_has_passed() -> None:
    exchange = Exchange(EXPECTING, Limits(continue_timeout=2.0))
    exchange.bytes_to_send(10.0)
    assert exchange.continue_deadline == 12.0
    assert exchange.bytes_to_send(11.9) == b""
    assert exchange.bytes_to_send(12.0) == b"{}"
    exchange.all_sent()
    exchange.receive(CONTINUE + OK)
    assert exchange.reusable


def test_a_final_response_in_place_of_100_keeps_the_body_back_and_forbids_reuse() -> None:
    exchange = Exchange(EXPECTING)
    exchange.bytes_to_send(0.0)
    exchange.all_sent()
    exchange.receive(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 3\r\n\r\nn")
    assert exchange.state is State.REFUSED
    assert exchange.bytes_to_send(1e9) == b""
    exchange.all_sent()
    exchange.receive(b"o!")
    assert exchange.ended
    assert not exchange.reusable


def test_an_empty_body_is_not_held_back() -> None:
    exchange = Exchange(request_to("PATCH", "http://h/", [("Expect", "100-continue")]))
    exchange.bytes_to_send(0.0)
    assert exchange.state is State.SENDING


@pytest.mark.parametrize("status", [401, 407])
@pytest.mark.parametrize(("length", "reusable"), [(LARGE_BODY - 1, True), (LARGE_BODY, False)])
def test_behind_a_challenge_to_a_large_body_the_connection_is_not_trusted(
    status: int, length: int, reusable: bool
) -> None:
    exchange = Exchange(request_to("PATCH", "http://h/", body=b"x" * length))
    exchange.bytes_to_send(0.0)
    exchange.all_sent()
    exchange.receive(b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n" % status)
    assert exchange.reusable is reusable
