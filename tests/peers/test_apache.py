from __future__ import annotations

import socket
import ssl
from pathlib import Path

import httpx
import pytest

from tests.support.apache import Processed, apache_server, needs_apache
from tests.support.certificates import Authority, Issued

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
