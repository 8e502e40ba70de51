"""The cases of AWS's own signing test suites (of aws-c-auth, and of botocore), where the vectors are."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from patchwire.auth.aws_canonical import PathRules
from patchwire.auth.aws_credentials import AwsCredentials
from patchwire.auth.aws_signing import Scope, Terms
from patchwire.errors import LocalProtocolError
from patchwire.http.message import Headers, Origin, Request
from tests.support.vectors import VECTORS

EMPTY_HASH = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"  # SHA-256 of nothing


@dataclass(frozen=True)
class RawRequest:
    """A request as a suite writes it, which may hold what no Request may."""

    method: str
    target: bytes
    headers: Headers
    body: bytes

    @property
    def request(self) -> Request | None:
        """The request, where it can be one: not where its target has raw octets, or where it frames its body."""
        origin = Origin("https", "example.amazonaws.com", 443)
        stripped = tuple([(name, value.strip()) for name, value in self.headers])
        try:
            return Request(self.method, origin, self.target, stripped, self.body)
        except LocalProtocolError:
            return None


@dataclass(frozen=True)
class SigningCase:
    """One folder of the suite: a request, what to sign it with, and what must come of each stage."""

    folder: Path
    raw: RawRequest
    context: dict[str, Any]

    def __str__(self) -> str:
        return self.folder.name

    def text(self, name: str) -> bytes:
        """What a file of the folder holds."""
        return _unix((self.folder / name).read_bytes())

    def signed(self, form: str) -> RawRequest:
        """The signed request of the suite: "header" or "query"."""
        return _request((self.folder / f"{form}-signed-request.txt").read_bytes())

    @property
    def request(self) -> Request:
        """The request, of a case that can be one."""
        request = self.raw.request
        assert request is not None
        return request

    @property
    def credentials(self) -> AwsCredentials:
        """Whose request it is."""
        given = self.context["credentials"]
        return AwsCredentials(given["access_key_id"], given["secret_access_key"], given.get("token"))

    @property
    def scope(self) -> Scope:
        """What the signature is good for."""
        return Scope(self.context["region"], self.context["service"])

    @property
    def now(self) -> float:
        """Unix seconds."""
        return datetime.fromisoformat(self.context["timestamp"]).timestamp()

    @property
    def terms(self) -> Terms:
        """How it is to be signed."""
        return Terms(
            path=PathRules(normalize=self.context["normalize"]),
            sends_payload_hash=self.context["sign_body"],
            signs_token=not self.context.get("omit_session_token", False),
        )


def signing_cases(version: str) -> list[SigningCase]:
    """Every complete case of "v4" or "v4a"; none where there are no vectors."""
    return list(_cases(version))


def _cases(version: str) -> Iterator[SigningCase]:
    if VECTORS is None:
        return
    for folder in sorted((VECTORS / "sigv4" / "aws-c-auth" / version).iterdir()):
        if (folder / "header-canonical-request.txt").exists():
            yield _read(folder)


def _read(folder: Path) -> SigningCase:
    context = json.loads((folder / "context.json").read_text("utf-8"))
    return SigningCase(folder, _request((folder / "request.txt").read_bytes()), context)


@dataclass(frozen=True)
class OlderCase:
    """One folder of the suite as AWS published it first, which botocore has kept. All are signed with the same key."""

    folder: Path
    raw: RawRequest

    def __str__(self) -> str:
        return self.folder.name

    def text(self, kind: str) -> bytes:
        """What the file of this kind holds: "creq", "sts" or "authz"."""
        return _unix((self.folder / f"{self.folder.name}.{kind}").read_bytes())

    @property
    def request(self) -> Request:
        """The request, of a case that can be one."""
        request = self.raw.request
        assert request is not None
        return request

    @property
    def signed_fields(self) -> Headers:
        """Those of the signed request that the signature covers, for not every request has its token."""
        names = self.text("authz").partition(b"SignedHeaders=")[2].partition(b",")[0].split(b";")
        lines = _request((self.folder / f"{self.folder.name}.sreq").read_bytes()).headers
        return tuple([line for line in lines if line[0].lower() in names])


def older_cases() -> list[OlderCase]:
    """Every case; none where there are no vectors."""
    if VECTORS is None:
        return []
    files = sorted((VECTORS / "sigv4" / "botocore-aws4_testsuite").rglob("*.req"))
    return [OlderCase(file.parent, _request(file.read_bytes())) for file in files]


def _unix(octets: bytes) -> bytes:
    return octets.replace(b"\r\n", b"\n").rstrip(b"\n")


def _request(octets: bytes) -> RawRequest:
    head, _, body = octets.partition(b"\n\n")
    first, *lines = re.split(rb"\n(?![ \t])", head.rstrip(b"\n"))
    method, _, rest = first.partition(b" ")
    target = rest.rpartition(b" ")[0]
    headers = tuple([(name, value) for name, _, value in (line.partition(b":") for line in lines)])
    return RawRequest(method.decode("ascii"), target, headers, body)
