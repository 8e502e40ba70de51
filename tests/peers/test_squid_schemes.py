"""What Squid can be asked to be in a test, shown with clients that are not patchwire."""

from __future__ import annotations

import http.client
import shutil
import ssl
import subprocess
from base64 import b64encode
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.squid import REALM, Scheme, SquidServer, needs_squid, squid_server
from tests.support.tls import AUTHORITY
from tests.support.tls_backend import TlsBackend, tls_backend

pytestmark = [needs_squid, pytest.mark.peer]

BODY = b'{"name":"Ada"}'
needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed: apt-get install curl")


def basic(server: SquidServer, password: str = "") -> str:
    """The field's value for Basic, with the server's password unless there is another."""
    return "Basic " + b64encode(f"{server.user}:{password or server.password}".encode()).decode()


def asked(server: SquidServer, credentials: str = "") -> tuple[int, list[str]]:
    """Status and challenges of a PATCH in the open through the proxy."""
    fields = {"Proxy-Authorization": credentials} if credentials else {}
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)) as connection:
        connection.request("PATCH", f"{server.backend_url}/people/1", BODY, fields)
        response = connection.getresponse()
        response.read()
        return response.status, response.headers.get_all("Proxy-Authenticate", [])


def trusting_context() -> ssl.SSLContext:
    return ssl.create_default_context(cadata=AUTHORITY.pem.decode())


def curl(directory: Path, server: SquidServer, backend: TlsBackend, *options: str) -> subprocess.CompletedProcess[str]:
    """What curl makes of a PATCH through a tunnel of the proxy."""
    (directory / "ca.pem").write_bytes(AUTHORITY.pem)
    trust = ["--cacert", str(directory / "ca.pem"), "--proxy-cacert", str(directory / "ca.pem")]
    means = ["--silent", "--show-error", "--max-time", "10", "--proxy", server.base_url, *trust, *options]
    what = ["--request", "PATCH", "--data", BODY.decode(), f"{backend.base_url}/people/1"]
    return subprocess.run(["curl", *means, *what], capture_output=True, text=True, check=False)


def test_squid_lets_the_right_password_through_by_basic_and_no_other(tmp_path: Path) -> None:
    with squid_server(tmp_path, scheme="basic") as server:
        assert asked(server) == (407, [f'Basic realm="{REALM}"'])
        assert asked(server, basic(server, "not this one")) == (407, [f'Basic realm="{REALM}"'])
        assert asked(server, basic(server)) == (200, [])
        assert [each.target for each in server.processed] == ["/people/1"]
    assert [status for _, _, status in server.access_log()] == [407, 407, 200]


def test_a_squid_with_both_schemes_offers_digest_before_basic_and_takes_basic(tmp_path: Path) -> None:
    with squid_server(tmp_path, scheme="both") as server:
        status, challenges = asked(server)
        assert (status, [challenge.split(" ", 1)[0] for challenge in challenges]) == (407, ["Digest", "Basic"])
        assert asked(server, basic(server)) == (200, [])


def test_a_squid_without_a_scheme_lets_everybody_through(tmp_path: Path) -> None:
    with squid_server(tmp_path, scheme="none") as server:
        assert asked(server) == (200, [])


def test_a_squid_over_tls_shows_its_certificate_and_forwards(tmp_path: Path) -> None:
    with squid_server(tmp_path, scheme="basic", tls=True) as server:
        assert server.base_url == f"https://localhost:{server.port}"
        with closing(
            http.client.HTTPSConnection("localhost", server.port, timeout=10, context=trusting_context())
        ) as connection:
            fields = {"Proxy-Authorization": basic(server)}
            connection.request("PATCH", f"{server.backend_url}/people/1", BODY, fields)
            assert connection.getresponse().status == 200
    assert server.access_log() == [("PATCH", f"{server.backend_url}/people/1", 200)]


@needs_curl
@pytest.mark.parametrize("tls", [False, True], ids=["in the open", "over TLS"])
@pytest.mark.parametrize(
    ("scheme", "statuses", "how"),
    [
        ("none", [200], []),
        ("basic", [200], ["--proxy-basic"]),
        ("digest", [407, 200], ["--proxy-digest"]),
        ("both", [407, 200], ["--proxy-anyauth"]),
    ],
)
def test_a_tunnel_leads_to_a_server_behind_that_is_sent_nothing_for_the_proxy(
    tmp_path: Path, scheme: Scheme, statuses: list[int], how: list[str], tls: bool
) -> None:
    with squid_server(tmp_path / "squid", scheme=scheme, tls=tls) as server, tls_backend() as backend:
        credentials = ["--proxy-user", f"{server.user}:{server.password}"] if how else []
        done = curl(tmp_path, server, backend, *how, *credentials)
        assert (done.stdout, done.stderr) == ("/people/1", "")
        (received,) = backend.received
        assert (received.method, received.target, received.body) == ("PATCH", b"/people/1", BODY)
        assert not [name for name, _ in received.headers if name.lower().startswith(b"proxy-")]
    authority = backend.base_url.removeprefix("https://")
    assert server.access_log() == [("CONNECT", authority, status) for status in statuses]


@needs_curl
def test_a_wrong_password_opens_no_tunnel(tmp_path: Path) -> None:
    with squid_server(tmp_path / "squid", scheme="basic") as server, tls_backend() as backend:
        done = curl(tmp_path, server, backend, "--proxy-basic", "--proxy-user", f"{server.user}:wrong")
        assert "407" in done.stderr
        assert backend.received == []
    assert server.access_log() == [("CONNECT", backend.base_url.removeprefix("https://"), 407)]


@needs_curl
def test_the_server_behind_may_require_a_client_certificate(tmp_path: Path) -> None:
    (tmp_path / "client.pem").write_bytes(AUTHORITY.issue("svc", client=True, server=False).combined_pem)
    with squid_server(tmp_path / "squid", scheme="none") as server, tls_backend(AUTHORITY) as backend:
        assert "certificate required" in curl(tmp_path, server, backend).stderr
        assert backend.received == []
        assert curl(tmp_path, server, backend, "--cert", str(tmp_path / "client.pem")).stdout == "/people/1"
        assert len(backend.received) == 1
    assert [status for _, _, status in server.access_log()] == [200, 200]
