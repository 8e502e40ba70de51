"""Driving an authentication flow by hand: what it says, and what comes of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from patchwire.auth.flow import Answer, Authentication, Body, Flow, FlowResult, HashBody, Send, Step, Tell
from patchwire.http.message import Request, Response

Server = Callable[[Send], Response]


def converse(
    authentication: Authentication,
    request: Request,
    server: Server | Sequence[Response],
    body: Body = Body.IN_REQUEST,
    hashed: str | None = None,
) -> tuple[list[Send], FlowResult, list[str]]:
    """What was sent, the result, and what was told to the log. Waiting is not expected here."""
    answers = None if callable(server) else iter(server)
    sent: list[Send] = []
    told: list[str] = []

    def answer(step: Step) -> Answer:
        if isinstance(step, Send):
            sent.append(step)
            return server(step) if callable(server) else next(answers or iter(()))
        if isinstance(step, Tell):
            told.append(step.text)
            return None
        assert isinstance(step, HashBody), step
        return hashed

    result = finish(authentication.flow(request, body), answer)
    assert answers is None or next(answers, None) is None, "the conversation has ended before its time"
    return sent, result, told


def finish(flow: Flow, answer: Callable[[Step], Answer]) -> FlowResult:
    """Drive a flow to its end."""
    try:
        step = next(flow)
        while True:
            step = flow.send(answer(step))
    except StopIteration as stop:
        result = stop.value
        assert isinstance(result, FlowResult)
        return result
    finally:
        flow.close()


def sent_by(flow: Flow, answer: Answer = None) -> Send:
    """The next request that the flow sends, whatever it tells before."""
    step = next(flow) if answer is None else flow.send(answer)
    while isinstance(step, Tell):
        step = flow.send(None)
    assert isinstance(step, Send), step
    return step
