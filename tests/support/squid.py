"""A private Squid on loopback: a forward proxy that asks for Digest or Basic authentication (407), for both, for none.

It forwards to any port of 127.0.0.1 and nowhere else, by CONNECT too. It listens in the open or over TLS.

Its Digest challenge names no algorithm: MD5 is meant, and MD5-sess and credentials without qop are taken too. The uri
may be any that was hashed: it is not held against the request line. A nonce belongs to no connection. One whose count
does not fit, that is used up or too old is let in once more all the same; the request behind that gets 407 with
`stale=true`, as does a nonce that Squid does not know. From its last request but one on, each answer brings
`Proxy-Authentication-Info: nextnonce="..."`.

Of a request with 64 KiB of body or more that it answers with 407, Squid 5.7 never reads the rest, nor anything
behind it on that connection, although it says keep-alive and does not close it.

Squid will not run as root, and whom it runs as may not enter a test's directory: it has its own while it runs.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from tests.support.answers import Answered
from tests.support.processes import START_SECONDS, PortTakenError, free_port, stop, text_of
from tests.support.recording import recording_backend
from tests.support.tls import LOCALHOST

SQUID: str | None = shutil.which("squid") or shutil.which("/usr/sbin/squid")
needs_squid = pytest.mark.skipif(SQUID is None, reason="Squid is not installed: apt-get install squid-openssl")

REALM = "patchwire proxy"

Scheme = Literal["digest", "basic", "both", "none"]
"""What the proxy asks for; with "both" Digest stands before Basic in its challenges."""

_HELPERS = Path("/usr/lib/squid")  # where Debian puts them
_USER = "proxy"  # whom Debian has made for it
_START_ATTEMPTS = 5


@dataclass(frozen=True)
class Nonces:
    """How long a nonce holds, in requests and seconds, and how its count is checked.

    Expired nonces are looked for every `garbage_interval` seconds. With `check_count` a count must be higher than the
    last, with `strict` higher by one.
    """

    max_count: int = 50
    max_duration: int = 1800
    garbage_interval: int = 300
    check_count: bool = True
    strict: bool = False

    def directives(self) -> str:
        """What Squid's configuration says of it."""
        return f"""
auth_param digest nonce_max_count {self.max_count}
auth_param digest nonce_max_duration {self.max_duration} seconds
auth_param digest nonce_garbage_interval {self.garbage_interval} seconds
auth_param digest check_nonce_count {"on" if self.check_count else "off"}
auth_param digest nonce_strictness {"on" if self.strict else "off"}
"""


@dataclass(frozen=True)
class SquidServer:
    """A running Squid: where it listens, its process id, its one user, and its files.

    `base_url` is https://localhost:PORT where it listens over TLS, http://127.0.0.1:PORT else. `backend_url` is a
    server behind it that answers every PATCH, and `processed` what has come there.
    """

    base_url: str
    port: int
    pid: int
    user: str
    password: str
    directory: Path
    backend_url: str
    processed: list[Answered]
    _own: Path

    def access_log(self) -> list[tuple[str, str, int]]:
        """Method, target and status of each request that Squid has answered, 407 too; complete once it stopped.

        Connections on which no request came, or the rest of one that nobody reads, have lines without a method.
        """
        lines = [line.split() for line in self._text("access.log").splitlines()]
        return [(method, target, int(status)) for method, target, status in lines if method != "-"]

    def cache_log(self) -> str:
        """What Squid has to say."""
        return self._text("cache.log")

    def _text(self, name: str) -> str:
        return text_of((self._own if self._own.exists() else self.directory) / name)


