from __future__ import annotations

import string

import idna
import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchwire.errors import LocalProtocolError
from patchwire.http.idn import ascii_host, ascii_url, readable_host
from patchwire.http.message import Request, split_url
from patchwire.http.request_head import request_head

LABEL = st.text("abcxyz059äöüßçñłøéßαβγςжшאבगम中文字", min_size=1, max_size=12)
HOST = st.lists(LABEL, min_size=1, max_size=4).map(".".join).filter(lambda host: not host.isascii())


def is_a_name(host: str) -> bool:
    try:
        ascii_host(host)
    except LocalProtocolError:
        return False
    return True


NAME = HOST.filter(is_a_name)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("bücher.example", "xn--bcher-kva.example"),
        ("BÜCHER.Example", "xn--bcher-kva.example"),
        ("bu\u0308cher.example", "xn--bcher-kva.example"),  # the same letter in two
        ("bücher.example.", "xn--bcher-kva.example."),
        ("straße.example", "xn--strae-oqa.example"),  # non-transitional: not strasse
        ("ΟΔΟΣ.example", "xn--pxavbq.example"),  # the capital is mapped as it stands, not as the last of a word
        ("a。bücher．example", "a.xn--bcher-kva.example"),
        ("例え.テスト", "xn--r8jz45g.xn--zckzah"),
        ("نامه\u200cای.example", "xn--mgba3gch31f060k.example"),  # the joiner is part of the word
        ("１２７.０.０.１", "127.0.0.1"),
        ("xn--bcher-kva.straße.example", "xn--bcher-kva.xn--strae-oqa.example"),
    ],
)
def test_a_host_beyond_ascii_becomes_its_a_labels(host: str, expected: str) -> None:
    assert ascii_host(host) == expected
    origin, target = split_url(f"https://{host}:8443/a?b")
    assert (origin.host, origin.port, target) == (expected, 8443, b"/a?b")


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        ("☃.example", "codepoint U+2603 at position 1"),
        ("-ü.example", "label must not start or end with a hyphen"),
        ("ü..example", "empty Label"),
        ("\u00ad", "empty domain"),
        ("ü" * 70, "label too long"),
        (".".join(["ü" * 30] * 10), "domain too long"),
        ("xn--0.ü", "invalid A-label"),
        ("ü_a.example", "codepoint U+005F"),
        ("ü@example", "codepoint U+0040"),
        ("a\u202eü.example", "codepoint U+202E"),
        ("℀.example", "codepoint U+2100"),
        ("ü b.example", "codepoint U+0020"),
        ("*.bücher.example", "codepoint U+002A"),
        ("ü\ud800", "codepoint U+D800"),
    ],
)
def test_a_host_that_is_no_name_is_refused_with_the_reason(host: str, reason: str) -> None:
    with pytest.raises(LocalProtocolError) as caught:
        ascii_host(host)
    said = str(caught.value)
    assert said.startswith(f"{host!r} is no host name: ")
    assert reason.lower() in said.lower()
    assert said.endswith(" (RFC 5891 section 5.4)")
    assert said.isprintable()


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("https://h/stra\u00dfe", "character 15, 'ß', must be percent-encoded there: %C3%9F"),
        ("https://bücher.example/a?q=ö", "character 28, 'ö', must be percent-encoded there: %C3%B6"),
        ("https://bücher.example/#ä", "character 25, 'ä', must be percent-encoded there: %C3%A4"),
        ("https://h:\uff18\uff10/", "character 11, '８', must be percent-encoded there: %EF%BC%98"),
        ("https:/bücher.example/", "character 9, 'ü', must be percent-encoded there: %C3%BC"),
        ("bücher.example", "character 2, 'ü', must be percent-encoded there: %C3%BC"),
        ("https://h/\ud800", "character 11, '\\ud800', must be percent-encoded there: %3F"),
    ],
)
def test_a_character_beyond_ascii_elsewhere_is_told_with_its_place_and_its_encoded_form(
    url: str, problem: str
) -> None:
    with pytest.raises(LocalProtocolError) as caught:
        split_url(url)
    assert str(caught.value) == f"{url!r} is no URL: {problem}"


