"""A proxy's authentication: Digest or Basic, whichever it asks for, in its own fields (RFC 9110 section 11.7)."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Literal

from patchwire.auth.basic import BasicAuthentication
from patchwire.auth.challenge import Challenge, parse
from patchwire.auth.credentials import Credentials
from patchwire.auth.digest import ALGORITHMS, PROTECTIONS
from patchwire.auth.digest_choice import choose, read
from patchwire.auth.digest_flow import DigestAuthentication
from patchwire.auth.flow import Answer, Body, Flow, FlowResult, Send, Step, Wait, offers, send_held_back
from patchwire.auth.role import PROXY
from patchwire.http.message import Request, Response

Allowed = Literal["any", "basic", "digest"]


class ProxyAuthentication:
    """Sends nothing before the proxy asks; of what it offers and `allowed` lets pass, Digest goes before Basic.

    Without credentials a proxy that asks for them is a refusal. `cnonce` as for Digest.
    """

    def __init__(self, credentials: Credentials | None, cnonce: Callable[[], str], allowed: Allowed = "any") -> None:
        self._credentials = credentials
        self._cnonce = cnonce
        self._allowed = allowed
        self._chosen: DigestAuthentication | BasicAuthentication | None = None
        self._is_asking = False
        self._lets_all_through = False
        self._changes = 0

    @property
    def generation(self) -> int:
        """That of the chosen scheme, once one has been tried; below 0 until then."""
        chosen = self._known
        return -1 - self._changes if chosen is None else chosen.generation

    @property
    def _known(self) -> DigestAuthentication | BasicAuthentication | None:
        return None if self._is_asking else self._chosen

    def flow(self, request: Request, body: Body = Body.IN_REQUEST) -> Flow:
        """The conversation with the proxy about one request, whose target is as the proxy is sent it. The first goes
        alone, lest all are turned away.
        """
        chosen = self._known
        return self._first(request, body) if chosen is None else chosen.flow(request, body)

    def _first(self, request: Request, body: Body) -> Flow:
        while self._is_asking:
            yield Wait(self.generation)
        if self._chosen is not None:
            return (yield from self._chosen.flow(request, body))
        self._is_asking = not self._lets_all_through
        try:
            response = yield from send_held_back(Send(request), body)
            if not PROXY.is_asked_by(response):
                self._lets_all_through = True
                return FlowResult(response)
            self._lets_all_through = False
            refusal = self._choose(response)
            if self._chosen is None:
                return FlowResult(response, refusal)
            return (yield from _answered(self._chosen.flow(request, body), response))
        finally:
            self._is_asking = False
            self._changes += 1

    def _choose(self, response: Response) -> str | None:
        """Choose a scheme for all that follows, unless it is chosen by now; or why there is none."""
        if self._chosen is not None:
            return None
        asked = parse(response.all_values(PROXY.challenge))
        if self._credentials is None:
            return f"the proxy asks for {offers(asked)}; give proxy.user and proxy.password"
        if self._allowed != "basic" and not isinstance(
            choose(read(response, PROXY, PROTECTIONS), ALGORITHMS, None), str
        ):
            self._chosen = DigestAuthentication(self._credentials, None, self._cnonce, role=PROXY)
        elif self._allowed != "digest" and _offers_basic(asked):
            self._chosen = BasicAuthentication(self._credentials, None, preemptive=False, role=PROXY)
        else:
            mine = {"any": "Digest and Basic", "basic": "Basic", "digest": "Digest"}[self._allowed]
            return f"the proxy asks for {offers(asked)}; proxy.authentication allows {mine}"
        return None


def _offers_basic(asked: list[Challenge]) -> bool:
    return any(challenge.scheme == "basic" for challenge in asked)


def _answered(flow: Flow, response: Response) -> Generator[Step, Answer, FlowResult]:
    """The flow, whose first request, the one without credentials, has got this response already."""
    try:
        step = next(flow)
        if isinstance(step, Send) and step.request.header(PROXY.credentials.lower()) is None:
            step = flow.send(response)
        while True:
            answer = yield step
            step = flow.send(answer)
    except StopIteration as stop:
        result: FlowResult = stop.value
        return result
    finally:
        flow.close()
