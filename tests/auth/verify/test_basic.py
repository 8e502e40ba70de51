from __future__ import annotations

from base64 import b64encode

import pytest

from patchwire.auth.basic import authorization
from patchwire.auth.challenge import parse_strictly
from patchwire.auth.credentials import Credentials
from patchwire.auth.verify.basic import BasicVerifier
from patchwire.auth.verify.verdict import Admitted, Refused
from patchwire.http.message import Origin, Request, Response

CREDENTIALS = Credentials("svc", "p:\u00e4")
RESPONSE = Response(200)
REALM = 'a "realm" \\ here'
VERIFIER = BasicVerifier(REALM, {"svc": "p:\u00e4", "other": "pw"})


def request(*values: bytes) -> Request:
    return Request("GET", Origin("http", "h", 80), b"/", tuple((b"Authorization", value) for value in values))


def test_the_right_credentials_pass_and_say_whose_they_are() -> None:
    assert VERIFIER.judge(request(authorization(CREDENTIALS)), 0.0) == Admitted("svc")
    assert VERIFIER.judge(request(b"bAsIc  " + authorization(CREDENTIALS)[6:]), 0.0) == Admitted("svc")
    verdict = VERIFIER.judge(request(authorization(Credentials("other", "pw"))), 0.0)
    assert verdict == Admitted("other")
    assert verdict.signed(RESPONSE, 0.0) is RESPONSE


@pytest.mark.parametrize(
    "values",
    [(), (b"Basic",), (b"Basic !",), (b"Basic " + b64encode(b"svc"),), (b"Basic " + b64encode(b"svc:p:"),),
     (b"Basic " + b64encode(b"svc:p:\xe4"),), (b"Digest x",), (b"\xff",), (authorization(CREDENTIALS),) * 2,
     (b"Basic a===",), (b"Basic realm=x",), (authorization(Credentials("other", "p:\u00e4")),)],
)  # fmt: skip
def test_anything_else_is_401_with_a_challenge_that_parses_back(values: tuple[bytes, ...]) -> None:
    verdict = VERIFIER.judge(request(*values), 0.0)
    assert isinstance(verdict, Refused)
    assert verdict.status == 401
    (challenge,) = parse_strictly(dict(verdict.headers)[b"WWW-Authenticate"])
    assert (challenge.scheme, challenge.get("realm"), challenge.get("charset")) == ("basic", REALM, "UTF-8")


def test_no_password_shows() -> None:
    assert repr(VERIFIER) == "<BasicVerifier of 2 users>"
