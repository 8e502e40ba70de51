"""An HTTPS server of patchwire's own in a thread of the test: it stands behind a proxy and keeps what came through."""

from __future__ import annotations

import time
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager

import trio

from patchwire.http.message import Request, Response
from patchwire.loopback.app import Change
from patchwire.loopback.documents import Document
from patchwire.loopback.responses import finished
from patchwire.net.server import serve
from tests.support.beside import beside
from tests.support.certificates import Authority
from tests.support.tls import LOCALHOST, serving_as


class TlsBackend:
    """Answers every request with 200 and its target, and keeps it as it came, with all its fields."""

    def __init__(self) -> None:
        self.base_url = ""
        self.received: list[Request] = []

    def handle(
        self, request: Request, documents: MutableMapping[str, Document], now: float
    ) -> tuple[Response, Change | None]:
        """As an application does."""
        self.received.append(request)
        return finished(Response(200, body=request.target), request.method, now), None

    def refuse(self, request: Request, documents: MutableMapping[str, Document], now: float) -> Response | None:
        """As an application does: nothing is refused by its head."""
        return None


@contextmanager
def tls_backend(*client_authorities: Authority) -> Iterator[TlsBackend]:
    """Yield a server on a free port of 127.0.0.1 with the certificate LOCALHOST of `tests.support.tls`.

    With authorities it requires a client certificate that one of them has issued.
    """
    backend = TlsBackend()
    context = serving_as(LOCALHOST, *client_authorities)

    async def run(task_status: trio.TaskStatus[str]) -> None:
        await serve(backend, {}, now=time.time, tls=context, task_status=task_status)

    with beside(run) as url:
        backend.base_url = url
        yield backend
