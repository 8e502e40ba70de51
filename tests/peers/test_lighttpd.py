from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
from pathlib import Path

import httpx
import pytest

from tests.support.lighttpd import LighttpdServer, lighttpd_server, needs_faketime, needs_lighttpd
from tests.support.scgi import Processed

pytestmark = [needs_lighttpd, pytest.mark.peer]


def client(server: LighttpdServer, auth: httpx.Auth | None = None) -> httpx.Client:
    """A client that is not ours."""
    return httpx.Client(base_url=server.base_url, auth=auth, trust_env=False)


def test_the_right_password_applies_a_patch_and_a_wrong_one_does_not(tmp_path: Path) -> None:
    with lighttpd_server(tmp_path) as server:
        with client(server, httpx.DigestAuth(server.user, server.password)) as right:
            answers = [right.patch(f"/people/{n}?a=%2f", content=b"{}") for n in range(2)]
        with client(server, httpx.DigestAuth(server.user, "wrong")) as wrong:
            refused = wrong.patch("/people/3", content=b"{}")
    assert [answer.status_code for answer in answers] == [200, 200]
    assert refused.status_code == 401
    algorithms = [
        re.findall("algorithm=([^,]*).*userhash=true", challenge)
        for challenge in refused.headers.get_list("WWW-Authenticate")
    ]
    assert algorithms == [["SHA-256"], ["MD5"]]
    assert server.processed == [Processed("PATCH", f"/people/{n}?a=%2f", b"{}", server.user) for n in range(2)]
    assert server.access_log() == [
        ("PATCH", "/people/0?a=%2f", 401),
        ("PATCH", "/people/0?a=%2f", 200),
        ("PATCH", "/people/1?a=%2f", 200),
        ("PATCH", "/people/3", 401),
        ("PATCH", "/people/3", 401),
    ]


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed: apt-get install curl")
@pytest.mark.parametrize("algorithm", ["SHA-256", "MD5"])
def test_a_user_who_is_named_by_a_hash_is_known_by_name(tmp_path: Path, algorithm: str) -> None:
    with lighttpd_server(tmp_path, algorithms=[algorithm], user="zoë", password="pä:ss") as server:
        curl = ["curl", "--silent", "--noproxy", "*", "--digest", "--user", "zoë:pä:ss", "--request", "PATCH"]
        done = subprocess.run([*curl, "--data", "{}", f"{server.base_url}/people/1"], capture_output=True, check=True)
    assert json.loads(done.stdout) == {"path": "/people/1", "user": "zoë"}
    assert server.processed == [Processed("PATCH", "/people/1", b"{}", "zoë")]
    (status, field) = server.authorizations()[-1]
    hashed = hashlib.new(algorithm.replace("-", ""), f"zoë:{server.realm}".encode()).hexdigest()
    assert status == 200
    assert f'username="{hashed}"' in field
    assert "userhash=true" in field


@needs_faketime
def test_a_nonce_is_stale_after_600_seconds_and_the_next_one_comes_60_seconds_before(tmp_path: Path) -> None:
    with (
        lighttpd_server(tmp_path, own_clock=True) as server,
        client(server, httpx.DigestAuth(server.user, server.password)) as digest,
    ):
        first = digest.patch("/people/1", content=b"{}")
        server.advance(545)
        last_minute = digest.patch("/people/2", content=b"{}")
        server.advance(60)
        late = digest.patch("/people/3", content=b"{}")
    assert [answer.status_code for answer in (first, last_minute, late)] == [200] * 3
    assert "Authentication-Info" not in first.headers
    assert last_minute.headers["Authentication-Info"].startswith('nextnonce="')
    (stale,) = late.history
    assert all("stale=true" in each for each in stale.headers.get_list("WWW-Authenticate"))
    assert server.access_log() == [
        ("PATCH", "/people/1", 401),
        ("PATCH", "/people/1", 200),
        ("PATCH", "/people/2", 200),
        ("PATCH", "/people/3", 401),
        ("PATCH", "/people/3", 200),
    ]


def test_basic_authentication_guards_what_is_below_basic(tmp_path: Path) -> None:
    with lighttpd_server(tmp_path) as server, client(server) as plain:
        right = plain.patch("/basic/1", content=b"{}", auth=httpx.BasicAuth(server.user, server.password))
        wrong = plain.patch("/basic/2", content=b"{}", auth=httpx.BasicAuth(server.user, "wrong"))
        open_to_all = plain.patch("/open/3", content=b"{}")
    assert [right.status_code, wrong.status_code, open_to_all.status_code] == [200, 401, 200]
    assert wrong.headers["WWW-Authenticate"].startswith('Basic realm="patchwire tests"')
    assert [(each.target, each.user) for each in server.processed] == [("/basic/1", server.user), ("/open/3", "")]
