from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from patchwire.files.connection_file import load_connection
from patchwire.http.redirects import Redirects
from patchwire.run.journal import Journal
from patchwire.run.journal_rows import Intent
from patchwire.settings.connection import ConnectionSettings
from patchwire.settings.written import DigestSettings, Limits
from tests.support.batches import BatchFiles, read_lines
from tests.support.certificates import Authority
from tests.support.commands import environment, patchwire, running, serving
from tests.support.consenting import BROWSER
from tests.support.proxy import Forward, Reply, Seen, scripted_proxy
from tests.support.proxy import answer as proxy_answer

README = Path(__file__).parents[1] / "README.md"
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", README.read_text("utf-8"), re.MULTILINE | re.DOTALL)


def block(language: str, containing: str) -> str:
    (found,) = (text for kind, text in BLOCKS if kind == language and containing in text)
    return str(found)


def test_the_batch_of_the_readme_runs_as_it_is_written(tmp_path: Path) -> None:
    documents = tmp_path / "documents.ndjson"
    documents.write_text(
        '{"path": "/v1/people/1", "body": {"name": "?"}}\n{"path": "/v1/people/2", "body": {"name": "?"}}\n', "utf-8"
    )
    (tmp_path / "people.ndjson").write_text(block("json", '"id": "r1", "path"'), "utf-8")
    _, *arguments = shlex.split(block("", "--unknown unknown.ndjson"))
    with serving("--documents", documents, "--auth", "basic", "--user", "svc", "--password", "pw") as url:
        connection = block("toml", "crm.toml").replace("http://127.0.0.1:8080", url)
        (tmp_path / "crm.toml").write_text(connection, "utf-8")
        done = patchwire(*arguments, cwd=tmp_path, env=environment(CRM_PASSWORD="pw"))
    assert done.returncode == 1, done.stderr
    outcomes = sorted(read_lines(tmp_path / "outcomes.ndjson"), key=lambda line: str(line["id"]))
    assert [(line["id"], line["outcome"], line["status"]) for line in outcomes] == [
        ("r1", "applied", 200), ("r2", "rejected", 412),
    ]  # fmt: skip
    shown = json.loads(block("json", '"seq":0'))
    assert list(outcomes[0]) == list(shown)


def test_the_first_connection_of_the_readme_runs_as_it_is_written(tmp_path: Path) -> None:
    _, _, *options = shlex.split(block("", "--auth basic --user svc --password env:CRM_PASSWORD").replace("8080", "0"))
    with serving(*options, env=environment(CRM_PASSWORD="pw")) as url:
        connection = block("toml", "crm.toml").replace("http://127.0.0.1:8080", url)
        (tmp_path / "crm.toml").write_text(connection, "utf-8")
        for line in block("", "check crm.toml --connect").splitlines():
            _, *arguments = shlex.split(line)
            done = patchwire(*arguments, cwd=tmp_path, env=environment(CRM_PASSWORD="pw"))
            assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout) == {"name": "Ada"}
        example = block("python", "PatchClient(").rstrip()
        done = subprocess.run(
            [sys.executable, "-c", example], cwd=tmp_path, env=environment(CRM_PASSWORD="pw"), capture_output=True,
            text=True, timeout=60, check=False,
        )  # fmt: skip
    assert done.stdout == 'Outcome.APPLIED 200 b\'{"name":"Ada"}\' None\n', done.stderr


def test_the_certificates_of_the_readme_are_read_as_they_are_written(tmp_path: Path) -> None:
    authority = Authority()
    (tmp_path / "corporate-ca.pem").write_bytes(authority.pem)
    (tmp_path / "client.p12").write_bytes(authority.issue("svc", client=True, server=False).pkcs12(b"pw"))
    (tmp_path / "server.pem.combined").write_bytes(authority.issue("127.0.0.1").combined_pem)
    arguments = (
        "--tls",
        "--certificate",
        tmp_path / "server.pem.combined",
        "--client-ca",
        tmp_path / "corporate-ca.pem",
    )
    with serving(*arguments, "--create-missing") as url:
        settings = f'base_url = "{url}"\n' + block("toml", "client_certificate")
        (tmp_path / "crm.toml").write_text(settings, "utf-8")
        variables = environment(CLIENT_PASSWORD="pw")
        done = patchwire("send", "crm.toml", "/a", "--body", "{}", cwd=tmp_path, env=variables)
        assert done.returncode == 0, done.stderr
        _, *export = shlex.split(block("", "--export-certificate"))
        assert patchwire(*export, cwd=tmp_path, env=variables).returncode == 0
        settings = f'base_url = "{url}"\n' + block("toml", "client_certificate").replace("corporate-ca", "server")
        (tmp_path / "crm.toml").write_text(settings, "utf-8")
        done = patchwire("send", "crm.toml", "/a", "--body", "{}", cwd=tmp_path, env=variables)
        assert done.returncode == 0, done.stderr


