from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchwire import connection_from
from patchwire.errors import SettingsError
from patchwire.http.message import Origin
from patchwire.settings.proxy import DIRECT, Proxies, Proxy, ProxyFile, check_proxy, proxies_of

HTTPS = Origin("https", "api.example.com", 443)
HTTP = Origin("http", "api.example.com", 80)
SQUID = Origin("http", "squid", 3128)


def of_environment(**variables: str) -> Proxies:
    return proxies_of("c.toml", ProxyFile(environment=True), None, variables)


def shown(proxy: Proxy | None) -> tuple[str, str, str] | None:
    return None if proxy is None else (str(proxy.origin), proxy.user, proxy.password.reveal())


def settings(**proxy: Any) -> Proxies:
    return connection_from({"base_url": "https://api.example.com", "proxy": proxy}, place="c.toml").proxies


def test_without_a_proxy_every_origin_is_reached_directly() -> None:
    assert settings() is DIRECT
    assert DIRECT.for_origin(HTTPS) is DIRECT.for_origin(HTTP) is None
    assert not DIRECT.are_over_tls


def test_a_proxy_is_on_the_way_to_every_origin_but_those_that_are_excepted() -> None:
    proxies = settings(url="http://squid:3128", user="svc", password="literal:pw", no_proxy=["corp", "10.0.0.0/8"])
    assert shown(proxies.for_origin(HTTPS)) == shown(proxies.for_origin(HTTP)) == ("http://squid:3128", "svc", "pw")
    assert proxies.for_origin(Origin("https", "a.corp", 443)) is None
    assert proxies.for_origin(Origin("http", "10.1.1.1", 80)) is None
    credentials = proxies.https.credentials() if proxies.https else None
    assert credentials is not None
    assert credentials.user == "svc"


def test_a_proxy_may_need_no_password_and_be_spoken_to_over_tls() -> None:
    proxies = settings(url="https://squid", authentication="digest")
    assert proxies.https == Proxy(Origin("https", "squid", 443), authentication="digest")
    assert proxies.https is not None
    assert proxies.https.credentials() is None
    assert proxies.are_over_tls


@pytest.mark.parametrize(
    ("proxy", "problem"),
    [
        ({"user": "svc", "password": "literal:pw"}, "proxy.url: missing"),
        ({"no_proxy": ["corp"]}, "proxy.url: missing"),
        ({"url": "squid:3128"}, "expected an http:// or https:// URL, such as http://HOST:3128"),
        ({"url": "socks5://squid"}, "expected an http:// or https:// URL, not socks5://"),
        ({"url": "http://svc:canary@squid"}, "must not hold user and password; expected proxy.user"),
        ({"url": "http://squid/path"}, "without a path"),
        ({"url": "http://squid?x"}, "without a path"),
        ({"url": "http://squid:x"}, "is no URL"),
        ({"url": "http://squid", "user": "svc"}, "proxy.password: missing"),
        ({"url": "http://squid", "password": "literal:canary"}, "proxy.user: missing"),
        ({"url": "http://squid", "user": "", "password": "literal:canary"}, "proxy.user: a user name"),
        ({"url": "http://squid", "user": "a:b", "password": "literal:canary"}, "proxy.user: a user name"),
        ({"url": "http://squid", "user": "svc", "password": "canary"}, "proxy.password: a secret must not stand here"),
        ({"url": "http://squid", "no_proxy": ["h:x"]}, "proxy.no_proxy: 'h:x' has no port"),
        (
            {"url": "http://squid", "authentication": "ntlm"},
            "proxy.authentication: expected one of any, basic, digest",
        ),
        ({"url": "http://squid", "port": 1}, "proxy"),
        ({"environment": True, "url": "http://squid"}, "proxy.url: has no use with proxy.environment = true"),
        ({"environment": True, "no_proxy": ["corp"]}, "proxy.no_proxy: has no use with proxy.environment = true"),
    ],
)
def test_what_is_wrong_with_a_proxy_is_said_by_key_without_its_password(proxy: dict[str, Any], problem: str) -> None:
    with pytest.raises(SettingsError) as raised:
        settings(**proxy)
    assert str(raised.value).startswith("c.toml: ")
    assert problem in str(raised.value)
    assert "canary" not in str(raised.value).replace("canary'", "")


def test_the_name_of_a_variable_in_lower_case_goes_before_that_in_upper_case() -> None:
    proxies = of_environment(https_proxy="http://lower:1", HTTPS_PROXY="http://upper:1", HTTP_PROXY="http://plain:1")
    assert shown(proxies.https) == ("http://lower:1", "", "")
    assert shown(proxies.http) == ("http://plain:1", "", "")
    assert of_environment() == Proxies()
    assert of_environment(https_proxy=" ") == Proxies()


def test_all_proxy_stands_in_for_what_has_no_variable_of_its_own() -> None:
    proxies = of_environment(all_proxy="http://all:1", HTTPS_PROXY="http://upper:1")
    assert shown(proxies.http) == ("http://all:1", "", "")
    assert shown(proxies.https) == ("http://upper:1", "", "")
    assert shown(of_environment(ALL_PROXY="http://all:1").https) == ("http://all:1", "", "")


