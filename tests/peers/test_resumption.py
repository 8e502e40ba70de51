from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
import trio

from patchwire.files.connection_file import load_connection
from patchwire.http.message import request_to
from patchwire.net.opening import open_connection
from tests.support.apache import apache_server, needs_apache
from tests.support.batches import BatchFiles, people
from tests.support.certificates import Authority
from tests.support.commands import patchwire
from tests.support.nginx import HELLO_WORLD, NginxServer, needs_nginx, nginx_server, tls_directives
from tests.support.tls_batches import tls_batch

pytestmark = pytest.mark.peer

SERVERS, CLIENTS = Authority("servers"), Authority("clients")
ADA = Authority("lower", issuer=CLIENTS).issue(client=True, server=False, common_name="ada")
VERSIONS = ["1.2", "1.3"]
COUNT = 200
AT_ONCE = 8
LOG = "log_format resumed '$connection_requests $ssl_protocol $ssl_session_reused $status $ssl_early_data';"
NGINX = {"1.2": "ssl_conf_command MaxProtocol TLSv1.2;", "1.3": "ssl_conf_command MinProtocol TLSv1.3;"}
APACHE = {"1.2": "SSLProtocol -all +TLSv1.2", "1.3": "SSLProtocol -all +TLSv1.3"}


def batch_of(directory: Path, base_url: str, shows: str) -> BatchFiles:
    files = tls_batch(directory, base_url, SERVERS, 'client_certificate = "ada.pem"' if shows else "")
    (directory / "ada.pem").write_bytes(ADA.combined_pem)
    files.write(people(COUNT))
    return files


def handshakes(log: Path, first: str) -> list[str]:
    """Of each connection what was logged with its first request, behind the number that this has."""
    lines = [line.partition(" ") for line in log.read_text("ascii").splitlines()]
    return [text for number, _, text in lines if number == first]


@needs_nginx
@pytest.mark.parametrize("shows", ["", "a certificate"])
@pytest.mark.parametrize("version", VERSIONS)
def test_a_batch_whose_connections_nginx_ends_resumes_them(tmp_path: Path, version: str, shows: str) -> None:
    directory = tmp_path / "nginx"
    # It lets its clients send early data; ours does not.
    locations = HELLO_WORLD + "\nkeepalive_requests 5; ssl_early_data on;"
    tls = tls_directives(directory, SERVERS.issue("localhost"), CLIENTS.pem if shows else None) + NGINX[version]
    with nginx_server(
        directory, locations=locations, access_log="access.log resumed", tls=tls, host="localhost", http=LOG
    ) as server:
        files = batch_of(tmp_path, server.base_url, shows)
        done = patchwire("batch", files.connection, files.records, "--output", files.output, "-v")
    assert done.returncode == 0, done.stderr
    assert [line["outcome"] for line in files.outcomes()] == ["applied"] * COUNT
    seen = handshakes(directory / "access.log", "1")
    whole, resumed = seen.count(f"TLSv{version} . 200 -"), seen.count(f"TLSv{version} r 200 -")
    assert whole + resumed == len(seen) >= COUNT / 5
    assert 1 <= whole <= AT_ONCE
    said = [line for line in done.stderr.splitlines() if " = connected to " in line]
    assert (len(said), sum(" resumed, 'CN=localhost' until " in line for line in said)) == (len(seen), resumed)


@needs_apache
@pytest.mark.parametrize("shows", ["", "a certificate"])
@pytest.mark.parametrize("version", VERSIONS)
def test_a_batch_whose_connections_apache_ends_resumes_them(tmp_path: Path, version: str, shows: str) -> None:
    directives = (
        f'{APACHE[version]}\nMaxKeepAliveRequests 5\nCustomLog resumed.log "%k %{{SSL_PROTOCOL}}x'
        ' %{SSL_SESSION_RESUMED}x %{SSL_CLIENT_S_DN_CN}x %>s"'
    )
    with apache_server(
        tmp_path / "apache",
        SERVERS.issue("127.0.0.1"),
        client_authority=CLIENTS.pem if shows else None,
        directives=directives,
    ) as server:
        files = batch_of(tmp_path, server.base_url, shows)
        done = patchwire("batch", files.connection, files.records, "--output", files.output)
    assert done.returncode == 0, done.stderr
    assert [line["outcome"] for line in files.outcomes()] == ["applied"] * COUNT
    seen, whose = handshakes(tmp_path / "apache" / "resumed.log", "0"), "ada" if shows else "-"
    whole = seen.count(f"TLSv{version} Initial {whose} 200")
    assert (
        whole + seen.count(f"TLSv{version} Resumed {whose} 200") == len(seen) >= COUNT / 6
    )  # a first request, and five more
    assert 1 <= whole <= AT_ONCE
    assert {each.client for each in server.processed} == {"CN=ada" if shows else ""}


def forget_tickets(server: NginxServer, workers: int) -> None:
    """Have nginx start anew on its port: new workers, which know none of the keys that the old ones had."""
    os.kill(server.pid, signal.SIGHUP)
    ends = time.monotonic() + 20
    while (server.directory / "error.log").read_text("utf-8").count("gracefully shutting down") < workers:
        assert time.monotonic() < ends, "nginx does not start anew"
        time.sleep(0.02)


@needs_nginx
@pytest.mark.parametrize("version", VERSIONS)
def test_an_nginx_that_has_forgotten_its_tickets_is_connected_to_all_the_same(tmp_path: Path, version: str) -> None:
    directory = tmp_path / "nginx"
    tls = tls_directives(directory, SERVERS.issue("localhost"), CLIENTS.pem) + NGINX[version]
    with nginx_server(
        directory, access_log="access.log resumed", tls=tls, host="localhost", http=LOG, workers=2
    ) as server:
        settings = load_connection(str(batch_of(tmp_path, server.base_url, "a certificate").connection))

        async def connect_and_send() -> None:
            connection = await open_connection(settings)
            reply = await connection.exchange(request_to("PATCH", f"{settings.origin}/x", body=b"{}"))
            assert reply.response is not None
            assert reply.response.status == 200
            connection.close()

        trio.run(connect_and_send)
        trio.run(connect_and_send)
        forget_tickets(server, 2)
        trio.run(connect_and_send)
        trio.run(connect_and_send)
    lines = (directory / "access.log").read_text("ascii").splitlines()
    assert lines == [f"1 TLSv{version} {mark} 200 -" for mark in (".", "r", ".", "r")]
