from __future__ import annotations

import pytest

from patchwire.auth.bearer import BearerAuthentication, authorization, is_token, rejected_by
from patchwire.auth.challenge import parse
from patchwire.errors import LocalProtocolError
from patchwire.http.message import Origin


def test_a_token_is_sent_as_rfc_6750_has_it() -> None:
    assert authorization("mF_9.B5f-4.1JqM") == b"Bearer mF_9.B5f-4.1JqM"


@pytest.mark.parametrize("token", ["", "canary token", "canary\r\nX: y", "canary,", "can\u00e4ry", "=canary"])
def test_what_is_no_token_is_refused_unseen(token: str) -> None:
    with pytest.raises(LocalProtocolError, match="section 2.1") as caught:
        BearerAuthentication(token, Origin("https", "h", 443), preemptive=True)
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    ("field", "said"),
    [(b'Bearer realm="r", error="invalid_token", error_description="it expired"',
      "the token was rejected (Bearer, realm 'r'): invalid_token: it expired"),
     (b'Bearer error="\x9b31m"', "the token was rejected (Bearer): \\x9b31m"),
     (b"Bearer", "the token was rejected (Bearer): no reason given")],
)  # fmt: skip
def test_a_rejection_tells_what_the_server_says(field: bytes, said: str) -> None:
    authentication = BearerAuthentication("canary", Origin("https", "h", 443), preemptive=True)
    (challenge,) = parse([field])
    assert authentication.rejection(challenge) == said


@pytest.mark.parametrize(
    ("text", "is_one"), [("a", True), ("a==", True), ("-._~+/aZ09", True), ("", False), ("=", False), ("a=b", False),
     ("a b", False), ("a\n", False), ("\u00e4", False)],
)  # fmt: skip
def test_o27_a_token_is_what_rfc_6750_has_as_one(text: str, is_one: bool) -> None:
    assert is_token(text) is is_one


def test_a_rejection_without_a_challenge_gives_no_reason() -> None:
    assert rejected_by(None) == "the token was rejected: no reason given"


def test_what_a_server_says_of_a_token_at_length_is_cut() -> None:
    (challenge,) = parse([b'Bearer error="%b", error_description="%b"' % (b"x" * 1000, b"y" * 1000)])
    assert len(rejected_by(challenge)) < 500


def test_o42_a_rejection_that_quotes_the_token_is_told_without_it() -> None:
    authentication = BearerAuthentication("canary-token", Origin("https", "h", 443), preemptive=True)
    (challenge,) = parse([b'Bearer error="invalid_token", error_description="%bcanary-token"' % (b"x" * 195)])
    assert "canary" not in authentication.rejection(challenge)
