from __future__ import annotations

import json

import pytest

from patchwire.http.message import Origin, Request, Response
from patchwire.loopback.ledger import applied_line


@pytest.mark.parametrize(
    ("body", "member", "value"),
    [(b'{"a": 1.50}', "body", {"a": 1.5}), (b'{\r\n"a":\n1}', "body", {"a": 1}), (b"\xff", "body_base64", "/w=="),
     (b"", "body_base64", ""), (b'{"a"', "body_base64", "eyJhIg==")],
)  # fmt: skip
def test_a_change_is_one_line_whatever_its_body(body: bytes, member: str, value: object) -> None:
    headers = ((b"Content-Type", b"a/b"), (b"If-Match", b'"x"'), (b"X-Request-Id", b"7"))
    request = Request("PATCH", Origin("http", "h", 80), b"/a?b", headers, body)
    text = applied_line(request, Response(200, ((b"ETag", b'"y"'),)))
    assert text.count(b"\n") == 1
    line = json.loads(text)
    assert line.pop(member) == value
    assert line == {
        "method": "PATCH", "path": "/a?b", "media_type": "a/b", "if_match": '"x"', "status": 200, "etag": '"y"',
        "request_id": "7",
    }  # fmt: skip
