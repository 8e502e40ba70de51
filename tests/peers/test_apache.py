from __future__ import annotations

import json
import socket
import ssl
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.apache import Processed, apache_server, needs_apache
from tests.support.batches import people
from tests.support.certificates import Authority, Issued
from tests.support.commands import patchwire, without_traceback
from tests.support.tls_batches import change, tls_batch

pytestmark = [needs_apache, pytest.mark.peer]


def client_context(authority: Authority, certificate: Path | None = None) -> ssl.SSLContext:
    """What a client trusts, and the certificate that it shows."""
    context = ssl.create_default_context(cadata=authority.pem.decode())
    if certificate is not None:
        context.load_cert_chain(certificate)
    return context


def written(directory: Path, certificate: Issued) -> Path:
    path = directory / "client.pem"
    path.write_bytes(certificate.combined_pem)
    return path


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_certificate_of_the_right_authority_lets_a_patch_through(tmp_path: Path, version: ssl.TLSVersion) -> None:
    authority = Authority()
    intermediate = Authority("patchwire test intermediate", issuer=authority)
    certificate = intermediate.issue(client=True, server=False, common_name="ada")
    context = client_context(authority, written(tmp_path, certificate))
    context.minimum_version = context.maximum_version = version
    with (
        apache_server(tmp_path, authority.issue("127.0.0.1"), client_authority=authority.pem) as server,
        httpx.Client(verify=context, trust_env=False) as client,
    ):
        answers = [client.patch(f"{server.base_url}/people/{n}", content=b"{}") for n in range(3)]
    assert [answer.status_code for answer in answers] == [200] * 3
    assert server.processed == [Processed("PATCH", f"/people/{n}", b"{}", "CN=ada") for n in range(3)]
    assert server.access_log() == [("PATCH", f"/people/{n}", 200) for n in range(3)]


def test_without_a_certificate_the_alert_comes_after_the_client_has_sent_its_request(tmp_path: Path) -> None:
    authority = Authority()
    with (
        apache_server(
            tmp_path, authority.issue("localhost"), client_authority=authority.pem, host="localhost"
        ) as server,
        socket.create_connection(("127.0.0.1", server.port), timeout=10) as plain,
        client_context(authority).wrap_socket(plain, server_hostname="localhost") as stream,
    ):
        assert stream.version() == "TLSv1.3"
        stream.sendall(b"PATCH /people/1 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}")
        with pytest.raises(ssl.SSLError, match="CERTIFICATE_REQUIRED"):
            stream.recv(65_536)
    assert server.processed == []
    assert server.access_log() == []
    assert "peer did not return a certificate" in server.error_log()


def test_a_certificate_of_another_authority_is_refused(tmp_path: Path) -> None:
    authority = Authority()
    stranger = Authority("another authority").issue(client=True, server=False)
    context = client_context(authority, written(tmp_path, stranger))
    with (
        apache_server(tmp_path, authority.issue("127.0.0.1"), client_authority=authority.pem) as server,
        httpx.Client(verify=context, trust_env=False) as client,
        pytest.raises(httpx.TransportError),
    ):
        client.patch(f"{server.base_url}/people/1", content=b"{}")
    assert server.processed == []


# --- patchwire batch

PROTOCOLS = {"1.2": "SSLProtocol -all +TLSv1.2", "1.3": "SSLProtocol -all +TLSv1.3"}
WORDS = {
    ("1.3", "missing"): "the server requires a client certificate; name one as tls.client_certificate",
    ("1.3", "foreign"): "the server does not know the CA of our client certificate",
    ("1.2", "missing"): "client certificate",
    ("1.2", "foreign"): "the server does not know the CA of our client certificate",
}
COUNT = 200


def expected_of(count: int, client: str) -> list[Processed]:
    return [Processed("PATCH", f"/people/{n}", json.dumps({"n": n}).encode(), client) for n in range(count)]


def in_order(processed: list[Processed]) -> list[Processed]:
    return sorted(processed, key=lambda each: int(each.target.rpartition("/")[2]))


@pytest.mark.parametrize("version", PROTOCOLS)
def test_a_batch_with_the_right_certificate_is_applied_and_apache_says_so(tmp_path: Path, version: str) -> None:
    servers, clients = Authority("servers"), Authority("clients")
    ada = Authority("lower", issuer=clients).issue(client=True, server=False, common_name="ada")
    with apache_server(
        tmp_path / "apache", servers.issue("127.0.0.1"), client_authority=clients.pem, directives=PROTOCOLS[version]
    ) as server:
        files = tls_batch(tmp_path, server.base_url, servers, 'client_certificate = "ada.pem"')
        written(tmp_path, ada).rename(tmp_path / "ada.pem")
        files.write(people(COUNT))
        done = patchwire("batch", files.connection, files.records, "--output", files.output, "-v")
    assert done.returncode == 0, done.stderr
    assert {(line["outcome"], line["status"]) for line in files.outcomes()} == {("applied", 200)}
    assert in_order(server.processed) == expected_of(COUNT, "CN=ada")
    assert sorted(server.access_log()) == sorted(("PATCH", f"/people/{n}", 200) for n in range(COUNT))
    assert f"(TLSv{version} " in done.stderr


