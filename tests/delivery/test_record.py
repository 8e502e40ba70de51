from __future__ import annotations

import base64
import json
from itertools import combinations
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchwire.auth.secret import Secret
from patchwire.delivery.record import Record, RecordParser, line_digest, with_body
from patchwire.errors import RecordError
from patchwire.http.media_types import JSON_PATCH, MERGE_PATCH
from patchwire.http.request_head import request_head
from patchwire.settings.connection import parse_connection, resolve


def parser(base_url: str = "http://example.com/v1?k=1", **headers: str) -> RecordParser:
    file = parse_connection("c.toml", {"base_url": base_url, "headers": headers})
    return RecordParser(resolve("c.toml", file, {}))


def parse(text: str, seq: int = 0, **headers: str) -> Record:
    return parser(**headers).parse(text.encode(), seq)


def test_a_record_becomes_a_request() -> None:
    record = parse(
        '{"id": "r1", "path": "/people/1", "query": {"dry": "0"}, "headers": {"X-A": "b"}, "body": {"name": "x"},'
        ' "media_type": "application/merge-patch+json", "if_match": "\\"v3\\"", "idempotent": true,'
        ' "properties": {"row": 1}}',
        7,
        Accept="application/json",
    )
    assert (record.seq, record.id, record.path, record.idempotent) == (7, "r1", "/people/1", True)
    assert (record.lane, record.properties, record.body_file) == (b"/v1/people/1", b'{"row": 1}', None)
    request = record.request
    assert (request.method, str(request.origin), request.body) == ("PATCH", "http://example.com", b'{"name": "x"}')
    assert request.target == b"/v1/people/1?k=1&dry=0"
    assert request.headers == (
        (b"Accept", b"application/json"),
        (b"Content-Type", MERGE_PATCH.encode()),
        (b"If-Match", b'"v3"'),
        (b"X-A", b"b"),
    )


def test_the_id_is_the_records_number_unless_it_is_given() -> None:
    assert parse('{"path": "a", "body": {}}', 41).id == "41"
    assert parse('{"path": "a", "body": {}, "id": 12}', 41).id == "12"


def test_a_field_of_the_record_takes_the_place_of_the_connections() -> None:
    record = parse('{"path": "a", "body": {}, "headers": {"accept": "text/plain"}}', Accept="application/json")
    assert [value for name, value in record.request.headers if name.lower() == b"accept"] == [b"text/plain"]


NUMBERS = st.sampled_from(["1", "-0", "1.50", "1e5", "1E+2", "123456789012345678901234567890", "0.1000"])
STRINGS = st.text(max_size=5).map(lambda text: json.dumps(text, ensure_ascii=False)) | st.just('"\\u00e9\\/\\n"')
BLANK = st.sampled_from(["", " ", "\t", "  "])


