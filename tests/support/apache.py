"""A private Apache httpd on loopback that speaks TLS and asks for client certificates.

Apache ends TLS and hands each request to a backend in the test's own process, which answers 200 and keeps what
came: what Apache refuses never gets there. (A CGI would have to lie where www-data may read it, and a test's
directory is its own user's alone.) Everything that Apache writes stays in the caller's directory.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.certificates import Issued
from tests.support.processes import bound_server, stop, text_of
from tests.support.recording import JsonHandler, in_a_thread

APACHE: str | None = shutil.which("apache2") or shutil.which("/usr/sbin/apache2")
needs_apache = pytest.mark.skipif(APACHE is None, reason="Apache is not installed: apt-get install apache2")

_MODULES = Path("/usr/lib/apache2/modules")  # where Debian puts them
_TLS = """
LogLevel warn ssl:info
SSLEngine on
SSLProtocol -all +TLSv1.2 +TLSv1.3
SSLSessionCache none
SSLCertificateFile server.pem
SSLCertificateKeyFile server.pem
RequestHeader set X-Client-Subject "expr=%{SSL_CLIENT_S_DN}"
SetEnv proxy-sendcl 1
"""


@dataclass(frozen=True)
class Processed:
    """A request that came through; `client` is the subject of the client's certificate, or empty."""

    method: str
    target: str
    body: bytes
    client: str


@dataclass(frozen=True)
class ApacheProcess:
    """A running Apache: its port on 127.0.0.1, its process id, and its files."""

    port: int
    pid: int
    directory: Path

    def access_log(self) -> list[tuple[str, str, int]]:
        """Method, path and status of each request that Apache has answered, refusals too; complete once it stopped."""
        lines = [line.split() for line in text_of(self.directory / "access.log").splitlines()]
        return [(method, path, int(status)) for method, path, status in lines]

    def error_log(self) -> str:
        """What Apache has to say, failed handshakes among it."""
        return text_of(self.directory / "error.log")


@dataclass(frozen=True)
class ApacheServer(ApacheProcess):
    """An Apache that speaks TLS: where it answers, and what it has let through."""

    base_url: str
    processed: list[Processed]


@contextmanager
def apache_server(
    directory: Path,
    certificate: Issued,
    *,
    client_authority: bytes | None = None,
    verify: str = "require",
    directives: str = "",
    host: str = "127.0.0.1",
) -> Iterator[ApacheServer]:
    """Yield an Apache that serves HTTPS on a free port of 127.0.0.1; it is stopped by its pid on the way out.

    With `client_authority`, a PEM text, the handshake asks for a certificate that it issued, and `verify` is the
    value of SSLVerifyClient: require, optional, none. `directives` go into the server's configuration as they
    stand. `host` is how the base URL names the server: 127.0.0.1 or localhost. Raises RuntimeError with Apache's
    own words where it does not start.
    """
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "server.pem").write_bytes(certificate.combined_pem)
    directives = f"{_TLS}\n{directives}"
    if client_authority is not None:
        (directory / "clients.pem").write_bytes(client_authority)
        directives = f"SSLCACertificateFile clients.pem\nSSLVerifyDepth 3\nSSLVerifyClient {verify}\n{directives}"
    processed: list[Processed] = []
    with _backend(processed) as backend_port:
        directives = f'ProxyPass "/" "http://127.0.0.1:{backend_port}/" disablereuse=on\n{directives}'
        with apache_process(directory, ("headers", "proxy", "proxy_http", "ssl"), directives) as process:
            port = process.port
            yield ApacheServer(port, process.pid, directory, f"https://{host}:{port}", processed)


@contextmanager
def apache_process(directory: Path, modules: Iterable[str], directives: str) -> Iterator[ApacheProcess]:
    """Yield an Apache with these modules and directives on a free port of 127.0.0.1, and stop it by its pid after.

    Everything that it writes stays in `directory`. Raises RuntimeError with its own words where it does not start.
    """
    directory.mkdir(parents=True, exist_ok=True)
    process, port = _start(directory, modules, directives)
    try:
        yield ApacheProcess(port, process.pid, directory)
    finally:
        stop(process)


@contextmanager
def _backend(processed: list[Processed]) -> Iterator[int]:
    """Yield the port of a plain HTTP server that keeps each request and answers 200 with it in JSON."""

    class Handler(JsonHandler):
        def do_PATCH(self) -> None:  # noqa: N802
            body = self.rfile.read(int(self.headers["Content-Length"] or 0))
            client = self.headers["X-Client-Subject"] or ""
            processed.append(Processed(self.command, self.path, body, client))
            answer = json.dumps({"path": self.path, "client": client}).encode()
            self.answer(answer)

    with in_a_thread(Handler) as port:
        yield port


def _start(directory: Path, modules: Iterable[str], directives: str) -> tuple[subprocess.Popen[bytes], int]:
    """Return the ready process and its port."""

    def spawn(port: int) -> subprocess.Popen[bytes]:
        (directory / "apache.conf").write_text(_config(directory, port, modules, directives), encoding="utf-8")
        return _spawn(directory)

    return bound_server(directory, "apache.pid", spawn)


def _config(directory: Path, port: int, modules: Iterable[str], directives: str) -> str:
    """Return the configuration; its relative paths are resolved against ServerRoot."""
    load = "\n".join(
        f"LoadModule {name}_module {_MODULES}/mod_{name}.so" for name in ("mpm_event", "authz_core", "env", *modules)
    )
    # Apache serves nothing as root; it has its sockets, logs and keys before it becomes another user.
    user = "User www-data\nGroup www-data" if os.geteuid() == 0 else ""
    return f"""
ServerRoot "{directory}"
DefaultRuntimeDir "{directory}"
PidFile apache.pid
ServerName localhost
Listen 127.0.0.1:{port}
{load}
{user}
StartServers 1
ServerLimit 1
ThreadsPerChild 64
MaxRequestWorkers 64
MinSpareThreads 1
MaxSpareThreads 64
KeepAlive On
MaxKeepAliveRequests 0
KeepAliveTimeout 60
ErrorLog error.log
LogLevel warn
LogFormat "%m %U%q %>s" outcome
CustomLog access.log outcome
{directives}
"""


def _spawn(directory: Path) -> subprocess.Popen[bytes]:
    """Return Apache, just started in the foreground, the leader of its own process group."""
    assert APACHE is not None, "Apache is not installed: apt-get install apache2"
    for leftover in ("apache.pid", "error.log"):
        (directory / leftover).unlink(missing_ok=True)
    with (directory / "stderr.log").open("wb") as stderr:
        return subprocess.Popen(
            [APACHE, "-DFOREGROUND", "-f", str(directory / "apache.conf")],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            start_new_session=True,
        )
