from __future__ import annotations

from base64 import b64decode

from hypothesis import given
from hypothesis import strategies as st

from patchwire.delivery.answer import Answer, answer_of
from patchwire.http.message import Response


def test_fields_are_kept_by_name_in_lower_case_and_those_of_one_name_joined() -> None:
    response = Response(
        200, ((b"Content-Type", b"text/plain"), (b"Vary", b"A"), (b"vary", b"B"), (b"X", b"\xe9")), b"hi"
    )
    headers = {"content-type": "text/plain", "vary": "A, B", "x": "\xe9"}
    assert answer_of(response, frozenset()) == Answer(headers, "hi", None)


def test_the_value_of_a_hidden_field_is_not_kept() -> None:
    response = Response(200, ((b"Set-Cookie", b"a=1"), (b"set-cookie", b"b=2"), (b"X-Id", b"7")))
    assert answer_of(response, {b"set-cookie"}).headers == {"set-cookie": "***, ***", "x-id": "7"}


@given(st.binary(max_size=200))
def test_a_body_is_kept_as_text_or_else_as_base64(body: bytes) -> None:
    answer = answer_of(Response(200, (), body), frozenset())
    if answer.encoding is None:
        assert answer.body.encode() == body
    else:
        assert answer.encoding == "base64"
        assert b64decode(answer.body, validate=True) == body
