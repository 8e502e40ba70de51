from __future__ import annotations

import copy
import json
import pickle

import msgspec
import pytest

from patchwire.settings.secret import Secret, SecretReference, parse_reference


def test_a_secret_shows_itself_to_nobody_who_does_not_ask() -> None:
    secret = Secret("canary")
    for text in (str(secret), repr(secret), f"{secret}", f"{[secret]}", "%s" % (secret,)):  # noqa: UP031
        assert "canary" not in text
    assert secret.reveal() == "canary"


def test_a_secret_is_not_written_out() -> None:
    secret = Secret("canary")
    for write in (pickle.dumps, copy.copy, json.dumps, msgspec.json.encode):
        with pytest.raises(TypeError):
            write(secret)
    assert not hasattr(secret, "__dict__")


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
