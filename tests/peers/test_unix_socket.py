"""nginx on a Unix socket, as the client, the commands and the authentications meet it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio

from patchwire import connection_from
from patchwire.net import PatchClient
from tests.support.batches import BatchFiles
from tests.support.commands import environment, patchwire, serving
from tests.support.nginx import needs_nginx, nginx_server
from tests.support.token_batches import TokenFiles

pytestmark = [needs_nginx, pytest.mark.peer]
LOCATIONS = """
    location / { return 200 "$host $request_uri"; }
    location /moved/ { return 307 /v1/arrived; }
    location /outside/ { return 307 http://127.0.0.1:1/x; }
    location /trap/ { return 307 unix:/run/docker.sock:/x; }
    location /secret/ { if ($http_authorization = "") { return 401; } return 200 "$http_authorization"; }
"""


@contextmanager
def nginx_on_a_socket(directory: Path, locations: str = LOCATIONS) -> Iterator[str]:
    """The URL of an nginx that listens on a Unix socket, too; its log is access.log."""
    path = directory / "nginx" / "s"
    with nginx_server(directory / "nginx", locations=f"listen unix:{path}; {locations}", access_log="access.log"):
        yield f"unix:{path}"


def test_a_client_reaches_it_and_its_host_is_localhost(tmp_path: Path) -> None:
    log: list[str] = []

    async def main(url: str) -> None:
        async with PatchClient(connection_from({"base_url": f"{url}:/v1?k=1"}), wire_log=log.append) as client:
            for _ in range(3):
                response = await client.patch("/people/1", json={"a": 1}, query={"x": "2"})
                assert (response.status, response.body) == (200, b"localhost /v1/people/1?k=1&x=2")

    with nginx_on_a_socket(tmp_path) as url:
        trio.run(main, url)
    opened = [line for line in log if " = " in line]
    assert len(opened) == 1
    assert opened[0].endswith(f"= connected to {url} (a Unix socket)")


def test_redirects_stay_on_the_socket_and_lead_to_no_other(tmp_path: Path) -> None:
    async def main(url: str) -> None:
        settings = {"base_url": url, "redirects": {"other_origins": True}, "headers": {"Authorization": "literal:a b"}}
        async with PatchClient(connection_from(settings)) as client:
            response = await client.patch("/moved/", json={})
            assert (response.status, response.body, response.error) == (200, b"localhost /v1/arrived", None)
            response = await client.patch("/secret/", json={})
            assert response.body == b"a b"
            response = await client.patch("/trap/", json={})
            assert response.error == "307 to unix:/run/docker.sock:/x is not followed: it names a Unix socket"

    with nginx_on_a_socket(tmp_path) as url:
        trio.run(main, url)


def test_send_and_check_reach_it(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    with nginx_on_a_socket(tmp_path) as url:
        file.write_text(f'base_url = "{url}:/v1"\n', "utf-8")
        done = patchwire("send", file, "/people/1", "--body", "{}", "-v")
        checked = patchwire("check", file, "--connect")
    assert (done.returncode, done.stdout) == (0, "localhost /v1/people/1")
    assert f"= connected to {url} (a Unix socket)" in done.stderr
    assert checked.returncode == 0, checked.stderr
    assert f"connected {url} (a Unix socket)\n" in checked.stdout
    done = patchwire("send", file, "/people/1", "--body", "{}")
    assert done.returncode == 1
    assert done.stderr.startswith(f"patchwire: not_sent: cannot connect to {url}: "), done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_batch_reaches_it_and_its_journal_is_tied_to_it(tmp_path: Path) -> None:
    with nginx_on_a_socket(tmp_path) as url:
        files = BatchFiles(tmp_path, f"{url}:/v1")
        files.write({"path": f"/people/{n}", "body": {"n": n}} for n in range(200))
        done = patchwire("batch", files.connection, files.records, "--summary", "json", "--concurrency", "8")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["applied"] == 200
        files.connection.write_text('base_url = "unix:/elsewhere"\n', "utf-8")
        assert patchwire("batch", files.connection, files.records).returncode == 2
    log = (tmp_path / "nginx" / "access.log").read_text("ascii").splitlines()
    assert len([line for line in log if '"PATCH /v1/people/' in line]) == 200


AUTHENTICATIONS = {
    "basic": (
        ["--user", "svc", "--password", "env:PASSWORD"],
        'authentication = "basic"\nuser = "svc"\npassword = "env:PASSWORD"\n',
    ),
    "digest": (
        ["--user", "svc", "--password", "env:PASSWORD"],
        'authentication = "digest"\nuser = "svc"\npassword = "env:PASSWORD"\n',
    ),
    "aws": (
        ["--access-key", "AKID", "--secret-key", "env:PASSWORD"],
        'authentication = "aws"\n[aws]\naccess_key = "AKID"\nsecret_key = "env:PASSWORD"\nservice = "custom"\n'
        'custom_service = "execute-api"\nregion = "us-east-1"\n',
    ),
}


@pytest.mark.parametrize("scheme", AUTHENTICATIONS)
def test_every_authentication_that_an_origin_takes_part_in_holds_over_a_socket(scheme: str, tmp_path: Path) -> None:
    options, settings = AUTHENTICATIONS[scheme]
    secrets = environment(PASSWORD="canary")
    with serving("--create-missing", "--auth", scheme, *options, env=secrets) as upstream:
        passing = f"location / {{ proxy_pass {upstream}; proxy_set_header Host $http_host; }}"
        with nginx_on_a_socket(tmp_path, passing) as url:
            files = BatchFiles(tmp_path, url, settings)
            files.write({"path": f"/people/{n}", "body": {"n": n}} for n in range(20))
            done = patchwire("batch", files.connection, files.records, "-v", "--output", files.output, env=secrets)
    assert done.returncode == 0, done.stderr
    assert [line["outcome"] for line in files.outcomes()] == ["applied"] * 20
    assert "canary" not in done.stderr


def test_a_token_that_is_asked_for_over_the_network_is_shown_over_a_socket(tmp_path: Path) -> None:
    with serving(
        "--create-missing", "--auth", "bearer", "--client-id", "app", "--client-secret", "literal:s"
    ) as upstream:
        passing = f"location / {{ proxy_pass {upstream}; }}"
        with nginx_on_a_socket(tmp_path, passing) as url:
            oauth2 = {
                "grant_type": "client_credentials",
                "client_id": "app",
                "client_secret": "literal:s",
                "access_token_url": f"{upstream}/oauth2/token",
            }
            files = TokenFiles(tmp_path / "own", url, oauth2)
            for number in range(2):
                done = files.send(f"/a{number}")
                assert done.returncode == 0, done.stderr
