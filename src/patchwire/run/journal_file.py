"""The file of a journal: its schema and versions, and what its rows mean, for all that open one."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path
from stat import S_ISDIR
from typing import Any, Final

import msgspec

from patchwire.delivery.answer import Answer
from patchwire.delivery.outcome import Outcome
from patchwire.delivery.outcome_line import OutcomeLine, line_from
from patchwire.errors import JournalError, StorageError
from patchwire.files.lock import FileLock, LockedError
from patchwire.files.read import describe

APPLICATION_ID: Final = 0x50574A31  # "PWJ1"
SCHEMA_VERSION: Final = 3
"""Version 1 had no table of settlements, version 2 no evidence of attempts and no horizon."""
INTERRUPTED: Final = "interrupted before an answer was recorded"
POWER_CUT: Final = "may have been sent before the machine went down"
PAGE: Final = 1000

CODES: Final = {Outcome.APPLIED: 1, Outcome.REJECTED: 2, Outcome.NOT_SENT: 3, Outcome.UNKNOWN: 4}
OUTCOMES: Final = {code: outcome for outcome, code in CODES.items()}
OUTCOME_CODES: Final = {outcome.value: code for outcome, code in CODES.items()}

_SETTLEMENT = (
    "CREATE TABLE settlement (number INTEGER PRIMARY KEY, seq INTEGER NOT NULL, word TEXT NOT NULL, reason TEXT,"
    " at REAL NOT NULL, before TEXT NOT NULL)"
)
# A row for each attempt of a record that took several; the evidence of an only one stands in its outcome.
_ATTEMPT = (
    "CREATE TABLE attempt (seq INTEGER NOT NULL, number INTEGER NOT NULL, outcome INTEGER NOT NULL, status INTEGER,"
    " bytes_sent INTEGER, bytes_received INTEGER, reused INTEGER, error TEXT, PRIMARY KEY (seq, number)) WITHOUT ROWID"
)
# The only attempt at a record stands in its outcome alone, until that is overtaken.
KEEP_ATTEMPT: Final = (
    "INSERT OR IGNORE INTO attempt SELECT seq, attempts, outcome, status, bytes_sent, bytes_received, reused, error"
    " FROM outcome WHERE seq = ? AND attempts > 0"
)
_EVIDENCE = ("bytes_sent", "bytes_received", "reused")
_RESPONSE = "CREATE TABLE response (seq INTEGER PRIMARY KEY, headers TEXT NOT NULL, body TEXT NOT NULL, encoding TEXT)"
# Records that a power cut may have robbed of their rows, until a run meets them.
_DOUBT = "CREATE TABLE doubt (seq INTEGER PRIMARY KEY)"
_SCHEMA = (
    "CREATE TABLE run (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    "CREATE TABLE intent (seq INTEGER PRIMARY KEY, digest BLOB NOT NULL, path TEXT NOT NULL, id TEXT,"
    " properties BLOB)",
    "CREATE TABLE outcome (seq INTEGER PRIMARY KEY, outcome INTEGER NOT NULL, status INTEGER,"
    " attempts INTEGER NOT NULL, etag TEXT, seconds REAL NOT NULL, error TEXT, bytes_sent INTEGER,"
    " bytes_received INTEGER, reused INTEGER)",
    _SETTLEMENT,
    _ATTEMPT,
    _RESPONSE,
    _DOUBT,
)
_LINE_COLUMNS = "SELECT seq, id, path, outcome, status, attempts, etag, seconds, error, properties"
LINES: Final = (
    f"{_LINE_COLUMNS}, headers, body, encoding"
    " FROM intent LEFT JOIN outcome USING (seq) LEFT JOIN response USING (seq)"
)
"""Selects the rows that `lines_of` takes."""
LINES_BEFORE_3: Final = f"{_LINE_COLUMNS}, NULL, NULL, NULL FROM intent LEFT JOIN outcome USING (seq)"
_MARK_DOUBT: Final = (
    "INSERT OR IGNORE INTO doubt WITH RECURSIVE number(seq) AS (SELECT 0 WHERE ?1 > 0 UNION ALL SELECT seq + 1"
    " FROM number WHERE seq + 1 < ?1) SELECT seq FROM number WHERE seq NOT IN (SELECT seq FROM outcome)"
)

_decode_headers = msgspec.json.Decoder(dict[str, str]).decode


def locate(path: Path) -> Path:
    """The file behind all links: its lock and its log stand beside it. JournalError where links lead in a circle."""
    try:
        found = path.resolve()
    except RuntimeError:  # Python 3.13 returns the link itself
        found = path
    if found.is_symlink():
        raise JournalError(str(path), "is a link that leads back to itself")
    return found


def lock_path(path: Path) -> Path:
    """The file that a run locks while it uses the journal at `path`."""
    return path.with_name(path.name + ".lock")


def take_lock(path: Path, refusal: str) -> FileLock:
    """The lock of the journal at `path`. JournalError(`refusal`): another has it. StorageError: it cannot be made."""
    try:
        return FileLock(lock_path(path))
    except LockedError:
        raise JournalError(str(path), refusal) from None
    except OSError as error:
        raise StorageError(f"{path}: {describe(error)}") from None


def refuse_unreadable(path: Path) -> None:
    """JournalError unless a file stands at `path` and can be read."""
    try:
        if S_ISDIR(path.stat().st_mode):
            raise JournalError(str(path), "is a directory; name a journal")
        refuse_device(path)
        path.open("rb").close()
    except OSError as error:
        raise JournalError(str(path), describe(error)) from None


def refuse_device(path: Path) -> None:
    """JournalError where a device, a pipe or a socket stands at `path`: to begin anew would remove it."""
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise JournalError(str(path), "is no file on a disk; name a journal")


def is_unwritten(database: sqlite3.Connection) -> bool:
    """Whether no journal has been made in this database yet, and nothing else either."""
    tables = database.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
    version = database.execute("PRAGMA user_version").fetchone()[0]  # of one that has lost its tables it is not 0
    return not tables and not version and _application_id(database) in (0, APPLICATION_ID)


def create(database: sqlite3.Connection, connection_identity: str) -> None:
    """Make an empty journal of the present version for this connection."""
    execute = database.execute
    execute("PRAGMA page_size = 4096")
    # Before there is a log: a kill may come before the log is folded in, and the file must be known for ours by then.
    execute(f"PRAGMA application_id = {APPLICATION_ID}")
    execute("PRAGMA journal_mode = WAL")
    execute("BEGIN IMMEDIATE")
    for statement in _SCHEMA:
        execute(statement)
    execute("INSERT INTO run VALUES ('connection', ?)", (connection_identity,))
    execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    execute("COMMIT")


def version_of(database: sqlite3.Connection, path: Path) -> int:
    """The version of the journal in this database. JournalError: it is none, an empty one, or a newer one."""
    place = str(path)
    if is_unwritten(database):
        raise JournalError(place, "is empty: its run was only beginning, or it is no journal; run the batch")
    if _application_id(database) != APPLICATION_ID:
        raise JournalError(place, "is a database, but no journal of patchwire; name another")
    version: int = database.execute("PRAGMA user_version").fetchone()[0]
    if version > SCHEMA_VERSION:
        raise JournalError(
            place,
            f"has version {version}, this patchwire reads versions up to {SCHEMA_VERSION}; use a newer patchwire",
        )
    if version < 1:
        raise damaged(path, f"version {version}")
    return version


def upgrade(database: sqlite3.Connection, version: int) -> None:
    """Bring a journal of an earlier version to the present one, in one transaction."""
    if version == SCHEMA_VERSION:
        return
    database.execute("BEGIN IMMEDIATE")
    if version < 2:
        database.execute(_SETTLEMENT)
    for name in _EVIDENCE:
        database.execute(f"ALTER TABLE outcome ADD COLUMN {name} INTEGER")
    database.execute(_ATTEMPT)
    database.execute(_RESPONSE)
    database.execute(_DOUBT)
    database.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    database.execute("COMMIT")


def refuse_incomplete(database: sqlite3.Connection, path: Path) -> None:
    """JournalError where a table or a column of the present version is missing: found out before anything is sent."""
    with closing(sqlite3.connect(":memory:")) as model:
        for statement in _SCHEMA:
            model.execute(statement)
        missing = sorted(_columns(model) - _columns(database))
    if missing:
        raise damaged(path, f"no such column: {missing[0]}")


def mark_interrupted(database: sqlite3.Connection) -> None:
    """Make unknown what a kill has left without outcome. Only for who holds the journal's lock."""
    database.execute(
        "INSERT INTO outcome SELECT seq, ?, NULL, 1, NULL, 0, ?, NULL, NULL, NULL FROM intent"
        " WHERE seq NOT IN (SELECT seq FROM outcome)",
        (CODES[Outcome.UNKNOWN], INTERRUPTED),
    )


