"""A private lighttpd on loopback that asks for Digest authentication, and for Basic below /basic.

It offers each algorithm in a challenge of its own, with a nonce of its own, all with `userhash=true`. What it lets
through goes to a backend in the test's own process, which answers 200 and keeps what came. What is below /open wants
no authentication.

Its nonces live for 600 seconds, and in the last 60 an answer brings the next one. A test need not wait for that: the
server's clock can be put forward.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path

import httpx
import pytest

from tests.support.processes import bound_server, stop, text_of, unescaped
from tests.support.scgi import Processed, scgi_backend

LIGHTTPD: str | None = shutil.which("lighttpd") or shutil.which("/usr/sbin/lighttpd")
needs_lighttpd = pytest.mark.skipif(LIGHTTPD is None, reason="lighttpd is not installed: apt-get install lighttpd")

_FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
needs_faketime = pytest.mark.skipif(
    _FAKETIME is None, reason="libfaketime is not installed: apt-get install libfaketime"
)

_NOTICE_SECONDS = 10.0  # lighttpd looks at the clock once a second
_HASHES: dict[str, Callable[[bytes], str]] = {
    "MD5": lambda data: hashlib.md5(data).hexdigest(),
    "SHA-256": lambda data: hashlib.sha256(data).hexdigest(),
    "SHA-512-256": lambda data: hashlib.new("sha512_256", data).hexdigest(),
}


@dataclass(frozen=True)
class LighttpdServer:
    """A running lighttpd: where it answers, its process id, its files, whom it knows, and what it has let through."""

    base_url: str
    port: int
    pid: int
    directory: Path
    realm: str
    user: str
    password: str
    processed: list[Processed]

    def access_log(self) -> list[tuple[str, str, int]]:
        """Method, target and status of each request that lighttpd has answered; there only once it has stopped."""
        return [(method, target, int(status)) for method, target, _, status, _ in self._log_lines()]

    def authorizations(self) -> list[tuple[int, str]]:
        """Status and Authorization of the same requests; a dash where there was none."""
        return [(int(status), unescaped(field)) for *_, status, field in self._log_lines()]

    def advance(self, seconds: int) -> None:
        """Put the server's clock forward, and return once it has noticed; it must have one of its own."""
        clock = self.directory / "clock"
        at_least = self._time() + seconds
        clock.write_text(f"+{int(clock.read_text()) + seconds}")
        deadline = time.monotonic() + _NOTICE_SECONDS
        while self._time() < at_least:
            assert time.monotonic() < deadline, "lighttpd does not notice that its clock has moved"
            time.sleep(0.05)

    def _time(self) -> float:
        answer = httpx.get(f"{self.base_url}/clock", trust_env=False)
        return parsedate_to_datetime(answer.headers["Date"]).timestamp()

    def _log_lines(self) -> list[list[str]]:
        return [line.split(" ", 4) for line in text_of(self.directory / "access.log").splitlines()]

    def error_log(self) -> str:
        """What lighttpd has to say, wrong passwords among it."""
        return text_of(self.directory / "error.log")


@contextmanager
def lighttpd_server(
    directory: Path,
    *,
    algorithms: Sequence[str] = ("SHA-256", "MD5"),
    userhash: bool = True,
    own_clock: bool = False,
    realm: str = "patchwire tests",
    user: str = "svc",
    password: str = "correct horse",
) -> Iterator[LighttpdServer]:
    """Yield a lighttpd that serves plain HTTP on a free port of 127.0.0.1; it is stopped by its pid on the way out.

    `algorithms` are SHA-512-256, SHA-256 and MD5; it offers them in this order, whatever theirs is here. With
    `own_clock` its clock can be put forward, which takes libfaketime. (Its `nonce-secret` is left out: 1.4.69 then
    refuses every nonce that it has made.)
    Raises RuntimeError with lighttpd's own words where it does not start.
    """
    directory.mkdir(parents=True, exist_ok=True)
    _write_users(directory, algorithms, userhash, realm, user, password)
    options = {"algorithm": "|".join(algorithms), "userhash": "enable" if userhash else "disable"}
    processed: list[Processed] = []
    with scgi_backend(processed) as backend_port:
        process, port = _start(directory, backend_port, realm, options, own_clock)
        try:
            yield LighttpdServer(
                f"http://127.0.0.1:{port}", port, process.pid, directory, realm, user, password, processed
            )
        finally:
            stop(process)


