"""Driving an authentication flow over connections: the trio side of auth/flow.py."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from patchwire.auth.flow import Flow, FlowResult
from patchwire.http.message import Request
from patchwire.net.connection import Reply


async def perform(flow: Flow, send: Callable[[Request], Awaitable[Reply]]) -> tuple[Reply, FlowResult | None]:
    """The reply to the flow's last request, and the flow's result, which is missing where no response came."""
    try:
        step = next(flow)
        while True:
            reply = await send(step.request)
            if reply.response is None:
                return reply, None
            try:
                step = flow.send(reply.response)
            except StopIteration as stop:
                return reply, stop.value
    finally:
        flow.close()