def notes_of(database: sqlite3.Connection) -> dict[str, str]:
    """What the runs have noted of themselves."""
    return dict(database.execute("SELECT key, value FROM run").fetchall())


def has_outlived_the_machine(notes: Mapping[str, str], boot: str) -> bool:
    """Whether the machine, of which `boot` is what it says now, has gone down while a run went on."""
    return notes.get("going") == "1" and notes.get("boot") != boot


def mark_doubt(database: sqlite3.Connection, notes: Mapping[str, str]) -> None:
    """Put in doubt what a power cut may have robbed of its rows. Only once: the horizon has done its work then."""
    database.execute(_MARK_DOUBT, (int(notes.get("horizon", 0)),))
    database.execute("INSERT OR REPLACE INTO run VALUES ('horizon', '0')")


def sync_all(database: sqlite3.Connection) -> None:
    """Let each transaction from now on be on the disk when it is committed."""
    database.execute("PRAGMA synchronous = FULL")
    database.execute("PRAGMA fullfsync = 1")  # macOS hands out its syncs before the disk has them


def fault(path: Path, error: sqlite3.Error) -> JournalError | StorageError:
    """What an error of SQLite says of the journal at `path`: its content is at fault, or its storage."""
    code = getattr(error, "sqlite_errorcode", None)
    if code == sqlite3.SQLITE_NOTADB:
        return JournalError(str(path), f"is no journal of patchwire ({error})")
    # SQLITE_ERROR says of a statement of ours that a table or a column which it names is not there.
    if isinstance(error, sqlite3.OperationalError) and code != sqlite3.SQLITE_ERROR:
        return storage_error(path, error)
    return damaged(path, error)


