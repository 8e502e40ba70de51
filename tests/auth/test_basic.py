from __future__ import annotations

from base64 import b64decode
from typing import Any
from unicodedata import normalize

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchwire.auth.basic import BasicAuthentication, authorization
from patchwire.auth.challenge import Challenge, parse
from patchwire.auth.credentials import Credentials
from patchwire.errors import LocalProtocolError
from patchwire.http.message import Origin
from tests.support.vectors import VECTORS, load, needs_vectors

ORIGIN = Origin("http", "h", 80)


def cases(kind: str) -> list[dict[str, Any]]:
    return load("digest/basic_vectors.json")[kind] if VECTORS else []


def test_the_examples_of_rfc_7617_are_met() -> None:
    assert authorization(Credentials("Aladdin", "open sesame")) == b"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="
    assert authorization(Credentials("test", "123\u00a3"), utf8=True) == b"Basic dGVzdDoxMjPCow=="


@needs_vectors
@pytest.mark.parametrize("case", cases("ok"), ids=lambda case: f"{case['username']}:{case['password']}")
def test_credentials_are_encoded_as_the_vectors_say(case: dict[str, Any]) -> None:
    assert authorization(Credentials(case["username"], case["password"])).decode() == case["authorization"]


@needs_vectors
@pytest.mark.parametrize("case", cases("must_refuse"), ids=lambda case: repr(case["username"]))
def test_what_rfc_7617_forbids_is_refused(case: dict[str, Any]) -> None:
    with pytest.raises(LocalProtocolError):
        Credentials(case["username"], case["password"])


@given(st.text().filter(lambda text: ":" not in text), st.text())
def test_credentials_that_construct_come_out_of_the_field_as_they_went_in(user: str, password: str) -> None:
    try:
        value = authorization(Credentials(user, password))
    except LocalProtocolError:
        return
    assert b64decode(value.removeprefix(b"Basic ")).decode() == normalize("NFC", f"{user}:{password}")


@pytest.mark.parametrize(
    ("charset", "asked", "octets"),
    [("UTF-8", None, "\u00e4".encode()), ("ISO-8859-1", None, b"\xe4"), ("ISO-8859-1", "utf-8", "\u00e4".encode())],
)
def test_the_charset_of_the_challenge_comes_before_that_of_the_settings(
    charset: Any, asked: str | None, octets: bytes
) -> None:
    authentication = BasicAuthentication(Credentials("svc", "\u00e4", charset), ORIGIN, preemptive=False)
    challenge = Challenge("basic", () if asked is None else (("charset", asked),))
    assert b64decode(authentication.value(challenge).removeprefix(b"Basic ")) == b"svc:" + octets


@pytest.mark.parametrize(
    ("field", "said"),
    [(b'Basic realm="R"', "user 'svc' or its password was rejected (Basic, realm 'R')"),
     (b"Basic", "user 'svc' or its password was rejected (Basic)")],
)  # fmt: skip
def test_a_rejection_names_user_and_realm_and_not_the_password(field: bytes, said: str) -> None:
    authentication = BasicAuthentication(Credentials("svc", "canary"), ORIGIN, preemptive=True)
    (challenge,) = parse([field])
    assert authentication.rejection(challenge) == said
