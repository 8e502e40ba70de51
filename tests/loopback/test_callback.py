from __future__ import annotations

import pytest

from patchwire.http.message import Request, Response, request_to
from patchwire.loopback.callback import RESULT, CallbackApp
from tests.support.oauth2 import NOW

OURS = "/callback?code=canary-code&state=s"


class Page:
    """An app whose callback is `OURS`, and how often it was accepted and told."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.told = 0
        self.app = CallbackApp(self._accept, self._tell)

    def _accept(self, target: str) -> str | None:
        self.asked.append(target)
        return None if target == OURS else "This answer belongs to <another> request."

    def _tell(self) -> None:
        self.told += 1

    def get(self, target: str, method: str = "GET") -> Response:
        response, change = self.app.handle(request(target, method), {}, NOW)
        assert change is None
        return response


def request(target: str, method: str = "GET") -> Request:
    return request_to(method, f"http://127.0.0.1:8976{target}")


def text_of(response: Response) -> str:
    return response.body.decode("utf-8")


def test_the_callback_is_answered_with_a_redirect_that_leaves_the_code_in_no_address() -> None:
    page = Page()
    response = page.get(OURS)
    assert (response.status, response.header(b"location")) == (303, RESULT.encode())
    assert "canary" not in text_of(response)
    assert page.asked == [OURS]


@pytest.mark.parametrize("target", ["/callback?code=c&state=other", "/favicon.ico", "/", "/callback"])
def test_what_is_not_the_callback_is_refused_and_ours_waited_for(target: str) -> None:
    page = Page()
    response = page.get(target)
    assert response.status == 400
    assert "This answer belongs to &lt;another&gt; request." in text_of(response)
    assert page.get(OURS).status == 303


def test_one_callback_is_taken_and_none_after_it() -> None:
    page = Page()
    page.get(OURS)
    for target in (OURS, "/callback?code=other"):
        response = page.get(target)
        assert (response.status, response.header(b"location")) == (404, None)
    assert page.asked == [OURS]


def test_a_look_at_the_head_takes_no_code() -> None:
    page = Page()
    assert page.get(OURS, "HEAD").status == 404
    assert page.asked == []
    assert page.get(OURS).status == 303


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_the_page_is_only_looked_at(method: str) -> None:
    page = Page()
    response = page.get(OURS, method)
    assert (response.status, response.header(b"allow")) == (405, b"GET, HEAD")
    assert page.asked == []


@pytest.mark.parametrize(
    ("is_good", "text", "title"),
    [(True, "patchwire has the token.", "Access granted"), (False, "<b>refused</b>.", "No access")],
)
def test_the_page_behind_it_asks_again_until_it_is_known_what_came_of_it(is_good: bool, text: str, title: str) -> None:
    page = Page()
    assert page.get(RESULT).status == 404
    page.get(OURS)
    waiting = page.get(RESULT)
    assert waiting.status == 200
    assert 'http-equiv="refresh"' in text_of(waiting)
    assert page.told == 0
    page.app.finish(is_good=is_good, text=text)
    assert page.get(RESULT, "HEAD").status == 200
    assert page.told == 0
    last = page.get(RESULT)
    assert title in text_of(last)
    assert text.replace("<", "&lt;").replace(">", "&gt;") in text_of(last)
    assert 'http-equiv="refresh"' not in text_of(last)
    assert page.told == 1


def test_o39_a_redirect_leads_to_our_own_page_whatever_the_callback_says() -> None:
    page = Page()
    page.app = CallbackApp(lambda _: None, page._tell)
    response = page.get("/callback?redirect_uri=https://evil.example&next=//evil.example")
    assert response.all_values(b"location") == [RESULT.encode()]


def test_no_page_is_kept_framed_or_loads_anything() -> None:
    page = Page()
    pages = [page.get(RESULT), page.get("/"), page.get(OURS), page.get(RESULT), page.get(OURS, "POST")]
    for each in pages:
        assert each.header(b"cache-control") == b"no-store"
        assert each.header(b"referrer-policy") == b"no-referrer"
        policy = each.header(b"content-security-policy") or b""
        assert policy.startswith(b"default-src 'none';")
        assert b"frame-ancestors 'none'" in policy
        assert "<script" not in text_of(each)


def test_who_waits_for_100_continue_is_answered_without_it() -> None:
    page = Page()
    response = page.app.refuse(request("/", "POST"), {}, NOW)
    assert response is not None
    assert response.status == 405