def storage_error(path: Path, error: sqlite3.Error) -> StorageError:
    """The journal at `path` could not be read or written."""
    remedy = "free some space and run the same command again" if "full" in str(error) else "see to its directory"
    return StorageError(f"{path}: {error}; {remedy}")


def damaged(path: Path, error: object) -> JournalError:
    """What stands in the journal at `path` makes no sense."""
    return JournalError(str(path), f"is damaged ({error}); restore it from a copy")


def lines_of(path: Path, rows: Iterable[tuple[Any, ...]]) -> list[OutcomeLine]:
    """The outcome lines of rows that LINES selects.

    A row without outcome is one that was interrupted. JournalError: what stands in them makes no sense.
    """
    try:
        return [_line(row) for row in rows]
    except (KeyError, TypeError, ValueError, msgspec.MsgspecError) as error:
        raise damaged(path, f"{type(error).__name__}: {error}") from None


def _line(row: tuple[Any, ...]) -> OutcomeLine:
    seq, record_id, path, code, status, attempts, etag, seconds, error, properties, headers, body, encoding = row
    if code is None:
        code, attempts, seconds, error = CODES[Outcome.UNKNOWN], 1, 0.0, INTERRUPTED
    return line_from(
        seq,
        str(seq) if record_id is None else record_id,
        path,
        OUTCOMES[code],
        status,
        attempts=attempts,
        etag=etag,
        seconds=seconds,
        error=error,
        properties=properties or b"",
        answer=None if headers is None else Answer(_decode_headers(headers), body, encoding),
    )


def _columns(database: sqlite3.Connection) -> set[str]:
    """Of all tables, as table.column."""
    query = "SELECT a.name || '.' || b.name FROM sqlite_schema AS a, pragma_table_info(a.name) AS b"
    return {name for (name,) in database.execute(query)}


def _application_id(database: sqlite3.Connection) -> int:
    number: int = database.execute("PRAGMA application_id").fetchone()[0]
    return number
