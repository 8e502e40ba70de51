"""A private nginx on loopback, for tests and benchmarks that want a real server.

Everything it writes stays in the caller's directory. A `return` location answers without reading the
request's body first: nginx discards it.
"""

import grp
import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.certificates import Issued
from tests.support.processes import bound_server, stop

NGINX: str | None = shutil.which("nginx") or shutil.which("/usr/sbin/nginx")
needs_nginx = pytest.mark.skipif(NGINX is None, reason="nginx is not installed: apt-get install nginx-light")

HELLO_WORLD = 'location / { return 200 "hello world"; }'

_TEMP_PATH_MODULES = ("proxy", "fastcgi", "uwsgi", "scgi")

_PIN_THEN_EXEC = """
import os, sys
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {int(sys.argv[1])})
os.execvp(sys.argv[2], sys.argv[2:])
"""


@dataclass(frozen=True)
class NginxServer:
    """A running nginx: where it answers, its process id, and the directory of its files."""

    base_url: str
    port: int
    pid: int
    directory: Path


def pinned(command: Sequence[str], core: int | None) -> list[str]:
    """Return the command that runs `command` under the same pid on one core; None leaves it free.

    Where the platform has no affinity, the command runs unpinned.
    """
    if core is None:
        return list(command)
    return [sys.executable, "-I", "-c", _PIN_THEN_EXEC, str(core), *command]


@contextmanager
def nginx_server(
    directory: Path,
    *,
    locations: str = HELLO_WORLD,
    workers: int = 1,
    access_log: str | None = None,
    core: int | None = None,
    tls: str | None = None,
    host: str = "127.0.0.1",
    http: str = "",
) -> Iterator[NginxServer]:
    """Yield an nginx that listens on a free port of 127.0.0.1; it is stopped by its pid on the way out.

    `locations` is the text of the server block. `access_log` is that directive's value (a relative path
    lies in `directory`); None writes no log. With more than one worker, a master process leads them.
    `tls` is the directives that TLS takes, as `tls_directives` writes them; None serves plain HTTP. `host` is
    how the base URL names the server: 127.0.0.1 or localhost. `http` is directives of the http block, such as log
    formats.
    Raises RuntimeError with nginx's own words where it does not start.
    """
    directory.mkdir(parents=True, exist_ok=True)
    if tls is not None:
        locations = f"ssl_protocols TLSv1.2 TLSv1.3; {tls}\n{locations}"
    process, port = _start(directory, locations, workers, access_log, core, "ssl" if tls is not None else "", http)
    scheme = "http" if tls is None else "https"
    try:
        yield NginxServer(f"{scheme}://{host}:{port}", port, process.pid, directory)
    finally:
        stop(process)


def tls_directives(directory: Path, certificate: Issued, client_authority: bytes | None = None) -> str:
    """Return the directives that serve this certificate; its files go into `directory`.

    With `client_authority`, a PEM text, a client must show a certificate that it issued. nginx finishes the
    handshake without one all the same, and answers the request with 400.
    """
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "server.pem").write_bytes(certificate.combined_pem)
    directives = "ssl_certificate server.pem; ssl_certificate_key server.pem;"
    if client_authority is None:
        return directives
    (directory / "clients.pem").write_bytes(client_authority)
    return directives + " ssl_client_certificate clients.pem; ssl_verify_client on; ssl_verify_depth 3;"


def _start(
    directory: Path,
    locations: str,
    workers: int,
    access_log: str | None,
    core: int | None,
    listen_options: str,
    http: str,
) -> tuple[subprocess.Popen[bytes], int]:
    """Return the ready process and its port."""

    def spawn(port: int) -> subprocess.Popen[bytes]:
        config = _config(port, locations, workers, access_log, listen_options, http)
        (directory / "nginx.conf").write_text(config, encoding="utf-8")
        return _spawn(directory, core)

    return bound_server(directory, "nginx.pid", spawn)


def _config(port: int, locations: str, workers: int, access_log: str | None, listen_options: str, http: str) -> str:
    """Return the configuration; its relative paths are resolved against the prefix, `-p`."""
    return f"""
{_user_directive()}
daemon off;
master_process {"on" if workers > 1 else "off"};
worker_processes {workers};
pid nginx.pid;
error_log error.log notice;
events {{ worker_connections 4096; }}
http {{
    default_type text/plain;
    {http}
    access_log {access_log or "off"};
    keepalive_requests 100000000;
    keepalive_timeout 1h;
    client_body_buffer_size 1m;
    client_max_body_size 64m;
    {_temp_paths()}
    server {{
        listen 127.0.0.1:{port} backlog=4096 {listen_options};
        {locations}
    }}
}}
"""


def _user_directive() -> str:
    """Return the directive that keeps root's workers root: nobody may not enter a private directory."""
    if os.geteuid() != 0:
        return ""
    return f"user {pwd.getpwuid(os.geteuid()).pw_name} {grp.getgrgid(os.getegid()).gr_name};"


def _temp_paths() -> str:
    """Return a temp path directive for each module that this nginx was built with."""
    assert NGINX is not None, "nginx is not installed: apt-get install nginx-light"
    build = subprocess.run([NGINX, "-V"], capture_output=True, text=True, check=True).stderr
    present = [name for name in _TEMP_PATH_MODULES if f"--without-http_{name}_module" not in build]
    return " ".join(f"{name}_temp_path {name}_temp;" for name in ["client_body", *present])


def _spawn(directory: Path, core: int | None) -> subprocess.Popen[bytes]:
    """Return nginx, just started, the leader of its own process group."""
    assert NGINX is not None, "nginx is not installed: apt-get install nginx-light"
    for leftover in ("nginx.pid", "error.log"):
        (directory / leftover).unlink(missing_ok=True)
    command = [NGINX, "-p", f"{directory}/", "-c", str(directory / "nginx.conf")]
    with (directory / "stderr.log").open("wb") as stderr:
        return subprocess.Popen(
            pinned(command, core),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            start_new_session=True,
        )
