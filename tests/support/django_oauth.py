"""A private django-oauth-toolkit on loopback: it gives OAuth 2.0 tokens, and guards things that are changed by PATCH.

It is an authorization server with the grants password, client credentials, and authorization code with PKCE, and a
resource server. A refresh gives a new refresh token, and deletes the old access token at once, however long it had to
live; whoever shows an old refresh token ends all tokens that came of the same grant. Of refreshes with one token at
the same time several may succeed, with tokens that are dead already.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from html import unescape
from importlib.util import find_spec
from pathlib import Path
from typing import TypeVar

import httpx
import pytest

from tests.support.processes import announced_url, stop

_INSTALLED = all(find_spec(name) is not None for name in ("django", "oauth2_provider", "waitress"))
needs_django_oauth = pytest.mark.skipif(
    not _INSTALLED, reason="django-oauth-toolkit is not installed: pip install 'patchwire[peers]'"
)

USER = "ada"
PASSWORD = "correct horse"
REDIRECT_URI = "http://127.0.0.1/callback"
"""That of the public client, which may add any port to it."""

Key = TypeVar("Key", int, str)
_ROOT = Path(__file__).parents[2]
_TIMEOUT_SECONDS = 60.0


@dataclass(frozen=True)
class OAuthClient:
    """A client as it is registered, with the one grant that it may use; a public one has no secret."""

    client_id: str
    secret: str | None
    grant: str


PASSWORD_CLIENT = OAuthClient("password-client", "the secret of passwords", "password")
CREDENTIALS_CLIENT = OAuthClient("credentials-client", "50%25+1 : ö", "client-credentials")
"""In Basic its secret is right only where it is form-encoded first, as RFC 6749 asks for in section 2.3.1."""
PUBLIC_CLIENT = OAuthClient("public-client", None, "authorization-code")
CLIENTS = (PASSWORD_CLIENT, CREDENTIALS_CLIENT, PUBLIC_CLIENT)


@dataclass(frozen=True)
class Stats:
    """What was asked of the server since it started; what never happened has no member."""

    tokens: dict[str, dict[int, int]]
    """Token requests: by grant_type, by status."""
    clients: dict[str, int]
    """Token requests: by the client's authentication, basic, body or none."""
    patches: dict[int, int]
    """PATCH requests: by status."""
    applied: dict[str, int]
    """Changes made: by path."""
    given_at: tuple[float, ...]
    """When tokens were given, in Unix seconds."""

    def __sub__(self, before: Stats) -> Stats:
        """What was asked since then."""
        tokens = {grant: _more(count, before.tokens.get(grant, {})) for grant, count in self.tokens.items()}
        return Stats(
            {grant: count for grant, count in tokens.items() if count},
            _more(self.clients, before.clients),
            _more(self.patches, before.patches),
            _more(self.applied, before.applied),
            self.given_at[len(before.given_at) :],
        )

    @property
    def unauthorized(self) -> int:
        """How many PATCH requests were answered 401."""
        return self.patches.get(401, 0)

    def tokens_given(self, grant_type: str) -> int:
        """How many token requests with this grant_type were answered 200."""
        return self.tokens.get(grant_type, {}).get(200, 0)


@dataclass(frozen=True)
class DjangoOAuthServer:
    """A running django-oauth-toolkit: where it answers, its process id, and its files."""

    base_url: str
    port: int
    pid: int
    directory: Path

    @property
    def token_url(self) -> str:
        return f"{self.base_url}/o/token/"

    @property
    def authorization_url(self) -> str:
        return f"{self.base_url}/o/authorize/"

    @property
    def revocation_url(self) -> str:
        return f"{self.base_url}/o/revoke_token/"

    @staticmethod
    def thing_path(number: int) -> str:
        """The path of a thing; every number has one, empty at first."""
        return f"/api/things/{number}"

    def client(self) -> httpx.Client:
        """A client without credentials; its relative URLs start at the base URL."""
        return httpx.Client(base_url=self.base_url, trust_env=False, timeout=_TIMEOUT_SECONDS)

    def stats(self) -> Stats:
        """The counts up to now."""
        with self.client() as client:
            told = client.get("/stats").raise_for_status().json()
        tokens = {grant: _by_status(statuses) for grant, statuses in told["tokens"].items()}
        return Stats(tokens, told["clients"], _by_status(told["patches"]), told["applied"], tuple(told["given_at"]))

    def expire_access_tokens(self) -> None:
        """Let every access token that was given end now; their refresh tokens stay good."""
        with self.client() as client:
            client.post("/expire").raise_for_status()

    def approved(self, url: str) -> str:
        """Do what the user does in the browser with this authorization URL; where it is sent back to, not followed."""
        with self.client() as browser:
            page = browser.get(url, follow_redirects=True).raise_for_status()
            login = _fields(page.text) | {"username": USER, "password": PASSWORD}
            question = browser.post(page.url, data=login, follow_redirects=True).raise_for_status()
            answer = browser.post(question.url, data=_fields(question.text) | {"allow": "Authorize"})
        assert answer.status_code == 302, answer.text
        return answer.headers["Location"]


@contextmanager
def django_oauth_server(directory: Path, *, expires_in: int = 3600) -> Iterator[DjangoOAuthServer]:
    """Yield a django-oauth-toolkit on a free port of 127.0.0.1; it is stopped by its pid on the way out.

    Its access tokens live for `expires_in` seconds. Raises RuntimeError with its own words where it does not start.
    """
    directory.mkdir(parents=True, exist_ok=True)
    process = _spawn(directory, expires_in)
    try:
        base_url = announced_url(process, directory / "django_oauth.log")
        yield DjangoOAuthServer(base_url, int(base_url.rpartition(":")[2]), process.pid, directory)
    finally:
        stop(process)


def _spawn(directory: Path, expires_in: int) -> subprocess.Popen[bytes]:
    """Return the site, just started, the leader of its own process group."""
    with (directory / "django_oauth.log").open("wb") as log:
        return subprocess.Popen(
            [
                *(sys.executable, "-m", "tests.support.django_oauth_site"),
                *("--directory", str(directory.resolve()), "--expires-in", str(expires_in)),
            ],
            cwd=_ROOT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def _more(now: Mapping[Key, int], before: Mapping[Key, int]) -> dict[Key, int]:
    """What has been added to the counts."""
    return {name: count - before.get(name, 0) for name, count in now.items() if count > before.get(name, 0)}


def _by_status(counts: dict[str, int]) -> dict[int, int]:
    return {int(status): count for status, count in counts.items()}


def _fields(page: str) -> dict[str, str]:
    """The hidden fields of the page's form."""
    hidden = re.findall(r'<input type="hidden" name="([^"]+)"(?: value="([^"]*)")?', page)
    return {name: unescape(value) for name, value in hidden}
