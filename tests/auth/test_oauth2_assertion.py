from __future__ import annotations

import pytest

from patchwire.auth.oauth2_assertion import CLIENT_ASSERTION_TYPE, GRANT_TYPE, assertion_claims
from patchwire.errors import LocalProtocolError

TEXTS = {"issuer": "client", "subject": "client", "audience": "https://h/token", "token_id": "random"}


def test_o35_an_assertion_names_issuer_subject_audience_and_its_end_and_is_unique() -> None:
    assert assertion_claims(**TEXTS, now=1300819380.9, lifetime=60) == {
        "iss": "client",
        "sub": "client",
        "aud": "https://h/token",
        "jti": "random",
        "iat": 1300819380,
        "exp": 1300819440,
    }


@pytest.mark.parametrize(
    ("name", "claim"), [("issuer", "iss"), ("subject", "sub"), ("audience", "aud"), ("token_id", "jti")]
)
def test_o35_none_of_them_may_be_empty(name: str, claim: str) -> None:
    with pytest.raises(LocalProtocolError, match=f"must have a {claim} "):
        assertion_claims(**TEXTS | {name: ""}, now=0.0, lifetime=60)


def test_o36_the_names_of_rfc_7523_are_exact() -> None:
    assert CLIENT_ASSERTION_TYPE == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    assert GRANT_TYPE == "urn:ietf:params:oauth:grant-type:jwt-bearer"
