from __future__ import annotations

from typing import Any

import pytest

from patchwire.auth.secret import Secret
from patchwire.delivery.request import RequestMaker, implied_media_type
from patchwire.errors import LocalProtocolError
from patchwire.http.media_types import JSON_PATCH, MERGE_PATCH
from patchwire.settings.connection import parse_connection, resolve

FILE = parse_connection("c", {"base_url": "http://h/v1?k=1", "headers": {"Accept": "a/b", "X-T": "env:T"}})
MAKER = RequestMaker(resolve("c", FILE, {"headers.X-T": Secret("t")}))


def test_a_request_has_the_connections_fields_then_its_own() -> None:
    request = MAKER.make(
        "PATCH", "/a", body=b"{}", media_type="c/d", if_match='"v1"', query={"q": "1 2"}, headers={"X-A": "b"}
    )
    assert (request.method, request.target, request.body) == ("PATCH", b"/v1/a?k=1&q=1%202", b"{}")
    assert request.headers == (
        (b"Accept", b"a/b"), (b"X-T", b"t"), (b"Content-Type", b"c/d"), (b"If-Match", b'"v1"'), (b"X-A", b"b"),
    )  # fmt: skip


def test_a_request_without_a_body_has_no_media_type() -> None:
    request = MAKER.make("GET", "")
    assert (request.target, request.header(b"content-type")) == (b"/v1?k=1", None)


def test_a_field_of_the_request_takes_the_place_of_the_connections() -> None:
    assert MAKER.make("GET", "", headers={"accept": "e/f"}).all_values(b"accept") == [b"e/f"]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"path": "a b"}, "path: character 2"),
        ({"if_match": "v1"}, "if_match: no entity tag"),
        ({"if_match": 'W/"v1"'}, "if_match: a weak tag matches nothing there (RFC 9110 section 13.1.1); leave it out"),
        ({"if_match": '"v0", W/"v1"'}, "if_match: a weak tag matches nothing there"),
        ({"if_match": "\u010a"}, "if_match: '\u010a' cannot stand in a header field"),
        ({"media_type": "\u010a"}, "media_type: '\u010a' cannot stand in a header field"),
        ({"headers": {"Connection": "close"}}, "headers.Connection: belongs to the connection"),
        ({"headers": {"if-match": "x"}}, "headers.if-match: give it as if_match"),
        ({"headers": {"X": "a\nb"}}, "field 'X': character 2"),
    ],
)
def test_what_cannot_be_made_is_named(arguments: dict[str, Any], complaint: str) -> None:
    with pytest.raises(LocalProtocolError) as caught:
        MAKER.make("PATCH", arguments.pop("path", "/a"), **arguments)
    assert str(caught.value).startswith(complaint)


def test_what_a_signature_sets_belongs_to_the_connection_where_requests_are_signed() -> None:
    aws = {"access_key": "A", "secret_key": "env:S", "service": "s3", "region": "us-east-1"}
    file = parse_connection("c", {"base_url": "https://h/?k=1", "authentication": "aws", "aws": aws})
    maker = RequestMaker(resolve("c", file, {"aws.secret_key": Secret("s")}))
    for path, headers, complaint in (
        ("/a", {"X-Amz-Date": "x"}, "headers.X-Amz-Date: is the signature's own: leave it out"),
        ("/a?X-Amz-Signature=x", {}, "query: X-Amz-Signature is the signature's own: leave it out"),
    ):
        with pytest.raises(LocalProtocolError) as caught:
            maker.make("PATCH", path, headers=headers)
        assert str(caught.value) == complaint
        assert MAKER.make("PATCH", path, headers=headers).method == "PATCH"
    assert maker.make("PATCH", "/a", headers={"X-Amz-Meta": "x"}).target == b"/a?k=1"


@pytest.mark.parametrize(("body", "implied"), [(b"{}", MERGE_PATCH), (b"[]", JSON_PATCH), (b"1", None), (b"", None)])
def test_only_objects_and_arrays_imply_a_media_type(body: bytes, implied: str | None) -> None:
    assert implied_media_type(body) == implied


@pytest.mark.parametrize("if_match", ["*", '"v1"', '"v1", "v2"'])
def test_any_strong_tags_and_the_asterisk_go_out_as_they_are(if_match: str) -> None:
    assert MAKER.make("PATCH", "/a", if_match=if_match).header(b"if-match") == if_match.encode()
