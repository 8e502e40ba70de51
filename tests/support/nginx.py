"""A private nginx on loopback, for tests and benchmarks that want a real server.

Everything it writes stays in the caller's directory. A `return` location answers without reading the
request's body first: nginx discards it.
"""

import grp
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.certificates import Issued

NGINX: str | None = shutil.which("nginx") or shutil.which("/usr/sbin/nginx")
needs_nginx = pytest.mark.skipif(NGINX is None, reason="nginx is not installed: apt-get install nginx-light")

HELLO_WORLD = 'location / { return 200 "hello world"; }'

_START_ATTEMPTS = 5
_START_SECONDS = 15.0  # nginx itself retries a failed bind for 2.5 seconds
_STOP_SECONDS = 10.0
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


class PortTakenError(Exception):
    """Another process took the port between its choice and nginx's bind."""


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
) -> Iterator[NginxServer]:
    """Yield an nginx that listens on a free port of 127.0.0.1; it is stopped by its pid on the way out.

    `locations` is the text of the server block. `access_log` is that directive's value (a relative path
    lies in `directory`); None writes no log. With more than one worker, a master process leads them.
    `tls` is the directives that TLS takes, as `tls_directives` writes them; None serves plain HTTP. `host` is
    how the base URL names the server: 127.0.0.1 or localhost.
    Raises RuntimeError with nginx's own words where it does not start.
    """
    directory.mkdir(parents=True, exist_ok=True)
    if tls is not None:
        locations = f"ssl_protocols TLSv1.2 TLSv1.3; {tls}\n{locations}"
    process, port = _start(directory, locations, workers, access_log, core, "ssl" if tls is not None else "")
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
    directory: Path, locations: str, workers: int, access_log: str | None, core: int | None, listen_options: str
) -> tuple[subprocess.Popen[bytes], int]:
    """Return the ready process and its port, having tried other ports where one was taken."""
    for _ in range(_START_ATTEMPTS):
        port = free_port()
        config = _config(port, locations, workers, access_log, listen_options)
        (directory / "nginx.conf").write_text(config, encoding="utf-8")
        process = _spawn(directory, core)
        try:
            _wait_until_ready(process, directory)
        except PortTakenError:
            continue
        except BaseException:
            stop(process)
            raise
        return process, port
    raise RuntimeError(f"nginx found no free port in {_START_ATTEMPTS} attempts")


def _config(port: int, locations: str, workers: int, access_log: str | None, listen_options: str) -> str:
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


def free_port() -> int:
    """Return a port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


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


def _wait_until_ready(process: subprocess.Popen[bytes], directory: Path) -> None:
    """Return once nginx listens; raise PortTakenError or RuntimeError where it will not.

    nginx writes its pid file after it has bound its sockets. A connection would prove less: whoever
    took the port would answer it.
    """
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if text_of(directory / "nginx.pid").strip() == str(process.pid):
            return
        if process.poll() is not None:
            break
        time.sleep(0.01)
    said = text_of(directory / "stderr.log") + text_of(directory / "error.log")
    if process.poll() is not None and "Address already in use" in said:
        raise PortTakenError
    raise RuntimeError(f"nginx did not start:\n{said}")


def text_of(path: Path) -> str:
    """Return the file's text, or nothing where there is no file."""
    return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""


def stop(process: subprocess.Popen[bytes]) -> None:
    """End nginx: asked first, then killed together with its workers."""
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)  # a master killed alone would leave its workers behind
        process.wait()