def test_the_proxy_of_the_readme_is_asked_once_and_hands_on_what_is_sent(tmp_path: Path) -> None:
    def script(seen: Seen) -> Reply:
        is_known = bool(seen.values("proxy-authorization"))
        return Forward() if is_known else proxy_answer(407, 'Proxy-Authenticate: Basic realm="p"')

    with serving("--create-missing") as url, scripted_proxy(script) as proxy:
        settings = block("toml", "[proxy]").replace("http://127.0.0.1:3128", proxy.base_url)
        (tmp_path / "crm.toml").write_text(f'base_url = "{url}"\n{settings}', "utf-8")
        done = patchwire(
            "send", "crm.toml", "/a", "--body", "{}", cwd=tmp_path, env=environment(PROXY_PASSWORD="canary")
        )
        assert done.returncode == 0, done.stderr
        assert [seen.target for seen in proxy.seen] == [f"{url}/a"] * 2


def test_what_is_left_is_found_and_settled_as_the_readme_says(tmp_path: Path) -> None:
    files = BatchFiles(tmp_path, "http://127.0.0.1:1")
    settings = load_connection(files.connection)
    journal = Journal(tmp_path / "people.ndjson.journal", settings.identity)
    journal.commit([], [Intent(seq, b"", f"/people/{seq}", None, None) for seq in range(2)])
    journal.close()
    find, settle = (shlex.split(line)[1:] for line in block("", "patchwire settle").splitlines())
    found = patchwire(*find, cwd=tmp_path)
    assert [json.loads(line)["seq"] for line in found.stdout.splitlines()] == [0, 1]
    assert patchwire(*settle, cwd=tmp_path).returncode == 0
    found = patchwire(*find, cwd=tmp_path)
    assert [json.loads(line)["seq"] for line in found.stdout.splitlines()] == [0]


RECIPES = ["--verify", "--refetch 2", "--rate 50", "--attempts"]
"""What is in the block of each."""


@pytest.mark.parametrize("containing", RECIPES)
def test_the_recipes_of_the_readme_run_as_they_are_written(tmp_path: Path, containing: str) -> None:
    (tmp_path / "people.ndjson").write_text(
        block("json", '"id": "r1", "path"').replace(', "if_match": "\\"v3\\""', "")
    )
    documents = tmp_path / "documents.ndjson"
    documents.write_text(
        "".join(json.dumps({"path": f"/v1/people/{n}", "body": {"name": "?"}}) + "\n" for n in (1, 2))
    )
    with serving("--documents", documents) as url:
        (tmp_path / "crm.toml").write_text(f'base_url = "{url}/v1"\n{block("toml", "response_timeout")}', "utf-8")
        for line in block("", containing).splitlines():
            _, *arguments = shlex.split(line)
            fresh = ["--fresh"] if arguments[0] == "batch" else []
            if arguments[0] == "journal":
                assert patchwire("batch", "crm.toml", "people.ndjson", cwd=tmp_path).returncode == 0
            done = patchwire(*arguments, *fresh, cwd=tmp_path)
            assert (done.returncode, done.stderr) == (0, "")
            assert "applied 2" in done.stdout or [
                json.loads(line)["attempt"] for line in done.stdout.splitlines()
            ] == [1, 1]


def test_the_limits_of_the_readme_are_the_defaults() -> None:
    assert Limits(**tomllib.loads(block("toml", "response_timeout"))["limits"]) == Limits()


@pytest.fixture
def server_of_the_readme(tmp_path: Path) -> str:
    _, *arguments = shlex.split(block("", "--record applied.ndjson"))
    assert arguments[arguments.index("--port") + 1] == "8080"
    return " ".join(arguments).replace("8080", "0")


