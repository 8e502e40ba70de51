from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from tests.support.apache import needs_apache
from tests.support.apache_digest import ApacheDigestServer, apache_digest_server
from tests.support.scgi import Processed

pytestmark = [needs_apache, pytest.mark.peer]


def client(server: ApacheDigestServer, auth: httpx.Auth | None = None) -> httpx.Client:
    """A client that is not ours."""
    return httpx.Client(base_url=server.base_url, auth=auth, trust_env=False)


def test_the_right_password_applies_a_patch_and_a_wrong_one_does_not(tmp_path: Path) -> None:
    with apache_digest_server(tmp_path, domain="/people") as server:
        with client(server, httpx.DigestAuth(server.user, server.password)) as right:
            answers = [right.patch(f"/people/{n}", content=b"{}") for n in range(2)]
        with client(server, httpx.DigestAuth(server.user, "wrong")) as wrong:
            refused = wrong.patch("/people/3", content=b"{}")
    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].headers["Authentication-Info"].startswith('rspauth="')
    assert refused.status_code == 401
    assert 'domain="/people"' in refused.headers["WWW-Authenticate"]
    assert server.processed == [Processed("PATCH", f"/people/{n}", b"{}", server.user) for n in range(2)]
    assert server.access_log() == [
        ("PATCH", "/people/0", 401),
        ("PATCH", "/people/0", 200),
        ("PATCH", "/people/1", 200),
        ("PATCH", "/people/3", 401),
        ("PATCH", "/people/3", 401),
    ]
    assert [field.partition(" ")[0] for _, field in server.authorizations()] == ["-", *["Digest"] * 2, "-", "Digest"]


def test_basic_authentication_guards_what_is_below_basic(tmp_path: Path) -> None:
    with apache_digest_server(tmp_path, user="zoë", password="pä:ss") as server, client(server) as plain:
        right = plain.patch("/basic/1", content=b"{}", auth=httpx.BasicAuth("zoë", "pä:ss"))
        wrong = plain.patch("/basic/2", content=b"{}", auth=httpx.BasicAuth("zoë", "pass"))
        open_to_all = plain.patch("/open/3", content=b"{}")
    assert [right.status_code, wrong.status_code, open_to_all.status_code] == [200, 401, 200]
    assert wrong.headers["WWW-Authenticate"] == 'Basic realm="patchwire tests"'
    assert [(each.target, each.user) for each in server.processed] == [("/basic/1", "zoë"), ("/open/3", "")]


def test_a_nonce_of_one_use_is_stale_the_second_time_and_the_answer_brings_the_next(tmp_path: Path) -> None:
    with (
        apache_digest_server(tmp_path, nonce_lifetime=0) as server,
        client(server, httpx.DigestAuth(server.user, server.password)) as digest,
    ):
        answers = [digest.patch(f"/people/{n}", content=b"{}") for n in range(2)]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert all('nextnonce="' in answer.headers["Authentication-Info"] for answer in answers)
    (challenge,) = [each.headers["WWW-Authenticate"] for each in answers[1].history]
    assert "stale=true" in challenge
    assert 'opaque="1"' in challenge
