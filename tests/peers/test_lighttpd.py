from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import time
from pathlib import Path

import httpx
import pytest

from tests.support.batches import people
from tests.support.commands import running
from tests.support.guarded import (
    BIG,
    asked,
    client,
    credentials_sent,
    expected,
    guarded_batch,
    in_order,
    outcomes_of,
    send_file,
    send_once,
    told,
)
from tests.support.lighttpd import LighttpdServer, lighttpd_server, needs_faketime, needs_lighttpd
from tests.support.scgi import Processed

pytestmark = [needs_lighttpd, pytest.mark.peer]


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


# --- patchwire batch


def hashed_user(algorithm: str, server: LighttpdServer) -> str:
    """How the user is named where its name is hashed."""
    return hashlib.new(algorithm.replace("-", ""), f"{server.user}:{server.realm}".encode()).hexdigest()


@pytest.mark.parametrize(("count", "preemptive"), [(2000, False), (300, True)])
def test_all_records_are_applied_once_with_the_user_hashed_by_sha_256(
    tmp_path: Path, count: int, preemptive: bool
) -> None:
    with lighttpd_server(tmp_path / "lighttpd") as server:
        files = guarded_batch(tmp_path, server, preemptive=preemptive)
        files.write(people(count))
        assert told(files) == []
    assert outcomes_of(files) == {"applied": count}
    assert in_order(server.processed) == expected(count, server.user)
    assert asked(server) <= 8
    fields = credentials_sent(server)
    name = hashed_user("SHA-256", server)
    assert len(fields) == count
    assert all(f'username="{name}"' in field and "algorithm=SHA-256" in field for field in fields)
    assert not any(server.user in field for field in fields)


@pytest.mark.parametrize("preemptive", [True, False])
def test_a_wrong_password_stops_a_batch_after_one_request_with_it(tmp_path: Path, preemptive: bool) -> None:
    with lighttpd_server(tmp_path / "lighttpd") as server:
        files = guarded_batch(tmp_path, server, password="not-this-one", preemptive=preemptive)
        files.write(people(200))
        (line,) = told(files, status=1)
    assert "user 'svc' or its password was rejected (Digest SHA-256, realm 'patchwire tests')" in line
    assert "not-this-one" not in line
    assert (outcomes_of(files), server.processed) == ({}, [])
    assert len(credentials_sent(server)) == 1
    assert asked(server) == len(server.authorizations())


def test_only_md5_is_used_where_only_md5_is_allowed(tmp_path: Path) -> None:
    with lighttpd_server(tmp_path / "lighttpd") as server:
        files = guarded_batch(tmp_path, server, algorithms=["MD5"])
        files.write(people(50))
        told(files)
    assert in_order(server.processed) == expected(50, server.user)
    assert asked(server) <= 8
    name = hashed_user("MD5", server)
    assert all(f'username="{name}"' in field and "algorithm=MD5" in field for field in credentials_sent(server))


def test_an_algorithm_that_is_not_allowed_stops_the_batch_before_any_credentials(tmp_path: Path) -> None:
    with lighttpd_server(tmp_path / "lighttpd", algorithms=["MD5"]) as server:
        files = guarded_batch(tmp_path, server, algorithms=["SHA-256", "SHA-512-256"])
        files.write(people(20))
        (line,) = told(files, status=1)
    assert "the server offers Digest MD5 (not in digest.algorithms), this connection has Digest" in line
    assert (outcomes_of(files), server.processed, credentials_sent(server)) == ({}, [], [])


