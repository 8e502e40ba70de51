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
from typing import Any, NamedTuple

from patchwire.delivery.outcome import Outcome, OutcomeLine
from patchwire.errors import JournalError, StorageError
from patchwire.files.read import describe
from patchwire.run.journal_file import (
    APPLICATION_ID,
    OUTCOME_CODES,
    OUTCOMES,
    PAGE,
    create,
    damaged,
    fault,
    is_unwritten,
    lines_of,
    locate,
    mark_interrupted,
    storage_error,
    take_lock,
    upgrade,
    version_of,
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
        self.path = path = locate(path)
        self.resumed = False
        """Whether an earlier run began this journal."""
        place = str(path)
        if not path.name or path.is_dir():
            raise JournalError(place, "is a directory; name a file")
        self._lock = take_lock(path, "another run is using this journal; wait for it, or name another")
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
            raise storage_error(self.path, error) from None

    def known(self) -> Iterator[tuple[int, Known]]:
        """Every record with an outcome, by rising number; read page by page, so that writing may go on."""
        last = -1
        while True:
            rows = self._rows(
                "SELECT seq, digest, outcome FROM intent JOIN outcome USING (seq) WHERE seq > ? ORDER BY seq LIMIT ?",
                (last, PAGE),
            )
            if not rows:
                return
            for seq, digest, outcome in rows:
                if outcome not in OUTCOMES:
                    raise damaged(self.path, f"record {seq} has outcome {outcome}")
                yield seq, Known(digest, OUTCOMES[outcome])
            last = rows[-1][0]

    def lines(self) -> Iterator[OutcomeLine]:
        """The outcome of every record that has one, by rising number."""
        last = -1
        while True:
            rows = self._rows(
                "SELECT seq, id, path, outcome, status, attempts, etag, seconds, error, properties"
                " FROM outcome JOIN intent USING (seq) WHERE seq > ? ORDER BY seq LIMIT ?",
                (last, PAGE),
            )
            if not rows:
                return
            yield from lines_of(self.path, rows)
            last = rows[-1][0]

    def line(self, seq: int) -> OutcomeLine | None:
        """The outcome of this record; None where it has none."""
        rows = self._rows(
            "SELECT seq, id, path, outcome, status, attempts, etag, seconds, error, properties"
            " FROM outcome JOIN intent USING (seq) WHERE seq = ?",
            (seq,),
        )
        return lines_of(self.path, rows)[0] if rows else None

    def settled_by_hand(self) -> frozenset[int]:
        """The records on which a person's word was given: what an output says of them may be overtaken."""
        return frozenset(seq for (seq,) in self._rows("SELECT DISTINCT seq FROM settlement"))

    def counts(self) -> dict[str, int]:
        """How many records ended how: the four outcomes, and `pending`, which are also applied."""
        counts = dict.fromkeys([*(outcome.value for outcome in Outcome), "pending"], 0)
        rows = self._rows("SELECT outcome, count(*), sum(status = 202) FROM outcome GROUP BY outcome")
        for code, number, pending in rows:
            if code not in OUTCOMES:
                raise damaged(self.path, f"{number} records have outcome {code}")
            counts[OUTCOMES[code].value] = number
            if OUTCOMES[code] is Outcome.APPLIED:
                counts["pending"] = pending or 0
        return counts

    def _rows(self, query: str, values: Sequence[int] = ()) -> list[Any]:
        try:
            return self._database.execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise fault(self.path, error) from None

    def _prepare(self, connection_identity: str) -> None:
        try:
            if is_unwritten(self._database):
                create(self._database, connection_identity)
            else:
                self.resumed = True
            version = version_of(self._database, self.path)
            self._refuse_another(connection_identity)
            self._database.execute("PRAGMA journal_mode = WAL")
            # A killed process loses nothing that was committed; only a power cut may lose what is not yet synced.
            self._database.execute("PRAGMA synchronous = NORMAL")
            upgrade(self._database, version)
            mark_interrupted(self._database)
        except sqlite3.Error as error:
            self._database.close()
            raise fault(self.path, error) from None
        except JournalError:
            self._database.close()
            raise

    def _refuse_another(self, connection_identity: str) -> None:
        owner = self._database.execute("SELECT value FROM run WHERE key = 'connection'").fetchone()
        if owner is None or owner[0] != connection_identity:
            problem = "belongs to another connection; name another journal, or start over with --fresh"
            raise JournalError(str(self.path), problem)


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
        raise storage_error(path, error) from None


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


def _outcome_row(line: OutcomeLine) -> tuple[int, int, int | None, int, str | None, float, str | None]:
    code = OUTCOME_CODES[line.outcome]
    return line.seq, code, line.status, line.attempts, line.etag, line.seconds, line.error
