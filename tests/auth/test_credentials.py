from __future__ import annotations

import pytest

from patchwire.auth.credentials import Credentials
from patchwire.errors import LocalProtocolError


@pytest.mark.parametrize(
    ("user", "password", "problem"),
    [("a:b", "", "colon"), ("a\n", "", "user name holds a control"), ("a", "\x7fcanary", "password holds a control"),
     ("a", "canary\ud800", "password cannot be encoded in UTF-8")],
)  # fmt: skip
def test_what_no_scheme_can_send_is_refused_unseen(user: str, password: str, problem: str) -> None:
    with pytest.raises(LocalProtocolError, match=problem) as caught:
        Credentials(user, password)
    assert "canary" not in str(caught.value)


def test_what_latin_1_lacks_is_refused_where_that_is_the_charset() -> None:
    assert Credentials("\u00e4", "", "ISO-8859-1").octets(utf8=False) == (b"\xe4", b"")
    with pytest.raises(LocalProtocolError, match="the user name cannot be encoded in ISO-8859-1"):
        Credentials("\u20ac", "", "ISO-8859-1")


def test_utf_8_is_that_of_normalisation_form_c() -> None:
    assert Credentials("u\u0308", "a\u0301", "UTF-8").octets(utf8=False) == ("\u00fc".encode(), "\u00e1".encode())
    assert Credentials("\u00fc", "", "ISO-8859-1").octets(utf8=True) == ("\u00fc".encode(), b"")


def test_the_password_does_not_show() -> None:
    assert repr(Credentials("svc", "canary")) == "Credentials(user='svc', password=***)"