def spaced(parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.tuples(BLANK, parts, BLANK).map("".join)


BODIES = st.recursive(
    NUMBERS | STRINGS | st.sampled_from(["true", "false", "null"]),
    lambda inner: (
        st.lists(spaced(inner), max_size=3).map(lambda parts: "[" + ",".join(parts) + "]")
        | st.lists(st.tuples(STRINGS, BLANK, spaced(inner)), max_size=3).map(
            lambda parts: "{" + ",".join(f"{name}{blank}:{value}" for name, blank, value in parts) + "}"
        )
    ),
    max_leaves=6,
)


@given(BODIES, BLANK)
def test_a_json_body_keeps_its_original_bytes(body: str, blank: str) -> None:
    text = f'{{"path": "a", "media_type": "application/json", "body":{blank}{body}{blank}}}'
    if "\ud800" <= max(body) <= "\udfff" and any("\ud800" <= character <= "\udfff" for character in body):
        return
    assert parse(text).request.body == body.encode()


@pytest.mark.parametrize(
    ("body", "media_type"), [("[]", JSON_PATCH), ("{}", MERGE_PATCH), (' \t[{"op": 1}]', JSON_PATCH)]
)
def test_an_object_is_a_merge_patch_and_an_array_a_json_patch(body: str, media_type: str) -> None:
    assert parse(f'{{"path": "a", "body": {body}}}').request.header(b"content-type") == media_type.encode()


@pytest.mark.parametrize(
    ("member", "value", "body"),
    [
        ("body_text", "zo\u00eb\n", "zo\u00eb\n".encode()),
        ("body_text", "", b""),
        ("body_base64", base64.b64encode(b"\x00\xff").decode(), b"\x00\xff"),
        ("body", "text", b'"text"'),
        ("body", None, b"null"),
    ],
)
def test_other_bodies_go_out_with_the_media_type_that_is_named(member: str, value: Any, body: bytes) -> None:
    record = parse(json.dumps({"path": "a", member: value, "media_type": "text/x"}))
    assert (record.request.body, record.request.header(b"content-type")) == (body, b"text/x")


def test_a_body_file_is_named_and_its_body_comes_later() -> None:
    record = parse('{"path": "a", "body_file": "x.bin", "media_type": "text/x"}')
    assert (record.body_file, record.request.body) == ("x.bin", b"")
    whole = with_body(record, b"octets")
    assert (whole.body_file, whole.request.body, whole.seq, whole.line) == (None, b"octets", record.seq, record.line)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "not valid JSON"),
        ("[]", "expected `object`, got `array`"),
        ("{}", "path: missing"),
        ('{"path": 1, "body": {}}', "path: expected `str`, got `int`"),
        ('{"path": "a", "body": {}, "pth": 1}', "pth: unknown key"),
        ('{"path": "a", "body": {}, "query": {"a": 1}}', "query"),
        ('{"path": "a"}', "has no body; give one of body, body_text, body_base64, body_file"),
        ('{"path": "a", "body": {}, "body_text": "x"}', "has body and body_text; give one"),
        ('{"path": "a", "body": 1}', "media_type: missing; body implies none"),
        ('{"path": "a", "body_text": "x"}', "media_type: missing; body_text implies none"),
        ('{"path": "a", "body_base64": "?", "media_type": "a/b"}', "body_base64: not valid base64"),
        ('{"path": "a b", "body": {}}', "path: character 2"),
        ('{"path": "a", "body": {}, "media_type": "a/b\\r\\nX: y"}', "'Content-Type': character 4"),
        ('{"path": "a", "body": {}, "media_type": "\u20ac"}', "media_type: '\u20ac' cannot stand"),
        ('{"path": "a", "body": {}, "if_match": "\\n"}', "if_match: no entity tag"),
        (
            '{"path": "a", "body": {}, "if_match": "v3"}',
            'if_match: no entity tag, which has quotes of its own; write "\\"v3\\""',
        ),
        ('{"path": "a", "body": {}, "headers": {"X\\n": "y"}}', "no field name"),
        ('{"path": "a", "body": {}, "headers": {"X": "y\\u0000"}}', "'X': character 2"),
        ('{"path": "a", "body": {}, "headers": {"Content-Length": "5"}}', "not yours to set"),
        ('{"path": "a", "body": {}, "headers": {"Authorization": "x"}}', "belongs to the connection,"),
        ('{"path": "a", "body": {}, "headers": {"Host": "x"}}', "belongs to the connection,"),
        ('{"path": "a", "body": {}, "headers": {"if-match": "x"}}', "give it as if_match"),
        ('{"path": "a", "body": {"n": NaN}}', "not valid JSON"),
        ('{"path": "a", "body": ' + "[" * 200_000 + "]" * 200_000 + "}", "nested too deeply"),
    ],
)
def test_a_faulty_record_is_refused_with_the_member_and_the_remedy(text: str, problem: str) -> None:
    with pytest.raises(RecordError) as caught:
        parse(text)
    assert problem in caught.value.problem


def test_octets_that_are_not_utf_8_are_refused_also_within_the_body() -> None:
    with pytest.raises(RecordError, match="not UTF-8: byte 24"):
        parser().parse(b'{"path": "a", "body": "\xff"}', 0)


def test_the_digest_is_the_lines_and_blanks_around_it_do_not_count() -> None:
    record = parse('{"path": "a", "body": {}}')
    assert record.digest() == line_digest(b'  {"path": "a", "body": {}}\r')
    assert record.digest() != line_digest(b'{"path": "a",  "body": {}}')
    assert len(record.digest()) == 16


def test_a_secret_field_goes_into_the_request_but_not_into_its_repr() -> None:
    file = parse_connection("c", {"base_url": "http://h", "headers": {"X-Key": "literal:canary"}})
    record = RecordParser(resolve("c", file, {"headers.X-Key": Secret("canary")})).parse(b'{"path":"a","body":{}}', 0)
    assert record.request.header(b"x-key") == b"canary"
    assert "canary" not in repr(record)


@given(st.binary(max_size=60))
def test_any_octets_are_a_record_or_a_record_error(line: bytes) -> None:
    try:
        assert isinstance(parser().parse(line, 0), Record)
    except RecordError as error:
        assert error.problem
        assert msgspec.json.encode(error.problem)


