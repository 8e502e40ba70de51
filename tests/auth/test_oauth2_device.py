from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchwire.auth.oauth2_device import INTERVAL, LIFETIME, LONGEST, DeviceAuthorization, device_authorization_in
from patchwire.auth.quoting import hiding
from patchwire.errors import TokenError
from patchwire.http.message import Response, request_to
from tests.support.oauth2 import NOW, SERVER, answer, refused

REQUEST = request_to("POST", f"{SERVER}/device")
USUAL = {
    "device_code": "canary-device",
    "user_code": "WDJB-MJHT",
    "verification_uri": "https://as.example/go",
    "expires_in": 1800,
}


def read(**more: object) -> DeviceAuthorization:
    return device_authorization_in(answer({**USUAL, **more}), REQUEST, NOW)


def test_what_the_user_is_told_is_what_the_server_says() -> None:
    complete = "https://as.example/go?user_code=WDJB-MJHT"
    assert read(interval=7, verification_uri_complete=complete) == DeviceAuthorization(
        "canary-device", "WDJB-MJHT", "https://as.example/go", complete, NOW + 1800, 7.0
    )
    assert read().verification_uri_complete is None


@pytest.mark.parametrize("given", [None, 0, -1, "7", True, [], {}])
def test_o32_without_an_interval_of_use_it_is_five_seconds(given: object) -> None:
    assert read(interval=given).interval == INTERVAL == 5.0
    assert read().interval == 5.0


@pytest.mark.parametrize("given", [None, 0, -1, "1800", True])
def test_o34_a_code_without_a_lifetime_of_use_is_taken_to_live_for_a_while(given: object) -> None:
    assert read(expires_in=given).expires_at == NOW + LIFETIME


def test_what_would_be_waited_for_too_long_is_cut() -> None:
    assert read(interval=1e9).interval == LONGEST
    assert read(expires_in=1e300).expires_at == NOW + LONGEST


@pytest.mark.parametrize("name", ["device_code", "user_code", "verification_uri"])
@pytest.mark.parametrize("value", [None, "", 7, "canary\x1b[31m", "canary\n"])
def test_an_answer_that_lacks_one_of_them_or_would_paint_the_terminal_is_none(name: str, value: object) -> None:
    with pytest.raises(TokenError) as said:
        read(**{name: value})
    assert "canary" not in str(said.value)


def test_an_address_as_drafts_had_it_is_taken_too() -> None:
    members = {name: value for name, value in USUAL.items() if name != "verification_uri"}
    found = device_authorization_in(answer({**members, "verification_url": "https://old"}), REQUEST, NOW)
    assert found.verification_uri == "https://old"
    assert read(verification_url="https://old").verification_uri == "https://as.example/go"


@pytest.mark.parametrize("given", [7, "canary\x1b[31m", None])
def test_an_address_with_the_code_in_it_that_cannot_be_shown_is_left_out(given: object) -> None:
    assert read(verification_uri_complete=given).verification_uri_complete is None


def test_o20_an_error_is_one_with_its_code() -> None:
    response = refused("unauthorized_client", 401, error_description="no canary-secret")
    with pytest.raises(TokenError, match="unauthorized_client: no \\*\\*\\*") as said:
        device_authorization_in(response, REQUEST, NOW, hiding(["canary-secret"]))
    assert said.value.code == "unauthorized_client"
    with pytest.raises(TokenError, match="answered 400"):
        device_authorization_in(answer(USUAL, 400), REQUEST, NOW)


def test_o42_whoever_reads_the_log_cannot_take_the_token() -> None:
    assert repr(read()) == "<DeviceAuthorization https://as.example/go>"


@given(st.sampled_from([200, 400]), st.binary())
def test_any_octets_are_an_error_or_codes(status: int, body: bytes) -> None:
    with pytest.raises(TokenError):
        device_authorization_in(Response(status, (), body), REQUEST, NOW)
