"""A private authorization server on loopback, oidc-provider, and an API of PATCH behind its access tokens.

It has the grants of code (with PKCE, always), refresh, client credentials and device. A refresh token is good once:
where it comes again, all that stems from the same consent is revoked, access tokens too. It keeps everything in
memory, and no more than a thousand entries. A client with a secret may send this in the Authorization field or in the
body, whichever of the two it has registered; the log tells which it was.
"""

from __future__ import annotations

import base64
import json
import re
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from tests.support.answers import Answered, answered_in
from tests.support.processes import ANNOUNCE_SECONDS, announced, stop

_PROGRAM = Path(__file__).parent / "oidc"
# oidc-provider takes Node 22, which Debian does not have yet: npm installs one beside it.
NODE: Path | None = next((_PROGRAM / "node_modules").glob("node-linux-*/bin/node"), None)
_INSTALLED = NODE is not None and (_PROGRAM / "node_modules" / "oidc-provider").is_dir()
needs_oidc_provider = pytest.mark.skipif(
    not _INSTALLED, reason="oidc-provider is not installed: npm ci --prefix tests/support/oidc"
)

DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"
REDIRECT_URI = "http://127.0.0.1/callback"  # with any port
WRITE = "api:write"
READ = "api:read"
SCOPE = f"openid offline_access {WRITE}"
_MOST_PAGES = 20
_ISSUER = re.compile(r'^\{"issuer": ?"(http://[^"]+)"\}$', re.MULTILINE)


@dataclass(frozen=True)
class OAuthClient:
    """A client that the server knows, and how it says who it is."""

    client_id: str
    method: str
    secret: str | None = None

    def metadata(self, jwk: Mapping[str, str] | None = None) -> dict[str, Any]:
        """What oidc-provider is told of it; all are native, so that their redirect URI has any port."""
        grants = ["authorization_code", "refresh_token", DEVICE_CODE]
        return {
            "client_id": self.client_id,
            "token_endpoint_auth_method": self.method,
            "application_type": "native",
            "redirect_uris": [REDIRECT_URI],
            "response_types": ["code"],
            "grant_types": grants if self.method == "none" else [*grants, "client_credentials"],
            **({} if self.secret is None else {"client_secret": self.secret}),
            **({"jwks": {"keys": [dict(jwk)]}} if jwk is not None else {}),
        }


NATIVE = OAuthClient("native", "none")
# What RFC 6749 has encoded as in a form before it stands in Basic: as it is, it would be another name and secret.
BASIC = OAuthClient("batch job:1+%42", "client_secret_basic", "s3cr+t: 100%41 &=/?")
POST = OAuthClient("poster", "client_secret_post", "p+st %2B&=?")
SECRET_JWT = OAuthClient("hs256", "client_secret_jwt", "a secret of 256 bits or more, for HS256 demands as many")
PRIVATE_KEY_JWT = OAuthClient("keyed", "private_key_jwt")


@dataclass(frozen=True)
class Counts:
    """What the server has counted: by grant type, and by path."""

    token_requests: dict[str, int]
    token_refusals: dict[str, int]
    applied: dict[str, int]
    unauthorized: int
    """Answers of 401 by the API, the first challenge too."""


@dataclass(frozen=True)
class OidcProvider:
    """A running server: who it is, its process id and its files. What may be changed is below `api`."""

    issuer: str
    port: int
    pid: int
    directory: Path

    @property
    def authorization_endpoint(self) -> str:
        return f"{self.issuer}/auth"

    @property
    def token_endpoint(self) -> str:
        return f"{self.issuer}/token"

    @property
    def device_authorization_endpoint(self) -> str:
        return f"{self.issuer}/device/auth"

    @property
    def revocation_endpoint(self) -> str:
        return f"{self.issuer}/token/revocation"

    @property
    def introspection_endpoint(self) -> str:
        return f"{self.issuer}/token/introspection"

    @property
    def api(self) -> str:
        """The API's base URL, its paths are /things/N; and the only resource (RFC 8707), meant where none is named."""
        return f"{self.issuer}/api"

    def answered(self) -> list[Answered]:
        """Every request that it has answered, by the API and by oidc-provider, in this order."""
        return answered_in(self.directory / "answered.ndjson")

    def token_requests(self) -> list[Answered]:
        """Those to the token endpoint."""
        return [each for each in self.answered() if (each.method, each.target) == ("POST", "/token")]

    def approved(self, url: str) -> str:
        """Do what the user does in the browser with this authorization URL; where it is sent back to, not followed."""
        redirect_uri = parse_qs(urlsplit(url).query)["redirect_uri"][0]
        with httpx.Client(trust_env=False) as browser:
            answer = browser.get(url)
            for _ in range(_MOST_PAGES):
                if not answer.has_redirect_location:
                    answer = _accepted(browser, answer.raise_for_status())
                elif answer.headers["Location"].startswith(redirect_uri):
                    return answer.headers["Location"]
                else:
                    answer = browser.get(answer.url.join(answer.headers["Location"]))
        raise AssertionError(f"no end, but {answer.url}:\n{answer.text}")

    def counts(self) -> Counts:
        """What it has counted until now."""
        return Counts(**httpx.get(f"{self.issuer}/stats", trust_env=False).raise_for_status().json())


