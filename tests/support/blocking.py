"""Flows and exchanges on a blocking socket, as somebody drives them who has a stack of his own."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

from patchwire.auth.flow import Answer, Authentication, FlowResult, Send, Wait
from patchwire.http.exchange import BodyData, Exchange, Failed, ResponseHead
from patchwire.http.message import Request, Response

TIMEOUT = 10.0


class BlockingDriver:
    """One socket to one address, opened anew where it cannot be used again; a tunnel's is kept for what is in it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._socket: socket.socket | None = None
        self.sent: list[Request] = []
        """Every request as it went out."""

    def perform(self, authentication: Authentication, request: Request) -> FlowResult:
        """The result of the flow for a request with its body in memory."""
        flow = authentication.flow(request)
        answer: Answer = None
        try:
            while True:
                step = flow.send(answer)
                assert not isinstance(step, Wait), "there is nobody to wait for"
                answer = self._response(step.request) if isinstance(step, Send) else None
        except StopIteration as stop:
            result: FlowResult = stop.value
            return result
        finally:
            flow.close()

    def close(self) -> None:
        """Close the socket."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _response(self, request: Request) -> Response:
        if self._socket is None:
            self._socket = socket.create_connection(("127.0.0.1", self._port), TIMEOUT)
        self.sent.append(request)
        exchange = Exchange(request)
        self._socket.sendall(exchange.bytes_to_send(time.monotonic()))
        exchange.all_sent()
        head, body = ResponseHead(0, b"", (), b""), b""
        while not exchange.ended:
            for event in exchange.receive(self._socket.recv(65_536)):
                if isinstance(event, ResponseHead):
                    head = event
                elif isinstance(event, BodyData):
                    body += event.data
                elif isinstance(event, Failed):
                    raise event.error
        is_tunnel = request.method == "CONNECT" and 200 <= head.status <= 299
        if not exchange.reusable and not is_tunnel:
            self.close()
        return Response(head.status, head.headers, body, head.reason)


@contextmanager
def blocking_driver(port: int) -> Iterator[BlockingDriver]:
    """Yield a driver to this port of 127.0.0.1."""
    driver = BlockingDriver(port)
    try:
        yield driver
    finally:
        driver.close()
