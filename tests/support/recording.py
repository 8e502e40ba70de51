"""A plain HTTP server in the test's own process that stands behind a proxy and keeps what came through."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.support.answers import Answered


class JsonHandler(BaseHTTPRequestHandler):
    """Answers with JSON, and keeps its connections. What it has done is its own log."""

    protocol_version = "HTTP/1.1"

    def answer(self, content: bytes) -> None:
        """Answer 200 with this content."""
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@contextmanager
def in_a_thread(handler: type[BaseHTTPRequestHandler]) -> Iterator[int]:
    """Serve on a free port of 127.0.0.1; yield the port."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def recording_backend() -> Iterator[tuple[str, list[Answered]]]:
    """Yield the URL of a server that answers every PATCH with 200, and the growing list of what it has answered."""
    answered: list[Answered] = []

    class Handler(JsonHandler):
        def do_PATCH(self) -> None:
            length = int(self.headers["Content-Length"] or 0)
            body = self.rfile.read(length)
            if len(body) < length:
                self.close_connection = True
                return
            answered.append(Answered(self.command, self.path, 200, body, self.headers["Authorization"] or ""))
            answer = json.dumps({"path": self.path}).encode()
            self.answer(answer)

    with in_a_thread(Handler) as port:
        yield f"http://127.0.0.1:{port}", answered
