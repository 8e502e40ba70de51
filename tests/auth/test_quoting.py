from __future__ import annotations

import json
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchwire.auth.quoting import SHORTEST, hiding

TOKEN = "canary/token+a=="


@pytest.mark.parametrize(
    "quoted",
    [
        TOKEN,
        "canary%2Ftoken%2Ba%3D%3D",
        "canary%2ftoken%2ba%3d=",
        r"canary\/token+a==",
        r"canary\u002ftoken\u002ba\u003D\u003d",
    ],
)
def test_a_secret_is_hidden_in_every_form_in_which_it_is_quoted(quoted: str) -> None:
    assert hiding([TOKEN])(f"a {quoted} b {quoted}") == "a *** b ***"


def test_the_longer_of_two_secrets_goes_first_and_what_is_short_is_no_secret() -> None:
    hide = hiding(["canary-1", "canary-1-more", "short"])
    assert hide("canary-1-more canary-1 short") == "*** *** short"
    assert hiding(["x" * (SHORTEST - 1)])("x" * 20) == "x" * 20
    assert hiding([])("a") == "a"


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=SHORTEST))
def test_no_secret_survives_quoting(secret: str) -> None:
    hide = hiding([secret])
    for form in (secret, quote(secret, safe=""), json.dumps(secret), json.dumps(secret).replace("/", "\\/")):
        assert hide(f"<{form}>").replace('"', "") == "<***>"
