"""A private moto on loopback: an AWS whose API Gateway is changed by PATCH, and that verifies Signature Version 4.

The verifier is botocore's signer, run over what came: the path as it stands in the request line, encoded once more;
the query, sorted, as it is; the fields that SignedHeaders names; the body. It does not tell what it has calculated.
The region of the scope is where it looks for an API, and the service is who is asked, so what is signed for another
region is 404. It looks at no clock, at no name of an algorithm, and of the date at X-Amz-Date only. Where
X-Amz-Content-SHA256 is signed it takes that for the body's hash, whatever it says. The session token must be right,
but need not be signed. What it cannot read is 500: no Authorization or another kind of it, Version 4A, no signed
X-Amz-Date, a body without patchOperations, an unknown region or service; a path that it does not know, or that holds
an encoded slash, is 404 before anything is verified. Every answer closes its connection.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.processes import announced, stop, text_of

_INSTALLED = all(find_spec(name) is not None for name in ("moto", "flask_cors", "botocore"))
needs_moto = pytest.mark.skipif(not _INSTALLED, reason="moto is not installed: pip install 'patchwire[peers]'")

REGION = "eu-central-1"
SERVICE = "apigateway"

_START_SECONDS = 60.0  # on a busy machine; it answers within a second on an idle one
_RUNNING = re.compile(r"^ \* Running on (http://127\.0\.0\.1:\d+)$", re.MULTILINE)
_ROLE = "arn:aws:iam::123456789012:role/all"  # the account is moto's own
_ALLOW_ALL = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]})
_ANYBODY = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}],
    }
)


@dataclass(frozen=True)
class AwsKeys:
    """What a request is signed with; temporary keys have a session token."""

    access_key: str
    secret_key: str
    session_token: str | None = None


class BotocoreAuth(httpx.Auth):
    """Signs requests as AWS's own clients for Python do."""

    requires_request_body = True

    def __init__(self, keys: AwsKeys, service: str = SERVICE, region: str = REGION) -> None:
        from botocore.auth import SigV4Auth
        from botocore.credentials import Credentials

        self._signer = SigV4Auth(Credentials(keys.access_key, keys.secret_key, keys.session_token), service, region)

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        from botocore.awsrequest import AWSRequest

        kept = {name: value for name, value in request.headers.items() if name in ("host", "content-type")}
        if not request.content:
            # Without it moto hashes the header section for want of a body.
            kept["x-amz-content-sha256"] = sha256(b"").hexdigest()
        signed = AWSRequest(request.method, str(request.url), data=request.content, headers=kept)
        self._signer.add_auth(signed)
        request.headers.update(dict(signed.headers))
        yield request


@dataclass(frozen=True)
class MotoServer:
    """A running moto: where it answers, its process id, a user that may do everything, and what it logs."""

    base_url: str
    pid: int
    keys: AwsKeys
    log: Path

    @property
    def access_key(self) -> str:
        return self.keys.access_key

    @property
    def secret_key(self) -> str:
        return self.keys.secret_key

    def client(self, keys: AwsKeys | None = None, *, service: str = SERVICE, region: str = REGION) -> httpx.Client:
        """A client that signs with these keys, or the user's; its relative URLs start at the base URL."""
        auth = BotocoreAuth(keys or self.keys, service, region)
        return httpx.Client(base_url=self.base_url, auth=auth, trust_env=False, timeout=_START_SECONDS)

    def temporary(self) -> AwsKeys:
        """New keys of a role that may do everything, with a session token."""
        answer = self._called("sts", "AssumeRole", RoleArn=_ROLE, RoleSessionName="svc")
        return AwsKeys(*(_element(answer, name) for name in ("AccessKeyId", "SecretAccessKey", "SessionToken")))

    def create_apis(self, count: int) -> list[str]:
        """Create so many REST APIs, `api 0` and so on; their ids."""
        with self.client() as client:
            answers = [
                client.post("/restapis", json={"name": f"api {number}", "description": "as created"})
                for number in range(count)
            ]
        return [answer.raise_for_status().json()["id"] for answer in answers]

    def api(self, api_id: str) -> dict[str, Any]:
        """The REST API as it is now."""
        with self.client() as client:
            found: dict[str, Any] = client.get(f"/restapis/{api_id}").raise_for_status().json()
        return found

    def answered(self, *paths: str) -> list[int]:
        """The status of its answer to each PATCH of these paths, with any query; it logs them before it answers."""
        found = re.findall(r'"PATCH (\S+) HTTP/1\.1" (\d+)', text_of(self.log))
        return [int(status) for target, status in found if target.partition("?")[0] in paths]

    def _called(self, service: str, action: str, **parameters: str) -> str:
        """The answer, XML, of a service that is called by forms."""
        with self.client(service=service, region="us-east-1") as client:
            return client.post("/", data={"Action": action, **parameters}).raise_for_status().text

    def _user_of_everything(self) -> AwsKeys:
        """Create the user and the role that may do everything; the user's keys."""
        self._called("iam", "CreateUser", UserName="svc")
        self._called("iam", "PutUserPolicy", UserName="svc", PolicyName="all", PolicyDocument=_ALLOW_ALL)
        self._called("iam", "CreateRole", RoleName="all", AssumeRolePolicyDocument=_ANYBODY)
        self._called("iam", "PutRolePolicy", RoleName="all", PolicyName="all", PolicyDocument=_ALLOW_ALL)
        answer = self._called("iam", "CreateAccessKey", UserName="svc")
        return AwsKeys(_element(answer, "AccessKeyId"), _element(answer, "SecretAccessKey"))


@contextmanager
def moto_server(directory: Path) -> Iterator[MotoServer]:
    """Yield a moto on a free port of 127.0.0.1 that lets in what is signed; it is stopped by its pid on the way out.

    It verifies nothing until it is told to, so that there is a user first. Raises RuntimeError with moto's own words
    where it does not start.
    """
    directory.mkdir(parents=True, exist_ok=True)
    log = directory / "moto.log"
    process = _spawn(directory)
    try:
        base_url = announced(process, log, _RUNNING, _START_SECONDS)
        keys = MotoServer(base_url, process.pid, AwsKeys("AKIANOBODY", "unverified"), log)._user_of_everything()
        httpx.post(f"{base_url}/moto-api/reset-auth", content=b"0", trust_env=False).raise_for_status()
        yield MotoServer(base_url, process.pid, keys, log)
    finally:
        stop(process)


def _spawn(directory: Path) -> subprocess.Popen[bytes]:
    """Return moto, just started, the leader of its own process group."""
    foreign = ("AWS_", "MOTO_", "INITIAL_NO_AUTH_")
    env = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    env |= {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
    with (directory / "moto.log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=env,
            start_new_session=True,
        )


def _element(xml: str, name: str) -> str:
    """The text of the first element of this name."""
    found = re.search(rf"<{name}>([^<]+)</{name}>", xml)
    assert found is not None, xml
    return found[1]
