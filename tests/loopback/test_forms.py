from __future__ import annotations

import pytest

from patchwire.http.message import Origin, Request
from patchwire.loopback.forms import FORM, MAX_FORM, Form, FormError, form_in, query_of

ORIGIN = Origin("http", "h", 80)


def form(body: bytes, media_type: str = FORM) -> Form:
    return form_in(Request("POST", ORIGIN, b"/", ((b"Content-Type", media_type.encode()),), body))


def test_a_form_is_read_in_utf_8_and_a_value_that_is_empty_counts_as_missing() -> None:
    read = form(b"a=x+y%26%C3%A4&b=&c")
    assert (read.get("a"), read.get("b"), read.get("c"), read.get("d")) == ("x y&\u00e4", None, None, None)
    assert form(b"").values == {}


@pytest.mark.parametrize(
    ("body", "media_type"),
    [(b"a=1&a=1", FORM), (b"a=1&a=", FORM), (b"a=%FF", FORM), (b"a=\xff", FORM), (b"a=1", "application/json"),
     (b"a=1", FORM + "; charset=latin-1"), (b"&".join(b"p%d=1" % number for number in range(101)), FORM),
     (b"a" * (MAX_FORM + 1), FORM)],
    ids=range(8),
)  # fmt: skip
def test_what_is_no_form_with_each_parameter_once_is_refused(body: bytes, media_type: str) -> None:
    with pytest.raises(FormError):
        form(body, media_type)


def test_a_query_tells_which_parameters_stand_more_than_once() -> None:
    query = query_of(Request("GET", ORIGIN, b"/p?a=1&b=2&a=3"))
    assert (query.get("b"), query.repeated) == ("2", frozenset({"a"}))
    assert query_of(Request("GET", ORIGIN, b"/p")).values == {}


def test_no_parameter_shows() -> None:
    assert repr(form(b"client_secret=canary")) == "<Form of 1 parameters>"
