"""Journals with content, made without a run."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import cast

from patchwire.delivery.outcome import Outcome
from patchwire.delivery.outcome_line import OutcomeLine, line_from
from patchwire.run.journal import Journal
from patchwire.run.journal_rows import Intent, Result
from patchwire.run.reports import Reports

CONNECTION = "http://h"
VERSION_1 = """
PRAGMA journal_mode = WAL;
PRAGMA application_id = 0x50574A31;
PRAGMA user_version = 1;
CREATE TABLE run (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE intent (seq INTEGER PRIMARY KEY, digest BLOB NOT NULL, path TEXT NOT NULL, id TEXT, properties BLOB);
CREATE TABLE outcome (seq INTEGER PRIMARY KEY, outcome INTEGER NOT NULL, status INTEGER, attempts INTEGER NOT NULL,
 etag TEXT, seconds REAL NOT NULL, error TEXT);
INSERT INTO run VALUES ('connection', 'http://h');
INSERT INTO intent VALUES (0, x'00', '/a', 'first', NULL);
INSERT INTO intent VALUES (1, x'01', '/b', NULL, '{"x":1}'), (2, x'02', '/c', NULL, NULL);
INSERT INTO outcome VALUES (0, 1, 202, 1, '"e"', 0.25, NULL), (1, 4, 502, 1, NULL, 0.5, NULL);
"""
"""Three records of the first version: applied, unknown, and one that a kill has left open."""


def line(
    seq: int,
    outcome: Outcome = Outcome.APPLIED,
    status: int | None = 200,
    *,
    path: str | None = None,
    error: str | None = None,
) -> OutcomeLine:
    """An outcome of the record `seq`."""
    return line_from(
        seq,
        f"r{seq}",
        path or f"/people/{seq}",
        outcome,
        status,
        attempts=0 if outcome is Outcome.NOT_SENT else 1,
        etag=None,
        seconds=0.5,
        error=error,
        properties=b"",
    )


def intent(line: OutcomeLine) -> Intent:
    """The intent that came before this outcome."""
    return Intent(line.seq, b"%d" % line.seq, line.path, line.id, None)


@contextmanager
def written(path: Path, lines: Iterable[OutcomeLine], *, open_seqs: Iterable[int] = ()) -> Iterator[Journal]:
    """A journal in use that holds these outcomes, and intents without outcome."""
    journal = Journal(path, CONNECTION)
    try:
        outcomes = list(lines)
        journal.commit(
            [Result(each) for each in outcomes], [*map(intent, outcomes), *(intent(line(seq)) for seq in open_seqs)]
        )
        yield journal
    finally:
        journal.close()


def reports(counts: Mapping[str, int]) -> Reports:
    """Those of a run without files, whose journal knows these counts and nothing else."""
    return Reports(cast("Journal", SimpleNamespace(counts=lambda: dict(counts))))


def write_version_1(path: Path) -> None:
    """The journal of VERSION_1."""
    with closing(sqlite3.connect(path)) as database:
        database.executescript(VERSION_1)


def version_of(path: Path) -> int:
    """The version of the schema in this file."""
    with closing(sqlite3.connect(path)) as database:
        number: int = database.execute("PRAGMA user_version").fetchone()[0]
    return number
