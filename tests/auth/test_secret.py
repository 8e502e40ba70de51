from __future__ import annotations

import copy
import json
import pickle
import traceback

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchwire.auth.secret import Secret


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


@given(st.text(min_size=1, max_size=30).map(lambda text: f"canary{text}"))
def test_no_way_of_showing_a_secret_shows_any_of_it(text: str) -> None:
    secret = Secret(text)
    shown = [str(secret), repr(secret), f"{secret!s} {secret!r} {secret!a}", f"{(secret,)} { ({'key': secret}) }"]
    assert not [each for each in shown if "canary" in each]
    with pytest.raises(TypeError):
        format(secret, "canary>10")
    assert secret.reveal() == text


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_secret_is_in_no_pickle_of_what_holds_it(protocol: int) -> None:
    with pytest.raises(TypeError, match="a secret is not pickled"):
        pickle.dumps({"password": Secret("canary")}, protocol)
    with pytest.raises(TypeError, match="a secret is not pickled"):
        copy.deepcopy([Secret("canary")])


def test_a_failure_that_carries_a_secret_does_not_tell_it() -> None:
    error = ValueError(Secret("canary"))
    assert "canary" not in str(error) + repr(error) + "".join(traceback.format_exception_only(error))


def test_secrets_are_equal_by_their_text_so_that_what_is_made_of_them_can_be_shared() -> None:
    assert Secret("a") == Secret("a")
    assert len({Secret("a"), Secret("a"), Secret("b")}) == 2
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
