"""A private Apache httpd on loopback that asks for Digest authentication, and for Basic below /basic.

What it lets through goes to a backend in the test's own process, which answers 200 and keeps what came. What is
below /open wants no authentication.
"""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.support.apache import ApacheProcess, apache_process
from tests.support.processes import text_of, unescaped
from tests.support.scgi import Processed, scgi_backend

_MODULES = ("authn_core", "authn_file", "authz_user", "auth_basic", "auth_digest", "proxy", "proxy_scgi")


@dataclass(frozen=True)
class ApacheDigestServer(ApacheProcess):
    """A running Apache: where it answers, whom it knows, and what it has let through."""

    base_url: str
    realm: str
    user: str
    password: str
    processed: list[Processed]

    def authorizations(self) -> list[tuple[int, str]]:
        """Status and Authorization of each request that Apache has answered; a dash where it had none."""
        lines = [line.split(" ", 1) for line in text_of(self.directory / "authorization.log").splitlines()]
        return [(int(status), unescaped(field)) for status, field in lines]


@contextmanager
def apache_digest_server(
    directory: Path,
    *,
    nonce_lifetime: int = 300,
    check_counts: bool = False,
    domain: str = "",
    realm: str = "patchwire tests",
    user: str = "svc",
    password: str = "correct horse",
    directives: str = "",
) -> Iterator[ApacheDigestServer]:
    """Yield an Apache that serves plain HTTP on a free port of 127.0.0.1; it is stopped by its pid on the way out.

    `nonce_lifetime` is in seconds; 0 makes each nonce good for one request, and a negative one lets it live for ever.
    `check_counts` turns AuthDigestNcCheck on. `domain` is the value of AuthDigestDomain, URIs with spaces between
    them. `directives` stand where Digest is configured; there is no qop but auth, as Apache 2.4.71 refuses
    AuthDigestQop none. A realm with a quote in it never matches: Apache compares it escaped.
    Raises RuntimeError with Apache's own words where it does not start.
    """
    processed: list[Processed] = []
    with _users(user, realm, password) as users, scgi_backend(processed) as backend_port:
        # A handler comes after authentication: what ProxyPass has marked as proxied gets no domain in its challenge.
        config = f"""
LogFormat "%>s %{{Authorization}}i" authorization
CustomLog authorization.log authorization
AllowEncodedSlashes NoDecode
<Location "/">
    SetHandler "proxy:scgi://127.0.0.1:{backend_port}"
    AuthType Digest
    AuthName {_quoted(realm)}
    AuthDigestProvider file
    AuthUserFile {users}/digest
    AuthDigestNonceLifetime {nonce_lifetime}
    AuthDigestNcCheck {"On" if check_counts else "Off"}
    {f"AuthDigestDomain {domain}" if domain else ""}
    Require valid-user
    {directives}
</Location>
<Location "/basic">
    AuthType Basic
    AuthBasicProvider file
    AuthUserFile {users}/basic
</Location>
<Location "/open">
    Require all granted
</Location>
"""
        with apache_process(directory, _MODULES, config) as process:
            base_url = f"http://127.0.0.1:{process.port}"
            yield ApacheDigestServer(process.port, process.pid, directory, base_url, realm, user, password, processed)


@contextmanager
def _users(user: str, realm: str, password: str) -> Iterator[Path]:
    """Yield a directory with the files of the one user; root's Apache reads them as www-data."""
    digest = hashlib.md5(f"{user}:{realm}:{password}".encode()).hexdigest()
    basic = base64.b64encode(hashlib.sha1(password.encode()).digest()).decode()
    with TemporaryDirectory(prefix="patchwire-apache-") as name:  # www-data may not enter a test's own directory
        directory = Path(name)
        (directory / "digest").write_text(f"{user}:{realm}:{digest}\n", encoding="utf-8")
        (directory / "basic").write_text(f"{user}:{{SHA}}{basic}\n", encoding="utf-8")
        if os.geteuid() == 0:
            for path in (directory, *directory.iterdir()):
                shutil.chown(path, "www-data")
        yield directory


def _quoted(text: str) -> str:
    """Return a value as Apache's configuration has it."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
