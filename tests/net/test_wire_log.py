from __future__ import annotations

import logging

import pytest

from patchwire.net.wire_log import field_lines, logger, sent_head


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [("Authorization", 'Digest username="svc", response="abc", nc=00000001',
      'Digest username="svc", response=***, nc=00000001'),
     ("Authorization", "Digest RESPONSE = abc,nc=1", "Digest RESPONSE = ***,nc=1"),
     ("Authorization", 'Digest realm="a\\", response=b", response="a\\"bc", nc=1',
      'Digest realm="a\\", response=b", response=***, nc=1'),
     ("Authorization", "Digest response=a response=b", "***"), ("Authorization", "Digest x=a", "Digest x=***"),
     ("Authorization", "Digest response=", "***"), ("Authorization", "Digest abc", "***"),
     ("Authorization", 'Digest response="abc', "***"), ("Authorization", "digest response=abc", "digest response=***"),
     ("Proxy-Authorization", "Digest response=abc", "Digest response=***"),
     ("Authorization", "Basic c3ZjOnB3", "***"), ("Authorization", "Bearer abc", "***"),
     ("Authentication-Info", 'rspauth="abc", nextnonce="n"', 'rspauth=***, nextnonce="n"'),
     ("Proxy-Authentication-Info", "nextnonce=n", "nextnonce=n"), ("Authentication-Info", "rspauth", "***"),
     ("Authorization", "AWS4-HMAC-SHA256 Credential=A/b, SignedHeaders=host, Signature=0a1",
      "AWS4-HMAC-SHA256 Credential=A/b, SignedHeaders=host, Signature=***"),
     ("Authorization", "AWS4-HMAC-SHA256 Signature=0a1, Credential=A/b", "***"),
     ("Authorization", "AWS4-X abc", "***"),
     ("X-Amz-Security-Token", "abc", "***"),
     ("WWW-Authenticate", 'Digest realm="r"', 'Digest realm="r"'), ("Set-Cookie", "a=b", "***"),
     ("X", "response=a", "response=a"),
     ("Location", "http://h/?code=abc&state=x&code=d e", "http://h/?code=***&state=x&code=***"),
     ("location", "/a?x=1&id_token=a.b#access_token=c&REFRESH_TOKEN=d",
      "/a?x=1&id_token=***#access_token=***&REFRESH_TOKEN=***"),
     ("Location", "/code=a?encode=b&code", "/code=a?encode=b&code"), ("X", "/?code=abc", "/?code=abc")],
)  # fmt: skip
def test_of_digest_aws_and_locations_only_secrets_are_hidden_and_of_what_is_not_understood_everything(
    name: str, value: str, shown: str
) -> None:
    assert field_lines([(name.encode(), value.encode())], frozenset()) == [f"{name}: {shown}"]


def test_a_field_that_the_settings_call_secret_is_hidden_whatever_it_holds() -> None:
    fields = [(b"Authorization", b"Digest realm=r"), (b"X-Key", b"abc")]
    secret = frozenset({b"authorization", b"x-key"})
    assert field_lines(fields, secret) == ["Authorization: ***", "X-Key: ***"]


@pytest.mark.parametrize(
    ("target", "shown"),
    [("/a?X-Amz-Signature=0a1", "/a?X-Amz-Signature=***"), ("/a?x=1&X-Amz-Security-Token=abc%2F&y=2",
      "/a?x=1&X-Amz-Security-Token=***&y=2"), ("/a?X-Amz-Security-Token=a&X-Amz-Signature=0&X-Amz-Date=1",
      "/a?X-Amz-Security-Token=***&X-Amz-Signature=***&X-Amz-Date=1"),
     ("/a", "/a")],
)  # fmt: skip
def test_of_a_presigned_target_signature_and_session_token_are_hidden(target: str, shown: str) -> None:
    head = f"PATCH {target} HTTP/1.1\r\nHost: h\r\n\r\n{{}}".encode()
    assert sent_head(head, frozenset()) == [f"PATCH {shown} HTTP/1.1", "Host: h"]


def test_the_logger_is_used_where_it_listens() -> None:
    assert logger() is None
    logging.getLogger("patchwire.wire").setLevel(logging.DEBUG)
    try:
        assert logger() is not None
    finally:
        logging.getLogger("patchwire.wire").setLevel(logging.NOTSET)
