"""A private httpbin on loopback: pages behind Digest, Basic and Bearer authentication that take PATCH.

It is the verifier of Digest with auth-int and with SHA-512. What it asks for stands in the path, so any user is right
that the path names. It takes algorithm, qop and nonce as the client tells them, whatever it has offered, and counts
no nonce: a request that is replayed is let in again. It works out the uri from the request line, percent-decoded, and
ignores the client's own; a query is answered 500.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.support.answers import Answered, answered_in
from tests.support.processes import announced_url, stop

_INSTALLED = all(find_spec(name) is not None for name in ("httpbin", "waitress"))
needs_httpbin = pytest.mark.skipif(not _INSTALLED, reason="httpbin is not installed: pip install 'patchwire[peers]'")

_ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class HttpbinServer:
    """A running httpbin: where it answers, its process id, and its files."""

    base_url: str
    port: int
    pid: int
    directory: Path

    def answered(self) -> list[Answered]:
        """Every request that it has answered, refusals too, in this order."""
        return answered_in(self.directory / "answered.ndjson")

    def processed(self) -> list[Answered]:
        """Those that it has let in."""
        return [each for each in self.answered() if each.status == 200]


def digest_path(
    user: str, password: str, *, qop: str = "auth", algorithm: str = "MD5", stale_after: str = "never"
) -> str:
    """Return the path that asks for these credentials in this way.

    `qop` is auth, auth-int, or anything else for both; an unknown algorithm is MD5. `stale_after` is the number of
    requests after which a nonce is stale, where the client's cookies are kept; any other text means never, and makes
    paths that differ.
    """
    return f"/digest-auth/{qop}/{user}/{password}/{algorithm}/{stale_after}"


@contextmanager
def httpbin_server(directory: Path, *, keep_cookies: bool = False) -> Iterator[HttpbinServer]:
    """Yield an httpbin on a free port of 127.0.0.1; it is stopped by its pid on the way out.

    With `keep_cookies` the server keeps for its clients the cookies that it sets them, for each path its own, and
    looks at no others: only so a client without cookies meets a stale nonce. Raises RuntimeError with httpbin's own
    words where it does not start.
    """
    directory.mkdir(parents=True, exist_ok=True)
    process = _spawn(directory, ["--keep-cookies"] if keep_cookies else [])
    try:
        base_url = announced_url(process, directory / "httpbin.log")
        yield HttpbinServer(base_url, int(base_url.rpartition(":")[2]), process.pid, directory)
    finally:
        stop(process)


def _spawn(directory: Path, options: list[str]) -> subprocess.Popen[bytes]:
    """Return httpbin, just started, the leader of its own process group."""
    with (directory / "httpbin.log").open("wb") as log:
        return subprocess.Popen(
            [
                *(sys.executable, "-m", "tests.support.httpbin_launcher"),
                *("--log", str((directory / "answered.ndjson").resolve()), *options),
            ],
            cwd=_ROOT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
