"""What a real server has answered, as its own log tells: a line of JSON for each request."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from tests.support.processes import text_of


@dataclass(frozen=True)
class Answered:
    """A request, the status that it got, and its Authorization field as it came, or nothing."""

    method: str
    target: str
    status: int
    body: bytes
    authorization: str = ""

    def line(self) -> str:
        """The request as a line of the log; the body's bytes stand as Latin-1."""
        return json.dumps(vars(self) | {"body": self.body.decode("latin-1")}) + "\n"


def answered_in(log: Path) -> list[Answered]:
    """Return what the log holds, in its order; a last line that is still being written is left out."""
    lines = [json.loads(line) for line in text_of(log).split("\n")[:-1]]  # a body may hold what splitlines splits at
    return [Answered(**line | {"body": line["body"].encode("latin-1")}) for line in lines]
