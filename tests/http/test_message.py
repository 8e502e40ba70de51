from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchwire.errors import LocalProtocolError
from patchwire.http.message import Origin, Request, Response, request_to, split_url, target_fault
from patchwire.http.request_head import request_head

H = Origin("http", "h", 80)
OCTETS = st.binary(max_size=12) | st.sampled_from(
    [b"a\r\nX: y", b"a\nb", b"a\x00", b" a", b"a ", b"\xe4", b"a b", b""]
)


@given(st.text(max_size=8) | st.just("PATCH"), OCTETS.map(lambda tail: b"/" + tail), OCTETS, OCTETS)
def test_no_method_target_name_or_value_can_inject_a_line(
    method: str, target: bytes, name: bytes, value: bytes
) -> None:
    try:
        head, _, _ = request_head(Request(method, H, target, ((name, value),)))
    except LocalProtocolError:
        return
    lines = head.split(b"\r\n")
    assert lines[-2:] == [b"", b""]
    assert len([line for line in lines if line]) <= 4
    assert not any(octet in line for line in lines for octet in (b"\r", b"\n", b"\x00"))
    assert lines[0].count(b" ") == 2


@pytest.mark.parametrize(
    ("method", "problem"), [("patch", "methods are case-sensitive"), ("", "no method"), ("PA TCH", "no method"),
                            ("P\xc4TCH", "no method"), ("\ud800", "no method")],
)  # fmt: skip
def test_a_bad_method_is_refused(method: str, problem: str) -> None:
    with pytest.raises(LocalProtocolError, match=problem):
        Request(method, H, b"/")


def test_any_token_is_a_method() -> None:
    assert Request("MKCALENDAR", H, b"/").method == "MKCALENDAR"


@pytest.mark.parametrize(
    ("method", "target"),
    [("PATCH", b"/a?b=%20"), ("OPTIONS", b"*"), ("PATCH", b"http://h:1/a"), ("CONNECT", b"h:443"),
     ("CONNECT", b"[::1]:443"), ("GET", b"http://[::1]/")],
)  # fmt: skip
def test_every_form_of_target_is_taken_where_it_belongs(method: str, target: bytes) -> None:
    assert Request(method, H, target).target == target


@pytest.mark.parametrize(
    ("method", "target"),
    [("PATCH", b""), ("PATCH", b"*"), ("PATCH", b"a"), ("PATCH", b"/a b"), ("PATCH", b"/%zz"), ("PATCH", b"/a#b"),
     ("PATCH", b"/\xff"), ("CONNECT", b"h 443"), ("PATCH", b"h:443")],
)  # fmt: skip
def test_a_target_that_is_none_is_refused(method: str, target: bytes) -> None:
    with pytest.raises(LocalProtocolError, match="request target"):
        Request(method, H, target)


@pytest.mark.parametrize(
    ("value", "character"), [(b" a", 1), (b"a\t", 2), (b"a\r", 2), (b"ab\x7f", 3), (b"\x00", 1), (b"a\x1fb", 2)]
)
def test_a_bad_field_value_is_refused_with_its_place(value: bytes, character: int) -> None:
    with pytest.raises(LocalProtocolError, match=f"'X': character {character} of its value"):
        Request("PATCH", H, b"/", ((b"X", value),))


@pytest.mark.parametrize("name", [b"", b"a b", b"a:", b"\xe4", b"X\r\nY"])
def test_a_bad_field_name_is_refused(name: bytes) -> None:
    with pytest.raises(LocalProtocolError, match="no field name"):
        Request("PATCH", H, b"/", ((name, b"x"),))


@pytest.mark.parametrize("name", [b"Content-Length", b"transfer-encoding"])
def test_fields_that_frame_the_body_are_refused(name: bytes) -> None:
    with pytest.raises(LocalProtocolError, match="frames the body"):
        Request("PATCH", H, b"/", ((name, b"1"),))


