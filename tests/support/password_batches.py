"""Batches with a user and a password, and what of them a real server has let in."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

from tests.support.answers import Answered
from tests.support.batches import BatchFiles
from tests.support.commands import patchwire, without_traceback

WRONG = "not this one"


def password_batch(
    directory: Path, base_url: str, password: str, *, scheme: str = "digest", user: str = "svc", tables: str = ""
) -> BatchFiles:
    """A batch whose connection has this user and password; `tables` go to the end of its file."""
    settings = f'authentication = "{scheme}"\nuser = "{user}"\npassword = "literal:{password}"\n{tables}\n'
    return BatchFiles(directory, base_url, settings)


def run(files: BatchFiles, *options: str) -> CompletedProcess[str]:
    """Run the batch by the command line, with its output files."""
    return patchwire("batch", files.connection, files.records, "--output", files.output, *options)


def assert_stopped_by_a_refusal(done: CompletedProcess[str], files: BatchFiles, *words: str) -> None:
    """The command failed with one line that holds these words and no password, and knows of no outcome."""
    assert done.returncode == 1, done.stderr
    (line,) = without_traceback(done)
    assert [word for word in words if word not in line] == [], line
    assert WRONG not in done.stdout + done.stderr
    assert files.outcomes() == []


def assert_applied(done: CompletedProcess[str], files: BatchFiles, count: int) -> None:
    """The command ended well, and says of each of `count` records that it was applied."""
    assert done.returncode == 0, done.stderr
    assert [(line["outcome"], line["status"]) for line in files.outcomes()] == [("applied", 200)] * count


def changes(answered: Iterable[Answered]) -> list[tuple[str, bytes]]:
    """Target and body of each request, in order."""
    return sorted((each.target, each.body) for each in answered)


def demanded(base_path: str, records: Iterable[Mapping[str, Any]]) -> list[tuple[str, bytes]]:
    """Target and body of each record, once, in order."""
    return sorted((base_path + record["path"], json.dumps(record["body"]).encode()) for record in records)


def with_credentials(answered: Iterable[Answered]) -> list[Answered]:
    """The requests that had credentials."""
    return [each for each in answered if each.authorization]


def turned_away(answered: Iterable[Answered]) -> int:
    """How many requests were answered with 401."""
    return sum(each.status == 401 for each in answered)