def _write_users(
    directory: Path, algorithms: Sequence[str], userhash: bool, realm: str, user: str, password: str
) -> None:
    """Write the file of each method; lighttpd tells a line's algorithm by the length of its hash."""
    lines = []
    for algorithm in algorithms:
        of = _HASHES[algorithm]
        line = f"{user}:{realm}:{of(f'{user}:{realm}:{password}'.encode())}"
        lines.append(f"{line}:{of(f'{user}:{realm}'.encode())}\n" if userhash else f"{line}\n")
    (directory / "digest.users").write_text("".join(lines), encoding="utf-8")
    (directory / "basic.users").write_text(f"{user}:{password}\n", encoding="utf-8")


def _start(
    directory: Path, backend_port: int, realm: str, options: dict[str, str], own_clock: bool
) -> tuple[subprocess.Popen[bytes], int]:
    """Return the ready process and its port."""

    def spawn(port: int) -> subprocess.Popen[bytes]:
        config = _config(directory, port, backend_port, realm, options)
        (directory / "lighttpd.conf").write_text(config, encoding="utf-8")
        return _spawn(directory, own_clock)

    return bound_server(directory, "lighttpd.pid", spawn)


def _config(directory: Path, port: int, backend_port: int, realm: str, options: dict[str, str]) -> str:
    """Return the configuration."""
    digest = {"method": "digest", "realm": realm, "require": "valid-user", **options}
    basic = {"method": "basic", "realm": realm, "require": "valid-user"}
    return f"""
server.modules = ("mod_auth", "mod_authn_file", "mod_access", "mod_accesslog", "mod_scgi")
server.document-root = {_quoted(directory)}
server.bind = "127.0.0.1"
server.port = {port}
server.pid-file = {_quoted(directory / "lighttpd.pid")}
server.errorlog = {_quoted(directory / "error.log")}
server.max-keep-alive-requests = 1000000
server.max-keep-alive-idle = 60
accesslog.filename = {_quoted(directory / "access.log")}
accesslog.format = "%r %s %{{Authorization}}i"
scgi.server = ("/" => (("host" => "127.0.0.1", "port" => {backend_port}, "check-local" => "disable")))
$HTTP["url"] =~ "^/basic/" {{
    auth.backend = "plain"
    auth.backend.plain.userfile = {_quoted(directory / "basic.users")}
    auth.require = ("" => {_table(basic)})
}} else $HTTP["url"] == "/clock" {{
    url.access-deny = ("")
    accesslog.filename = ""
}} else $HTTP["url"] !~ "^/open/" {{
    auth.backend = "htdigest"
    auth.backend.htdigest.userfile = {_quoted(directory / "digest.users")}
    auth.require = ("" => {_table(digest)})
}}
"""


def _table(values: dict[str, str]) -> str:
    """Return an array as lighttpd's configuration has it."""
    return "(" + ", ".join(f"{_quoted(name)} => {_quoted(value)}" for name, value in values.items()) + ")"


def _quoted(value: str | Path) -> str:
    """Return a value as lighttpd's configuration has it."""
    escaped = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _spawn(directory: Path, own_clock: bool) -> subprocess.Popen[bytes]:
    """Return lighttpd, just started in the foreground, the leader of its own process group."""
    assert LIGHTTPD is not None, "lighttpd is not installed: apt-get install lighttpd"
    for leftover in ("lighttpd.pid", "error.log"):
        (directory / leftover).unlink(missing_ok=True)
    with (directory / "stderr.log").open("wb") as stderr:
        return subprocess.Popen(
            [LIGHTTPD, "-D", "-f", str(directory / "lighttpd.conf")],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            start_new_session=True,
            env=os.environ | (_clock(directory) if own_clock else {}),
        )


def _clock(directory: Path) -> dict[str, str]:
    """Return the environment of a process whose clock is moved by what a file in the directory says."""
    assert _FAKETIME is not None, "libfaketime is not installed: apt-get install libfaketime"
    (directory / "clock").write_text("+0")
    return {
        "LD_PRELOAD": str(_FAKETIME),
        "FAKETIME_TIMESTAMP_FILE": str(directory / "clock"),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
