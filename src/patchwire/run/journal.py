"""The journal of a run: one SQLite database that survives the process.

An intent is committed before the first byte of its record leaves, its outcome after the answer. One transaction
carries the outcomes of some records and the intents of the next, so killing the process at any instant leaves at
most as many intents without an outcome as there were connections, and those are unknown.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from patchwire.delivery.outcome import Outcome, OutcomeLine, line_from
from patchwire.errors import JournalError, StorageError
from patchwire.files.lock import FileLock, LockedError
from patchwire.files.read import describe

APPLICATION_ID: Final = 0x50574A31  # "PWJ1"
SCHEMA_VERSION: Final = 1
INTERRUPTED: Final = "interrupted before an answer was recorded"
PAGE: Final = 1000

_CODES: Final = {Outcome.APPLIED: 1, Outcome.REJECTED: 2, Outcome.NOT_SENT: 3, Outcome.UNKNOWN: 4}
_OUTCOMES: Final = {code: outcome for outcome, code in _CODES.items()}
_OUTCOME_CODES: Final = {outcome.value: code for outcome, code in _CODES.items()}

_SCHEMA = (
    "CREATE TABLE run (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    "CREATE TABLE intent (seq INTEGER PRIMARY KEY, digest BLOB NOT NULL, path TEXT NOT NULL, id TEXT,"
    " properties BLOB)",
    "CREATE TABLE outcome (seq INTEGER PRIMARY KEY, outcome INTEGER NOT NULL, status INTEGER,"
    " attempts INTEGER NOT NULL, etag TEXT, seconds REAL NOT NULL, error TEXT)",
)
_INSERT_INTENT = "INSERT INTO intent VALUES (?, ?, ?, ?, ?)"
_INSERT_OUTCOME = "INSERT INTO outcome VALUES (?, ?, ?, ?, ?, ?, ?)"


class Intent(NamedTuple):
    """A record that is about to be sent. `id` is None where it is the record's number."""

    seq: int
    digest: bytes
    path: str
    id: str | None
    properties: bytes | None


class Known(NamedTuple):
    """What the journal says of a record: the digest of the line that was sent, and how that ended."""

    digest: bytes
    outcome: Outcome


