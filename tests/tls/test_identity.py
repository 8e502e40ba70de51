from __future__ import annotations

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from patchwire.tls.identity import LONGEST, covered, covers, is_for_its_host_only, is_ip_address, shown_hosts
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


def test_of_many_names_the_first_are_told() -> None:
    names = [x509.DNSName(f"host-{number}.example") for number in range(200)]
    told = shown_hosts(_with(x509.SubjectAlternativeName(names)))
    assert told == ", ".join(f"host-{number}.example" for number in range(10)) + " ... and 190 more"
    told = shown_hosts(_with(x509.SubjectAlternativeName(names[:10])))
    assert told.endswith(", host-9.example")


def test_of_a_name_of_any_length_the_beginning_is_told() -> None:
    names = x509.SubjectAlternativeName([x509.DNSName("xn--bcher-kva." + "a" * 30_000), x509.DNSName("b" * LONGEST)])
    assert shown_hosts(_with(names)) == f"{('xn--bcher-kva.' + 'a' * LONGEST)[:LONGEST]}..., {'b' * LONGEST}"


def test_a_labels_are_told_with_their_readable_form_behind() -> None:
    names = [x509.DNSName(name) for name in ("xn--bcher-kva.example", "*.xn--bcher-kva.example", "xn--0.example")]
    assert shown_hosts(_with(x509.SubjectAlternativeName(names))) == (
        "xn--bcher-kva.example (bücher.example), *.xn--bcher-kva.example (*.bücher.example), xn--0.example"
    )


@pytest.mark.parametrize(
    ("name", "host", "is_covered"),
    [
        ("xn--bcher-kva.example", "bücher.example", True),
        ("xn--bcher-kva.example", "BÜCHER.example", False),  # nobody asks so: hosts are mapped before they get here
        ("XN--BCHER-KVA.example", "xn--bcher-kva.example", True),
        ("xn--bcher-kva.example", "bucher.example", False),
        ("*.xn--bcher-kva.example", "www.xn--bcher-kva.example", True),
        ("*.xn--bcher-kva.example", "www.bücher.example", True),
        ("*.xn--bcher-kva.example", "a.www.bücher.example", False),
        ("*.shop.example", "xn--bcher-kva.shop.example", True),  # for a whole label: RFC 9525 section 6.3
        ("*.shop.example", "XN--bcher-kva.shop.example", True),
        ("*.example", "xn--bcher-kva.example", False),  # too wide, as for any other host
        ("*.shop.example", "a.xn--bcher-kva.shop.example", False),
        ("*.shop.example", "xn--bcher-kva.a.shop.example", False),
        ("xn--*.example", "xn--bcher-kva.example", False),
        ("xn--b*-kva.example", "xn--bcher-kva.example", False),
    ],
)
def test_a_name_beyond_ascii_is_covered_by_its_a_labels(name: str, host: str, is_covered: bool) -> None:
    assert covers(_with(x509.SubjectAlternativeName([x509.DNSName(name)])), host) is is_covered


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
