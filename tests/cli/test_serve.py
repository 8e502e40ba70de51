from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx
import pytest
import trio
import trio.testing

from patchwire.cli.serve import take_signals
from patchwire.loopback.token_endpoint import DEVICE_GRANT
from tests.support.authorization import CALLBACK, VERIFIER, asking, decide, decide_on_device
from tests.support.batches import read_lines
from tests.support.certificates import Authority, self_signed
from tests.support.commands import patchwire, running, serving, without_traceback

MERGE = {"Content-Type": "application/merge-patch+json"}


def test_a_document_from_a_file_is_served_patched_and_recorded(tmp_path: Path) -> None:
    documents = tmp_path / "documents.ndjson"
    documents.write_text('{"path": "/a", "body": {"n": 1}}\n\n{"path": "/b", "body": [1, 2]}\n', "utf-8")
    record = tmp_path / "applied.ndjson"
    with serving("--documents", documents, "--record", record) as url, httpx.Client(base_url=url) as client:
        assert client.get("/a").json() == {"n": 1}
        assert client.patch("/a?x=1", headers=MERGE, content=b'{"n": null, "m": 2}').json() == {"m": 2}
        assert client.patch("/missing", headers=MERGE, content=b"{}").status_code == 404
        accepted = client.patch("/a", content=b"{}").headers["accept-patch"]
        assert accepted == "application/merge-patch+json, application/json-patch+json"
    (line,) = read_lines(record)
    assert (line["path"], line["status"], line["body"]) == ("/a?x=1", 200, {"n": None, "m": 2})


def test_basic_is_asked_for_and_taken(tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("p:w\n", "utf-8")
    with serving("--auth", "basic", "--user", "svc", "--password", f"file:{secret}", "--create-missing") as url:
        refused = httpx.patch(f"{url}/a", headers=MERGE, content=b"{}")
        assert refused.status_code == 401
        assert refused.headers["www-authenticate"] == 'Basic realm="patchwire", charset="UTF-8"'
        assert httpx.patch(f"{url}/a", headers=MERGE, content=b"{}", auth=("svc", "p:w")).status_code == 201
        assert httpx.patch(f"{url}/a", headers=MERGE, content=b"{}", auth=("svc", "no")).status_code == 401


@pytest.mark.parametrize(
    ("arguments", "code", "complaint"),
    [
        (["--auth", "basic"], 2, "needs --user and --password"),
        (["--user", "x"], 2, "--user needs --auth basic or digest"),
        (["--auth", "basic", "--user", "a:b", "--password", "x"], 2, "colon"),
        (["--auth", "basic", "--user", "a", "--password", "env:NOT_SET_ANYWHERE"], 2, "NOT_SET_ANYWHERE"),
        (["--documents", "/nowhere/documents"], 2, "/nowhere/documents: no such file"),
        (["--record", "/nowhere/record"], 4, "/nowhere/record: no such file"),
    ],
)
def test_what_is_wrong_is_one_line_with_its_exit_code(arguments: list[str], code: int, complaint: str) -> None:
    done = patchwire("serve", *arguments)
    assert done.returncode == code
    assert complaint in without_traceback(done)[-1]


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ('{"path": "/a"}', "body: missing"),
        ('{"path": "/a", "body": 1, "x": 2}', "x: unknown key"),
        ('{"path": "/a", "body": {"a": 1, "a": 2}}', "twice"),
        ("nonsense", "not a document line"),
    ],
)
def test_a_faulty_document_line_is_named(tmp_path: Path, line: str, complaint: str) -> None:
    documents = tmp_path / "documents.ndjson"
    documents.write_text('{"path": "/ok", "body": 1}\n' + line, "utf-8")
    done = patchwire("serve", "--documents", documents)
    assert done.returncode == 2
    (said,) = without_traceback(done)
    assert said.startswith(f"patchwire: {documents}:2: ")
    assert complaint in said


def test_a_port_in_use_is_one_line() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = patchwire("serve", "--port", str(taken.getsockname()[1]))
    assert done.returncode == 1
    (line,) = without_traceback(done)
    assert "in use" in line