def test_the_server_of_the_readme_runs_as_it_is_written(tmp_path: Path, server_of_the_readme: str) -> None:
    with running(*server_of_the_readme.split(), cwd=tmp_path, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        url = json.loads(process.stdout.readline())["listening"]
        patched = httpx.patch(f"{url}/a", headers={"Content-Type": "application/merge-patch+json"}, content=b"{}")
        assert patched.status_code == 201
    assert len(read_lines(tmp_path / "applied.ndjson")) == 1


def test_the_embedding_example_of_the_readme_runs_as_it_is_written() -> None:
    with serving("--create-missing") as url:
        program = block("python", "Exchange(request)").replace("http://127.0.0.1:8080", url)
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    head, body, end = done.stdout.splitlines()
    assert (head[:28], body, end) == ("ResponseHead(status=201, rea", "BodyData(data=b'{}')", "Complete(trailers=())")


def test_the_statement_of_help_is_true() -> None:
    done = patchwire("batch", "--help")
    for option in ("--concurrency", "--summary", "--fresh", "--patience", "-v"):
        assert option in done.stdout


def test_digest_of_the_readme_runs_as_it_is_written(tmp_path: Path) -> None:
    serve, batch = (shlex.split(line)[1:] for line in block("", "batch digest.toml").splitlines())
    (tmp_path / "people.ndjson").write_text('{"path": "/people/1", "body": {"name": "Ada"}}\n' * 3, "utf-8")
    variables = environment(CRM_PASSWORD="pw")
    assert serve[:3] == ["serve", "--port", "8081"]
    with serving("--port", "0", *serve[3:], env=variables) as url:
        connection = block("toml", "# digest.toml").replace("http://127.0.0.1:8081", url)
        (tmp_path / "digest.toml").write_text(connection, "utf-8")
        done = patchwire(*batch, cwd=tmp_path, env=variables)
    assert done.returncode == 0, done.stderr
    assert " * the server offers Digest SHA-256, Digest MD5; chosen: Digest SHA-256 with qop auth" in done.stderr
    settings = load_connection_of(tmp_path / "digest.toml")
    assert settings.digest == DigestSettings()
    assert msgspec.convert(tomllib.loads(block("toml", "[redirects]"))["redirects"], Redirects) == Redirects()


def load_connection_of(path: Path) -> ConnectionSettings:
    path.write_text(path.read_text("utf-8").replace("env:CRM_PASSWORD", "literal:pw"), "utf-8")
    return load_connection(path)


def test_the_digest_function_of_the_readme_is_called_as_it_is_written() -> None:
    names: dict[str, object] = {}
    exec(block("python", "digest.authorization("), names)
    assert str(names["field"]).startswith('Digest username="svc", realm="r", nonce="n", uri="/a", response="')


def test_aws_of_the_readme_runs_as_it_is_written(tmp_path: Path) -> None:
    serve, check, batch = (shlex.split(line)[1:] for line in block("", "batch aws.toml").splitlines())
    (tmp_path / "people.ndjson").write_text('{"path": "/people/1", "body": {"name": "Ada"}}\n' * 3, "utf-8")
    variables = environment(CRM_PASSWORD="wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
    assert serve[:3] == ["serve", "--port", "8082"]
    with serving("--port", "0", *serve[3:], env=variables) as url:
        connection = block("toml", "# aws.toml").replace("http://127.0.0.1:8082", url)
        (tmp_path / "aws.toml").write_text(connection, "utf-8")
        done = patchwire(*check, cwd=tmp_path, env=variables)
        assert "aws.service execute-api (execute-api, " in done.stdout, done.stderr
        done = patchwire(*batch, cwd=tmp_path, env=variables)
    assert done.returncode == 0, done.stderr
    assert "applied 3" in done.stdout


def test_the_aws_functions_of_the_readme_are_called_as_they_are_written() -> None:
    names: dict[str, Any] = {}
    exec(block("python", "sigv4.presign("), names)
    assert [name for name, _ in names["fields"]] == [b"X-Amz-Date", b"Authorization"]
    assert b"X-Amz-Expires=600" in names["link"].target
    assert dict(names["wide"])[b"X-Amz-Region-Set"] == b"us-east-1,eu-*"


STRANGER = """
import itertools, socket, time
from patchwire.auth.credentials import Credentials
from patchwire.http import Exchange, Response, request_to
from patchwire.http.exchange import BodyData, ResponseHead

def send(request):
    exchange, head, body = Exchange(request), None, b""
    with socket.create_connection((request.origin.host, request.origin.port)) as peer:
        peer.sendall(exchange.bytes_to_send(time.monotonic()))
        exchange.all_sent()
        while not exchange.ended:
            for event in exchange.receive(peer.recv(65_536)):
                head = event if isinstance(event, ResponseHead) else head
                body += event.data if isinstance(event, BodyData) else b""
    return Response(head.status, head.headers, body, head.reason)

def requests():
    for number in range(3):
        yield request_to("PATCH", f"URL/{number}", [("Content-Type", "application/merge-patch+json")], b"{}")

for password in ("pw", "wrong"):
    numbers = itertools.count()
    origin = next(requests()).origin
    authentication = DigestAuthentication(Credentials("svc", password), origin, lambda: f"cnonce{next(numbers)}")
    for request in requests():
        result = authenticated(authentication, request, send)
        print(result.response.status, result.refusal, result.doubt)
"""


def test_the_driver_of_the_readme_authenticates_over_plain_sockets() -> None:
    with serving("--create-missing", "--auth", "digest", "--user", "svc", "--password", "pw") as url:
        program = block("python", "def authenticated") + STRANGER.replace("URL", url)
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    refused = "401 user 'svc' or its password was rejected (Digest SHA-256, realm 'patchwire') None"
    assert done.stdout.splitlines() == ["201 None None"] * 3 + [refused] * 3


def written(directory: Path, name: str, url: str) -> None:
    """The connection file of that name in the README, for a server that listens somewhere else."""
    text = re.sub(r"http://127\.0\.0\.1:808\d", url, block("toml", f"# {name}"))
    (directory / name).write_text(text, "utf-8")


def test_oauth_of_the_readme_runs_as_it_is_written(tmp_path: Path) -> None:
    serve, batch = (shlex.split(line)[1:] for line in block("", "batch oauth2.toml").splitlines())
    person = [shlex.split(line)[1:] for line in block("", "authorize person.toml").splitlines()]
    (tmp_path / "people.ndjson").write_text('{"path": "/people/1", "body": {"name": "Ada"}}\n' * 3, "utf-8")
    variables = environment(
        CRM_PASSWORD="canary-pw",
        BROWSER=BROWSER,
        CONSENTING_RESULT=str(tmp_path / "page"),
        PATCHWIRE_STATE=str(tmp_path / "state"),
        PYTHONPATH=str(README.parent),
    )
    assert serve[:3] == ["serve", "--port", "8083"]
    with serving("--port", "0", *serve[3:], env=variables) as url:
        written(tmp_path, "oauth2.toml", url)
        written(tmp_path, "person.toml", url)
        for command in (batch, *person):
            done = patchwire(*command, cwd=tmp_path, env=variables)
            assert done.returncode == 0, done.stderr
    assert re.search(r"^the kept token ends .*, with a refresh token$", done.stdout, re.MULTILINE)


def test_an_extension_of_the_readme_overrides_what_it_may(tmp_path: Path) -> None:
    commands = [shlex.split(line)[1:] for line in block("", "check shared.toml").splitlines()]
    variables = environment(CRM_PASSWORD="pw")
    with serving("--create-missing", "--auth", "basic", "--user", "svc", "--password", "pw", env=variables) as url:
        written(tmp_path, "shared.toml", url)
        written(tmp_path, "test.toml", url)
        check, send = (patchwire(*command, cwd=tmp_path, env=variables) for command in commands)
        assert f"base_url {url}/test  [test.toml, in force]" in check.stdout.splitlines()
        assert "user svc  [shared.toml]" in check.stdout.splitlines()
        assert send.returncode == 0, send.stderr
        assert httpx.get(f"{url}/test/people/1", auth=("svc", "pw")).json() == {"name": "Ada"}


def test_the_grants_of_the_readme_are_called_as_they_are_written() -> None:
    names: dict[str, Any] = {}
    exec(block("python", "oauth2.token_request("), names)
    assert names["request"].body == b"grant_type=client_credentials&scope=read+write"
    assert (names["token"].access_token, names["token"].expires_at) == ("mF_9.B5f-4.1JqM", 1440941760)
