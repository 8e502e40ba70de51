"""What the journal keeps of a record, its intent and its result, and the rows that these become."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import NamedTuple

import msgspec
from msgspec import UNSET

from patchwire.delivery.outcome import Attempt, join
from patchwire.delivery.outcome_line import OutcomeLine
from patchwire.run.journal_file import CODES, KEEP_ATTEMPT, OUTCOME_CODES

_INSERT_INTENT = "INSERT INTO intent VALUES (?, ?, ?, ?, ?)"
_INSERT_OUTCOME = "INSERT OR REPLACE INTO outcome VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_INSERT_ATTEMPT = "INSERT OR REPLACE INTO attempt VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_INSERT_RESPONSE = "INSERT OR REPLACE INTO response VALUES (?, ?, ?, ?)"


class Intent(NamedTuple):
    """A record that is about to be sent. `id` is None where it is the record's number."""

    seq: int
    digest: bytes
    path: str
    id: str | None
    properties: bytes | None


class Result(NamedTuple):
    """What a run has found out about a record: its outcome, and the attempts of this run behind it."""

    line: OutcomeLine
    attempts: Sequence[Attempt] = ()
    before: int = 0
    """How many attempts earlier runs have made."""


def insert_intents(database: sqlite3.Connection, intents: Sequence[Intent]) -> None:
    """Put in what is about to be sent, within a transaction of the caller's."""
    database.executemany(_INSERT_INTENT, intents)


def insert_results(database: sqlite3.Connection, results: Sequence[Result]) -> None:
    """Put in what was found out, over what was known before, within a transaction of the caller's."""
    execute, many = database.execute, database.executemany
    attempts = []
    for result in results:
        if _is_told_by_line(result):
            continue
        if result.before:  # what was known of it makes room, and its attempt stays
            execute(KEEP_ATTEMPT, (result.line.seq,))
            execute("DELETE FROM response WHERE seq = ?", (result.line.seq,))
        attempts += _attempt_rows(result)
    many(_INSERT_OUTCOME, [_outcome_row(result) for result in results])
    if attempts:
        many(_INSERT_ATTEMPT, attempts)
    if responses := [_response_row(line) for line, *_ in results if line.response is not UNSET]:
        many(_INSERT_RESPONSE, responses)


def settle_doubts(database: sqlite3.Connection, results: Sequence[Result]) -> None:
    """Strike from what a power cut has left in doubt the records that these results tell of."""
    database.executemany("DELETE FROM doubt WHERE seq = ?", [(result.line.seq,) for result in results])


def _is_told_by_line(result: Result) -> bool:
    """Whether there was one attempt in all, or none, and the outcome is the attempt's own."""
    line, attempts, before = result
    if before or len(attempts) > 1:
        return False
    return not attempts or attempts[0].error == line.error


def _outcome_row(result: Result) -> tuple[object, ...]:
    line, attempts, _ = result
    code = OUTCOME_CODES[line.outcome]
    row = (line.seq, code, line.status, line.attempts, line.etag, line.seconds, line.error)
    if not attempts:
        return (*row, None, None, None)
    decisive = attempts[0] if len(attempts) == 1 else join(attempts)
    return (*row, decisive.bytes_sent, decisive.bytes_received, decisive.reused)


def _response_row(line: OutcomeLine) -> tuple[object, ...]:
    headers = msgspec.json.encode(line.response_headers).decode()
    return line.seq, headers, line.response, None if line.response_encoding is UNSET else line.response_encoding


def _attempt_rows(result: Result) -> list[tuple[object, ...]]:
    seq = result.line.seq
    return [
        (seq, number, CODES[each.outcome], each.status, each.bytes_sent, each.bytes_received, each.reused, each.error)
        for number, each in enumerate(result.attempts, result.before + 1)
    ]
