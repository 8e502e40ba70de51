"""A proxy in front of a server on loopback that hands on messages octet for octet, but for what it changes."""

from __future__ import annotations

import re
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BufferedIOBase

Change = Callable[[str, bytes], bytes]
"""Makes of the target of a request and the head of its answer the head that the client gets."""
ChangeBody = Callable[[str, bytes], bytes]
"""Makes of the target and the body of a request the body, as long, that the server gets."""

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked\r\n", re.IGNORECASE)


class _Server(socketserver.ThreadingTCPServer):
    request_queue_size = 64
    daemon_threads = True

    def __init__(self, port: int, change: Change, change_body: ChangeBody) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.behind = ("127.0.0.1", port)
        self.change = change
        self.change_body = change_body


class _Handler(socketserver.StreamRequestHandler):
    """One connection, with one of its own to the server behind."""

    server: _Server

    def handle(self) -> None:
        with socket.create_connection(self.server.behind) as behind, behind.makefile("rb") as answers:
            while request := _message(self.rfile):
                target = request[0].split(b" ", 2)[1].decode("ascii")
                behind.sendall(request[0] + self.server.change_body(target, request[1]))
                answer = _message(answers)
                if answer is None:
                    return
                self.wfile.write(self.server.change(target, answer[0]) + answer[1])


def _message(stream: BufferedIOBase) -> tuple[bytes, bytes] | None:
    """Head and body of a message; without a Content-Length or chunks it has no body. None where the stream ends."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        line = stream.readline()
        if not line:
            return None
        head += line
    if found := _LENGTH.search(head):
        return head, stream.read(int(found[1]))
    return head, _chunks(stream) if _CHUNKED.search(head) else b""


def _chunks(stream: BufferedIOBase) -> bytes:
    """A body in chunks, as it came."""
    body, size = b"", -1
    while size:
        line = stream.readline()
        size = int(line, 16)
        body += line + stream.read(size + 2)
    return body


def _as_it_is(_target: str, content: bytes) -> bytes:
    return content


@contextmanager
def meddler(port: int, change: Change = _as_it_is, *, change_body: ChangeBody = _as_it_is) -> Iterator[str]:
    """Yield the base URL of a proxy in front of a port of 127.0.0.1."""
    with _Server(port, change, change_body) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()
