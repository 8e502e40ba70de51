from __future__ import annotations

import re
from base64 import b64encode
from hashlib import sha256
from html.parser import HTMLParser

import pytest

from patchwire.http.message import Response
from patchwire.loopback.consent import code_page, consent_page
from patchwire.loopback.pages import message_page

NASTY = "<script>'\"&\u00e4"
PAGES = [
    consent_page("/p", NASTY, [("Client", NASTY), (NASTY, "x")], "http"),
    code_page("/p", NASTY),
    code_page("/p"),
    message_page(NASTY, NASTY, 400),
]


class Reader(HTMLParser):
    """What a browser makes of a page."""

    def __init__(self, page: Response) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.text = ""
        self.values: list[str | None] = []
        self.feed(page.body.decode("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in ("meta", "input", "br"):
            self.open.append(tag)
        self.values += [value for name, value in attrs if name == "value"]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize("page", PAGES, ids=range(4))
def test_a_page_has_no_scripts_and_each_value_in_it_is_text(page: Response) -> None:
    read = Reader(page)
    assert "script" not in read.tags
    assert read.open == []
    assert "html" in read.tags
    assert (NASTY in read.text) is (page is not PAGES[2])


@pytest.mark.parametrize("page", PAGES, ids=range(4))
def test_a_page_may_load_nothing_be_framed_by_nobody_and_be_kept_by_no_cache(page: Response) -> None:
    policy = (page.header(b"content-security-policy") or b"").decode()
    (style,) = re.findall(rb"<style>(.*?)</style>", page.body)
    digest = b64encode(sha256(style).digest()).decode()
    whither = " http:" if page is PAGES[0] else ""
    assert policy == (
        f"default-src 'none'; style-src 'sha256-{digest}'; form-action 'self'{whither}; frame-ancestors 'none'; "
        "base-uri 'none'"
    )
    assert (page.header(b"cache-control"), page.header(b"x-content-type-options")) == (b"no-store", b"nosniff")
    assert page.header(b"referrer-policy") == b"no-referrer"


def test_the_ticket_comes_back_as_it_was_with_either_decision() -> None:
    assert Reader(PAGES[0]).values == [NASTY, "accept", "deny"]
