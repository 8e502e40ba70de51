from __future__ import annotations

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from patchwire.tls.identity import covered, covers, is_for_its_host_only, is_ip_address
from tests.support.certificates import Authority, self_signed
from tests.support.reissued import reissued

AUTHORITY = Authority()
NAMES = AUTHORITY.issue(
    "a.example", "*.b.example", "127.0.0.1", "2001:db8::1", common_name="common.example"
).certificate
NAMELESS = AUTHORITY.issue(common_name="a.example").certificate
LABEL = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?", fullmatch=True).filter(lambda text: not text.isdigit())


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "2001:db8::1", "fe80::1%eth0", "::ffff:1.2.3.4"])
def test_an_address_is_told_from_a_name(host: str) -> None:
    assert is_ip_address(host)


@pytest.mark.parametrize("host", ["localhost", "1.2.3", "1.2.3.4.example", "a.example", "[::1]", "256.1.1.1"])
def test_a_name_is_told_from_an_address(host: str) -> None:
    assert not is_ip_address(host)


@pytest.mark.parametrize(
    "host",
    ["a.example", "A.Example", "x.b.example", "127.0.0.1", "2001:db8::1", "2001:0db8:0::0:1", "2001:db8::1%eth0"],
)
def test_a_host_among_the_alternative_names_is_covered(host: str) -> None:
    assert covers(NAMES, host)


@pytest.mark.parametrize(
    "host",
    [
        "b.example", "x.y.b.example", "x.a.example", "example", "common.example", "127.0.0.2", "2001:db8::2",
        "::ffff:127.0.0.1", "*.b.example", "", "a..example", "a.example.evil", "not a host", "ä.example",
    ],
)  # fmt: skip
def test_a_host_that_is_not_among_them_is_not(host: str) -> None:
    assert not covers(NAMES, host)


def test_the_common_name_does_not_count() -> None:
    assert not covers(NAMELESS, "a.example")
    assert covered(NAMELESS) == []


def test_a_name_that_looks_like_an_address_is_none() -> None:
    name = x509.SubjectAlternativeName([x509.DNSName("127.0.0.1")])
    certificate = _with(name)
    assert not covers(certificate, "127.0.0.1")


def test_what_is_covered_is_told_as_the_certificate_writes_it() -> None:
    assert covered(NAMES) == ["a.example", "*.b.example", "127.0.0.1", "2001:db8::1"]


def test_names_of_other_kinds_are_passed_over() -> None:
    mail, uri = x509.RFC822Name("ada@a.example"), x509.UniformResourceIdentifier("https://a.example/")
    certificate = _with(x509.SubjectAlternativeName([mail, uri]))
    assert covered(certificate) == []
    assert not covers(certificate, "a.example")


@given(labels=st.lists(LABEL, min_size=1, max_size=4), other=LABEL)
def test_a_name_covers_itself_in_any_case_and_nothing_below_or_beside_it(labels: list[str], other: str) -> None:
    name = ".".join([*labels, "example"])
    certificate = _with(x509.SubjectAlternativeName([x509.DNSName(name)]))
    assert covers(certificate, name.upper())
    assert not covers(certificate, f"{other}.{name}")
    assert not covers(certificate, f"{other}x.{name.partition('.')[2]}") or f"{other}x" == labels[0]


@given(labels=st.lists(LABEL, min_size=1, max_size=3), left=st.lists(LABEL, max_size=3))
def test_a_wildcard_covers_one_label_and_no_more(labels: list[str], left: list[str]) -> None:
    name = ".".join([*labels, "example"])
    certificate = _with(x509.SubjectAlternativeName([x509.DNSName(f"*.{name}")]))
    assert covers(certificate, ".".join([*left, name])) == (len(left) == 1)


def test_a_certificate_that_is_no_authority_or_names_hosts_is_for_its_host_only() -> None:
    assert is_for_its_host_only(self_signed("localhost").certificate)
    assert is_for_its_host_only(self_signed("localhost", ca=True).certificate)
    assert is_for_its_host_only(AUTHORITY.issue("localhost").certificate)
    assert is_for_its_host_only(NAMELESS)
    assert is_for_its_host_only(_with())


def test_an_authority_without_host_names_vouches_for_others() -> None:
    assert not is_for_its_host_only(AUTHORITY.certificate)
    assert not is_for_its_host_only(Authority("intermediate", issuer=AUTHORITY).certificate)


def _with(*extensions: x509.ExtensionType) -> x509.Certificate:
    """A certificate with these extensions and no other."""
    return reissued(
        NAMES, AUTHORITY, extensions=[x509.Extension(extension.oid, False, extension) for extension in extensions]
    )