class Journal:
    """Open for one run, which holds its lock; others may read beside it."""

    def __init__(self, path: Path, connection_identity: str, *, fresh: bool = False) -> None:
        """JournalError: it is in use, no journal, or another connection's. StorageError: it cannot be written."""
        self.path = path = path.resolve()
        self.resumed = False
        """Whether an earlier run began this journal."""
        place = str(path)
        if not path.name or path.is_dir():
            raise JournalError(place, "is a directory; name a file")
        try:
            self._lock = FileLock(path.with_name(path.name + ".lock"))
        except LockedError:
            raise JournalError(place, "another run is using this journal; wait for it, or name another") from None
        except OSError as error:
            raise StorageError(f"{place}: {describe(error)}") from None
        try:
            if fresh:
                _refuse_foreign(path)
                _remove(path)
            self._database = _open(path)
            self._prepare(connection_identity)
            self._file = _file_of(path)
        except BaseException:
            self._lock.release()
            raise

    def close(self) -> None:
        """Fold the log into the database and let go of the lock."""
        with suppress(sqlite3.Error):  # what is committed is safe in the log, however full the disk
            self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._database.close()
        self._lock.release()

    def commit(
        self,
        outcomes: Sequence[OutcomeLine],
        intents: Sequence[Intent] = (),
        withdrawn: Iterable[int] = (),
    ) -> None:
        """One transaction: all of it is in the journal, or StorageError is raised and none is.

        `withdrawn` are numbers of intents whose records were not sent after all and are to be sent by a resume.
        """
        execute, many = self._database.execute, self._database.executemany
        if _file_of(self.path) != self._file:  # SQLite would go on in the file that is gone, and a resume find none
            raise StorageError(f"{self.path}: was removed or replaced while the run went on; what it knew is lost")
        try:
            execute("BEGIN IMMEDIATE")
            if intents:
                many(_INSERT_INTENT, intents)
            if outcomes:
                many(_INSERT_OUTCOME, [_outcome_row(line) for line in outcomes])
            for seq in withdrawn:
                execute("DELETE FROM intent WHERE seq = ?", (seq,))
            execute("COMMIT")
        except sqlite3.Error as error:
            with suppress(sqlite3.Error):
                execute("ROLLBACK")
            raise _storage_error(self.path, error) from None

    def known(self) -> Iterator[tuple[int, Known]]:
        """Every record with an outcome, by rising number; read page by page, so that writing may go on."""
        last = -1
        while True:
            rows = self._database.execute(
                "SELECT seq, digest, outcome FROM intent JOIN outcome USING (seq) WHERE seq > ? ORDER BY seq LIMIT ?",
                (last, PAGE),
            ).fetchall()
            if not rows:
                return
            for seq, digest, outcome in rows:
                yield seq, Known(digest, _OUTCOMES[outcome])
            last = rows[-1][0]

    def lines(self) -> Iterator[OutcomeLine]:
        """The outcome of every record that has one, by rising number."""
        last = -1
        while True:
            rows = self._database.execute(
                "SELECT seq, id, path, outcome, status, attempts, etag, seconds, error, properties"
                " FROM outcome JOIN intent USING (seq) WHERE seq > ? ORDER BY seq LIMIT ?",
                (last, PAGE),
            ).fetchall()
            if not rows:
                return
            for row in rows:
                yield _line(row)
            last = rows[-1][0]

    def counts(self) -> dict[str, int]:
        """How many records ended how: the four outcomes, and `pending`, which are also applied."""
        counts = dict.fromkeys([*(outcome.value for outcome in Outcome), "pending"], 0)
        rows = self._database.execute("SELECT outcome, count(*), sum(status = 202) FROM outcome GROUP BY outcome")
        for code, number, pending in rows:
            counts[_OUTCOMES[code].value] = number
            if _OUTCOMES[code] is Outcome.APPLIED:
                counts["pending"] = pending or 0
        return counts

    def _prepare(self, connection_identity: str) -> None:
        execute = self._database.execute
        try:
            if (
                execute("PRAGMA application_id").fetchone()[0] == 0
                and not execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
            ):
                execute("PRAGMA page_size = 4096")
                execute("PRAGMA journal_mode = WAL")
                execute("BEGIN IMMEDIATE")
                execute(f"PRAGMA application_id = {APPLICATION_ID}")
                execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
                for statement in _SCHEMA:
                    execute(statement)
                execute("INSERT INTO run VALUES ('connection', ?)", (connection_identity,))
                execute("COMMIT")
            else:
                self.resumed = True
            self._check(connection_identity)
            execute("PRAGMA journal_mode = WAL")
            # A killed process loses nothing that was committed; only a power cut may lose what is not yet synced.
            execute("PRAGMA synchronous = NORMAL")
            execute(
                "INSERT INTO outcome SELECT seq, ?, NULL, 1, NULL, 0, ? FROM intent"
                " WHERE seq NOT IN (SELECT seq FROM outcome)",
                (_CODES[Outcome.UNKNOWN], INTERRUPTED),
            )
        except sqlite3.DatabaseError as error:
            self._database.close()
            if isinstance(error, sqlite3.OperationalError):
                raise _storage_error(self.path, error) from None
            raise JournalError(str(self.path), f"is no journal of patchwire ({error})") from None
        except JournalError:
            self._database.close()
            raise

    def _check(self, connection_identity: str) -> None:
        execute = self._database.execute
        place = str(self.path)
        if execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
            raise JournalError(place, "is a database, but no journal of patchwire")
        version = execute("PRAGMA user_version").fetchone()[0]
        if version != SCHEMA_VERSION:
            raise JournalError(place, f"has version {version}, this patchwire reads version {SCHEMA_VERSION}")
        owner = execute("SELECT value FROM run WHERE key = 'connection'").fetchone()
        if owner is None or owner[0] != connection_identity:
            raise JournalError(
                place, "belongs to another connection; name another journal, or start over with --fresh"
            )


def _file_of(path: Path) -> tuple[int, int] | None:
    """Which file stands at the path, or None where there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _open(path: Path) -> sqlite3.Connection:
    try:
        # The lock keeps other runs out; readers cannot block a writer in WAL mode, but a checkpoint may wait.
        return sqlite3.connect(path, isolation_level=None, timeout=5.0)
    except sqlite3.Error as error:
        raise _storage_error(path, error) from None


def _refuse_foreign(path: Path) -> None:
    """JournalError unless the file is a journal, by the application id in its head, or empty, or not there."""
    try:
        with path.open("rb") as file:
            head = file.read(72)
    except OSError:
        return
    if head and head[68:] != APPLICATION_ID.to_bytes(4, "big"):
        raise JournalError(str(path), "is no journal of patchwire, and would be lost; name another")


def _remove(path: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        try:
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        except OSError as error:
            raise StorageError(f"{path}: {describe(error)}") from None


def _storage_error(path: Path, error: sqlite3.Error) -> StorageError:
    remedy = "free some space and run the same command again" if "full" in str(error) else "see to its directory"
    return StorageError(f"{path}: {error}; {remedy}")


def _outcome_row(line: OutcomeLine) -> tuple[int, int, int | None, int, str | None, float, str | None]:
    code = _OUTCOME_CODES[line.outcome]
    return line.seq, code, line.status, line.attempts, line.etag, line.seconds, line.error


def _line(
    row: tuple[int, str | None, str, int, int | None, int, str | None, float, str | None, bytes | None],
) -> OutcomeLine:
    seq, record_id, path, code, status, attempts, etag, seconds, error, properties = row
    return line_from(
        seq,
        str(seq) if record_id is None else record_id,
        path,
        _OUTCOMES[code],
        status,
        attempts=attempts,
        etag=etag,
        seconds=seconds,
        error=error,
        properties=properties or b"",
    )