@pytest.mark.parametrize(
    "body",
    [
        '{"a" : 1.50, "b":1e5,\t"c":-0.0}',
        '{"a": 1, "a": 2}',
        '{"\\u0061": "\\ud83d\\ude00\\/"}',
        "[ 1E+2,1e-0 , 12345678901234567890.12345678901234567890]",
        '{"path": "/other", "body": {}}',
        "{ }",
        "[\t]",
    ],
)
@pytest.mark.parametrize("behind", ["", ', "id": "r1"'])
def test_a_body_goes_out_as_it_was_written(body: str, behind: str) -> None:
    record = parse(f'{{"body": {body} , "path": "a"{behind}}}')
    assert (record.request.body, record.path) == (body.encode(), "a")


GIVEN_BODIES = {"body": {}, "body_text": "x", "body_base64": "eA==", "body_file": "x"}


@pytest.mark.parametrize("names", [names for count in (2, 3, 4) for names in combinations(GIVEN_BODIES, count)])
def test_a_record_with_more_than_one_body_is_refused_with_the_names_of_all(names: tuple[str, ...]) -> None:
    with pytest.raises(RecordError) as caught:
        parse(json.dumps({"path": "a", "media_type": "a/b", **{name: GIVEN_BODIES[name] for name in names}}))
    assert caught.value.problem.startswith(f"has {' and '.join(names)}; give one of ")


@pytest.mark.parametrize(
    ("member", "value"),
    [("body", 1), ("body", "text"), ("body", True), ("body", None), ("body_text", "{}"), ("body_base64", "e30="),
     ("body_file", "a.json")],
)  # fmt: skip
def test_only_objects_and_arrays_imply_a_media_type(member: str, value: Any) -> None:
    with pytest.raises(RecordError) as caught:
        parse(json.dumps({"path": "a", member: value}))
    assert caught.value.problem.startswith(f"media_type: missing; {member} implies none")


@pytest.mark.parametrize("body", [{}, []])
def test_a_media_type_that_is_named_takes_the_place_of_the_implied_one(body: Any) -> None:
    record = parse(json.dumps({"path": "a", "body": body, "media_type": "application/vnd.x+json"}))
    assert record.request.all_values(b"content-type") == [b"application/vnd.x+json"]


@pytest.mark.parametrize(
    ("member", "value"),
    [("path", None), ("id", 1.5), ("id", True), ("query", []), ("headers", "X: y"), ("body_text", 1),
     ("body_base64", {}), ("body_file", 1), ("media_type", []), ("if_match", 3), ("idempotent", "true"),
     ("idempotent", 1)],
)  # fmt: skip
def test_a_member_of_the_wrong_type_is_named(member: str, value: Any) -> None:
    with pytest.raises(RecordError) as caught:
        parse(json.dumps({"path": "a", "body": {}, member: value}))
    assert caught.value.problem.startswith(f"{member}: expected ")


HOSTILE = st.text(max_size=8) | st.sampled_from(
    ["a\r\nX: y", "a\nb", "\x00", "a\r", "X-A", '"v1"', '"a\r\nX: y"', 'W/"\x7f"', "\u010a", "\u560d", "\u560a"]
)


@given(st.sampled_from(["path", "media_type", "if_match", "name", "value", "query"]), HOSTILE)
def test_no_member_can_inject_a_line(member: str, hostile: str) -> None:
    texts = {"path": "a", "media_type": "a/b", "if_match": '"v1"', "name": "X", "value": "y", "query": "q"}
    texts[member] = hostile
    line = {
        "path": texts["path"], "media_type": texts["media_type"], "if_match": texts["if_match"], "body": {},
        "headers": {texts["name"]: texts["value"]}, "query": {texts["query"]: texts["query"]},
    }  # fmt: skip
    try:
        request = parse(json.dumps(line)).request
    except RecordError:
        assert member != "query"
        return
    lines = request_head(request)[0].split(b"\r\n")
    assert lines[1:] == [
        b"Host: example.com",
        *(name + b": " + value for name, value in request.headers),
        b"Content-Length: 2",
        b"",
        b"",
    ]
    assert lines[0].startswith(b"PATCH /v1") and lines[0].endswith(b" HTTP/1.1") and lines[0].count(b" ") == 2
    assert not any(octet in line for line in lines for octet in (b"\r", b"\n", b"\x00"))
    assert len(request.headers) == 3
