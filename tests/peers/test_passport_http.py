from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from tests.support.passport_http import needs_passport_http, passport_server

pytestmark = [needs_passport_http, pytest.mark.peer]

BODY = b'{"name":"Ada"}'


@pytest.mark.parametrize(
    ("algorithm", "qop"), [(None, "auth"), ("MD5", "auth"), ("MD5-sess", "auth"), (None, None), ("MD5", None)]
)
def test_the_right_password_lets_a_patch_in_and_a_wrong_one_does_not(
    tmp_path: Path, algorithm: str | None, qop: str | None
) -> None:
    with (
        passport_server(tmp_path, algorithm=algorithm, qop=qop) as server,
        httpx.Client(base_url=server.base_url, trust_env=False) as client,
    ):
        challenge = client.patch("/digest/0", content=BODY).headers["WWW-Authenticate"]
        assert (f"algorithm={algorithm}" in challenge) == (algorithm is not None)
        assert ("qop=" in challenge) == (qop is not None)
        wrong = client.patch("/digest/1", content=BODY, auth=httpx.DigestAuth(server.user, "not this one"))
        assert (wrong.status_code, server.processed()) == (401, [])
        right = client.patch("/digest/2", content=BODY, auth=httpx.DigestAuth(server.user, server.password))
        assert right.status_code == 200, right.text
        answered = server.answered()
    assert [each.status for each in answered] == [401, 401, 401, 401, 200]
    assert (answered[-1].method, answered[-1].target, answered[-1].body) == ("PATCH", "/digest/2", BODY)
    assert ("nc=" in answered[-1].authorization) == (qop is not None)


def test_a_nonce_that_is_used_up_is_refused_without_stale_and_a_strange_uri_without_a_challenge(
    tmp_path: Path,
) -> None:
    with passport_server(tmp_path, uses=2) as server:
        auth = httpx.DigestAuth(server.user, server.password)
        with httpx.Client(base_url=server.base_url, auth=auth, trust_env=False) as client:
            answers = [client.patch(f"/digest/{n}", content=BODY) for n in range(3)]
        assert [answer.status_code for answer in answers] == [200] * 3
        field = {"Authorization": answers[0].request.headers["Authorization"]}
        with httpx.Client(base_url=server.base_url, headers=field, trust_env=False) as client:
            replayed, strange = (client.patch(path, content=BODY) for path in ("/digest/0", "/digest/other"))
        assert "stale" not in replayed.headers["WWW-Authenticate"]
        assert "WWW-Authenticate" not in strange.headers
        assert [each.status for each in server.answered()] == [401, 200, 200, 401, 200, 401, 400]


def test_basic_and_bearer_guard_a_patch_too_and_digest_and_basic_stand_side_by_side(tmp_path: Path) -> None:
    with passport_server(tmp_path) as server, httpx.Client(base_url=server.base_url, trust_env=False) as client:
        basic = httpx.BasicAuth(server.user, server.password)
        digest = httpx.DigestAuth(server.user, server.password)
        token = {"Authorization": f"Bearer {server.token}"}
        challenges = client.patch("/any/1", content=BODY).headers.get_list("WWW-Authenticate")
        assert [challenge.split()[0] for challenge in challenges] == ["Digest", "Basic"]
        answers = [
            client.patch("/basic/1", content=BODY, auth=(server.user, "not this one")),
            client.patch("/basic/2", content=BODY, auth=basic),
            client.patch("/bearer/1", content=BODY, headers={"Authorization": "Bearer another"}),
            client.patch("/bearer/2", content=BODY, headers=token),
            client.patch("/any/2", content=BODY, auth=basic),
            client.patch("/any/3", content=BODY, auth=digest),
        ]
        assert [answer.status_code for answer in answers] == [401, 200, 401, 200, 200, 200]
        assert [each.target for each in server.processed()] == ["/basic/2", "/bearer/2", "/any/2", "/any/3"]