@pytest.mark.parametrize("version", PROTOCOLS)
@pytest.mark.parametrize("which", ["missing", "foreign"])
@pytest.mark.parametrize("size", [0, 3_000_000])
def test_a_batch_without_the_right_certificate_stops_and_is_applied_once_with_it(
    tmp_path: Path, version: str, which: str, size: int
) -> None:
    servers, clients = Authority("servers"), Authority("clients")
    ada = clients.issue(client=True, server=False, common_name="ada")
    stranger = Authority("another authority").issue(client=True, server=False)
    (tmp_path / "ada.pem").write_bytes(ada.combined_pem)
    (tmp_path / "stranger.pem").write_bytes(stranger.combined_pem)
    records: list[dict[str, Any]] = people(20)
    for record in records:
        record["body"] |= {"x": "y" * size}
    with apache_server(
        tmp_path / "apache", servers.issue("127.0.0.1"), client_authority=clients.pem, directives=PROTOCOLS[version]
    ) as server:
        table = 'client_certificate = "stranger.pem"' if which == "foreign" else ""
        files = tls_batch(tmp_path, server.base_url, servers, table)
        files.write(records)
        command = ("batch", files.connection, files.records, "--output", files.output, "--unknown", files.unknown)
        done = patchwire(*command)
        assert done.returncode == 1, done.stderr
        (line,) = without_traceback(done)
        assert line.startswith("patchwire: ")
        assert server.base_url in line
        assert WORDS[version, which] in line
        assert files.outcomes() == []
        assert files.unknown.read_bytes() == b""
        assert server.processed == []
        change(files, server.base_url, 'client_certificate = "ada.pem"')
        again = patchwire(*command)
    assert again.returncode == 0, again.stderr
    assert [line["outcome"] for line in files.outcomes()] == ["applied"] * 20
    assert [each.target for each in in_order(server.processed)] == [f"/people/{n}" for n in range(20)]
    assert {each.client for each in server.processed} == {"CN=ada"}


# --- a certificate for a path alone: Apache asks for it once it has read the request

FOR_A_PATH = "<Location /private>\nSSLVerifyClient require\n</Location>\n"
RENEGOTIATION = (
    "the server asked for a second TLS handshake, which is refused: it may want a client certificate for this path"
    " alone; have it ask for one on the whole virtual host"
)


@pytest.mark.parametrize("shows", [True, False])
@pytest.mark.parametrize("version", PROTOCOLS)
@pytest.mark.parametrize("size", [0, 100_000])
def test_a_certificate_that_is_wanted_for_a_path_alone_is_no_riddle(
    tmp_path: Path, version: str, shows: bool, size: int
) -> None:
    servers, clients = Authority("servers"), Authority("clients")
    (tmp_path / "ada.pem").write_bytes(clients.issue(client=True, server=False, common_name="ada").combined_pem)
    with apache_server(
        tmp_path / "apache",
        servers.issue("127.0.0.1"),
        client_authority=clients.pem,
        verify="none",
        directives=PROTOCOLS[version] + "\n" + FOR_A_PATH,
    ) as server:
        table = 'client_certificate = "ada.pem"' if shows else ""
        files = tls_batch(tmp_path, server.base_url, servers, table)
        files.write([{"id": "b", "path": "/private/b", "body": {"x": "y" * size}}])
        body = json.dumps({"x": "y" * size})
        (tmp_path / "body.json").write_text(body, "utf-8")
        sent = patchwire("send", files.connection, "/private/a", "--body", f"@{tmp_path / 'body.json'}")
        batch = patchwire("batch", files.connection, files.records, "--output", files.output)
        public = patchwire("send", files.connection, "/public", "--body", "{}")
    assert public.returncode == 0, public.stderr
    (line,) = without_traceback(sent)
    (outcome,) = files.outcomes()
    if version == "1.3":
        # We offer no authentication behind the handshake, so Apache does not ask: it answers, and says why.
        assert line == "patchwire: rejected: 403 Forbidden"
        assert "Cannot perform Post-Handshake Authentication" in sent.stdout
        assert (outcome["outcome"], outcome["status"], sent.returncode, batch.returncode) == ("rejected", 403, 1, 1)
    else:
        # It breaks the connection where its second handshake is refused: that it has not acted, nothing proves.
        assert line == f"patchwire: unknown: {server.base_url}: {RENEGOTIATION}"
        assert (outcome["outcome"], sent.returncode, batch.returncode) == ("unknown", 3, 3)
        assert outcome["error"] == f"{server.base_url}: {RENEGOTIATION}"
    assert [each.target for each in server.processed] == ["/public"]
