from __future__ import annotations

import pytest

from patchwire.auth.bearer import BearerAuthentication, authorization
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
