"""A proxy's authentication around an origin's: one conversation with both, for whoever drives flows."""

from __future__ import annotations

from collections.abc import Generator

from patchwire.auth.flow import Answer, Authentication, Body, Flow, FlowResult, Send, Step, Wait
from patchwire.http.message import Request


class ThroughProxy:
    """To each request of the origin's flow the proxy's own credentials are added.

    The origin's credentials are made for the target in origin form, as the proxy hands it on, and the proxy's for
    the absolute form that the proxy is sent.
    """

    def __init__(self, proxy: Authentication, origin: Authentication) -> None:
        self._proxy = proxy
        self._origin = origin

    @property
    def generation(self) -> int:
        """It grows with either's."""
        return self._proxy.generation + self._origin.generation

    def flow(self, request: Request, body: Body = Body.IN_REQUEST) -> Flow:
        """The conversation for one request, whose target is in origin form."""
        flow = self._origin.flow(request, body)
        answer: Answer = None
        try:
            while True:
                try:
                    step = flow.send(answer)
                except StopIteration as stop:
                    result: FlowResult = stop.value
                    return result
                if isinstance(step, Send):
                    through = yield from self._through(step, body)
                    if through is not None and (through.refusal is not None or through.doubt is not None):
                        return through
                    answer = None if through is None else through.response
                else:
                    answer = yield self._own(step)
        finally:
            flow.close()

    def _through(self, step: Send, body: Body) -> Generator[Step, Answer, FlowResult | None]:
        """The proxy's result for a step of the origin's flow; None where that was no longer good and did not go."""
        flow = self._proxy.flow(in_absolute_form(step.request), body)
        answer: Answer = None
        try:
            while True:
                try:
                    outer = flow.send(answer)
                except StopIteration as stop:
                    result: FlowResult = stop.value
                    return result
                if isinstance(outer, Send):
                    answer = yield _both(outer, step)
                    if answer is None and not _is_good(step):
                        return None
                else:
                    answer = yield self._own(outer)
        finally:
            flow.close()

    def _own(self, step: Step) -> Step:
        """A step as the driver has to see it, who knows this generation alone."""
        return Wait(self.generation) if isinstance(step, Wait) else step


def _both(outer: Send, inner: Send) -> Send:
    """The outer step, under the conditions of the inner one as well."""

    def is_good() -> bool:
        return _is_good(outer) and _is_good(inner)

    return Send(
        outer.request,
        outer.needs_body or inner.needs_body,
        outer.after_rejection or inner.after_rejection,
        None if outer.is_good is None and inner.is_good is None else is_good,
    )


def _is_good(step: Send) -> bool:
    return step.is_good is None or step.is_good()


def in_absolute_form(request: Request) -> Request:
    """The request as a proxy is sent it (RFC 9112 section 3.2.2)."""
    target = str(request.origin).encode("ascii") + request.target
    return Request(request.method, request.origin, target, request.headers, request.body)