@pytest.mark.parametrize(
    "url", ["https://ada:pä55@bücher.example/", "https://pä55@h/", "https://ada:p@bücher.example"]
)
def test_a_password_in_a_url_beyond_ascii_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(LocalProtocolError, match="^a URL must not hold user and password$"):
        split_url(url)


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("ftp://bücher.example/", "must begin with http:// or https://"),
        ("https://bücher.example:x/", "is no URL: Port could not be cast"),
        ("https://bücher.example/a b", "it may hold only printable ASCII without blanks"),
        ("https://bücher.example/\n", "it may hold only printable ASCII without blanks"),
        ("https://bücher.example/#f", "holds a fragment"),
        ("https://[bücher]/", "must be percent-encoded there"),
    ],
)
def test_whatever_else_is_wrong_with_a_url_is_told_as_ever(url: str, problem: str) -> None:
    with pytest.raises(LocalProtocolError) as caught:
        split_url(url)
    assert problem in str(caught.value)


def test_a_url_in_ascii_stays_as_it_is() -> None:
    assert ascii_url("HTTPS://XN--bcher-KVA.example:8443/A?b") == "HTTPS://XN--bcher-KVA.example:8443/A?b"


def test_the_host_field_holds_a_labels() -> None:
    origin, target = split_url("https://bücher.example:8443/a")
    head, *_ = request_head(Request("PATCH", origin, target))
    assert b"Host: xn--bcher-kva.example:8443\r\n" in head


def test_both_forms_of_a_host_make_one_origin() -> None:
    forms = [
        "bücher.example",
        "BÜCHER.EXAMPLE",
        "bu\u0308cher.example",
        "xn--bcher-kva.example",
        "XN--BCHER-KVA.example",
    ]
    assert len({split_url(f"https://{form}/")[0] for form in forms}) == 1


@given(host=NAME)
def test_a_name_and_its_a_labels_make_one_origin_and_lead_back(host: str) -> None:
    labels = ascii_host(host)
    assert labels.isascii()
    assert split_url(f"https://{host}/") == split_url(f"https://{labels}/")
    readable = readable_host(labels)
    assert readable is None or ascii_host(readable) == labels
    assert ("xn--" in labels) == (readable is not None)


@given(text=st.text(max_size=40))
def test_any_text_as_a_host_is_an_origin_of_ascii_letters_or_a_refusal(text: str) -> None:
    try:
        origin, target = split_url(f"https://{text}")
    except LocalProtocolError:
        return
    assert origin.host.isascii()
    assert set(origin.host) <= {*string.printable} - {*string.whitespace, *'/?#@"<>\\^`{|}'}
    assert target.startswith(b"/")


@given(host=NAME, rest=st.text(string.printable.strip(), max_size=20))
def test_what_follows_a_name_is_never_taken_for_part_of_it(host: str, rest: str) -> None:
    try:
        origin, target = split_url(f"https://{host}/{rest}")
    except LocalProtocolError:
        return
    assert origin.host == ascii_host(host)
    assert target == f"/{rest}".encode()


# --- the readable form


@pytest.mark.parametrize(
    ("name", "readable"),
    [
        ("xn--bcher-kva.example", "bücher.example"),
        ("XN--BCHER-KVA.Example", "bücher.example"),
        ("*.xn--bcher-kva.example", "*.bücher.example"),
        ("xn--mgba3gch31f060k.example", "نامه\\u200cای.example"),
        ("bücher.xn--bcher-kva.example", "bücher.bücher.example"),
    ],
)
def test_a_labels_are_read_as_people_write_them(name: str, readable: str) -> None:
    assert readable_host(name) == readable


@pytest.mark.parametrize("name", ["example", "xn--0.example", "xn--.example", "xn--\x1b[2J.example", "xn--a..b", "*"])
def test_a_name_that_has_no_readable_form_has_none(name: str) -> None:
    assert readable_host(name) is None


@given(name=st.text(max_size=30).map(lambda text: f"xn--{text}"))
def test_a_readable_form_is_printable(name: str) -> None:
    readable = readable_host(name)
    assert readable is None or readable.isprintable()


@given(label=LABEL)
def test_a_readable_form_is_that_of_idna(label: str) -> None:
    if is_a_name(label):
        labels = ascii_host(label)
        assert readable_host(labels) in (None, idna.decode(labels))