@pytest.mark.parametrize(
    ("url", "authority", "target"),
    [
        ("http://h", "h", b"/"),
        ("http://h:80/a", "h", b"/a"),
        ("https://h:443/a?", "h", b"/a?"),
        ("https://h:80/a?b?c", "h:80", b"/a?b?c"),
        ("http://[::1]:8080/a;b=%2f", "[::1]:8080", b"/a;b=%2f"),
        ("HTTP://EXAMPLE.com/A", "example.com", b"/A"),
    ],
)
def test_a_url_is_split_as_written(url: str, authority: str, target: bytes) -> None:
    origin, found = split_url(url)
    assert (origin.authority, found) == (authority, target)
    assert str(origin) == f"{origin.scheme}://{authority}"


@pytest.mark.parametrize(
    "url", ["", "h", "ftp://h", "http://", "http://h:x/", "http://h:70000/", "http://u@h/", "http://h/#f", "http://h/\n",
            "http://h/\xe4", "http://[::1/"],
)  # fmt: skip
def test_a_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(LocalProtocolError):
        split_url(url)


def test_a_field_is_replaced_or_taken_away_whatever_its_case() -> None:
    request = request_to("PATCH", "http://h/", [("x-a", "1"), ("X-B", "2"), ("X-A", "3")])
    assert request.with_header(b"X-a", b"4").headers == ((b"X-B", b"2"), (b"X-a", b"4"))
    assert request.without_header(b"X-A").headers == ((b"X-B", b"2"),)
    assert (request.header(b"x-a"), request.header(b"x-c")) == (b"1", None)


def test_a_responses_fields_are_found_by_lower_case_names() -> None:
    response = Response(200, ((b"ETag", b'"a"'), (b"Set-Cookie", b"b"), (b"set-cookie", b"c")))
    assert response.header(b"etag") == b'"a"'
    assert response.header(b"none") is None
    assert response.all_values(b"set-cookie") == [b"b", b"c"]


def test_neither_request_nor_response_shows_a_field() -> None:
    request = request_to("PATCH", "http://h/a", [("Authorization", "canary")], b"{}")
    assert repr(request) == "<Request PATCH http://h/a, 1 fields, 2 bytes>"
    assert repr(Response(200, ((b"Set-Cookie", b"canary"),), b"{}")) == "<Response 200, 1 fields, 2 bytes>"


@pytest.mark.parametrize("attribute", ["method", "target", "headers", "body"])
def test_messages_are_frozen(attribute: str) -> None:
    with pytest.raises(AttributeError):
        setattr(request_to("PATCH", "http://h/"), attribute, b"")


@given(st.binary(max_size=20))
def test_a_fault_in_a_target_is_the_first_octet_that_is_not_allowed(target: bytes) -> None:
    fault: Any = target_fault(target)
    assert (fault is None) == bool(re.fullmatch(rb"(?:[A-Za-z0-9\-._~!$&'()*+,;=:@/?]|%[0-9A-Fa-f]{2})*", target))
    if fault is not None:
        assert target_fault(target[:fault]) is None


@given(st.lists(st.tuples(OCTETS | st.sampled_from([b"X-A", b"Accept"]), OCTETS), max_size=4), st.binary(max_size=9))
def test_a_head_holds_the_fields_it_was_given_each_on_one_line_and_nothing_else(
    fields: list[tuple[bytes, bytes]], body: bytes
) -> None:
    try:
        head, _, _ = request_head(Request("PATCH", H, b"/a", tuple(fields), body))
    except LocalProtocolError:
        return
    added = [] if any(name.lower() == b"host" for name, _ in fields) else [b"Host: h"]
    assert head.split(b"\r\n") == [
        b"PATCH /a HTTP/1.1",
        *added,
        *(name + b": " + value for name, value in fields),
        b"Content-Length: %d" % len(body),
        b"",
        b"",
    ]