@contextmanager
def oidc_provider(
    directory: Path,
    *,
    port: int = 0,
    lifetime: int = 3600,
    refresh_lifetime: int = 14 * 24 * 3600,
    refresh_always: bool = False,
    device_interval: int | None = None,
    jwk: Mapping[str, str] | None = None,
) -> Iterator[OidcProvider]:
    """Yield the server on 127.0.0.1, on a free port where none is given; it is stopped by its pid on the way out.

    Lifetimes are of access tokens and of refresh tokens, in seconds; the server's clock has whole seconds, so that a
    token may end almost one earlier. A refresh token comes only with the scope offline_access, which takes
    prompt=consent in an authorization request; with `refresh_always` it comes without. `device_interval` is the
    interval that a device is told, None tells none. PRIVATE_KEY_JWT is known only with `jwk`, its public key.
    Raises RuntimeError with the server's own words where it does not start.
    """
    directory.mkdir(parents=True, exist_ok=True)
    clients = [each.metadata() for each in (NATIVE, BASIC, POST, SECRET_JWT)]
    clients += [PRIVATE_KEY_JWT.metadata(jwk)] if jwk is not None else []
    arguments = [f"--port={port}", f"--lifetime={lifetime}", f"--refresh-lifetime={refresh_lifetime}"]
    arguments += ["--refresh-always"] if refresh_always else []
    arguments += [f"--device-interval={device_interval}"] if device_interval is not None else []
    process = _spawn(directory, [*arguments, f"--clients={json.dumps(clients)}"])
    try:
        issuer = announced(process, directory / "oidc-provider.log", _ISSUER, ANNOUNCE_SECONDS)
        yield OidcProvider(issuer, int(issuer.rpartition(":")[2]), process.pid, directory)
    finally:
        stop(process)


def public_jwk(key: EllipticCurvePublicKey | RSAPublicKey, kid: str | None = None) -> dict[str, str]:
    """Return the key as a JWK; an EC key is on P-256."""
    named = {} if kid is None else {"kid": kid}
    if isinstance(key, EllipticCurvePublicKey):
        assert key.curve.name == "secp256r1", key.curve.name
        point = key.public_numbers()
        return {"kty": "EC", "crv": "P-256", "x": _number(point.x, 32), "y": _number(point.y, 32), **named}
    public = key.public_numbers()
    return {
        "kty": "RSA",
        "n": _number(public.n, (public.n.bit_length() + 7) // 8),
        "e": _number(public.e, (public.e.bit_length() + 7) // 8),
        **named,
    }


def _accepted(browser: httpx.Client, page: httpx.Response) -> httpx.Response:
    """The answer to a page's form, login or consent."""
    fields = dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', page.text))
    action = re.search(r'<form [^>]*action="([^"]+)"', page.text)
    assert action is not None, page.text
    return browser.post(page.url.join(unescape(action[1])), data=fields | {"login": "ada", "password": "any"})


def _number(value: int, length: int) -> str:
    return base64.urlsafe_b64encode(value.to_bytes(length, "big")).rstrip(b"=").decode()


def _spawn(directory: Path, arguments: list[str]) -> subprocess.Popen[bytes]:
    """Return the server, just started, the leader of its own process group."""
    assert NODE is not None, "oidc-provider is not installed: npm ci --prefix tests/support/oidc"
    with (directory / "oidc-provider.log").open("wb") as log:
        return subprocess.Popen(
            [str(NODE), str(_PROGRAM / "server.mjs"), f"--log={directory / 'answered.ndjson'}", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
