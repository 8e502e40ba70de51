"""A server that says 200 to changes at once, and to questions for a token what and when a test tells it to."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import SimpleQueue

PATIENCE = 20.0
"""Seconds."""


class LateServer:
    """Its changes, and its questions."""

    def __init__(self) -> None:
        self.url = ""
        self.changes: list[str] = []
        """The path of each PATCH."""
        self.questions: SimpleQueue[bytes] = SimpleQueue()
        self.answers: SimpleQueue[bytes | None] = SimpleQueue()

    def wait_for_a_question(self) -> bytes:
        """The body of the next question, which is left open."""
        return self.questions.get(timeout=PATIENCE)

    def answer(self, **members: object) -> None:
        """Answer a question with a JSON object."""
        self.answers.put(json.dumps(members).encode())


@contextmanager
def late_server() -> Iterator[LateServer]:
    """Yield the server on a free port of 127.0.0.1. What it has not answered in the end it never does."""
    late = LateServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_POST(self) -> None:
            late.questions.put(self._body())
            body = late.answers.get()
            if body is not None:
                self._say(body)

        def do_PATCH(self) -> None:
            self._body()
            late.changes.append(self.path)
            self._say(b"{}")

        def _body(self) -> bytes:
            return self.rfile.read(int(self.headers["Content-Length"]))

        def _say(self, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    late.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield late
    finally:
        for _ in range(100):
            late.answers.put(None)
        server.shutdown()
        server.server_close()
        thread.join()
