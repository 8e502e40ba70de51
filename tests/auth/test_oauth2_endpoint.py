from __future__ import annotations

import pytest

from patchwire.auth.oauth2_endpoint import LONGEST, check_endpoint, is_loopback
from patchwire.errors import LocalProtocolError
from patchwire.http.message import Origin

HERE = ["127.0.0.1", "127.8.9.10", "[::1]", "[0:0:0:0:0:0:0:1]", "localhost", "LOCALHOST"]
ELSEWHERE = [
    "example.com", "128.0.0.1", "127.1", "127.0.0.1.example.com", "localhost.example.com", "[::]", "[::2]",
    "[::ffff:127.0.0.1]", "0.0.0.0", "2130706433",
]  # fmt: skip


@pytest.mark.parametrize("host", HERE)
def test_a_loopback_host_is_this_machine(host: str) -> None:
    assert is_loopback(f"http://{host}:8080/a?b")
    assert is_loopback(Origin("https", host.strip("[]"), 443))
    check_endpoint(f"http://{host}/token")


@pytest.mark.parametrize("host", ELSEWHERE)
def test_no_other_host_is(host: str) -> None:
    assert not is_loopback(f"http://{host}/")
    assert not is_loopback(Origin("http", host.strip("[]"), 80))


@pytest.mark.parametrize("host", ELSEWHERE)
def test_o30_an_endpoint_elsewhere_must_be_https(host: str) -> None:
    check_endpoint(f"https://{host}/token?tenant=a%20b")
    with pytest.raises(LocalProtocolError, match="must begin with https://, as secrets go there"):
        check_endpoint(f"http://{host}/token")


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("", "must begin with http"),
        ("/token", "must begin with http"),
        ("ftp://h/", "must begin with http"),
        ("https:///token", "names no host"),
        ("https://h/a#b", "fragment"),
        ("https://h/a#", "fragment"),
        ("https://h/a b", "printable ASCII"),
        ("https://h/a\r\nX: y", "printable ASCII"),
        ("https://h/{tenant}/token", "must be percent-encoded"),
        ("https://h/100%", "must be percent-encoded"),
        ("https://evil.example\\.h/", "no host"),
        ("https://h:99999/", "is no URL"),
        ("https://h/" + "a" * LONGEST, "more than 2,048 characters"),
    ],
)
def test_what_is_no_url_that_can_be_sent_to_is_refused_in_one_line(url: str, reason: str) -> None:
    with pytest.raises(LocalProtocolError, match=reason) as caught:
        check_endpoint(url)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "url",
    [
        "https://me:canary@h/",
        "https://canary@h",
        "https://h:canary@/",
        "https://a:canary@h:port/",
        "https://canary@h?a#b",
    ],
)
def test_a_password_in_a_url_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(LocalProtocolError, match="must not hold user and password") as caught:
        check_endpoint(url)
    assert "canary" not in str(caught.value)


def test_an_at_sign_in_path_or_query_is_no_password() -> None:
    check_endpoint("https://h/@me?mail=a@b")
    check_endpoint("https://h?mail=a@b")
