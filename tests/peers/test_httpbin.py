from __future__ import annotations

import hashlib
from collections.abc import Generator
from pathlib import Path

import httpx
import pytest

from tests.support.httpbin import digest_path, httpbin_server, needs_httpbin

pytestmark = [needs_httpbin, pytest.mark.peer]

BODY = b'{"name":"Ada"}'


class Integrity(httpx.Auth):
    """Digest with qop=auth-int and SHA-256, which httpx has not; `signed` is the body that it vouches for."""

    def __init__(self, signed: bytes) -> None:
        self._signed = signed

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Answer the challenge once."""
        challenge = (yield request).headers["WWW-Authenticate"]
        realm, nonce = (challenge.partition(f'{name}="')[2].partition('"')[0] for name in ("realm", "nonce"))
        uri = request.url.raw_path.decode("ascii")
        secret = _sha256(f"svc:{realm}:secret")
        change = _sha256(f"{request.method}:{uri}:{hashlib.sha256(self._signed).hexdigest()}")
        response = _sha256(f"{secret}:{nonce}:00000001:cnonce:auth-int:{change}")
        request.headers["Authorization"] = (
            f'Digest username="svc", realm="{realm}", nonce="{nonce}", uri="{uri}", algorithm=SHA-256, '
            f'qop=auth-int, nc=00000001, cnonce="cnonce", response="{response}"'
        )
        yield request


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256", "SHA-512"])
def test_the_right_password_lets_a_patch_in_and_a_wrong_one_does_not(tmp_path: Path, algorithm: str) -> None:
    path = digest_path("svc", "secret", algorithm=algorithm)
    with httpbin_server(tmp_path) as server, httpx.Client(base_url=server.base_url, trust_env=False) as client:
        wrong = client.patch(path, content=BODY, auth=httpx.DigestAuth("svc", "not this one"))
        assert (wrong.status_code, server.processed()) == (401, [])
        right = client.patch(path, content=BODY, auth=httpx.DigestAuth("svc", "secret"))
        assert right.status_code == 200, right.text
        answered = server.answered()
    assert [each.status for each in answered] == [401, 401, 401, 200]
    assert {(each.method, each.target, each.body) for each in answered} == {("PATCH", path, BODY)}
    assert f"algorithm={algorithm}" in answered[-1].authorization


def test_auth_int_covers_the_body(tmp_path: Path) -> None:
    path = digest_path("svc", "secret", qop="auth-int", algorithm="SHA-256")
    with httpbin_server(tmp_path) as server, httpx.Client(base_url=server.base_url, trust_env=False) as client:
        answers = [
            client.patch(path, content=BODY, auth=Integrity(signed)) for signed in (b'{"name":"Eve"}', b"", BODY)
        ]
        (processed,) = server.processed()
    assert [answer.status_code for answer in answers] == [401, 401, 200]
    assert processed.body == BODY


def test_with_its_cookies_kept_a_nonce_is_stale_after_as_many_requests_as_the_path_says(tmp_path: Path) -> None:
    path = digest_path("svc", "secret", stale_after="2")
    with httpbin_server(tmp_path, keep_cookies=True) as server:
        auth = httpx.DigestAuth("svc", "secret")
        with httpx.Client(base_url=server.base_url, auth=auth, trust_env=False) as client:
            answers = [client.patch(path, content=BODY) for _ in range(5)]
        assert [answer.status_code for answer in answers] == [200] * 5
        assert [each.status for each in server.answered()] == [401, 200, 200, 401, 200, 200, 401, 200]


def test_basic_and_bearer_guard_a_patch_too(tmp_path: Path) -> None:
    with httpbin_server(tmp_path) as server, httpx.Client(base_url=server.base_url, trust_env=False) as client:
        statuses = [
            client.patch("/basic-auth/svc/secret", content=BODY, auth=("svc", password)).status_code
            for password in ("not this one", "secret")
        ]
        statuses += [
            client.patch("/bearer", content=BODY, headers=headers).status_code
            for headers in ({}, {"Authorization": "Bearer abc"})
        ]
        assert statuses == [401, 200, 401, 200]
        assert [each.target for each in server.processed()] == ["/basic-auth/svc/secret", "/bearer"]
