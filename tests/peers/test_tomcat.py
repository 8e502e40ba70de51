from __future__ import annotations

import time
from pathlib import Path

import httpx
import pytest

from tests.support.scgi import Processed
from tests.support.tomcat import TomcatServer, needs_tomcat, tomcat_server

pytestmark = [needs_tomcat, pytest.mark.peer]


def client(server: TomcatServer, auth: httpx.Auth | None = None) -> httpx.Client:
    """A client that is not ours."""
    return httpx.Client(base_url=server.base_url, auth=auth, trust_env=False)


def test_the_right_password_applies_a_patch_and_a_wrong_one_does_not(tmp_path: Path) -> None:
    with tomcat_server(tmp_path) as server:
        with client(server, httpx.DigestAuth(server.user, server.password)) as right:
            answers = [right.patch(f"/people/{n}?a=%2f", content=b'{"a": 1}') for n in range(2)]
        with client(server, httpx.DigestAuth(server.user, "wrong")) as wrong:
            refused = wrong.patch("/people/3", content=b"{}")
            open_to_all = wrong.patch("/open/4", content=b"{}")
    assert [answer.status_code for answer in (*answers, refused, open_to_all)] == [200, 200, 401, 200]
    challenges = refused.headers.get_list("WWW-Authenticate")
    assert [challenge.rpartition(", ")[2] for challenge in challenges] == ["algorithm=SHA-256", "algorithm=MD5"]
    assert server.processed == [
        *(Processed("PATCH", f"/people/{n}?a=%2f", b'{"a": 1}', server.user) for n in range(2)),
        Processed("PATCH", "/open/4", b"{}", ""),
    ]
    assert server.access_log() == [
        ("PATCH", "/people/0?a=%2f", 401),
        ("PATCH", "/people/0?a=%2f", 200),
        ("PATCH", "/people/1?a=%2f", 200),
        ("PATCH", "/people/3", 401),
        ("PATCH", "/people/3", 401),
        ("PATCH", "/open/4", 200),
    ]


def test_an_old_nonce_is_stale_for_those_who_know_the_password(tmp_path: Path) -> None:
    with (
        tomcat_server(tmp_path, nonce_validity=0.3) as server,
        client(server, httpx.DigestAuth(server.user, server.password)) as digest,
    ):
        answers = [digest.patch("/people/1", content=b"{}")]
        time.sleep(0.4)
        answers.append(digest.patch("/people/2", content=b"{}"))
    assert [answer.status_code for answer in answers] == [200, 200]
    (stale,) = answers[1].history
    assert ["stale=true" in each for each in stale.headers.get_list("WWW-Authenticate")] == [True, True]
    assert [each.target for each in server.processed] == ["/people/1", "/people/2"]