def test_the_log_shows_requests_and_responses_without_secrets() -> None:
    with running("serve", "-v", "--create-missing", stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        url = json.loads(process.stdout.readline())["listening"]
        httpx.patch(f"{url}/a", headers=MERGE | {"Authorization": "canary"}, content=b"{}")
        process.terminate()
        with process.stderr as stderr:
            said = stderr.read().decode()
    assert "< PATCH /a\n" in said
    assert "> 201 Created\n" in said
    assert "canary" not in said


def exchanged(client: httpx.Client, **form: str) -> dict[str, str]:
    """What the token endpoint answers to the client that is registered."""
    answer: dict[str, str] = client.post("/oauth2/token", data=form, auth=("app", "canary-secret")).json()
    return answer


def test_an_oauth_client_gets_its_tokens_in_each_way_and_the_log_shows_none_of_them(tmp_path: Path) -> None:
    options = ("--auth", "bearer", "--client-id", "app", "--client-secret", "literal:canary-secret", "--user", "ada",
               "--password", "canary-password", "--create-missing", "-v")  # fmt: skip
    with (
        (tmp_path / "log").open("wb") as log,
        serving(*options, stderr=log) as url,
        httpx.Client(base_url=url) as client,
    ):
        metadata = client.get("/.well-known/oauth-authorization-server").json()
        assert (metadata["issuer"], metadata["token_endpoint"]) == (url, f"{url}/oauth2/token")
        back = urlsplit(decide(client, f"{metadata['authorization_endpoint']}?{urlencode(asking())}"))
        led = dict(parse_qsl(back.query))
        assert (back.netloc, led["state"], led["iss"]) == ("127.0.0.1:5000", "s&1", url)
        form = {"code": led["code"], "redirect_uri": CALLBACK, "code_verifier": VERIFIER}
        given = [exchanged(client, grant_type="authorization_code", **form)]
        given.append(exchanged(client, grant_type="refresh_token", refresh_token=given[0]["refresh_token"]))
        given.append(exchanged(client, grant_type="client_credentials"))
        given.append(exchanged(client, grant_type="password", username="ada", password="canary-password"))
        device = client.post(
            "/oauth2/device_authorization", data={"client_id": "app", "client_secret": "canary-secret"}
        )
        codes = device.json()
        decide_on_device(client, codes["verification_uri"], codes["user_code"])
        given.append(exchanged(client, grant_type=DEVICE_GRANT, device_code=codes["device_code"]))
        for number, each in enumerate(given):
            fields = MERGE | {"Authorization": f"Bearer {each['access_token']}"}
            assert client.patch(f"/{number}", headers=fields, content=b"{}").status_code == 201
        told = client.post(
            "/oauth2/introspect", data={"token": given[3]["access_token"]}, auth=("app", "canary-secret")
        )
        assert (told.json()["active"], told.json()["username"]) == (True, "ada")
        assert exchanged(client, grant_type="authorization_code", **form)["error"] == "invalid_grant"
        fields = MERGE | {"Authorization": f"Bearer {given[1]['access_token']}"}
        assert client.patch("/1", headers=fields, content=b"{}").status_code == 401
    written = (tmp_path / "log").read_text("utf-8")
    secrets = [each[name] for each in given for name in ("access_token", "refresh_token") if name in each]
    secrets += [led["code"], codes["device_code"], codes["user_code"], VERIFIER, "canary-secret", "canary-password"]
    assert not [secret for secret in secrets if secret in written]
    assert f"> Location: {CALLBACK}?code=***&state=" in written


def test_ctrl_c_ends_the_server_quietly() -> None:
    with running("serve", stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        json.loads(process.stdout.readline())
        process.send_signal(2)
        with process.stderr as stderr:
            assert stderr.read() == b""
        assert process.wait(10) == 0


def over_tls(directory: Path, url: str, trust: str, more: str = "") -> Path:
    path = directory / "c.toml"
    path.write_text(f'base_url = "{url}"\n[tls]\ntrust = ["{trust}"]\nsystem_roots = false\n{more}', "utf-8")
    return path


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_server_once_what_is_under_way_is_answered(number: signal.Signals, tmp_path: Path) -> None:
    with running("serve", "--create-missing", stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        parts = urlsplit(json.loads(process.stdout.readline())["listening"])
        address = (parts.hostname or "", parts.port or 0)
        with socket.create_connection(address, timeout=20) as idle, socket.create_connection(address) as begun:
            begun.settimeout(20)
            head = (
                "PATCH /a HTTP/1.1\r\nHost: h\r\nContent-Type: application/merge-patch+json\r\nContent-Length: 2\r\n"
            )
            begun.sendall(f"{head}Expect: 100-continue\r\n\r\n".encode())
            assert begun.recv(100).startswith(b"HTTP/1.1 100 ")
            process.send_signal(number)
            assert idle.recv(100) == b""
            begun.sendall(b"{}")
            answer = begun.recv(10_000)
            assert answer.startswith(b"HTTP/1.1 201 ")
            assert b"Connection: close\r\n" in answer
        assert process.wait(20) == 0
        assert process.stderr.read() == b""
        process.stderr.close()


def test_a_second_signal_ends_the_server_at_once() -> None:
    async def main() -> None:
        closing = trio.Event()
        async with trio.open_nursery() as nursery:
            await nursery.start(take_signals, closing, nursery.cancel_scope)
            signal.raise_signal(signal.SIGTERM)
            await closing.wait()
            await trio.testing.wait_all_tasks_blocked(0.005)
            assert not nursery.cancel_scope.cancel_called
            signal.raise_signal(signal.SIGINT)
            with trio.fail_after(10):
                await trio.sleep_forever()
        assert nursery.cancel_scope.cancelled_caught

    trio.run(main)


def test_signals_that_are_ignored_stay_ignored() -> None:
    async def main() -> None:
        with trio.CancelScope() as scope:
            await take_signals(trio.Event(), scope)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.raise_signal(number)

    former = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        trio.run(main)
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def test_over_tls_it_makes_a_certificate_and_leaves_the_ca_to_trust(tmp_path: Path) -> None:
    with serving("--tls", "--authority", tmp_path / "ca.pem"):
        pass
    with serving("--tls", "--authority", tmp_path / "ca.pem", "--create-missing") as url:
        assert url.startswith("https://127.0.0.1:")
        for host in ("127.0.0.1", "localhost"):
            file = over_tls(tmp_path, url.replace("127.0.0.1", host), "ca.pem")
            done = patchwire("send", file, "/a", "--body", "{}")
            assert done.returncode == 0, done.stderr


def test_a_client_certificate_is_required_where_its_ca_is_named(tmp_path: Path) -> None:
    authority, foreign = Authority("clients"), Authority("strangers")
    (tmp_path / "clients.pem").write_bytes(authority.pem)
    own = self_signed("127.0.0.1")
    (tmp_path / "server.p12").write_bytes(own.pkcs12(b"pw"))
    (tmp_path / "server.pem").write_bytes(own.pem)
    (tmp_path / "right.pem").write_bytes(authority.issue("me", client=True, server=False).combined_pem)
    (tmp_path / "foreign.pem").write_bytes(foreign.issue("me", client=True, server=False).combined_pem)
    options = (
        "--certificate",
        tmp_path / "server.p12",
        "--key-password",
        "pw",
        "--client-ca",
        tmp_path / "clients.pem",
    )
    with serving("--tls", *options, "--create-missing") as url:
        ends = {}
        for name in ("right", "foreign", None):
            more = f'client_certificate = "{name}.pem"' if name else ""
            done = patchwire("send", over_tls(tmp_path, url, "server.pem", more), "/a", "--body", "{}")
            ends[name] = (done.returncode, without_traceback(done)[0])
    assert ends["right"] == (0, "patchwire: applied: 201 Created")
    assert ends["foreign"] == (
        1,
        f"patchwire: not_sent: {url}: the server does not know the CA of our client certificate",
    )
    assert ends[None][0] == 1
    assert ends[None][1].startswith(f"patchwire: not_sent: {url}: the server requires a client certificate")


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--certificate", "x"), "--certificate needs --tls"),
        (("--client-ca", "x"), "--client-ca needs --tls"),
        (("--tls", "--key", "x"), "--key needs --certificate"),
        (("--tls", "--certificate", "x", "--authority", "y"), "--authority is for a certificate that is made"),
        (("--tls", "--authority", "no.pem"), "--authority: no.pem: is not what patchwire serve has left"),
        (("--tls", "--authority", "bare.pem"), "--authority: bare.pem: is not what patchwire serve has left"),
        (("--tls", "--certificate", "nothing"), "--certificate: nothing: no such file or directory"),
        (("--tls", "--certificate", "no.pem"), "--certificate: no.pem: holds no certificate and no key"),
        (("--tls", "--certificate", "bare.pem"), "holds no private key; name the file of its key as --key"),
        (("--tls", "--certificate", "long"), "--certificate: long: over 16 MiB: no certificate or key"),
        (("--tls", "--client-ca", "no.pem"), "--client-ca: no.pem: holds no certificate"),
        (("--tls", "--authority", "no/where.pem"), "no/where.pem: no such file or directory"),
    ],
)
def test_what_cannot_be_served_over_tls_is_one_line(tmp_path: Path, options: tuple[str, ...], complaint: str) -> None:
    (tmp_path / "no.pem").write_text("nothing", "utf-8")
    (tmp_path / "bare.pem").write_bytes(self_signed("h").pem)
    with (tmp_path / "long").open("wb") as file:
        file.truncate(16 * 1_048_576 + 1)
    done = patchwire("serve", *options, cwd=tmp_path)
    assert done.returncode == (4 if "where" in complaint else 2)
    assert complaint in without_traceback(done)[-1]


def test_the_wire_log_has_time_and_connection_first(tmp_path: Path) -> None:
    said = (tmp_path / "said").open("wb")
    with said, running("serve", "-v", stdout=subprocess.PIPE, stderr=said) as process:
        assert process.stdout is not None
        url = json.loads(process.stdout.readline())["listening"]
        httpx.get(f"{url}/a", headers={"Authorization": "Basic canary"})
    lines = (tmp_path / "said").read_text("utf-8").splitlines()
    stamped = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z #1 [<>] ").match
    assert all(map(stamped, lines)), lines
    assert " #1 < GET /a" in lines[0]
    assert any(line.endswith("> 404 Not Found") for line in lines)
    assert any("***" in line for line in lines)
    assert "canary" not in "".join(lines)
