"""Credentials from where AWS's tools keep and fetch them, and whether moto lets in what is signed with them."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from patchwire.auth.aws_credentials import AwsCredentials
from patchwire.auth.sigv4 import Scope, sign
from patchwire.errors import CredentialsError
from patchwire.files import aws_chain
from patchwire.files.aws_chain import chain_credentials
from patchwire.http.message import request_to
from tests.support.commands import patchwire, without_traceback
from tests.support.moto import REGION, SERVICE, AwsKeys, MotoServer, moto_server, needs_moto

pytestmark = [needs_moto, pytest.mark.peer]

BODY = json.dumps({"patchOperations": [{"op": "replace", "path": "/description", "value": "changed"}]})
ROLE = "arn:aws:iam::123456789012:role/all"
SOON = "2999-01-01T00:00:00Z"


@pytest.fixture(scope="module")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MotoServer]:
    with moto_server(tmp_path_factory.mktemp("moto")) as server:
        yield server


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home directory without files, and an environment without AWS."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NO_PROXY", "*")
    (tmp_path / ".aws").mkdir()
    aws_chain._chain.cache_clear()
    return tmp_path


def config(home: Path, text: str) -> None:
    (home / ".aws" / "config").write_text(text, "utf-8")


def profile(name: str, keys: AwsKeys) -> str:
    """A profile of the file of credentials."""
    token = "" if keys.session_token is None else f"aws_session_token = {keys.session_token}\n"
    return f"[{name}]\naws_access_key_id = {keys.access_key}\naws_secret_access_key = {keys.secret_key}\n{token}"


def role(home: Path, moto: MotoServer, source: AwsKeys, monkeypatch: pytest.MonkeyPatch) -> None:
    """A profile svc that assumes a role at moto with these keys."""
    (home / ".aws" / "credentials").write_text(profile("source", source), "utf-8")
    config(home, f"[profile svc]\nregion = us-east-1\nrole_arn = {ROLE}\nsource_profile = source\n")
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", moto.base_url)


def patched(moto: MotoServer, credentials: AwsCredentials, api: str) -> int:
    """The status of a change that is signed with these."""
    url = f"{moto.base_url}/restapis/{api}"
    request = request_to("PATCH", url, [("Content-Type", "application/json")], BODY.encode())
    request = request.with_valid_fields(sign(request, credentials, Scope(REGION, SERVICE), time.time()))
    return httpx.request("PATCH", url, headers=list(request.headers), content=BODY, trust_env=False).status_code


@contextmanager
def metadata_service(keys: AwsKeys) -> Iterator[str]:
    """A machine's metadata service, IMDSv2, that gives these keys to its role; its address."""
    role = {"AccessKeyId": keys.access_key, "SecretAccessKey": keys.secret_key, "Token": keys.session_token}
    answers = {
        "PUT /latest/api/token": "a-token-of-imds",
        "GET /latest/meta-data/iam/security-credentials/": "all",
        "GET /latest/meta-data/iam/security-credentials/all": json.dumps(role | {"Expiration": SOON}),
    }

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known = self.command == "PUT" or self.headers["X-aws-ec2-metadata-token"] == "a-token-of-imds"
            body = answers[f"{self.command} {self.path}"].encode() if known else b""
            self.send_response(200 if known else 401)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_PUT = do_GET  # noqa: N815

        def log_message(self, *arguments: Any) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_a_role_is_assumed_once_and_its_session_serves(
    moto: MotoServer, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (api,) = moto.create_apis(1)
    role(home, moto, moto.keys, monkeypatch)
    credentials = chain_credentials("svc")
    assert credentials.access_key.startswith("ASIA")
    assert credentials.session_token is not None
    assert credentials.expires_at is not None
    assert patched(moto, credentials, api) == 200
    assert moto.api(api)["description"] == "changed"
    assert chain_credentials("svc").access_key == credentials.access_key


def test_a_role_that_may_not_be_assumed_is_an_error_with_what_aws_calls_it(
    moto: MotoServer, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    role(home, moto, AwsKeys("AKIANOBODY", "canary"), monkeypatch)
    with pytest.raises(CredentialsError) as caught:
        chain_credentials("svc")
    assert str(caught.value) == (
        "aws.credentials: AWS has refused AssumeRole (InvalidClientTokenId): see what the profile's keys may do"
    )


def test_a_service_that_cannot_be_reached_is_an_error(
    moto: MotoServer, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    role(home, moto, moto.keys, monkeypatch)
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(CredentialsError, match=r"^aws.credentials: a service that gives them cannot be reached: "):
        chain_credentials("svc")


@pytest.mark.parametrize("ends", [True, False])
def test_the_keys_of_a_process_serve(moto: MotoServer, home: Path, ends: bool) -> None:
    (api,) = moto.create_apis(1)
    keys = moto.temporary()
    answer = {"Version": 1, "AccessKeyId": keys.access_key, "SecretAccessKey": keys.secret_key}
    answer |= {"SessionToken": keys.session_token} | ({"Expiration": SOON} if ends else {})
    (home / "process.py").write_text(f"print({json.dumps(answer)!r})", "utf-8")
    config(home, f"[profile svc]\ncredential_process = {sys.executable} {home / 'process.py'}\n")
    credentials = chain_credentials("svc")
    assert (credentials.expires_at is not None) is ends
    assert patched(moto, credentials, api) == 200


def test_the_keys_of_the_machines_role_serve(moto: MotoServer, monkeypatch: pytest.MonkeyPatch) -> None:
    (api,) = moto.create_apis(1)
    with metadata_service(moto.temporary()) as url:
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", url)
        credentials = chain_credentials(None)
    assert credentials.expires_at is not None
    assert patched(moto, credentials, api) == 200
    assert chain_credentials(None).access_key == credentials.access_key  # kept: the service is gone


def test_a_role_that_moto_knows_nothing_of_is_refused(moto: MotoServer, monkeypatch: pytest.MonkeyPatch) -> None:
    # moto has a metadata service of its own, whose keys its other services do not know.
    (api,) = moto.create_apis(1)
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", moto.base_url)
    credentials = chain_credentials(None)
    assert (credentials.access_key, credentials.session_token) == ("test-key", "test-session-token")
    assert credentials.expires_at is not None
    assert patched(moto, credentials, api) == 403
    assert moto.api(api)["description"] == "as created"


def test_a_session_that_moto_has_forgotten_is_refused(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with moto_server(tmp_path / "moto") as moto:
        (api,) = moto.create_apis(1)
        role(home, moto, moto.keys, monkeypatch)
        credentials = chain_credentials("svc")
        assert patched(moto, credentials, api) == 200
        httpx.post(f"{moto.base_url}/moto-api/reset", trust_env=False).raise_for_status()
        assert patched(moto, credentials, api) == 403


# --- patchwire send

FOUND = {
    "profile": 'profile = "svc"\ncredentials_file = "keys"',
    "environment": "",
    "chain": 'profile = "role"',
}


@pytest.mark.parametrize("credentials", FOUND)
def test_send_signs_with_what_it_has_found(
    moto: MotoServer, home: Path, monkeypatch: pytest.MonkeyPatch, credentials: str
) -> None:
    (api,) = moto.create_apis(1)
    keys = moto.temporary()
    (home / "keys").write_text(profile("svc", keys), "utf-8")
    config(home, f"[profile role]\nregion = us-east-1\nrole_arn = {ROLE}\ncredential_source = Environment\n")
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", moto.base_url)
    if credentials != "profile":
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", keys.access_key)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", keys.secret_key)
        monkeypatch.setenv("AWS_SESSION_TOKEN", keys.session_token or "")
    done = sent(home, moto, api, credentials)
    assert (done.returncode, done.stderr.splitlines()[-1]) == (0, "patchwire: applied: 200 OK"), done.stderr
    assert moto.api(api)["description"] == json.loads(done.stdout)["description"] == "changed"
    assert keys.secret_key not in done.stderr + done.stdout
    assert str(keys.session_token) not in done.stderr + done.stdout
    assert "> X-Amz-Security-Token: ***" in done.stderr


@pytest.mark.parametrize(
    ("credentials", "code", "problem"),
    [
        ("profile", 2, "{home}/c.toml: aws.credentials_file: {home}/keys: no such file or directory: "),
        ("environment", 2, "{home}/c.toml: aws.credentials: the environment variable AWS_ACCESS_KEY_ID is not set"),
        ("chain", 1, "patchwire: aws.profile: neither ~/.aws/config nor ~/.aws/credentials holds 'role'"),
    ],
)
def test_send_says_what_it_has_not_found(
    moto: MotoServer, home: Path, credentials: str, code: int, problem: str
) -> None:
    done = sent(home, moto, "none", credentials)
    (line,) = without_traceback(done)
    assert problem.replace("{home}", str(home)) in line
    assert done.returncode == code


def sent(home: Path, moto: MotoServer, api: str, credentials: str) -> Any:
    """`patchwire send` of a change to an API of moto."""
    (home / "c.toml").write_text(
        f'base_url = "{moto.base_url}"\nauthentication = "aws"\n[aws]\nservice = "{SERVICE}"\nregion = "{REGION}"\n'
        f'credentials = "{credentials}"\n{FOUND[credentials]}\n',
        "utf-8",
    )
    options = ("--body", BODY, "--media-type", "application/json", "-v")
    return patchwire("send", home / "c.toml", f"/restapis/{api}", *options)
