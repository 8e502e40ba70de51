from __future__ import annotations

import time
from pathlib import Path

import httpx
import pytest

from tests.support.batches import people
from tests.support.guarded import (
    BIG,
    asked,
    client,
    credentials_sent,
    expected,
    guarded_batch,
    in_order,
    outcomes_of,
    said_by_authentication,
    send_file,
    send_once,
    told,
)
from tests.support.scgi import Processed
from tests.support.tomcat import needs_tomcat, tomcat_server

pytestmark = [needs_tomcat, pytest.mark.peer]


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


# --- patchwire batch

COUNT = 2000
REALM = "realm 'patchwire tests'"


@pytest.mark.parametrize(("count", "preemptive"), [(2000, False), (300, True)])
def test_a_batch_is_applied_once_over_8_connections_and_a_wrong_password_is_sent_once(
    tmp_path: Path, count: int, preemptive: bool
) -> None:
    with tomcat_server(tmp_path / "tomcat") as server:
        wrong = guarded_batch(tmp_path / "wrong", server, password="not-this-one", preemptive=preemptive)
        wrong.write(people(200))
        (line,) = told(wrong, status=1)
        assert server.processed == []
        files = guarded_batch(tmp_path, server, preemptive=preemptive)
        files.write(people(count))
        assert told(files) == []
        processed = in_order(server.processed)
    assert f"user 'svc' or its password was rejected (Digest SHA-256, {REALM})" in line
    assert "not-this-one" not in line
    assert (outcomes_of(wrong), outcomes_of(files)) == ({}, {"applied": count})
    assert processed == expected(count, server.user)
    rejected = [field for status, field in server.authorizations() if status == 401]
    assert [field != "-" for field in rejected].count(True) == 1
    assert len(rejected) <= 20
    assert all(
        f'username="{server.user}"' in field and "algorithm=SHA-256" in field for field in credentials_sent(server)
    )


def test_a_small_window_for_counts_makes_a_nonce_serve_one_request_at_a_time(tmp_path: Path) -> None:
    with tomcat_server(tmp_path / "tomcat", count_window=4) as server:
        files = guarded_batch(tmp_path, server)
        files.write(people(COUNT))
        lines = told(files, "-v")
        processed = in_order(server.processed)
    said = [line for line in said_by_authentication(lines) if "refuses its nonce counts" in line]
    assert said == ["the server refuses its nonce counts: from now on a nonce serves one request at a time"]
    assert outcomes_of(files) == {"applied": COUNT}
    assert processed == expected(COUNT, server.user)
    assert 1 < asked(server) <= 20


def test_nonces_that_end_in_mid_batch_cost_no_record_and_few_challenges(tmp_path: Path) -> None:
    with tomcat_server(tmp_path / "tomcat", nonce_validity=1.0) as server:
        files = guarded_batch(tmp_path, server)
        files.write(people(320))
        lines = told(files, "--rate", "100", "-v")  # 3.2 seconds
        processed = in_order(server.processed)
    assert any("the nonce is stale after" in line for line in said_by_authentication(lines))
    assert outcomes_of(files) == {"applied": 320}
    assert processed == expected(320, server.user)
    assert 2 < asked(server) <= 40


def test_a_server_that_calls_every_nonce_stale_stops_the_batch_after_a_handful_of_requests(tmp_path: Path) -> None:
    with tomcat_server(tmp_path / "tomcat", nonce_validity=-1) as server:
        files = guarded_batch(tmp_path, server)
        files.write(people(200))
        (line,) = told(files, status=1)
        assert server.processed == []
    assert f"(Digest SHA-256, {REALM})" in line
    assert outcomes_of(files) == {}
    assert len(credentials_sent(server)) == 2
    assert asked(server) == len(server.authorizations()) <= 12


def test_the_algorithms_that_are_allowed_decide(tmp_path: Path) -> None:
    with tomcat_server(tmp_path / "tomcat") as server:
        files = guarded_batch(tmp_path, server, algorithms=["MD5"])
        files.write(people(50))
        told(files)
        other = guarded_batch(tmp_path / "other", server, algorithms=["SHA-512-256"])
        other.write(people(50))
        (line,) = told(other, status=1)
        processed = in_order(server.processed)
    assert processed == expected(50, server.user)
    assert "the server offers Digest SHA-256 (not in digest.algorithms), Digest MD5 (not in digest.algorithms)" in line
    fields = credentials_sent(server)
    assert len(fields) == 50
    assert all("algorithm=MD5" in field for field in fields)


# --- large bodies


@pytest.mark.parametrize("preemptive", [True, False])
def test_a_file_and_a_stream_that_can_be_read_once_are_applied_once_each(tmp_path: Path, preemptive: bool) -> None:
    with tomcat_server(tmp_path / "tomcat") as server:
        files = guarded_batch(tmp_path, server, preemptive=preemptive)
        send_file(files, "/people/1")
        response, log, begun = send_once(files, "/people/2")
        processed = server.processed
    assert (response.status, response.error) == (200, None)
    assert "< 401" in "\n".join(log[: begun + 1])  # before the first octet of the body was read
    assert processed == [Processed("PATCH", f"/people/{n}", BIG, server.user) for n in (1, 2)]
    assert [status for status, _ in server.authorizations()] == [401, 200] * 2
