from __future__ import annotations

from collections.abc import Callable

import pytest

from patchwire.errors import SettingsError
from patchwire.settings.secret import SecretReference, parse_reference, reference_of


@pytest.mark.parametrize(
    ("text", "kind", "name"),
    [
        ("env:A", "env", "A"),
        ("file:C:/x", "file", "C:/x"),
        ("keyring:s/u", "keyring", "s/u"),
        ("literal:", "literal", ""),
        ("literal:env:x", "literal", "env:x"),
    ],
)
def test_there_are_four_ways_to_refer_to_a_secret(text: str, kind: str, name: str) -> None:
    assert parse_reference(text) == SecretReference(kind, name)


@pytest.mark.parametrize("text", ["", "hunter2", "ENV:A", "vault:x", ":x"])
def test_any_other_text_is_a_bare_one(text: str) -> None:
    assert parse_reference(text) is None


def test_a_reference_to_a_literal_hides_it() -> None:
    assert repr(SecretReference("literal", "canary")) == "SecretReference(literal:***)"
    assert repr(SecretReference("env", "CRM")) == "SecretReference(env:CRM)"


@pytest.mark.parametrize("show", [str, repr, "{}".format, "{!r}".format])
def test_no_way_of_showing_a_reference_shows_its_literal(show: Callable[[object], str]) -> None:
    assert "canary" not in show(SecretReference("literal", "canary"))
    assert "canary" not in show([SecretReference("literal", "canary")])


def test_the_reference_at_a_key_is_given_and_a_bare_text_refused_with_the_remedies() -> None:
    assert reference_of("c.toml", "password", "env:A") == SecretReference("env", "A")
    with pytest.raises(SettingsError) as caught:
        reference_of("c.toml", "oauth2.jwt.key", "canary")
    assert str(caught.value) == (
        "c.toml: oauth2.jwt.key: a secret must not stand here as bare text;"
        ' write it as "env:NAME", "file:PATH", "keyring:SERVICE/USER" or "literal:TEXT"'
    )
