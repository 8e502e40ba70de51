from __future__ import annotations

import json
import re
import subprocess
import time
from pathlib import Path

import pytest

from tests.support.batches import people
from tests.support.certificate_kinds import KEYS, with_key
from tests.support.certificates import Authority, self_signed
from tests.support.commands import PATCHWIRE, environment, patchwire, without_traceback
from tests.support.nginx import HELLO_WORLD, NginxServer, needs_nginx, nginx_server, tls_directives
from tests.support.tls_batches import change, tls_batch

pytestmark = [needs_nginx, pytest.mark.peer]

NO_CERTIFICATE = "the server asked for a client certificate, and there is none to show (tls.client_certificate)"
LOGGED = re.compile(r'"PATCH (\S+) HTTP/1.1" (\d+) ')
PROTOCOLS = {"1.2": "ssl_conf_command MaxProtocol TLSv1.2;", "1.3": "ssl_conf_command MinProtocol TLSv1.3;"}
SERVERS, CLIENTS = Authority("servers"), Authority("clients")
ADA_ISSUER = Authority("lower", issuer=CLIENTS)
ADA = ADA_ISSUER.issue(client=True, server=False, common_name="ada")
STRANGER = Authority("another authority").issue(client=True, server=False, common_name="stranger")


def logged(server: NginxServer) -> list[tuple[str, int]]:
    """Path and status of every PATCH that nginx has answered."""
    lines = (server.directory / "access.log").read_text("ascii").splitlines()
    found = [LOGGED.search(line) for line in lines]
    return sorted((match[1], int(match[2])) for match in found if match)


@pytest.mark.parametrize("version", PROTOCOLS)
def test_with_the_right_certificate_every_record_is_applied_and_nginx_says_so(tmp_path: Path, version: str) -> None:
    directory = tmp_path / "nginx"
    tls = tls_directives(directory, SERVERS.issue("localhost"), CLIENTS.pem) + PROTOCOLS[version]
    with nginx_server(directory, access_log="access.log", tls=tls, host="localhost") as server:
        files = tls_batch(tmp_path, server.base_url, SERVERS, 'client_certificate = "ada.pem"')
        (tmp_path / "ada.pem").write_bytes(ADA.combined_pem)
        files.write(people(1_000))
        done = patchwire("batch", files.connection, files.records, "--output", files.output, "-v")
    assert done.returncode == 0, done.stderr
    assert {(line["outcome"], line["status"]) for line in files.outcomes()} == {("applied", 200)}
    assert len(files.outcomes()) == 1_000
    assert logged(server) == sorted((record["path"], 200) for record in people(1_000))
    opened = [line for line in done.stderr.splitlines() if " = connected to " in line]
    assert len(opened) == 8
    assert all(f"(TLSv{version} " in line and "'CN=localhost' until " in line for line in opened)


@pytest.mark.parametrize("form", ["pkcs12", "key apart", "encrypted key apart", "der"])
def test_every_form_of_a_certificate_file_is_good_for_nginx(tmp_path: Path, form: str) -> None:
    ada = CLIENTS.issue(client=True, server=False, common_name="ada")
    certificate, key = {
        "pkcs12": (ada.pkcs12(b"4711"), b""),
        "key apart": (ada.pem, ada.key_pem),
        "encrypted key apart": (ada.pem, ada.encrypted_key_pem(b"4711")),
        "der": (ada.der, ada.key_pem),
    }[form]
    (tmp_path / "ada.crt").write_bytes(certificate)
    (tmp_path / "ada.key").write_bytes(key)
    table = 'client_certificate = "ada.crt"\nclient_password = "env:ADA_PASSWORD"\n'
    directory = tmp_path / "nginx"
    tls = tls_directives(directory, SERVERS.issue("127.0.0.1"), CLIENTS.pem)
    with nginx_server(directory, tls=tls) as server:
        files = tls_batch(tmp_path, server.base_url, SERVERS, table + ('client_key = "ada.key"\n' if key else ""))
        files.write(people(20))
        done = patchwire(
            "batch", files.connection, files.records, "--summary", "json", env=environment(ADA_PASSWORD="4711")
        )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["applied"] == 20


@pytest.mark.parametrize("version", PROTOCOLS)
@pytest.mark.parametrize("kind", KEYS)
def test_both_sides_may_have_a_key_of_every_kind(tmp_path: Path, version: str, kind: str) -> None:
    directory = tmp_path / "nginx"
    shown = with_key(SERVERS.issue("127.0.0.1"), SERVERS, KEYS[kind]())
    (tmp_path / "ada.pem").write_bytes(with_key(ADA, ADA_ISSUER, KEYS[kind]()).combined_pem)
    tls = tls_directives(directory, shown, CLIENTS.pem) + PROTOCOLS[version]
    with nginx_server(directory, tls=tls, locations='location / { return 200 "$ssl_client_s_dn"; }') as server:
        files = tls_batch(tmp_path, server.base_url, SERVERS, 'client_certificate = "ada.pem"')
        done = patchwire("send", files.connection, "/a", "--body", "{}", "-v")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "CN=ada"
    assert f"(TLSv{version} " in done.stderr


