from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from patchwire.auth.challenge import Challenge, parse
from patchwire.auth.credentials import Credentials
from patchwire.auth.digest import authorization
from tests.support.apache import needs_apache
from tests.support.apache_digest import apache_digest_server
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
from tests.support.meddler import meddler
from tests.support.scgi import Processed

pytestmark = [needs_apache, pytest.mark.peer]


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


@pytest.mark.parametrize("options", [{"check_counts": True}, {"nonce_lifetime": 0}])
def test_a_nonce_ends_once_a_later_one_with_the_same_opaque_has_been_used(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    """A challenge to a request with credentials repeats their opaque; one to a request without has an opaque anew."""
    with apache_digest_server(tmp_path, **options) as server, client(server) as plain:

        def answered(challenge: Challenge | None = None) -> httpx.Response:
            """To the first request with the nonce of a challenge."""
            if challenge is None:
                return plain.patch("/people/1", content=b"{}")
            credentials = Credentials(server.user, server.password)
            field = authorization(
                challenge, credentials, method="PATCH", target=b"/people/1", cnonce="cnonce", nonce_count=1
            )
            return plain.patch("/people/1", content=b"{}", headers={"Authorization": field})

        first = _challenge(answered())
        assert answered(first).status_code == 200
        earlier, later = (_challenge(answered(first)) for _ in range(2))
        assert earlier.get("opaque") == later.get("opaque") == first.get("opaque") == "1"
        assert answered(later).status_code == 200
        refused = _challenge(answered(earlier))
        assert (refused.get("stale"), refused.get("opaque")) == (None if "check_counts" in options else "true", "1")
        others = [_challenge(answered()) for _ in range(2)]
        assert [other.get("opaque") for other in others] == ["2", "3"]
        assert [answered(other).status_code for other in reversed(others)] == [200, 200]


def _challenge(response: httpx.Response) -> Challenge:
    assert response.status_code == 401
    (challenge,) = parse([response.headers["WWW-Authenticate"].encode()])
    return challenge


# --- patchwire batch

REJECTED = "(Digest MD5, realm 'patchwire tests')"


@pytest.mark.parametrize(("count", "preemptive"), [(2000, False), (300, True)])
def test_all_records_are_applied_once_for_at_most_one_challenge_a_connection(
    tmp_path: Path, count: int, preemptive: bool
) -> None:
    with apache_digest_server(tmp_path / "apache") as server:
        files = guarded_batch(tmp_path, server, preemptive=preemptive)
        files.write(people(count))
        assert told(files) == []
    assert outcomes_of(files) == {"applied": count}
    assert in_order(server.processed) == expected(count, server.user)
    assert asked(server) <= 8
    fields = credentials_sent(server)
    assert len(fields) == count
    assert all(f'username="{server.user}"' in field and "algorithm=MD5" in field for field in fields)


@pytest.mark.parametrize("preemptive", [True, False])
def test_a_wrong_password_stops_a_batch_after_one_request_with_it(tmp_path: Path, preemptive: bool) -> None:
    with apache_digest_server(tmp_path / "apache") as server:
        files = guarded_batch(tmp_path, server, password="not-this-one", preemptive=preemptive)
        files.write(people(200))
        (line,) = told(files, status=1)
    assert f"{server.base_url}: user 'svc' or its password was rejected {REJECTED}" in line
    assert "not-this-one" not in line
    assert (outcomes_of(files), server.processed) == ({}, [])
    assert len(credentials_sent(server)) == 1
    assert asked(server) == len(server.authorizations())


def test_a_batch_with_checked_counts_falls_back_to_a_nonce_for_one_request_at_a_time(tmp_path: Path) -> None:
    with apache_digest_server(tmp_path / "apache", check_counts=True) as server:
        files = guarded_batch(tmp_path, server)
        files.write(people(2000))
        lines = told(files, "-v")
    assert any("from now on a nonce serves one request at a time" in line for line in said_by_authentication(lines))
    assert outcomes_of(files) == {"applied": 2000}
    assert in_order(server.processed) == expected(2000, server.user)
    assert 1 < asked(server) <= 40


def test_a_batch_with_nonces_for_one_request_each_is_given_the_next_with_every_answer(tmp_path: Path) -> None:
    with apache_digest_server(tmp_path / "apache", nonce_lifetime=0) as server:
        files = guarded_batch(tmp_path, server)
        files.write(people(2000))
        told(files)
    assert outcomes_of(files) == {"applied": 2000}
    assert in_order(server.processed) == expected(2000, server.user)
    accepted = [_nonce_of(field) for status, field in server.authorizations() if status == 200]
    assert len(set(accepted)) == len(accepted) == 2000
    assert asked(server) <= 60


@pytest.mark.parametrize("options", [{"check_counts": True}, {"nonce_lifetime": 0}])
def test_one_connection_never_offends_a_server_that_checks_counts_or_gives_each_nonce_one_use(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    with apache_digest_server(tmp_path / "apache", **options) as server:
        files = guarded_batch(tmp_path, server)
        files.write(people(200))
        told(files, "--concurrency", "1")
    assert in_order(server.processed) == expected(200, server.user)
    assert asked(server) == 1


def test_nonces_that_end_in_mid_batch_are_replaced_by_those_that_the_answers_bring(tmp_path: Path) -> None:
    with apache_digest_server(tmp_path / "apache", nonce_lifetime=2) as server:
        files = guarded_batch(tmp_path, server)
        files.write(people(360))
        told(files, "--rate", "100")  # 3.6 seconds
    assert outcomes_of(files) == {"applied": 360}
    assert in_order(server.processed) == expected(360, server.user)
    assert asked(server) <= 20


def test_an_answer_whose_proof_was_changed_on_the_way_is_unknown_and_is_not_sent_again(tmp_path: Path) -> None:
    seen: list[bytes] = []

    def change(target: str, head: bytes) -> bytes:
        seen.extend(re.findall(b'rspauth="([0-9a-f]{32})"', head))
        return re.sub(b'rspauth="[0-9a-f]+"', b'rspauth="%b"' % (b"0" * 32), head) if target == "/people/70" else head

    with (
        apache_digest_server(tmp_path / "apache") as server,
        meddler(server.port, change) as base_url,
    ):
        files = guarded_batch(tmp_path, server, base_url=base_url)
        files.write({**record, "idempotent": True} for record in people(100))
        told(files, "--unknown", files.unknown, status=3)
    assert len(seen) == 100
    assert outcomes_of(files) == {"applied": 99, "unknown": 1}
    (line,) = [line for line in files.outcomes() if line["outcome"] == "unknown"]
    assert (line["id"], line["attempts"]) == ("r70", 1)
    assert "answered with 200, but the server does not prove that it knows the password" in line["error"]
    assert files.ids(files.unknown) == ["r70"]
    assert in_order(server.processed) == expected(100, server.user)


def test_an_algorithm_that_is_not_allowed_stops_the_batch_before_any_credentials(tmp_path: Path) -> None:
    with apache_digest_server(tmp_path / "apache") as server:
        files = guarded_batch(tmp_path, server, algorithms=["SHA-256"])
        files.write(people(20))
        (line,) = told(files, status=1)
    assert "the server offers Digest MD5 (not in digest.algorithms), this connection has Digest" in line
    assert (outcomes_of(files), server.processed, credentials_sent(server)) == ({}, [], [])
    assert asked(server) == len(server.authorizations()) <= 8


@pytest.mark.parametrize(("preemptive", "asked"), [(False, ["/other/0"]), (True, [])])
def test_what_lies_outside_of_the_domain_is_asked_for_without_credentials_once(
    tmp_path: Path, preemptive: bool, asked: list[str]
) -> None:
    with apache_digest_server(tmp_path / "apache", domain="/people /things") as server:
        files = guarded_batch(tmp_path, server, preemptive=preemptive)
        others = [{"path": f"/{place}/{n}", "body": {"n": n}} for place in ("things", "other") for n in range(5)]
        files.write([*people(20), *others])
        told(files, "--concurrency", "1")
    assert len(server.processed) == len({each.target for each in server.processed}) == 30
    pairs = zip(server.access_log(), server.authorizations(), strict=True)
    without = [target for (_, target, _), (_, field) in pairs if field == "-"]
    assert [target for target in without if target.startswith("/other/")] == asked
    assert len([target for target in without if target.startswith(("/people/", "/things/"))]) <= 1


@pytest.mark.parametrize(("preemptive", "most"), [(True, 0), (False, 8)])
def test_a_batch_with_basic_is_applied_and_asked_for_its_credentials_at_most_once_a_connection(
    tmp_path: Path, preemptive: bool, most: int
) -> None:
    with apache_digest_server(tmp_path / "apache", user="zoë", password="pä:ss") as server:
        files = guarded_batch(tmp_path, server, scheme="basic", below="/basic", preemptive=preemptive)
        files.write(people(200))
        told(files)
    assert in_order(server.processed) == expected(200, "zoë", "/basic")
    assert (asked(server) == 0) == preemptive
    assert asked(server) <= most
    assert {field.partition(" ")[0] for field in credentials_sent(server)} == {"Basic"}


@pytest.mark.parametrize("preemptive", [True, False])
def test_a_wrong_password_for_basic_stops_the_batch_after_one_request_with_it(
    tmp_path: Path, preemptive: bool
) -> None:
    with apache_digest_server(tmp_path / "apache") as server:
        files = guarded_batch(
            tmp_path, server, scheme="basic", below="/basic", password="not-this-one", preemptive=preemptive
        )
        files.write(people(200))
        (line,) = told(files, status=1)
    assert "user 'svc' or its password was rejected (Basic, realm 'patchwire tests')" in line
    assert "not-this-one" not in line
    assert (outcomes_of(files), server.processed, len(credentials_sent(server))) == ({}, [], 1)


def test_user_password_and_realm_may_hold_any_letters(tmp_path: Path) -> None:
    with apache_digest_server(tmp_path / "apache", user="zoë", password="pä:ss ☃", realm="Büro 中") as server:
        files = guarded_batch(tmp_path, server)
        files.write(people(20))
        assert told(files) == []
    assert in_order(server.processed) == expected(20, "zoë")
    assert asked(server) <= 8


# --- large bodies


@pytest.mark.parametrize("preemptive", [True, False])
def test_a_file_and_a_stream_that_can_be_read_once_are_applied_once_each(tmp_path: Path, preemptive: bool) -> None:
    with apache_digest_server(tmp_path / "apache") as server:
        files = guarded_batch(tmp_path, server, preemptive=preemptive)
        send_file(files, "/people/1")
        # With a length, as mod_proxy_scgi answers 411 to chunks.
        response, log, begun = send_once(files, "/people/2", length=len(BIG))
    assert (response.status, response.error) == (200, None)
    assert "< 401" in "\n".join(log[: begun + 1])  # before the first octet of the body was read
    assert server.processed == [Processed("PATCH", f"/people/{n}", BIG, server.user) for n in (1, 2)]
    assert [status for status, _ in server.authorizations()] == [401, 200] * 2


def _nonce_of(field: str) -> str:
    return field.partition('nonce="')[2].partition('"')[0]
