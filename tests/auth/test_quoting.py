from __future__ import annotations

import json
from html import escape
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchwire.auth.quoting import SHORTEST, hiding

TOKEN = "canary/token+a=="


@pytest.mark.parametrize(
    "quoted",
    [
        TOKEN,
        "canary%2Ftoken%2Ba%3D%3D",
        "canary%2ftoken%2ba%3d%3d",
        "canary%252Ftoken%252Ba%253D%253D",
        r"canary\/token+a==",
        r"canary\u002ftoken\u002ba\u003d\u003d",
        r"canary\u002Ftoken\u002Ba\u003D\u003D",
        "63616e6172792f746f6b656e2b613d3d",
        "63 61 6e 61 72 79 2f 74 6f 6b 65 6e 2b 61 3d 3d",
    ],
)
def test_a_secret_is_hidden_in_each_form_in_which_peers_quote(quoted: str) -> None:
    assert hiding([TOKEN])(f"a {quoted} b {quoted}") == "a *** b ***"


def test_what_xml_escapes_is_hidden_too_and_what_is_beyond_ascii() -> None:
    assert hiding(["canary&<'\">"])("canary&amp;&lt;'\"&gt; canary&amp;&lt;&#x27;&quot;&gt;") == "*** ***"
    assert hiding(["canary-\xe9\xe8"])("canary-\xe9\xe8 canary-\xc3\xa9\xc3\xa8 canary-%E9%E8") == "*** *** ***"


def test_a_secret_of_any_characters_is_hidden_and_as_a_form_has_it() -> None:
    """As the passwords and client secrets of OAuth 2.0 are, which go out in UTF-8 in a form."""
    hide = hiding(["canary \u20ac\u00e4", "canary \u00e4 in"])
    assert hide("canary \u20ac\u00e4, canary+%E2%82%AC%C3%A4, canary+%e2%82%ac%c3%a4") == "***, ***, ***"
    assert hide("canary+%C3%A4+in, canary%20%C3%A4%20in, canary \u00e4 in") == "***, ***, ***"
    assert hiding(["canary-\ud800"])("canary-\ud800") == "***"


def test_the_longer_of_two_secrets_goes_first_and_what_is_short_is_no_secret() -> None:
    hide = hiding(["canary-1", "canary-1-more", "short"])
    assert hide("canary-1-more canary-1 short") == "*** *** short"
    assert hiding(["x" * (SHORTEST - 1)])("x" * 20) == "x" * 20
    assert hiding([])("a") == "a"


def test_neither_secrets_nor_texts_that_repeat_themselves_take_long() -> None:
    for character in ("\\", "a", "%", '"'):
        assert hiding([character * 2000 + "x"])(character * 4_000_000) == character * 4_000_000


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=SHORTEST))
def test_no_secret_survives_quoting(secret: str) -> None:
    hide = hiding([secret])
    for form in (secret, quote(secret, safe=""), json.dumps(secret)[1:-1], escape(secret)):
        assert hide(f" {form} ") == " *** "
