"""Batches that are signed for AWS, and services in the test's own process that say whom they have let in."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import trio
from outcome import Outcome, acapture

from patchwire.auth.aws_credentials import AwsCredentials
from patchwire.auth.aws_signing import Scope
from patchwire.auth.verify.aws import AwsVerifier
from patchwire.http.message import Request, Response
from patchwire.loopback.app import App, Change
from patchwire.loopback.documents import Document
from patchwire.net.server import serve
from patchwire.run.batch import Summary
from tests.support.batches import BatchFiles
from tests.support.beside import beside

SCOPE = Scope("us-east-1", "execute-api")


class Keys(Protocol):
    """Whatever a request is signed with."""

    @property
    def access_key(self) -> str: ...

    @property
    def secret_key(self) -> str: ...

    @property
    def session_token(self) -> str | None: ...


def signing(keys: Keys | None, *lines: str, service: str = "execute-api", region: str = "us-east-1") -> str:
    """Settings that sign with these keys, or with what the further lines of [aws] name."""
    table = ['authentication = "aws"', "[aws]", f'service = "{service}"', f'region = "{region}"']
    if keys is not None:
        table += [f'access_key = "{keys.access_key}"', f'secret_key = "literal:{keys.secret_key}"']
        if keys.session_token is not None:
            table.append(f'session_token = "literal:{keys.session_token}"')
    return "\n".join([*table, *lines, ""])


def profile(keys: Keys, *lines: str) -> str:
    """A file of credentials with these as its profile svc."""
    token = [] if keys.session_token is None else [f"aws_session_token = {keys.session_token}"]
    pair = [f"aws_access_key_id = {keys.access_key}", f"aws_secret_access_key = {keys.secret_key}"]
    return "\n".join(["[svc]", *pair, *token, *lines, ""])


class Service:
    """What `patchwire.net.server.serve` serves: documents for who has signed, and a memory of what was answered.

    Its clock is `ahead` seconds ahead of ours. `before` may answer in its place.
    """

    def __init__(self, *credentials: AwsCredentials, scope: Scope = SCOPE, ahead: float = 0.0) -> None:
        self.scope = scope
        self.admit(*credentials)
        self.ahead = ahead
        self.before: Callable[[Request], Response | None] = lambda _: None
        self.answered: list[tuple[str, int]] = []
        """The target of each request and the status of its answer."""
        self.signers: list[str] = []
        """Whose access key each request that was let in has had."""
        self.applied: list[dict[str, Any]] = []
        """The server's own record of what it has applied (`patchwire.loopback.ledger`)."""

    def admit(self, *credentials: AwsCredentials) -> None:
        """From now on let in these and nobody else."""
        self._app = App(AwsVerifier(self.scope, credentials), create_missing=True)

    def handle(
        self, request: Request, documents: MutableMapping[str, Document], now: float
    ) -> tuple[Response, Change | None]:
        """As an application does."""
        instead = self.before(request)
        response, change = self._app.handle(request, documents, now) if instead is None else (instead, None)
        self.answered.append((request.target.decode(), response.status))
        if change is not None:
            field = (request.header(b"authorization") or b"").decode()
            self.signers.append(field.partition("Credential=")[2].partition("/")[0])
        return response, change

    def refuse(self, request: Request, documents: MutableMapping[str, Document], now: float) -> Response | None:
        """As an application does."""
        return self._app.refuse(request, documents, now)

    def statuses(self) -> Counter[int]:
        """How often it has answered with which status."""
        return Counter(status for _, status in self.answered)

    def changes(self) -> list[tuple[str, Any]]:
        """Path and body of each change that it has recorded, in order."""
        return sorted((line["path"], line["body"]) for line in self.applied)

    async def serve(self, task_status: trio.TaskStatus[str]) -> None:
        """Serve until cancelled; the base URL once it answers."""
        await serve(
            self,
            {},
            now=lambda: time.time() + self.ahead,
            record=lambda line: self.applied.append(json.loads(line)),
            task_status=task_status,
        )


def serving_in_a_thread(service: Service) -> AbstractContextManager[str]:
    """Serve beside the test; the base URL."""
    return beside(service.serve)


def served(service: Service, job: Callable[[str], Awaitable[Any]]) -> Any:
    """What `job` returns that is given the base URL of the service."""

    async def main() -> Outcome[Any]:
        async with trio.open_nursery() as nursery:
            url = await nursery.start(service.serve)
            result: Outcome[Any] = await acapture(job, url)  # an error raised in here would come out in a group
            nursery.cancel_scope.cancel()
        return result

    return trio.run(main).unwrap()


def signed_batch(
    directory: Path, service: Service, records: list[dict[str, Any]], settings: str, **options: Any
) -> tuple[BatchFiles, Summary]:
    """The files and the summary of one run against the service, over 8 connections."""
    result: tuple[BatchFiles, Summary] = served(
        service, partial(_run, directory, records, settings, {"concurrency": 8} | options)
    )
    return result


async def _run(
    directory: Path, records: list[dict[str, Any]], settings: str, options: dict[str, Any], url: str
) -> tuple[BatchFiles, Summary]:
    files = BatchFiles(directory, url, settings)
    files.write(records)
    return files, await files.run(**options)


def demanded(records: list[dict[str, Any]]) -> list[tuple[str, Any]]:
    """What a service has recorded once each of these was applied once."""
    return sorted((record["path"], record["body"]) for record in records)
