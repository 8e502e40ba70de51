from __future__ import annotations

import re

from patchwire.loopback.device_codes import DEVICE_LIFETIME, DeviceCodes
from patchwire.loopback.grants import Grant
from patchwire.loopback.oauth_answers import OAuthError
from tests.support.authorization import numbered


def codes(**options: int) -> DeviceCodes:
    return DeviceCodes(numbered(), **options)


def polled(devices: DeviceCodes, code: str, now: float, client: str = "app") -> Grant | str:
    """The grant, or the error."""
    try:
        return devices.poll(code, client, now)
    except OAuthError as error:
        return error.code


def test_a_user_code_has_eight_letters_none_of_them_a_vowel_and_may_be_typed_as_one_likes() -> None:
    devices = codes()
    answer = devices.begin("app", (), 0.0)
    assert re.fullmatch(r"[B-DF-HJ-NP-TV-XZ]{4}-[B-DF-HJ-NP-TV-XZ]{4}", answer.user_code)
    typed = answer.user_code.lower().replace("-", " ")
    assert devices.find(typed, 1.0) is devices.find(answer.user_code, 1.0) is not None
    assert devices.find("BBBB-BBBB", 1.0) is None


def test_all_letters_of_user_codes_come_up() -> None:
    devices = codes()
    letters = "".join(devices.begin("app", (), 0.0).user_code for _ in range(100))
    assert set(letters) == set("BCDFGHJKLMNPQRSTVWXZ-")


def test_a_grant_is_pending_until_the_user_accepts_and_is_given_once() -> None:
    devices = codes()
    answer = devices.begin("app", ("read",), 0.0)
    assert polled(devices, answer.device_code, 0.0) == "authorization_pending"
    pending = devices.find(answer.user_code, 1.0)
    assert pending is not None
    pending.user = "ada"
    assert devices.find(answer.user_code, 2.0) is None
    assert polled(devices, answer.device_code, 2.0, "other") == "invalid_grant"
    assert polled(devices, answer.device_code, 2.0) == Grant("app", "ada", ("read",))
    assert polled(devices, answer.device_code, 3.0) == "invalid_grant"


def test_who_polls_too_soon_must_slow_down_by_five_seconds_each_time() -> None:
    devices = codes(interval=2)
    answer = devices.begin("app", (), 0.0)
    assert answer.interval == 2
    said = [polled(devices, answer.device_code, now) for now in (0.0, 2.0, 3.5, 10.0, 22.0, 34.0)]
    assert said == [
        "authorization_pending", "authorization_pending", "slow_down", "slow_down", "authorization_pending",
        "authorization_pending",
    ]  # fmt: skip


def test_a_denial_is_told_and_so_is_the_end() -> None:
    devices = codes()
    denied, late = devices.begin("app", (), 0.0), devices.begin("app", (), 0.0)
    pending = devices.find(denied.user_code, 1.0)
    assert pending is not None
    pending.denied = True
    assert devices.find(denied.user_code, 1.0) is None
    assert polled(devices, denied.device_code, 1.0) == "access_denied"
    assert polled(devices, late.device_code, DEVICE_LIFETIME) == "expired_token"
    assert devices.find(late.user_code, DEVICE_LIFETIME) is None
    assert polled(devices, "unknown", 1.0) == "invalid_grant"


def test_memory_is_bounded() -> None:
    devices = codes(most=1)
    first, second = devices.begin("app", (), 0.0), devices.begin("app", (), 0.0)
    assert polled(devices, first.device_code, 1.0) == "invalid_grant"
    assert (devices.find(first.user_code, 1.0), devices.find(second.user_code, 1.0) is None) == (None, False)


def test_no_code_shows() -> None:
    devices = codes()
    answer = devices.begin("app", (), 0.0)
    seen = repr((devices, answer, devices.find(answer.user_code, 1.0), vars(devices)))
    assert answer.device_code not in seen
    assert answer.user_code not in seen
