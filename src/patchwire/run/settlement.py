"""A person's word on records that are unknown: it ends the doubt, and is kept with its reason and time."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from enum import Enum
from pathlib import Path

from msgspec import Struct

from patchwire.delivery.outcome import Outcome
from patchwire.delivery.outcome_line import OutcomeLine
from patchwire.errors import JournalError
from patchwire.files.outcomes import encode
from patchwire.net.sources import boot_id
from patchwire.run.journal_file import (
    CODES,
    KEEP_ATTEMPT,
    LINES,
    fault,
    has_outlived_the_machine,
    lines_of,
    locate,
    mark_doubt,
    mark_interrupted,
    notes_of,
    refuse_unreadable,
    sync_all,
    take_lock,
    upgrade,
    version_of,
)


class Word(Enum):
    """What a person says of a change."""

    APPLIED = "applied"
    """It is there: the record counts as applied."""
    NOT_APPLIED = "not-applied"
    """It is not there: the record is sent again by the next run."""


class Settled(Struct, frozen=True):
    """A record that was settled."""

    seq: int
    path: str
    held: int
    """How many later records of its path were not sent because of it, and stay so."""


def settle(journal: Path, seqs: Sequence[int], word: Word, reason: str | None, now: float) -> list[Settled]:
    """Settle these unknown records, all of them or none. `now` is in Unix seconds.

    JournalError: a run uses the journal, it is none, or one of the records is not unknown. StorageError: it cannot be
    written.
    """
    path = locate(journal)
    refuse_unreadable(path)
    lock = take_lock(path, "a run is using this journal; settle when it has ended")
    try:
        with closing(sqlite3.connect(path.as_uri() + "?mode=rw", uri=True, isolation_level=None)) as database:
            upgrade(database, version_of(database, path))
            sync_all(database)
            database.execute("BEGIN IMMEDIATE")
            mark_interrupted(database)
            notes = notes_of(database)
            if has_outlived_the_machine(notes, boot_id()):  # else the next run would doubt what was said here
                mark_doubt(database, notes)
            settled = [_settle(database, path, seq, word, reason, now) for seq in dict.fromkeys(seqs)]
            database.execute("COMMIT")
            return settled
    except sqlite3.Error as error:
        raise fault(path, error) from None
    finally:
        lock.release()


def _settle(database: sqlite3.Connection, path: Path, seq: int, word: Word, reason: str | None, now: float) -> Settled:
    line = _unknown_line(database, path, seq)
    database.execute(
        "INSERT INTO settlement (seq, word, reason, at, before) VALUES (?, ?, ?, ?, ?)",
        (seq, word.value, reason, now, encode(line).decode()),
    )
    database.execute("DELETE FROM response WHERE seq = ?", (seq,))
    database.execute(KEEP_ATTEMPT, (seq,))
    if word is Word.APPLIED:
        database.execute(
            "UPDATE outcome SET outcome = ?, status = NULL, etag = NULL, error = ? WHERE seq = ?",
            (CODES[Outcome.APPLIED], f"settled by hand: {reason}" if reason else "settled by hand", seq),
        )
    else:
        database.execute("DELETE FROM outcome WHERE seq = ?", (seq,))
        database.execute("DELETE FROM intent WHERE seq = ?", (seq,))
    database.execute("DELETE FROM doubt WHERE seq = ?", (seq,))
    return Settled(seq, line.path, _count_held(database, line))


def _unknown_line(database: sqlite3.Connection, path: Path, seq: int) -> OutcomeLine:
    rows = database.execute(
        f"{LINES} WHERE seq = ?",
        (seq,),
    ).fetchall()
    if not rows:
        what = f"holds no record {seq}: the next run of the batch sends it, if there is one"
        if database.execute("SELECT 1 FROM doubt WHERE seq = ?", (seq,)).fetchone():
            what = f"has lost record {seq} to a power cut: run the batch, which finds it unknown, then settle it"
        raise JournalError(str(path), what)
    (line,) = lines_of(path, rows)
    if line.outcome != Outcome.UNKNOWN.value:
        error = f" ({line.error})" if line.error else ""
        raise JournalError(
            str(path), f"record {seq} ({line.path}) is {line.outcome}{error}; only what is unknown can be settled"
        )
    return line


def _count_held(database: sqlite3.Connection, holder: OutcomeLine) -> int:
    rows = database.execute(
        "SELECT path FROM outcome JOIN intent USING (seq) WHERE seq > ? AND outcome = ? AND error = ?",
        (holder.seq, CODES[Outcome.NOT_SENT], f"held by {holder.id}"),
    )
    return sum(1 for (path,) in rows if _lane(path) == _lane(holder.path))  # ids are labels: two may be alike


def _lane(path: str) -> str:
    """What two records of one lane have in common: the path without its query and the slash that may lead it."""
    return path.partition("?")[0].removeprefix("/")