TOKEN_OCTETS = frozenset(b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
VALUE_OCTETS = frozenset({0x09, *range(0x20, 0x7F), *range(0x80, 0x100)})
TARGET_OCTETS = frozenset(
    b"-._~!$&'()*+,;=:@/?0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
)


def constructs(method: str = "PATCH", target: bytes = b"/", name: bytes = b"X", value: bytes = b"x") -> bool:
    try:
        Request(method, H, target, ((name, value),))
    except LocalProtocolError:
        return False
    return True


@pytest.mark.parametrize("octet", range(256))
def test_every_octet_is_taken_exactly_where_its_grammar_has_it(octet: int) -> None:
    one = bytes([octet])
    assert constructs(name=b"X" + one) is (octet in TOKEN_OCTETS)
    assert constructs(method="X" + chr(octet)) is (octet in TOKEN_OCTETS)
    assert constructs(value=b"a" + one + b"b") is (octet in VALUE_OCTETS)
    assert constructs(value=one) is (octet in VALUE_OCTETS - set(b" \t"))
    assert constructs(target=b"/a" + one + b"b") is (octet in TARGET_OCTETS)


@pytest.mark.parametrize("line", [(b"X", b"a\r\nY: b"), (b"X\nY", b"b"), (b"X", b"\x00"), (b"Content-Length", b"1")])
def test_a_field_that_is_added_later_is_checked_as_well(line: tuple[bytes, bytes]) -> None:
    with pytest.raises(LocalProtocolError):
        request_to("PATCH", "http://h/").with_header(*line)


def test_all_values_of_a_requests_field_are_found_in_their_order() -> None:
    request = request_to("PATCH", "http://h/", [("Accept", "a/b"), ("X", "y"), ("accept", "c/d")])
    assert request.all_values(b"accept") == [b"a/b", b"c/d"]
    assert request.all_values(b"none") == []


@pytest.mark.parametrize("host", ["h\r\nX: y", "", "a b", "h/x", "user@h", "[::1]", "caf\xe9"])
def test_an_origin_whose_host_could_become_two_lines_or_another_place_is_refused(host: str) -> None:
    with pytest.raises(LocalProtocolError, match="is no host"):
        Origin("http", host, 80)


@pytest.mark.parametrize("host", ["h", "a-b.example", "127.0.0.1", "::1", "fe80::1%25eth0", "xn--caf-dma.example"])
def test_an_origin_has_a_name_or_an_address(host: str) -> None:
    assert Origin("http", host, 80).host == host


@pytest.mark.parametrize("date", [b"Sun, 06 Nov 1994 08:49:37 GMT", b"Sunday, 06-Nov-94 08:49:37 GMT"])
def test_a_pause_until_a_date_is_held_against_the_date_of_the_answer(date: bytes) -> None:
    headers = ((b"Retry-After", b"Sun, 06 Nov 1994 08:50:37 GMT"), (b"Date", date))
    assert Response(503, headers).retry_after(784_200_000.0) == 60


@pytest.mark.parametrize("headers", [(), ((b"Date", b"yesterday"),)])
def test_without_a_date_in_the_answer_a_pause_ends_by_our_clock(headers: tuple[tuple[bytes, bytes], ...]) -> None:
    asked = (b"Retry-After", b"Sun, 06 Nov 1994 08:50:37 GMT")
    assert Response(503, (asked, *headers)).retry_after(784_111_777.0) == 60


def test_a_pause_in_seconds_needs_no_clock_and_most_answers_ask_for_none() -> None:
    assert Response(429, ((b"retry-after", b"7"), (b"Date", b"Sun, 06 Nov 1994 08:49:37 GMT"))).retry_after(0.0) == 7
    assert Response(429, ((b"Retry-After", b"soon"),)).retry_after(0.0) is None
    assert Response(200).retry_after(0.0) is None


def test_the_proofs_of_a_presigned_request_are_not_shown() -> None:
    target = "/a?X-Amz-Date=1&x-amz-signature=canary&X-Amz-Security-Token=canary%2F&b=X-Amz"
    request = request_to("PATCH", f"http://h{target}")
    assert repr(request) == (
        "<Request PATCH http://h/a?X-Amz-Date=1&x-amz-signature=***&X-Amz-Security-Token=***&b=X-Amz,"
        " 0 fields, 0 bytes>"
    )
