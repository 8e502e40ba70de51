from __future__ import annotations

from collections.abc import Callable

import pytest

from patchwire.auth.aws_credentials import AwsCredentials
from patchwire.auth.aws_flow import AwsAuthentication
from patchwire.auth.basic import BasicAuthentication
from patchwire.auth.digest_flow import DigestAuthentication
from patchwire.auth.flow import Authentication, Load, NoAuthentication, Send
from patchwire.auth.oauth2_flow import OAuth2Authentication
from patchwire.auth.secret import Secret
from patchwire.auth.token import Token
from patchwire.auth.token_keeping import Kept
from patchwire.errors import LocalProtocolError
from patchwire.http.message import request_to
from patchwire.settings.authentication import Sources, authentication_for
from patchwire.settings.aws import AwsSettings
from patchwire.settings.connection import ConnectionSettings, parse_connection, resolve
from tests.support.oauth2 import MemoryStore

BASIC = {"base_url": "http://h", "authentication": "basic", "user": "svc", "password": "env:X"}


def made(settings: ConnectionSettings, load: Callable[[AwsSettings], AwsCredentials] | None = None) -> Authentication:
    def nothing(aws: AwsSettings) -> AwsCredentials:
        raise AssertionError("nothing is to be loaded")

    return authentication_for(
        settings, Sources(lambda: "cnonce", lambda: 1_440_938_160.0, load or nothing, lambda _: None)
    )


def test_digest_carries_user_password_and_what_is_allowed() -> None:
    data = {**BASIC, "authentication": "digest", "digest": {"algorithms": ["SHA-256"], "qop": ["auth-int"]}}
    authentication = made(resolve("c", parse_connection("c", data), {"password": Secret("canary")}))
    assert isinstance(authentication, DigestAuthentication)
    assert (authentication.algorithms, authentication.qops) == (("SHA-256",), ("auth-int",))
    assert "canary" not in repr(authentication)


def test_none_is_no_authentication() -> None:
    settings = resolve("c", parse_connection("c", {"base_url": "http://h"}), {})
    assert isinstance(made(settings), NoAuthentication)


def test_basic_carries_user_and_password() -> None:
    settings = resolve("c", parse_connection("c", BASIC), {"password": Secret("canary")})
    authentication = made(settings)
    assert isinstance(authentication, BasicAuthentication)
    assert "canary" not in repr(authentication)


def test_a_password_that_cannot_be_sent_is_refused_unseen() -> None:
    settings = resolve("c", parse_connection("c", BASIC), {"password": Secret("canary\n")})
    with pytest.raises(LocalProtocolError, match="the password holds a control character") as caught:
        made(settings)
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("preemptive", [True, False])
def test_preemptive_says_whether_the_first_request_carries_the_credentials(preemptive: bool) -> None:
    file = parse_connection("c", {**BASIC, "preemptive": preemptive})
    settings = resolve("c", file, {"password": Secret("canary")})
    step = next(made(settings).flow(request_to("PATCH", "http://h/")))
    assert isinstance(step, Send)
    assert (step.request.header(b"authorization") is not None) is preemptive


AWS = {"base_url": "https://h", "authentication": "aws"}
KEYS = {"access_key": "AKID", "secret_key": "env:X", "service": "ses", "region": "eu-west-1"}


def test_aws_signs_with_the_keys_of_the_connection_by_the_clock_it_is_given() -> None:
    file = parse_connection("c", {**AWS, "aws": KEYS, "headers": {"X-Token": "env:Y"}})
    settings = resolve("c", file, {"aws.secret_key": Secret("canary"), "headers.X-Token": Secret("canary-field")})
    authentication = made(settings)
    assert isinstance(authentication, AwsAuthentication)
    step = next(authentication.flow(request_to("PATCH", "https://h/")))
    assert isinstance(step, Send)
    signed = step.request.header(b"authorization") or b""
    assert signed.startswith(b"AWS4-HMAC-SHA256 Credential=AKID/20150830/eu-west-1/ses/aws4_request, SignedHeaders=")
    assert "canary" not in repr(authentication)


def test_aws_loads_the_credentials_that_stand_elsewhere() -> None:
    loaded = AwsCredentials("ASIA", "s", "t")
    where = {"credentials": "profile", "profile": "crm", "service": "ses", "region": "eu-west-1"}
    asked: list[str | None] = []

    def load(aws: AwsSettings) -> AwsCredentials:
        asked.append(aws.profile)
        return loaded

    flow = made(resolve("c", parse_connection("c", {**AWS, "aws": where}), {}), load).flow(
        request_to("PATCH", "https://h/")
    )
    step = next(flow)
    assert isinstance(step, Load)
    step = flow.send(step.read())
    assert isinstance(step, Send)
    assert (asked, step.request.header(b"x-amz-security-token")) == (["crm"], b"t")


OAUTH2 = {
    "base_url": "http://h",
    "authentication": "oauth2",
    "oauth2": {
        "grant_type": "password",
        "client_id": "app",
        "access_token_url": "https://as.example/token",
        "username": "ada",
        "password": "env:X",
    },
}


def test_oauth2_has_the_token_of_its_entry_and_asks_on_the_terms_of_the_connection() -> None:
    settings = resolve("c", parse_connection("c", OAUTH2), {"oauth2.password": Secret("canary")})
    assert settings.oauth2 is not None
    opened: list[str] = []

    def open_store(entry: str) -> MemoryStore:
        opened.append(entry)
        return MemoryStore(Kept(Token("kept"), source="https://as.example"))

    def nothing(aws: AwsSettings) -> AwsCredentials:
        raise AssertionError("nothing is to be loaded")

    sources = Sources(lambda: "unique", lambda: 1_440_938_160.0, nothing, open_store)
    authentication = authentication_for(settings, sources)
    assert isinstance(authentication, OAuth2Authentication)
    assert opened == [settings.oauth2.entry]
    assert "canary" not in repr(authentication)
    step = next(authentication.flow(request_to("PATCH", "http://h/a")))
    assert isinstance(step, Send)
    assert step.request.header(b"authorization") is None, "it is not preemptive"


def test_what_is_not_advised_is_told_of_a_token_in_the_clear_and_of_a_password() -> None:
    settings = resolve("c", parse_connection("c", OAUTH2), {"oauth2.password": Secret("canary")})
    plain, password = settings.doubts()
    assert plain.startswith("the token goes over plain http")
    assert password.startswith("the password grant")
    assert list(resolve("c", parse_connection("c", BASIC), {"password": Secret("canary")}).doubts()) == []
