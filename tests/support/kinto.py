"""A private Kinto on loopback: a real store of JSON objects that is changed by PATCH.

It keeps everything in memory, and asks for Basic authentication with the account of its one user.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.support.processes import announced, stop

KINTO: str | None = shutil.which("kinto", path=str(Path(sys.executable).parent)) or shutil.which("kinto")
needs_kinto = pytest.mark.skipif(KINTO is None, reason="kinto is not installed: pip install 'patchwire[peers]'")

_START_SECONDS = 30.0
_SERVING = re.compile(r"^Serving on http://127\.0\.0\.1:(\d+)$", re.MULTILINE)
_CONFIG = """
[server:main]
use = egg:waitress#main
host = 127.0.0.1
port = 0
threads = 4

[app:main]
use = egg:kinto
kinto.includes = kinto.plugins.accounts
kinto.storage_backend = kinto.core.storage.memory
kinto.cache_backend = kinto.core.cache.memory
kinto.permission_backend = kinto.core.permission.memory
kinto.userid_hmac_secret = for tests
kinto.account_create_principals = system.Everyone
kinto.bucket_create_principals = system.Authenticated
kinto.batch_max_requests = 1000
multiauth.policies = account
multiauth.policy.account.use = kinto.plugins.accounts.AccountsPolicy

[loggers]
keys = root

[handlers]
keys = stderr

[formatters]
keys = plain

[logger_root]
level = INFO
handlers = stderr

[handler_stderr]
class = StreamHandler
args = (sys.stderr,)
formatter = plain

[formatter_plain]
format = %(message)s
"""


@dataclass(frozen=True)
class KintoServer:
    """A running Kinto: where its API is, its process id, and the account that may change everything."""

    base_url: str
    pid: int
    user: str
    password: str

    def client(self) -> httpx.Client:
        """A client of the API with the account's credentials; its relative URLs start at the base URL."""
        return httpx.Client(
            base_url=self.base_url, auth=(self.user, self.password), trust_env=False, timeout=_START_SECONDS
        )


@contextmanager
def kinto_server(directory: Path, *, user: str = "svc", password: str = "correct horse") -> Iterator[KintoServer]:
    """Yield a Kinto on a free port of 127.0.0.1, empty but for the account; it is stopped by its pid on the way out.

    Raises RuntimeError with Kinto's own words where it does not start.
    """
    directory.mkdir(parents=True, exist_ok=True)
    process = _spawn(directory)
    try:
        port = announced(process, directory / "kinto.log", _SERVING, _START_SECONDS)
        base_url = f"http://127.0.0.1:{port}/v1"
        account = {"data": {"password": password}}
        httpx.put(f"{base_url}/accounts/{user}", json=account, trust_env=False).raise_for_status()
        yield KintoServer(base_url, process.pid, user, password)
    finally:
        stop(process)


def _spawn(directory: Path) -> subprocess.Popen[bytes]:
    """Return Kinto, just started, the leader of its own process group."""
    assert KINTO is not None, "kinto is not installed: pip install 'patchwire[peers]'"
    (directory / "kinto.ini").write_text(_CONFIG, encoding="utf-8")
    with (directory / "kinto.log").open("wb") as log:
        return subprocess.Popen(
            [KINTO, "start", "--ini", str(directory / "kinto.ini")],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
