"""An HTTPS server in a thread, for commands in processes of their own; it may turn bad, and good again."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.support.certificates import Issued


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: HttpsServer

    def do_PATCH(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.served.append(self.path)
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """The list of what was served is the log."""


class HttpsServer(ThreadingHTTPServer):
    """Answers each PATCH with 204 and keeps its target; `instead` takes over the plain socket where it is set."""

    request_queue_size = 64
    """All connections of a batch may come at once; where the queue is full, the kernel lets them wait a second."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.served: list[str] = []
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.instead: Callable[[socket.socket], None] | None = None

    @property
    def base_url(self) -> str:
        """By the name localhost."""
        return f"https://localhost:{self.server_port}"

    def show(self, directory: Path, certificate: Issued) -> None:
        """From now on this is its certificate, and it serves."""
        file = directory / "server.pem"
        file.write_bytes(certificate.combined_pem)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.set_ciphers("DEFAULT:@SECLEVEL=0")  # it shows what it is told to, weak ones too
        self.context.load_cert_chain(file)
        self.instead = None

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Serve one connection."""
        with suppress(OSError):
            if self.instead is not None:
                self.instead(request)
                return
            with self.context.wrap_socket(request, server_side=True) as secured:
                _Handler(secured, client_address, self)


@contextmanager
def https_server(directory: Path, certificate: Issued) -> Iterator[HttpsServer]:
    """A server on a free port of 127.0.0.1 that shows this certificate; its files go into `directory`."""
    directory.mkdir(exist_ok=True)
    with HttpsServer() as server:
        server.show(directory, certificate)
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