def test_what_a_cgi_script_is_told_by_its_client_is_no_proxy() -> None:
    proxies = of_environment(HTTP_PROXY="http://evil:1", HTTPS_PROXY="http://good:1", REQUEST_METHOD="GET")
    assert (proxies.http, shown(proxies.https)) == (None, ("http://good:1", "", ""))
    assert shown(of_environment(http_proxy="http://good:1", REQUEST_METHOD="GET").http) == ("http://good:1", "", "")


def test_a_variable_may_lack_its_scheme_and_hold_user_and_password_percent_encoded() -> None:
    proxies = of_environment(HTTP_PROXY="squid:3128", HTTPS_PROXY="http://s%40v:p%3Aw%2f@squid:3128/")
    assert shown(proxies.http) == ("http://squid:3128", "", "")
    assert shown(proxies.https) == ("http://squid:3128", "s@v", "p:w/")
    assert "p:w/" not in repr(proxies)


def test_no_proxy_of_the_environment_names_what_is_reached_directly() -> None:
    for name in ("NO_PROXY", "no_proxy"):
        proxies = of_environment(HTTPS_PROXY="squid:3128", **{name: "localhost, .example.com"})
        assert proxies.for_origin(HTTPS) is None
        assert proxies.for_origin(Origin("https", "example.org", 443)) is not None


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        (
            "HTTPS_PROXY",
            "socks5://svc:canary@squid",
            "HTTPS_PROXY: expected an http:// or https:// URL, not socks5://",
        ),
        ("HTTPS_PROXY", "http://canary@squid", "HTTPS_PROXY: expected user:password before the @"),
        ("HTTPS_PROXY", "http://:canary@squid", "HTTPS_PROXY: expected user:password before the @"),
        ("HTTPS_PROXY", "http:/svc:canary@squid", "HTTPS_PROXY: "),
        ("HTTPS_PROXY", "http://[canary", "HTTPS_PROXY: no URL"),
        ("HTTPS_PROXY", "http://svc:canary@squid:port", "HTTPS_PROXY: "),
        ("HTTPS_PROXY", "http://svc:canary@squid/@x", "HTTPS_PROXY: must not hold"),
        ("NO_PROXY", "h:x", "NO_PROXY: 'h:x' has no port"),
    ],
)
def test_what_is_wrong_with_a_variable_is_said_without_its_password(name: str, value: str, problem: str) -> None:
    with pytest.raises(SettingsError) as raised:
        of_environment(**{name: value})
    assert str(raised.value).startswith(f"environment: {problem}")
    assert "canary" not in str(raised.value)


@given(st.text(max_size=40))
def test_any_value_of_a_variable_is_a_proxy_or_a_settings_error(value: str) -> None:
    with suppress(SettingsError):
        assert of_environment(HTTPS_PROXY=value).http is None


def test_the_environment_counts_only_where_the_connection_asks_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://squid:3128")
    monkeypatch.delenv("no_proxy", raising=False)
    assert settings().https is None
    assert shown(settings(environment=True).https) == ("http://squid:3128", "", "")


def test_certificates_have_a_use_where_a_proxy_is_spoken_to_over_tls() -> None:
    for proxy in ({"url": "https://squid"}, {"environment": True}):
        connection_from({"base_url": "http://h", "tls": {"minimum_version": "1.3"}, "proxy": proxy})
    with pytest.raises(SettingsError, match="tls: has no use"):
        connection_from({"base_url": "http://h", "tls": {"minimum_version": "1.3"}, "proxy": {"url": "http://squid"}})


def test_credentials_for_a_proxy_are_no_field_that_the_server_would_see() -> None:
    with pytest.raises(
        SettingsError, match=r"headers\.Proxy-Authorization: is for a proxy alone; expected proxy\.user"
    ):
        connection_from({"base_url": "https://h", "headers": {"Proxy-Authorization": "literal:Basic x"}})


def test_a_proxy_can_be_overridden_and_keeps_the_use_of_certificates() -> None:
    data = {
        "base_url": "https://h",
        "tls": {"minimum_version": "1.3"},
        "proxy": {"url": "https://squid", "user": "svc", "password": "literal:pw"},
        "extensions": {"extensible": ["base_url", "proxy.url", "proxy.environment"]},
    }
    changed = connection_from(data, extension={"base_url": "http://h", "proxy": {"url": "https://other"}})
    assert changed.proxies.http is not None
    assert (str(changed.proxies.http.origin), changed.proxies.http.user) == ("https://other", "svc")
    assert changed.tls.minimum_version == "1.3"
    assert connection_from(data, extension={"proxy": {"environment": True}}).proxies != changed.proxies


def test_credentials_that_no_proxy_can_be_shown_are_said_when_the_file_is_read() -> None:
    with pytest.raises(SettingsError, match="control character"):
        settings(url="http://squid", user="svc", password="literal:a\nb")


def test_a_file_with_a_proxy_does_not_show_its_password() -> None:
    assert "canary" not in repr(ProxyFile(url="http://squid", password="literal:canary"))
    check_proxy("c.toml", ProxyFile())
