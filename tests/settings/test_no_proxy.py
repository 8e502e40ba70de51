from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchwire.http.message import Origin
from patchwire.settings.no_proxy import NoProxy, parse_no_proxy


def covers(entries: str, host: str, port: int = 443) -> bool:
    return parse_no_proxy(entries.split(",")).covers(Origin("https", host, port))


@pytest.mark.parametrize(
    ("entries", "host"),
    [
        ("example.com", "example.com"), ("example.com", "api.example.com"), (".example.com", "example.com"),
        (".example.com", "api.example.com"), ("*.example.com", "a.b.example.com"), (" EXAMPLE.com ", "Example.COM"),
        ("example.com.", "example.com"), ("example.com", "example.com."), ("other, example.com", "example.com"),
        ("*", "anything"), ("x,*", "10.0.0.1"), ("10.0.0.0/8", "10.1.2.3"), ("10.1.2.3", "10.1.2.3"),
        ("10.1.2.3/8", "10.9.9.9"), ("fd00::/8", "fd00::1"), ("[::1]", "::1"), ("[::1]:443", "::1"), ("::1", "::1"),
        ("fe80::/10", "fe80::1%eth0"), ("example.com:443", "example.com"), ("10.0.0.1:443", "10.0.0.1"),
        ("my_host", "my_host"), ("localhost", "localhost"),
    ],
)  # fmt: skip
def test_an_entry_covers_its_host_what_is_below_it_and_the_addresses_of_its_network(entries: str, host: str) -> None:
    assert covers(entries, host)


@pytest.mark.parametrize(
    ("entries", "host"),
    [
        ("", "example.com"), (" , ", "example.com"), ("example.com", "notexample.com"), ("example.com", "example.org"),
        ("api.example.com", "example.com"), ("10.0.0.0/8", "11.0.0.1"), ("10.0.0.0/8", "ten.example.com"),
        ("fd00::/8", "10.0.0.1"), ("example.com:8443", "example.com"), ("[::1]:80", "::1"), ("10.0.0.1", "10.0.0.11"),
    ],
)  # fmt: skip
def test_an_entry_covers_nothing_else(entries: str, host: str) -> None:
    assert not covers(entries, host)


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ("exa mple", "no host, domain or network"), ("http://h", "no port"),
        ("h:x", "no port"), ("h:65536", "no port"), ("[::1", "no host"), (".", "no host"), ("b\u00fccher", "no host"),
        ("[::1]x", "no port"),
    ],
)  # fmt: skip
def test_an_entry_that_is_none_is_named(entry: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        parse_no_proxy([entry])


@given(st.lists(st.text(max_size=30), max_size=5))
def test_any_text_is_an_entry_or_a_value_error(texts: list[str]) -> None:
    try:
        found = parse_no_proxy(texts)
    except ValueError:
        return
    assert isinstance(found, NoProxy)
    assert isinstance(found.covers(Origin("https", "example.com", 443)), bool)