@pytest.mark.parametrize("version", PROTOCOLS)
@pytest.mark.parametrize("which", ["missing", "foreign"])
def test_without_the_right_certificate_every_record_is_rejected_with_400(
    tmp_path: Path, version: str, which: str
) -> None:
    directory = tmp_path / "nginx"
    tls = tls_directives(directory, SERVERS.issue("localhost"), CLIENTS.pem) + PROTOCOLS[version]
    table = 'client_certificate = "stranger.pem"' if which == "foreign" else ""
    (tmp_path / "stranger.pem").write_bytes(STRANGER.combined_pem)
    with nginx_server(directory, access_log="access.log", tls=tls, host="localhost") as server:
        files = tls_batch(tmp_path, server.base_url, SERVERS, table)
        files.write(people(40))
        done = patchwire(
            "batch", files.connection, files.records, "--output", files.output, "--failed", files.failed,
        )  # fmt: skip
        assert done.returncode == 1, done.stderr
        assert {(line["outcome"], line["status"]) for line in files.outcomes()} == {("rejected", 400)}
        assert len(files.outcomes()) == 40
        told = None if which == "foreign" else NO_CERTIFICATE
        # A resumed handshake asks for no certificate, so behind one there is nothing to tell.
        assert told in {line["error"] for line in files.outcomes()} <= {told, None}
        sent = patchwire("send", files.connection, "/a", "--body", "{}")
        assert sent.returncode == 1
        assert "SSL certificate" in sent.stdout  # nginx's own words, of which nothing is guessed
        (line,) = without_traceback(sent)
        assert line == "patchwire: rejected: 400 Bad Request" + ("" if told is None else f"; {told}")
        change(files, server.base_url, 'client_certificate = "ada.pem"')
        (tmp_path / "ada.pem").write_bytes(ADA.combined_pem)
        again = patchwire("batch", files.connection, files.failed, "--summary", "json")
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["applied"] == 40
    paths = [record["path"] for record in people(40)]
    assert logged(server) == sorted([(path, 400) for path in [*paths, "/a"]] + [(path, 200) for path in paths])


def test_a_connection_that_nginx_closes_after_each_few_requests_costs_no_outcome(tmp_path: Path) -> None:
    directory = tmp_path / "nginx"
    locations = HELLO_WORLD + "\nkeepalive_requests 7;"
    tls = tls_directives(directory, SERVERS.issue("localhost"))
    with nginx_server(directory, locations=locations, access_log="access.log", tls=tls, host="localhost") as server:
        files = tls_batch(tmp_path, server.base_url, SERVERS)
        files.write(people(300))
        done = patchwire("batch", files.connection, files.records, "--summary", "json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["applied"] == 300
    assert len(logged(server)) == 300


def test_a_connection_that_nginx_has_closed_while_it_was_idle_costs_no_outcome(tmp_path: Path) -> None:
    directory = tmp_path / "nginx"
    locations = HELLO_WORLD + "\nkeepalive_timeout 1s;"
    tls = tls_directives(directory, SERVERS.issue("localhost"))
    with nginx_server(directory, locations=locations, access_log="access.log", tls=tls, host="localhost") as server:
        files = tls_batch(tmp_path, server.base_url, SERVERS)
        text = "".join(json.dumps(record) + "\n" for record in people(40))
        done = patchwire_with_a_pause(files.connection, files.journal, text, seconds=2.5)
    assert done[0] == 0, done
    assert len(logged(server)) == 40


def patchwire_with_a_pause(connection: Path, journal: Path, text: str, seconds: float) -> tuple[int, str]:
    """Feed half of the records, wait, feed the rest; exit code and standard error."""
    lines = text.splitlines(keepends=True)
    command = [*PATCHWIRE, "batch", str(connection), "-", "--journal", str(journal)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.write("".join(lines[:20]).encode())
        process.stdin.flush()
        time.sleep(seconds)
        _, stderr = process.communicate("".join(lines[20:]).encode(), timeout=60)
    return process.returncode, stderr.decode()


def test_a_long_body_goes_through_and_one_over_the_limit_is_refused_early(tmp_path: Path) -> None:
    directory = tmp_path / "nginx"
    locations = HELLO_WORLD + "\nlocation /small/ { client_max_body_size 1k; return 200; }"
    tls = tls_directives(directory, SERVERS.issue("localhost"))
    with nginx_server(directory, locations=locations, tls=tls, host="localhost") as server:
        files = tls_batch(tmp_path, server.base_url, SERVERS)
        places = ["/large/", "/small/"] * 8
        files.write({"path": f"{place}{n}", "body": {"x": "y" * 3_000_000}} for n, place in enumerate(places))
        done = patchwire("batch", files.connection, files.records, "--output", files.output)
    assert done.returncode == 1, done.stderr
    assert [line["status"] for line in files.outcomes()] == [200, 413] * 8


def test_a_server_certificate_signed_by_itself_is_trusted_once_it_is_named(tmp_path: Path) -> None:
    directory, certificate = tmp_path / "nginx", self_signed("localhost")
    with nginx_server(directory, tls=tls_directives(directory, certificate), host="localhost") as server:
        files = tls_batch(tmp_path, server.base_url, SERVERS)
        files.write(people(5))
        refused = patchwire("batch", files.connection, files.records)
        assert refused.returncode == 1
        (line,) = without_traceback(refused)
        assert f"cannot connect to {server.base_url}: its certificate, signed by itself, leads to no" in line
        (tmp_path / "ca.pem").write_bytes(certificate.pem)
        done = patchwire("batch", files.connection, files.records, "--summary", "json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["applied"] == 5
