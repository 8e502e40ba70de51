from __future__ import annotations

import pytest

from patchwire.auth.basic import BasicAuthentication
from patchwire.auth.digest_flow import DigestAuthentication
from patchwire.auth.flow import NoAuthentication, Send
from patchwire.errors import LocalProtocolError
from patchwire.http.message import request_to
from patchwire.settings.authentication import authentication_for
from patchwire.settings.connection import parse_connection, resolve
from patchwire.settings.secret import Secret

BASIC = {"base_url": "http://h", "authentication": "basic", "user": "svc", "password": "env:X"}


def cnonce() -> str:
    return "cnonce"


def test_digest_carries_user_password_and_what_is_allowed() -> None:
    data = {**BASIC, "authentication": "digest", "digest": {"algorithms": ["SHA-256"], "qop": ["auth-int"]}}
    authentication = authentication_for(
        resolve("c", parse_connection("c", data), {"password": Secret("canary")}), cnonce
    )
    assert isinstance(authentication, DigestAuthentication)
    assert (authentication.algorithms, authentication.qops) == (("SHA-256",), ("auth-int",))
    assert "canary" not in repr(authentication)


def test_none_is_no_authentication() -> None:
    settings = resolve("c", parse_connection("c", {"base_url": "http://h"}), {})
    assert isinstance(authentication_for(settings, cnonce), NoAuthentication)


def test_basic_carries_user_and_password() -> None:
    settings = resolve("c", parse_connection("c", BASIC), {"password": Secret("canary")})
    authentication = authentication_for(settings, cnonce)
    assert isinstance(authentication, BasicAuthentication)
    assert "canary" not in repr(authentication)


def test_a_password_that_cannot_be_sent_is_refused_unseen() -> None:
    settings = resolve("c", parse_connection("c", BASIC), {"password": Secret("canary\n")})
    with pytest.raises(LocalProtocolError, match="the password holds a control character") as caught:
        authentication_for(settings, cnonce)
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("preemptive", [True, False])
def test_preemptive_says_whether_the_first_request_carries_the_credentials(preemptive: bool) -> None:
    file = parse_connection("c", {**BASIC, "preemptive": preemptive})
    settings = resolve("c", file, {"password": Secret("canary")})
    step = next(authentication_for(settings, cnonce).flow(request_to("PATCH", "http://h/")))
    assert isinstance(step, Send)
    assert (step.request.header(b"authorization") is not None) is preemptive
