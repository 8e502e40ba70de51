from __future__ import annotations

from patchwire.auth.oauth2_terms import NEEDS_A_PERSON, Before, JwtTerms
from patchwire.auth.secret import Secret
from tests.support.oauth2 import CLIENT_SECRET, PASSWORD, terms


def test_o42_neither_terms_nor_keys_print_a_secret() -> None:
    said = terms(
        "password",
        access_token=Secret("canary-access"),
        refresh_token=Secret("canary-refresh"),
        access_token_parameters=(("key", Secret("canary-parameter")),),
    )
    assert repr(said) == "<Terms password app>"
    assert "canary" not in repr(JwtTerms(Secret("canary-key"), "HS256"))
    assert "canary" not in repr(Before(Secret("canary-access"), "read"))


def test_all_that_a_peer_might_quote_and_must_not_be_quoted_with_is_known() -> None:
    said = terms(
        access_token=Secret("canary-access"),
        refresh_token=Secret("canary-refresh"),
        access_token_parameters=(("key", Secret("canary-parameter")),),
    )
    secrets = {CLIENT_SECRET, PASSWORD, "canary-access", "canary-refresh", "canary-parameter"}
    assert set(said.secrets()) == secrets
    assert set(terms().secrets()) == {CLIENT_SECRET, PASSWORD}


def test_the_grants_that_need_a_person_are_those_with_a_page_to_accept_on() -> None:
    assert {"authorization_code", "device_code"} == NEEDS_A_PERSON
