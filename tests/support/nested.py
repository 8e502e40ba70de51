"""A proxy's authentication around an origin's: one conversation with both, for whoever drives flows."""

from __future__ import annotations

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
                    if through.refusal is not None or through.doubt is not None:
                        return through
                    answer = through.response
                else:
                    answer = yield self._own(step)
        finally:
            flow.close()

    def _through(self, step: Send, body: Body) -> Flow:
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
                    needs_body = outer.needs_body or step.needs_body
                    after_rejection = outer.after_rejection or step.after_rejection
                    answer = yield Send(outer.request, needs_body, after_rejection)
                else:
                    answer = yield self._own(outer)
        finally:
            flow.close()

    def _own(self, step: Step) -> Step:
        """A step as the driver has to see it, who knows this generation alone."""
        return Wait(self.generation) if isinstance(step, Wait) else step


def in_absolute_form(request: Request) -> Request:
    """The request as a proxy is sent it (RFC 9112 section 3.2.2)."""
    target = str(request.origin).encode("ascii") + request.target
    return Request(request.method, request.origin, target, request.headers, request.body)
