"""The cases of AWS's own signing test suite (aws-c-auth), where the vectors are."""

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
from tests.support.vectors import VECTORS


@dataclass(frozen=True)
class SigningCase:
    """One folder of the suite: a request, what to sign it with, and what must come of each stage."""

    folder: Path
    method: str
    target: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes
    context: dict[str, Any]

    def __str__(self) -> str:
        return self.folder.name

    def text(self, name: str) -> bytes:
        """What a file of the folder holds."""
        return (self.folder / name).read_bytes().replace(b"\r\n", b"\n").rstrip(b"\n")

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
    head, _, body = (folder / "request.txt").read_bytes().partition(b"\n\n")
    first, *lines = re.split(rb"\n(?![ \t])", head.rstrip(b"\n"))
    method, _, rest = first.partition(b" ")
    target = rest.rpartition(b" ")[0]
    headers = tuple((name, value) for name, _, value in (line.partition(b":") for line in lines))
    context = json.loads((folder / "context.json").read_text("utf-8"))
    return SigningCase(folder, method.decode("ascii"), target, headers, body, context)
