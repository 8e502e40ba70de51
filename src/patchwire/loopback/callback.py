"""The page at which an authorization ends (RFC 8252 section 7.3): it takes one callback, and says what came of it.

The callback is answered with a redirect, so that the code does not stay in the address of a page; the page behind it
asks again every second until the code has been redeemed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from html import escape
from typing import Final

from patchwire.http.message import Headers, Request, Response
from patchwire.loopback.app import Change
from patchwire.loopback.documents import Document
from patchwire.loopback.responses import finished

RESULT: Final = "/patchwire/result"
_HEADERS: Final[Headers] = (
    (b"Content-Type", b"text/html; charset=utf-8"),
    (b"Cache-Control", b"no-store"),
    (b"Content-Security-Policy", b"default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"),
    (b"Referrer-Policy", b"no-referrer"),
    (b"X-Content-Type-Options", b"nosniff"),
)
_PAGE: Final = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
{refresh}<title>{title} - patchwire</title>
<style>
body {{ margin: 0; min-height: 100vh; display: grid; place-items: center; background: #f4f5f7; color: #1c2430;
  font: 17px/1.5 system-ui, sans-serif; }}
main {{ max-width: 32rem; margin: 1rem; padding: 2rem 2.5rem; background: #fff; border-radius: 10px;
  border-top: 6px solid {colour}; box-shadow: 0 2px 12px rgba(20, 30, 50, .12); }}
h1 {{ margin: 0 0 .5rem; font-size: 1.4rem; }}
p {{ margin: .5rem 0 0; overflow-wrap: anywhere; }}
@media (prefers-color-scheme: dark) {{
  body {{ background: #14181f; color: #e6e9ee; }}
  main {{ background: #1f2630; }}
}}
</style>
</head>
<body><main><h1>{title}</h1><p>{text}</p></main></body>
</html>
"""
_COLOURS: Final = {True: "#1a7f4b", False: "#b3261e", None: "#5b6b82"}


class CallbackApp:
    """Takes the first request for which `accept`, given its target, does not say why it is not the callback. `told` is
    called when the page has said what came of it.
    """

    def __init__(self, accept: Callable[[str], str | None], told: Callable[[], None]) -> None:
        self._accept = accept
        self._told = told
        self._is_taken = False
        self._end: tuple[bool, str] | None = None

    def finish(self, *, is_good: bool, text: str) -> None:
        """What the page says from now on."""
        self._end = (is_good, text)

    def handle(
        self,
        request: Request,
        documents: Mapping[str, Document],  # noqa: ARG002 - it serves none
        now: float,
    ) -> tuple[Response, Change | None]:
        """The response to a request; none changes anything."""
        return finished(self._answer(request), request.method, now), None

    def refuse(self, request: Request, documents: Mapping[str, Document], now: float) -> Response | None:
        """The answer to a request that waits for 100 (Continue): none of ours does."""
        return self.handle(request, documents, now)[0]

    def _answer(self, request: Request) -> Response:
        target = request.target.decode("ascii")
        if request.method not in ("GET", "HEAD"):
            return _page(405, False, "Not here", "This page is only looked at.", ((b"Allow", b"GET, HEAD"),))
        if target == RESULT:
            return self._result(request)
        if request.method == "HEAD" or self._is_taken:
            return _page(404, False, "Nothing here", "This authorization has been answered already.")
        problem = self._accept(target)
        if problem is not None:
            return _page(400, False, "Not this one", f"{problem} patchwire goes on waiting for the right one.")
        self._is_taken = True
        return Response(303, ((b"Location", RESULT.encode("ascii")), *_HEADERS))

    def _result(self, request: Request) -> Response:
        if not self._is_taken:
            return _page(404, False, "Nothing here", "There is no answer yet.")
        if self._end is None:
            return _page(200, None, "One moment", "The authorization is being completed.", refresh=True)
        is_good, text = self._end
        if request.method == "GET":
            self._told()
        title = "Access granted" if is_good else "No access"
        return _page(200, is_good, title, f"{text} You may close this window.")


def _page(
    status: int, is_good: bool | None, title: str, text: str, headers: Headers = (), *, refresh: bool = False
) -> Response:
    again = '<meta http-equiv="refresh" content="1">\n' if refresh else ""
    page = _PAGE.format(refresh=again, title=escape(title), colour=_COLOURS[is_good], text=escape(text))
    return Response(status, (*headers, *_HEADERS), page.encode("utf-8"))
