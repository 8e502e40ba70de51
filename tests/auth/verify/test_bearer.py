from __future__ import annotations

import pytest

from patchwire.auth.challenge import parse_strictly
from patchwire.auth.verify.bearer import BearerVerifier
from patchwire.auth.verify.verdict import Admitted, Refused
from patchwire.http.message import Origin, Request

VERIFIER = BearerVerifier("r", {"canary-token": "ada"})


def request(*values: bytes) -> Request:
    return Request("GET", Origin("http", "h", 80), b"/", tuple((b"Authorization", value) for value in values))


@pytest.mark.parametrize("value", [b"Bearer canary-token", b"bEARER  canary-token"])
def test_who_has_the_token_passes(value: bytes) -> None:
    assert VERIFIER.judge(request(value), 0.0) == Admitted("ada")


@pytest.mark.parametrize(
    ("values", "status", "error"),
    [((), 401, None), ((b"Basic YQ==",), 401, None), ((b"Bearer wrong",), 401, "invalid_token"),
     ((b"Bearer",), 400, "invalid_request"), ((b"Bearer a b",), 400, "invalid_request"),
     ((b"Bearer canary-token",) * 2, 400, "invalid_request"), ((b"Bearer realm=x",), 400, "invalid_request")],
)  # fmt: skip
def test_who_has_not_is_told_what_is_wrong(values: tuple[bytes, ...], status: int, error: str | None) -> None:
    verdict = VERIFIER.judge(request(*values), 0.0)
    assert isinstance(verdict, Refused)
    (challenge,) = parse_strictly(dict(verdict.headers)[b"WWW-Authenticate"])
    assert (verdict.status, challenge.scheme, challenge.realm) == (status, "bearer", "r")
    assert challenge.get("error") == error


def test_no_token_shows() -> None:
    assert repr(VERIFIER) == "<BearerVerifier of 1 tokens>"


def test_a_token_that_is_issued_passes_while_somebody_is_known_for_it() -> None:
    asked: list[tuple[str, float]] = []

    def user_of(token: str, now: float) -> str | None:
        asked.append((token, now))
        return "bob" if (token, now < 60.0) == ("issued", True) else None

    verifier = BearerVerifier("r", {"canary-token": "ada"}, user_of)
    assert verifier.judge(request(b"Bearer issued"), 59.0) == Admitted("bob")
    for value, now in ((b"Bearer issued", 60.0), (b"Bearer wrong", 0.0)):
        verdict = verifier.judge(request(value), now)
        assert isinstance(verdict, Refused)
        (challenge,) = parse_strictly(dict(verdict.headers)[b"WWW-Authenticate"])
        assert (verdict.status, challenge.get("error")) == (401, "invalid_token")
    assert verifier.judge(request(b"Bearer canary-token"), 99.0) == Admitted("ada")
    assert asked == [("issued", 59.0), ("issued", 60.0), ("wrong", 0.0)]
