"""The corpus of responses, each with what an exchange must make of it."""

from __future__ import annotations

import ast
from typing import Any, NamedTuple

from patchwire.http.exchange import BodyData, Complete, Exchange, Failed, InterimResponse, ResponseHead
from patchwire.http.message import request_to
from tests.support.vectors import VECTORS, load

# What each case's demand comes to, in the terms of an exchange: interim statuses, final status, body, how it ends,
# and whether the connection may be used again. "-" stands for no final head.
REUSE, CLOSE, FAIL = "reuse", "close", "fail"
EXPECTED: dict[str, tuple[list[int], int | None, bytes, str]] = {
    "cl-exact": ([], 200, b"hello", REUSE),
    "cl-trailing-data": ([], 200, b"hello", CLOSE),
    "cl-negative": ([], None, b"", FAIL),
    "cl-hex": ([], None, b"", FAIL),
    "cl-empty": ([], None, b"", FAIL),
    "cl-underscore": ([], None, b"", FAIL),
    "cl-huge": ([], None, b"", FAIL),
    "cl-two-differ": ([], None, b"", FAIL),
    "cl-list-differ": ([], None, b"", FAIL),
    "te-and-cl": ([], 200, b"hello", CLOSE),
    "te-chunked": ([], 200, b"hello", REUSE),
    "te-identity-chunked": ([], None, b"", FAIL),
    "te-gzip-chunked": ([], None, b"", FAIL),
    "te-two-lines-chunked": ([], None, b"", FAIL),
    "te-http10": ([], 200, b"hello", CLOSE),
    "te-obsfold": ([], 200, b"hello", REUSE),
    "until-close-keepalive": ([], 200, b"hello", CLOSE),
    "204-with-chunked": ([], 204, b"", REUSE),
    "205-with-body": ([], 205, b"hi", REUSE),
    "chunk-ext-bws": ([], 200, b"hello", REUSE),
    "chunk-ext-long": ([], 200, b"", FAIL),
    "chunk-size-plus": ([], 200, b"", FAIL),
    "chunk-size-underscore": ([], 200, b"", FAIL),
    "chunk-size-empty": ([], 200, b"", FAIL),
    "chunk-size-leading-zeros": ([], 200, b"hello", REUSE),
    "chunk-data-lf": ([], 200, b"hello", FAIL),
    "chunk-no-last": ([], 200, b"hello", FAIL),
    "chunk-trailers": ([], 200, b"hello", REUSE),
    "chunk-trailer-nul": ([], 200, b"hello", FAIL),
    "hdr-first-ws": ([], None, b"", FAIL),
    "hdr-no-colon": ([], None, b"", FAIL),
    "hdr-nul": ([], None, b"", FAIL),
    "hdr-bare-lf": ([], 200, b"hello", REUSE),
    "hdr-too-large": ([], None, b"", FAIL),
    "status-leading-crlf": ([], None, b"", FAIL),
    "status-no-reason-no-sp": ([], 200, b"", REUSE),
    "status-4-digit": ([], None, b"", FAIL),
    "status-600": ([], 600, b"", REUSE),
    "status-http2": ([], None, b"", FAIL),
    "status-http10-ka": ([], 200, b"hello", CLOSE),
    "status-lower": ([], None, b"", FAIL),
    "eof-nothing": ([], None, b"", FAIL),
    "103-then-200": ([103], 200, b"", REUSE),
    "1xx-with-cl": ([103], 200, b"", REUSE),
    "1xx-then-eof": ([100], None, b"", FAIL),
    "close-trailing": ([], 200, b"hello", CLOSE),
    "close-in-list": ([], 200, b"hello", CLOSE),
    "early-200-body-unsent": ([], 200, b"", CLOSE),
    "early-401-keepalive": ([], 401, b"", CLOSE),
    "expect-final-401": ([], 401, b"", CLOSE),
    "head-chunked": ([], 200, b"", REUSE),
}


class Ending(NamedTuple):
    """A case of the corpus: its octets, how the request stood, and what must come of it."""

    id: str
    method: str
    sent: str
    raw: bytes
    eof: bool
    expected: tuple[list[int], int | None, bytes, str]


def response_cases() -> list[Ending]:
    """Every case; none where the vectors are not there. A case that EXPECTED does not name is a KeyError."""
    if VECTORS is None:
        return []
    return [
        Ending(case["id"], case["method"], case["sent"], _raw(case), case["eof"], EXPECTED[case["id"]])
        for case in load("http1/response_cases.json")["cases"]
    ]


def read_case(case: Ending, cut: int) -> tuple[list[int], int | None, bytes, str]:
    """What an exchange makes of the case when its octets come in pieces of `cut`."""
    headers = [("Expect", "100-continue")] if case.sent == "expect" else []
    exchange = Exchange(request_to(case.method, "http://example.com/x", headers, b"{}"))
    exchange.bytes_to_send(0.0)
    if case.sent != "partial":
        exchange.all_sent()
    events = [event for at in range(0, len(case.raw), cut) for event in exchange.receive(case.raw[at : at + cut])]
    if case.eof:
        events += exchange.receive(b"")
    interim = [event.status for event in events if isinstance(event, InterimResponse)]
    final = next((event.status for event in events if isinstance(event, ResponseHead)), None)
    body = b"".join(event.data for event in events if isinstance(event, BodyData))
    if isinstance(events[-1], Failed):
        return interim, final, body, FAIL
    assert isinstance(events[-1], Complete)
    return interim, final, body, REUSE if exchange.reusable else CLOSE


def _raw(case: dict[str, Any]) -> bytes:
    text = case["raw"] if "raw" in case else _evaluate(ast.parse(case["raw_python"], mode="eval").body)
    assert isinstance(text, str)
    return text.encode("latin-1")


def _evaluate(node: ast.expr) -> Any:
    """Strings and numbers joined with + and *: the only expressions that the corpus holds."""
    if isinstance(node, ast.BinOp):
        left, right = _evaluate(node.left), _evaluate(node.right)
        return left + right if isinstance(node.op, ast.Add) else left * right
    return ast.literal_eval(node)
