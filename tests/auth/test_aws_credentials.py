from __future__ import annotations

import pytest

from patchwire.auth.aws_credentials import AwsCredentials
from patchwire.errors import LocalProtocolError


def test_an_access_key_and_its_secret_are_enough() -> None:
    keys = AwsCredentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
    assert (keys.session_token, keys.expires_at) == (None, None)


def test_secret_and_token_may_hold_every_visible_character() -> None:
    visible = "".join(map(chr, range(0x21, 0x7F)))
    keys = AwsCredentials("!-+.0~_AKID", visible, visible)
    assert (keys.secret_key, keys.session_token) == (visible, visible)


@pytest.mark.parametrize("access_key", ["", "AK ID", "AK/ID", "AK,ID", "AK\nID", "AK\tID", "\u00c4KID", "AKID\n"])
def test_an_access_key_that_would_end_early_in_a_field_is_refused(access_key: str) -> None:
    with pytest.raises(LocalProtocolError, match="access key"):
        AwsCredentials(access_key, "canary")


@pytest.mark.parametrize(
    "secret", ["", " canary", "canary ", "cana ry", "cana\nry", "canary\n", "can\u00e4ry", "\x7f"]
)
def test_a_secret_or_token_that_no_key_can_be_is_refused_without_being_shown(secret: str) -> None:
    with pytest.raises(LocalProtocolError, match="the secret key is empty") as caught:
        AwsCredentials("AKIDEXAMPLE", secret)
    assert not secret or secret not in str(caught.value)
    with pytest.raises(LocalProtocolError, match="the session token is empty") as caught:
        AwsCredentials("AKIDEXAMPLE", "secret", secret)
    assert not secret or secret not in str(caught.value)


def test_no_secret_and_no_token_is_printed() -> None:
    keys = AwsCredentials("AKIDEXAMPLE", "canary-secret", "canary-token", 1440938160.0)
    for text in (repr(keys), str(keys), f"{keys}", f"{[keys]}"):
        assert "canary" not in text
        assert "AKIDEXAMPLE" in text
    assert repr(keys) == "AwsCredentials(access_key='AKIDEXAMPLE', secret_key=***, session_token=***)"
    assert repr(AwsCredentials("AKIDEXAMPLE", "canary")) == "AwsCredentials(access_key='AKIDEXAMPLE', secret_key=***)"


@pytest.mark.parametrize(
    ("seconds", "now", "expired"),
    [(60.0, 939.0, False), (60.0, 939.5, False), (60.0, 940.0, True), (60.0, 1001.0, True), (0.0, 999.5, False)],
)
def test_they_expire_within_a_time_only_where_their_end_is_nearer(seconds: float, now: float, expired: bool) -> None:
    assert AwsCredentials("AKIDEXAMPLE", "secret", "token", 1000.0).expire_within(seconds, now) is expired


def test_the_same_keys_may_be_known_to_end_at_another_time() -> None:
    keys = AwsCredentials("AKIDEXAMPLE", "secret", "token", 1.0)
    assert keys.are_those_of(AwsCredentials("AKIDEXAMPLE", "secret", "token", 2.0))
    for other in (
        None,
        AwsCredentials("AKIDOTHER", "secret", "token", 1.0),
        AwsCredentials("AKIDEXAMPLE", "other", "token", 1.0),
        AwsCredentials("AKIDEXAMPLE", "secret", "other", 1.0),
        AwsCredentials("AKIDEXAMPLE", "secret", None, 1.0),
    ):
        assert not keys.are_those_of(other)


def test_lasting_keys_never_expire() -> None:
    assert not AwsCredentials("AKIDEXAMPLE", "secret").expire_within(1e12, 1e12)


def test_they_are_equal_and_hash_alike_only_in_all_their_parts() -> None:
    keys = AwsCredentials("AKIDEXAMPLE", "secret", "token", 1.0)
    assert {keys, AwsCredentials("AKIDEXAMPLE", "secret", "token", 1.0)} == {keys}
    others = {
        AwsCredentials("AKIDOTHER", "secret", "token", 1.0),
        AwsCredentials("AKIDEXAMPLE", "other", "token", 1.0),
        AwsCredentials("AKIDEXAMPLE", "secret", "other", 1.0),
        AwsCredentials("AKIDEXAMPLE", "secret", None, 1.0),
        AwsCredentials("AKIDEXAMPLE", "secret", "token", 2.0),
    }
    assert keys not in others
    assert len(others) == 5
