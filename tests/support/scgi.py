"""A backend that speaks SCGI, behind servers whose authentication is what a test is about.

A server hands over each request that it lets through, together with the name of the user; what it refuses never gets
here. What the server itself adds to the answer stays: Apache's HTTP proxy would drop its own Authentication-Info.
"""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class Processed:
    """A request that came through; `user` is whom the server has authenticated, or empty."""

    method: str
    target: str
    body: bytes
    user: str


class _Server(socketserver.ThreadingTCPServer):
    request_queue_size = 64
    daemon_threads = True

    def __init__(self, processed: list[Processed]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.processed = processed


class _Handler(socketserver.StreamRequestHandler):
    """One request and one answer a connection."""

    server: _Server

    def handle(self) -> None:
        if (variables := self._variables()) is None:
            return
        length = int(variables["CONTENT_LENGTH"] or 0)
        body = self.rfile.read(length)
        if len(body) < length:
            return
        user = variables.get("REMOTE_USER", "")
        request = Processed(variables["REQUEST_METHOD"], variables["REQUEST_URI"], body, user)
        self.server.processed.append(request)
        answer = json.dumps({"path": request.target, "user": user}).encode()
        head = f"Status: 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(answer)}\r\n\r\n"
        self.wfile.write(head.encode() + answer)

    def _variables(self) -> dict[str, str] | None:
        """What CGI would have in its environment, off a netstring; None where the server has gone away."""
        digits = b""
        while (byte := self.rfile.read(1)) != b":":
            if not byte:
                return None
            digits += byte
        text = self.rfile.read(int(digits))
        if self.rfile.read(1) != b",":
            return None
        parts = text.decode(errors="surrogateescape").split("\0")
        return dict(zip(parts[0:-1:2], parts[1::2], strict=True))


@contextmanager
def scgi_backend(processed: list[Processed]) -> Iterator[int]:
    """Yield the port of a backend on 127.0.0.1 that keeps each request in `processed` and answers 200 with JSON."""
    with _Server(processed) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()
