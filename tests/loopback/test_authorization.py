from __future__ import annotations

from base64 import b64encode

import pytest

from patchwire.auth.basic import Credentials, authorization
from patchwire.auth.challenge import parse_strictly
from patchwire.http.message import Origin, Request
from patchwire.loopback.authorization import Basic, authorize

CREDENTIALS = Credentials("svc", "p:\u00e4")
REQUIREMENT = Basic(CREDENTIALS, 'a "realm" \\ here')


def request(*values: bytes) -> Request:
    return Request("GET", Origin("http", "h", 80), b"/", tuple((b"Authorization", value) for value in values))


def test_the_right_credentials_pass_and_nothing_is_asked_of_anyone_without_a_requirement() -> None:
    assert authorize(request(authorization(CREDENTIALS)), REQUIREMENT) is None
    assert authorize(request(b"bAsIc  " + authorization(CREDENTIALS)[6:]), REQUIREMENT) is None
    assert authorize(request(), None) is None


@pytest.mark.parametrize(
    "values",
    [(), (b"Basic",), (b"Basic !",), (b"Basic " + b64encode(b"svc"),), (b"Basic " + b64encode(b"svc:p:"),),
     (b"Basic " + b64encode(b"svc:p:\xe4"),), (b"Digest x",), (b"\xff",), (authorization(CREDENTIALS),) * 2],
)  # fmt: skip
def test_anything_else_is_401_with_a_challenge_that_parses_back(values: tuple[bytes, ...]) -> None:
    response = authorize(request(*values), REQUIREMENT)
    assert response is not None
    assert response.status == 401
    (challenge,) = parse_strictly(response.header(b"www-authenticate") or b"")
    assert (challenge.scheme, challenge.get("realm"), challenge.get("charset")) == (
        "basic",
        REQUIREMENT.realm,
        "UTF-8",
    )


def test_the_password_does_not_show() -> None:
    assert "p:" not in repr(REQUIREMENT)
