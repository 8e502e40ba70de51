from __future__ import annotations

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchwire.errors import LocalProtocolError
from patchwire.http.exchange import Exchange
from patchwire.http.message import Request, request_to
from patchwire.http.states import State
from patchwire.http.streamed_body import StreamedBody

PATCH = request_to("PATCH", "http://h/a", [("Content-Type", "a/b")])
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


def sent(pieces: list[bytes], length: int | None, request: Request = PATCH) -> tuple[Exchange, bytes]:
    """The exchange after it has handed out everything, and all that it handed out."""
    exchange = Exchange(request, streamed=StreamedBody(length))
    wire = exchange.bytes_to_send(0.0)
    exchange.all_sent()
    for piece in pieces:
        wire += exchange.body_piece(piece)
        exchange.all_sent()
    wire += exchange.end_body()
    exchange.all_sent()
    return exchange, wire


def as_a_server_reads_it(wire: bytes) -> tuple[list[tuple[bytes, bytes]], bytes]:
    server = h11.Connection(h11.SERVER)
    server.receive_data(wire)
    head = server.next_event()
    assert isinstance(head, h11.Request)
    body = b""
    while isinstance(event := server.next_event(), h11.Data):
        body += bytes(event.data)
    assert isinstance(event, h11.EndOfMessage)
    assert server.trailing_data == (b"", False)
    return list(head.headers), body


@given(st.lists(st.binary(max_size=40), max_size=6), st.booleans())
def test_a_server_reads_the_body_that_was_given_piece_by_piece(pieces: list[bytes], announced: bool) -> None:
    length = sum(map(len, pieces)) if announced else None
    exchange, wire = sent(pieces, length)
    fields, body = as_a_server_reads_it(wire)
    assert body == b"".join(pieces)
    framing = (b"content-length", b"%d" % len(body)) if announced else (b"transfer-encoding", b"chunked")
    assert framing in fields
    assert exchange.state is State.WAITING
    exchange.receive(OK)
    assert exchange.reusable


def test_a_body_that_is_longer_than_announced_is_refused_before_it_leaves() -> None:
    body = StreamedBody(3)
    assert body.piece(b"ab") == b"ab"
    with pytest.raises(LocalProtocolError, match="longer than the 3 bytes"):
        body.piece(b"cd")


def test_a_body_that_is_shorter_than_announced_does_not_end() -> None:
    exchange = Exchange(PATCH, streamed=StreamedBody(3))
    exchange.bytes_to_send(0.0)
    exchange.body_piece(b"ab")
    with pytest.raises(LocalProtocolError, match="ended after 2 of the 3 bytes"):
        exchange.end_body()
    assert exchange.state is State.SENDING
    exchange.receive(OK)
    assert not exchange.reusable


def test_nothing_follows_the_end_of_a_body() -> None:
    body = StreamedBody()
    assert body.end() == b"0\r\n\r\n"
    with pytest.raises(LocalProtocolError, match="has ended"):
        body.piece(b"a")


def test_pieces_are_taken_only_while_the_body_may_go_out() -> None:
    exchange = Exchange(PATCH.with_header(b"Expect", b"100-continue"), streamed=StreamedBody())
    head = exchange.bytes_to_send(0.0)
    assert b"Expect: 100-continue" in head
    exchange.all_sent()
    assert exchange.state is State.HOLDING
    with pytest.raises(LocalProtocolError, match="HOLDING takes no piece"):
        exchange.body_piece(b"a")
    exchange.receive(b"HTTP/1.1 100 Continue\r\n\r\n")
    assert exchange.bytes_to_send(0.1) == b""
    assert exchange.body_piece(b"a") == b"1\r\na\r\n"
    with pytest.raises(LocalProtocolError, match="takes no piece"):
        Exchange(PATCH).body_piece(b"a")


def test_an_early_answer_ends_the_exchange_and_forbids_reuse() -> None:
    exchange = Exchange(PATCH, streamed=StreamedBody())
    exchange.bytes_to_send(0.0)
    exchange.body_piece(b"a")
    exchange.receive(OK)
    assert exchange.ended
    assert not exchange.reusable


def test_a_streamed_body_of_an_early_answer_may_still_be_sent_to_its_end() -> None:
    exchange = Exchange(PATCH, streamed=StreamedBody())
    exchange.bytes_to_send(0.0)
    exchange.receive(OK[:-4])
    exchange.receive(b"\r\n\r\n"[:2])
    exchange.receive(b"\r\n"[:1])
    assert exchange.state is State.SENDING
    exchange.body_piece(b"a")
    exchange.end_body()
    exchange.all_sent()
    exchange.receive(b"\n")
    assert exchange.reusable
