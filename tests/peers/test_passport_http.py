from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.batches import people
from tests.support.passport_http import needs_passport_http, passport_server
from tests.support.password_batches import (
    WRONG,
    assert_applied,
    assert_stopped_by_a_refusal,
    changes,
    demanded,
    password_batch,
    run,
    turned_away,
    with_credentials,
)

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


# --- patchwire batch

FORMS = [("MD5-sess", "auth"), ("MD5", "auth"), (None, "auth"), ("MD5", None), (None, None)]
MANY = 2_000
FEW = 10


@pytest.mark.parametrize(("algorithm", "qop"), FORMS)
def test_a_batch_with_a_wrong_password_stops_after_one_attempt_and_is_applied_once_with_the_right_one(
    tmp_path: Path, algorithm: str | None, qop: str | None
) -> None:
    records = people(60)
    with passport_server(tmp_path / "passport", algorithm=algorithm, qop=qop) as server:
        base_url = f"{server.base_url}/digest"
        files = password_batch(tmp_path, base_url, WRONG)
        files.write(records)
        name = algorithm or "MD5"
        assert_stopped_by_a_refusal(
            run(files), files, f"{server.base_url}: user 'svc' ", "rejected", f"Digest {name}, realm 'people'"
        )
        assert (len(with_credentials(server.answered())), server.processed()) == (1, [])
        assert_applied(run(password_batch(tmp_path, base_url, server.password)), files, len(records))
        assert changes(server.processed()) == demanded("/digest", records)
        credentials = [each.authorization for each in with_credentials(server.answered())]
    assert len(credentials) == 1 + len(records)
    assert {f", algorithm={algorithm}," in f"{each}," for each in credentials} == {algorithm is not None}
    for name in (" qop=", " nc=", " cnonce="):
        assert {name in each for each in credentials} == {qop is not None}


@pytest.mark.parametrize(("algorithm", "qop"), [("MD5-sess", "auth"), (None, None)])
def test_thousands_of_changes_over_eight_connections_share_a_nonce(
    tmp_path: Path, algorithm: str | None, qop: str | None
) -> None:
    records = people(MANY)
    with passport_server(tmp_path / "passport", algorithm=algorithm, qop=qop) as server:
        files = password_batch(tmp_path, f"{server.base_url}/digest", server.password)
        files.write(records)
        assert_applied(run(files, "--concurrency", "8"), files, MANY)
        assert changes(server.processed()) == demanded("/digest", records)
        assert turned_away(server.answered()) <= FEW


@pytest.mark.parametrize(("uses", "concurrency"), [(1, 1), (3, 1), (1, 8), (3, 8), (10, 8), (150, 8)])
def test_a_nonce_that_is_used_up_without_stale_is_not_taken_for_a_wrong_password(
    tmp_path: Path, uses: int, concurrency: int
) -> None:
    records = people(300)
    with passport_server(tmp_path / "passport", uses=uses) as server:
        files = password_batch(tmp_path, f"{server.base_url}/digest", server.password)
        files.write(records)
        assert_applied(run(files, "--concurrency", str(concurrency)), files, len(records))
        assert changes(server.processed()) == demanded("/digest", records)
        least = len(records) // uses
        assert least <= turned_away(server.answered()) <= least + 4 * concurrency


@pytest.mark.parametrize("uses", [1, 3])
def test_a_wrong_password_is_tried_once_where_nonces_are_used_up_too(tmp_path: Path, uses: int) -> None:
    with passport_server(tmp_path / "passport", uses=uses) as server:
        files = password_batch(tmp_path, f"{server.base_url}/digest", WRONG)
        files.write(people(60))
        assert_stopped_by_a_refusal(run(files), files, "user 'svc' ", "rejected", "realm 'people'")
        assert (len(with_credentials(server.answered())), server.processed()) == (1, [])


def test_the_uri_is_the_target_as_it_is_sent_with_its_query_and_its_escapes(tmp_path: Path) -> None:
    paths = ["/people/%C3%A4%2fb", "/people/1?x=%26&y", "/people/a,b'(c)?q=/?", "/people/2?", "/people//3/../4"]
    records: list[dict[str, Any]] = [{"path": path, "body": {"n": n}} for n, path in enumerate(paths)]
    with passport_server(tmp_path / "passport") as server:
        files = password_batch(tmp_path, f"{server.base_url}/digest", server.password)
        files.write(records)
        assert_applied(run(files), files, len(records))
        assert changes(server.processed()) == demanded("/digest", records)
        assert {f' uri="{each.target}",' in each.authorization for each in server.processed()} == {True}


def test_a_batch_with_basic_stops_at_a_wrong_password_and_is_applied_once_with_the_right_one(tmp_path: Path) -> None:
    records = people(60)
    with passport_server(tmp_path / "passport") as server:
        base_url = f"{server.base_url}/basic"
        files = password_batch(tmp_path, base_url, WRONG, scheme="basic")
        files.write(records)
        assert_stopped_by_a_refusal(run(files), files, "user 'svc' ", "rejected (Basic, realm 'people')")
        assert (len(with_credentials(server.answered())), server.processed()) == (1, [])
        assert_applied(run(password_batch(tmp_path, base_url, server.password, scheme="basic")), files, len(records))
        assert changes(server.processed()) == demanded("/basic", records)


@pytest.mark.parametrize("scheme", ["digest", "basic"])
def test_where_digest_and_basic_are_offered_a_connection_answers_its_own(tmp_path: Path, scheme: str) -> None:
    records = people(20)
    with passport_server(tmp_path / "passport") as server:
        base_url = f"{server.base_url}/any"
        files = password_batch(tmp_path, base_url, WRONG, scheme=scheme)
        files.write(records)
        assert_stopped_by_a_refusal(run(files), files, "rejected", f"({scheme.title()}")
        assert_applied(run(password_batch(tmp_path, base_url, server.password, scheme=scheme)), files, len(records))
        assert changes(server.processed()) == demanded("/any", records)
        credentials = [each.authorization for each in with_credentials(server.answered())]
    assert len(credentials) == 1 + len(records)
    assert {each.split()[0] for each in credentials} == {scheme.title()}


@pytest.mark.parametrize(("scheme", "path"), [("digest", "/basic"), ("basic", "/digest"), ("digest", "/bearer")])
def test_where_another_scheme_is_asked_for_the_password_stays_here(tmp_path: Path, scheme: str, path: str) -> None:
    with passport_server(tmp_path / "passport") as server:
        files = password_batch(tmp_path, server.base_url + path, server.password, scheme=scheme)
        files.write(people(20))
        offers = f"offers {path[1:].title()}" if scheme == "digest" else f"asks for {path[1:].title()} authentication"
        words = f"the server {offers}, this connection has {scheme.title()}"
        assert_stopped_by_a_refusal(run(files), files, words)
        assert with_credentials(server.answered()) == []
