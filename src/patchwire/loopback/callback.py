"""The page at which an authorization ends (RFC 8252 section 7.3): it takes one callback, and says what came of it.

The callback is answered with a redirect, so that the code does not stay in the address of a page; the page behind it
asks again every second until the code has been redeemed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from patchwire.http.message import Request, Response
from patchwire.loopback.app import Change
from patchwire.loopback.documents import Document
from patchwire.loopback.pages import message_page, page
from patchwire.loopback.responses import finished

RESULT: Final = "/patchwire/result"


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
            allow = ((b"Allow", b"GET, HEAD"),)
            return message_page("Not here", "This page is only looked at.", 405, tone="bad", headers=allow)
        if target == RESULT:
            return self._result(request)
        if request.method == "HEAD" or self._is_taken:
            return message_page("Nothing here", "This authorization has been answered already.", 404, tone="bad")
        problem = self._accept(target)
        if problem is not None:
            text = f"{problem} patchwire goes on waiting for the right one."
            return message_page("Not this one", text, 400, tone="bad")
        self._is_taken = True
        return page("One moment", "", 303, headers=((b"Location", RESULT.encode("ascii")),))

    def _result(self, request: Request) -> Response:
        if not self._is_taken:
            return message_page("Nothing here", "There is no answer yet.", 404, tone="bad")
        if self._end is None:
            return page("One moment", "<p>The authorization is being completed.</p>", refresh=True)
        is_good, text = self._end
        if request.method == "GET":
            self._told()
        said = f"{text} You may close this window."
        return message_page("Access granted" if is_good else "No access", said, tone="good" if is_good else "bad")