@contextmanager
def squid_server(
    directory: Path,
    *,
    user: str = "svc",
    password: str = "correct horse",
    nonces: Nonces | None = None,
    directives: str = "",
    scheme: Scheme = "digest",
    tls: bool = False,
) -> Iterator[SquidServer]:
    """Yield a Squid on a free port of 127.0.0.1 and a backend for it; it is stopped by its pid on the way out.

    With `tls` it listens over TLS, with the certificate LOCALHOST of `tests.support.tls`, issued by its AUTHORITY.
    Its files are in `directory` once it stopped. `directives` go into its configuration as they stand, before the
    rules that let requests through. Raises RuntimeError with Squid's own words where it does not start.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with recording_backend() as (backend_url, processed), _own_directory(directory) as own:
        (own / "server.pem").write_bytes(LOCALHOST.combined_pem)
        access = _access(own, scheme, user, password, nonces or Nonces())
        process, port = _start(own, f"{access}\n{directives}", tls)
        try:
            base_url = f"https://localhost:{port}" if tls else f"http://127.0.0.1:{port}"
            yield SquidServer(base_url, port, process.pid, user, password, directory, backend_url, processed, own)
        finally:
            process.send_signal(signal.SIGINT)  # Squid takes a second to end; asked by SIGTERM alone, two
            stop(process)
            _remove_shared_memory(port)


@contextmanager
def _own_directory(directory: Path) -> Iterator[Path]:
    """Yield a directory that Squid may enter, whoever it runs as; its files go to `directory` in the end."""
    with tempfile.TemporaryDirectory(prefix="patchwire-squid-") as name:
        if os.geteuid() == 0:
            shutil.chown(name, _USER, _USER)
        try:
            yield Path(name)
        finally:
            shutil.copytree(name, directory, dirs_exist_ok=True)


def _access(own: Path, scheme: Scheme, user: str, password: str, nonces: Nonces) -> str:
    """Return whom Squid lets through, as its configuration says it; the files of passwords are written."""
    if scheme == "none":
        return "acl authenticated src all"
    access = ""
    if scheme != "basic":
        file = own / "passwords"
        file.write_text(f"{user}:{REALM}:{_md5(f'{user}:{REALM}:{password}')}\n", encoding="utf-8")
        access += _asking("digest", f"digest_file_auth -c {file}") + nonces.directives()
    if scheme != "digest":
        file = own / "basic_passwords"
        file.write_text(f"{user}:{_md5(password)}\n", encoding="utf-8")
        access += _asking("basic", f"basic_ncsa_auth {file}")
    return f"{access}acl authenticated proxy_auth REQUIRED"


def _asking(scheme: str, program: str) -> str:
    return f"""
auth_param {scheme} program {_HELPERS}/{program}
auth_param {scheme} children 1 startup=1 idle=1
auth_param {scheme} realm {REALM}
"""


def _md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()


def _start(own: Path, access: str, tls: bool) -> tuple[subprocess.Popen[bytes], int]:
    """Return the ready process and its port, having tried other ports where one was taken."""
    for _ in range(_START_ATTEMPTS):
        port = free_port()
        (own / "squid.conf").write_text(_config(own, port, access, tls), encoding="utf-8")
        process = _spawn(own, port)
        try:
            _wait_until_accepting(process, own, port)
        except PortTakenError:
            _remove_shared_memory(port)
            continue
        except BaseException:
            stop(process)
            _remove_shared_memory(port)
            raise
        return process, port
    raise RuntimeError(f"Squid found no free port in {_START_ATTEMPTS} attempts")


def _config(own: Path, port: int, access: str, tls: bool) -> str:
    listen = f"https_port 127.0.0.1:{port} tls-cert={own}/server.pem" if tls else f"http_port 127.0.0.1:{port}"
    user = f"cache_effective_user {_USER}\ncache_effective_group {_USER}" if os.geteuid() == 0 else ""
    return f"""
{listen}
{user}
visible_hostname localhost
udp_outgoing_address 127.0.0.1
dns_nameservers 127.0.0.1
pinger_enable off
shutdown_lifetime 0 seconds
pid_filename {own}/squid.pid
coredump_dir {own}
cache_log {own}/cache.log
logformat outcome %rm %ru %>Hs
access_log stdio:{own}/access.log outcome
cache deny all
{access}
http_access deny !to_localhost
http_access allow authenticated
http_access deny all
"""


def _spawn(own: Path, port: int) -> subprocess.Popen[bytes]:
    """Return Squid, just started in the foreground, the leader of its own process group."""
    assert SQUID is not None, "Squid is not installed: apt-get install squid-openssl"
    (own / "cache.log").unlink(missing_ok=True)
    with (own / "stderr.log").open("wb") as stderr:
        return subprocess.Popen(
            [SQUID, "-n", _service(port), "-N", "-f", str(own / "squid.conf")],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            start_new_session=True,
        )


def _wait_until_accepting(process: subprocess.Popen[bytes], own: Path, port: int) -> None:
    """Return once Squid listens, which is later than its pid file, and a moment later than it says so."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        if re.search(r"Accepting HTTPS? Socket connections", text_of(own / "cache.log")) and _is_listening(port):
            return
        time.sleep(0.01)
    said = text_of(own / "stderr.log") + text_of(own / "cache.log")
    if process.poll() is not None and "Address already in use" in said:
        raise PortTakenError
    raise RuntimeError(f"Squid did not start:\n{said}")


def _is_listening(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), START_SECONDS):
            return True
    except ConnectionRefusedError:
        return False


def _service(port: int) -> str:
    """Return the name that tells the shared memory of this Squid from that of others."""
    return f"patchwire{port}"


def _remove_shared_memory(port: int) -> None:
    """Remove what a Squid leaves that was killed."""
    for segment in Path("/dev/shm").glob(f"{_service(port)}-*"):
        segment.unlink(missing_ok=True)
