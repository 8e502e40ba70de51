from __future__ import annotations

import pytest

from patchwire.auth.pkce import METHOD, challenge_of, check_verifier
from patchwire.errors import LocalProtocolError
from tests.support.vectors import load, needs_vectors


def test_the_example_of_rfc_7636_appendix_b_is_met() -> None:
    challenge = challenge_of("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")
    assert challenge == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


def test_o02_there_is_no_method_but_s256() -> None:
    assert METHOD == "S256"


@pytest.mark.parametrize("length", [43, 44, 127, 128])
def test_o01_a_verifier_has_43_to_128_characters(length: int) -> None:
    check_verifier("a" * length)


def test_o01_a_verifier_may_hold_every_unreserved_character() -> None:
    check_verifier("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


@pytest.mark.parametrize(
    "verifier",
    ["", "a" * 42, "a" * 129, "canary" * 7 + "+", "a" * 42 + "=", "a" * 42 + " ", "a" * 43 + "\n", "é" * 43, "٣" * 43],
)
def test_o01_anything_else_is_no_verifier_and_is_not_shown(verifier: str) -> None:
    for use in (check_verifier, challenge_of):
        with pytest.raises(LocalProtocolError, match="RFC 7636 section 4.1") as caught:
            use(verifier)
        assert "canary" not in str(caught.value)


@needs_vectors
def test_the_challenges_of_the_vectors_are_met() -> None:
    cases = load("oauth2/vectors.json")["pkce"]
    assert len(cases) == 4
    for case in cases:
        assert (METHOD, challenge_of(case["code_verifier"])) == (case["method"], case["code_challenge"])


@needs_vectors
def test_the_invalid_verifiers_of_the_vectors_are_refused() -> None:
    verifiers = load("oauth2/vectors.json")["pkce_invalid_verifiers"]
    assert len(verifiers) == 7
    for verifier in verifiers:
        with pytest.raises(LocalProtocolError):
            check_verifier(verifier)
