"""A private server on loopback whose paths are behind passport-http, the common authentication of Node programs.

It is the verifier of Digest with MD5-sess and of Digest without qop (RFC 2069). It holds the uri against the request
line (400 and no challenge where they differ), takes algorithm, qop and realm as the client tells them, never says
stale, and makes the session key of MD5-sess from each request's own nonce and cnonce. auth-int is answered 500.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.answers import Answered, answered_in
from tests.support.processes import announced_url, stop

NODE: str | None = shutil.which("node")
_PROGRAM = Path(__file__).parent / "passport"
_INSTALLED = NODE is not None and (_PROGRAM / "node_modules" / "passport-http").is_dir()
needs_passport_http = pytest.mark.skipif(
    not _INSTALLED, reason="passport-http is not installed: npm ci --prefix tests/support/passport"
)


@dataclass(frozen=True)
class PassportServer:
    """A running server: where it answers, its process id, its files, and what it takes.

    Paths below /digest, /basic and /bearer are behind the scheme of that name, those below /any behind Digest and
    Basic at once.
    """

    base_url: str
    port: int
    pid: int
    directory: Path
    user: str
    password: str
    token: str

    def answered(self) -> list[Answered]:
        """Every request that it has answered, refusals too, in this order."""
        return answered_in(self.directory / "answered.ndjson")

    def processed(self) -> list[Answered]:
        """Those that it has let in."""
        return [each for each in self.answered() if each.status == 200]


@contextmanager
def passport_server(
    directory: Path,
    *,
    algorithm: str | None = None,
    qop: str | None = "auth",
    uses: int = 0,
    user: str = "svc",
    password: str = "correct horse",
    token: str = "abc",
) -> Iterator[PassportServer]:
    """Yield the server on a free port of 127.0.0.1; it is stopped by its pid on the way out.

    `algorithm` is MD5, MD5-sess or None, `qop` auth or None (RFC 2069); what is None stands in no challenge. Nobody
    gets in with MD5-sess where there is no qop, as there is no cnonce then. After `uses` requests a nonce is refused,
    without stale; 0 takes it for ever. Raises RuntimeError with the server's own words where it does not start.
    """
    directory.mkdir(parents=True, exist_ok=True)
    options = {"user": user, "password": password, "token": token, "realm": "people", "uses": str(uses)}
    options |= {"algorithm": algorithm} if algorithm else {}
    options |= {"qop": qop} if qop else {}
    process = _spawn(directory, options)
    try:
        base_url = announced_url(process, directory / "passport.log")
        port = int(base_url.rpartition(":")[2])
        yield PassportServer(base_url, port, process.pid, directory, user, password, token)
    finally:
        stop(process)


def _spawn(directory: Path, options: dict[str, str]) -> subprocess.Popen[bytes]:
    """Return the server, just started, the leader of its own process group."""
    assert NODE is not None, "passport-http is not installed: npm ci --prefix tests/support/passport"
    options = {"log": str(directory / "answered.ndjson"), **options}
    with (directory / "passport.log").open("wb") as log:
        return subprocess.Popen(
            [NODE, str(_PROGRAM / "server.js"), *(f"--{name}={value}" for name, value in options.items())],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