@needs_faketime
@pytest.mark.parametrize(("seconds", "least", "most"), [((545, 60), 0, 0), ((601,), 1, 8)])
def test_nonces_that_end_in_mid_batch_cost_no_record(
    tmp_path: Path, seconds: tuple[int, ...], least: int, most: int
) -> None:
    """In steps, as the last minute of a nonce brings the next one, nothing is ever stale."""
    with lighttpd_server(tmp_path / "lighttpd", own_clock=True) as server:
        files = guarded_batch(tmp_path, server)
        files.write(people(400))
        command = ("batch", files.connection, files.records, "--output", files.output, "--rate", "80")
        with running(*command) as process:
            for step in seconds:
                _wait_for_more(server, process)
                server.advance(step)
            _wait_for_more(server, process)
            assert process.wait(60) == 0
    assert outcomes_of(files) == {"applied": 400}
    assert in_order(server.processed) == expected(400, server.user)
    stale = [field for status, field in server.authorizations() if status == 401 and field != "-"]
    assert least <= len(stale) <= most
    assert asked(server) <= 20


def _wait_for_more(server: LighttpdServer, process: subprocess.Popen[bytes]) -> None:
    """Until the running batch has had 20 more records applied."""
    before = len(server.processed)
    deadline = time.monotonic() + 30
    while len(server.processed) < before + 20:
        assert process.poll() is None, "the batch ended before the clock was moved"
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize(("preemptive", "most"), [(True, 0), (False, 8)])
def test_a_batch_with_basic_is_applied_and_asked_for_its_credentials_at_most_once_a_connection(
    tmp_path: Path, preemptive: bool, most: int
) -> None:
    with lighttpd_server(tmp_path / "lighttpd", user="zoë", password="pä:ss") as server:
        files = guarded_batch(tmp_path, server, scheme="basic", below="/basic", preemptive=preemptive)
        files.write(people(200))
        told(files)
    assert in_order(server.processed) == expected(200, "zoë", "/basic")
    assert (asked(server) == 0) == preemptive
    assert asked(server) <= most
    assert {field.partition(" ")[0] for field in credentials_sent(server)} == {"Basic"}


def test_a_wrong_password_for_basic_stops_the_batch_after_one_request_with_it(tmp_path: Path) -> None:
    with lighttpd_server(tmp_path / "lighttpd") as server:
        files = guarded_batch(tmp_path, server, scheme="basic", below="/basic", password="not-this-one")
        files.write(people(200))
        (line,) = told(files, status=1)
    assert "user 'svc' or its password was rejected (Basic, realm 'patchwire tests')" in line
    assert "not-this-one" not in line
    assert (outcomes_of(files), server.processed, len(credentials_sent(server))) == ({}, [], 1)


@pytest.mark.parametrize(("userhash", "name"), [(True, "userhash=true"), (False, "username*=UTF-8''zo%C3%AB,")])
def test_user_password_and_realm_may_hold_any_letters(tmp_path: Path, userhash: bool, name: str) -> None:
    with lighttpd_server(
        tmp_path / "lighttpd", userhash=userhash, user="zoë", password="pä:ss ☃", realm="Büro 中"
    ) as server:
        files = guarded_batch(tmp_path, server)
        files.write(people(20))
        assert told(files) == []
    assert in_order(server.processed) == expected(20, "zoë")
    assert asked(server) <= 8
    assert all(name in field and "zoë" not in field for field in credentials_sent(server))


# --- large bodies


@pytest.mark.parametrize("preemptive", [True, False])
def test_a_file_and_a_stream_that_can_be_read_once_are_applied_once_each(tmp_path: Path, preemptive: bool) -> None:
    with lighttpd_server(tmp_path / "lighttpd") as server:
        files = guarded_batch(tmp_path, server, preemptive=preemptive)
        send_file(files, "/people/1")
        response, log, begun = send_once(files, "/people/2")
    assert (response.status, response.error) == (200, None)
    before = "\n".join(log[: begun + 1])  # the first octet of the body was read
    assert "< 401" in before
    assert "< Connection: close" in before
    assert before.count("= connected") == 2
    assert server.processed == [Processed("PATCH", f"/people/{n}", BIG, server.user) for n in (1, 2)]
    assert [status for status, _ in server.authorizations()] == [401, 200] * 2
