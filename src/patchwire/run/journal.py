"""The journal of a run: one SQLite database that survives the process.

An intent is committed before the first byte of its record leaves, its outcome after the answer. One transaction
carries the outcomes of some records and the intents of the next, so killing the process at any instant leaves at
most as many intents without an outcome as there were connections, and those are unknown.

A power cut may take the last transactions too. So before a record at or behind the horizon is sent, a synced
transaction moves the horizon on; whoever resumes on a machine that has started anew takes every record before the
horizon that has no outcome for unknown.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from enum import Enum
from pathlib import Path
from typing import Any, Final, NamedTuple

from patchwire.delivery.outcome import Attempt, Outcome
from patchwire.delivery.outcome_line import OutcomeLine, attempt_of
from patchwire.errors import JournalError, JournalLostError, StorageError
from patchwire.files.read import describe
from patchwire.files.sync import sync_directory
from patchwire.net.sources import boot_id, identity
from patchwire.run.journal_file import (
    APPLICATION_ID,
    CODES,
    LINES,
    OUTCOMES,
    PAGE,
    create,
    damaged,
    fault,
    has_outlived_the_machine,
    is_unwritten,
    lines_of,
    locate,
    mark_doubt,
    mark_interrupted,
    notes_of,
    refuse_device,
    refuse_incomplete,
    storage_error,
    sync_all,
    take_lock,
    upgrade,
    version_of,
)
from patchwire.run.journal_rows import Intent, Result, insert_intents, insert_results, settle_doubts

HORIZON_STEP: Final = 10_000
"""Records by which a synced transaction moves the horizon on."""


_NO_NOTES: Final[Mapping[str, str]] = {}
_ATTEMPTS_MADE = "SELECT seq, max(number) FROM attempt WHERE seq NOT IN (SELECT seq FROM intent) GROUP BY seq"


class Durability(Enum):
    """What survives a power cut. A kill of the process loses nothing either way."""

    NORMAL = "normal"
    """Which records may have been sent: what the disk has not taken of the rest is unknown."""
    FULL = "full"
    """Everything: each transaction is synced."""


class Known(NamedTuple):
    """What the journal says of a record: the digest of what was sent, and how that ended."""

    digest: bytes
    outcome: Outcome
    attempts: int


class Journal:
    """Open for one run, which holds its lock; others may read beside it."""

    def __init__(
        self,
        path: Path,
        connection_identity: str,
        *,
        fresh: bool = False,
        durability: Durability = Durability.NORMAL,
        keyed: bool = False,
        request_id_header: str | None = None,
        first_notes: Mapping[str, str] = _NO_NOTES,
    ) -> None:
        """`keyed` says that this run sends idempotency keys, `request_id_header` where it sends ids.

        With `fresh` a new journal begins with `first_notes`.

        JournalError: it is in use, no journal, or another connection's. StorageError: it cannot be written.
        """
        self.path = path = locate(path)
        self.resumed = False
        """Whether an earlier run began this journal."""
        self.identity = ""
        """What tells this journal from all others; `fresh` gives it another."""
        self.runs = 0
        """How many runs it has seen, with this one."""
        self.is_keyed = keyed
        """Whether every run of it has sent idempotency keys."""
        self.notes: dict[str, str] = dict(first_notes) if fresh else {}
        """What is noted of the run beside its records, by name."""
        self._request_id_header = request_id_header
        self.in_doubt: frozenset[int] = frozenset()
        """Records that a power cut may have robbed of their rows."""
        self.outlived_the_machine = False
        """Whether a power cut may have taken rows since the last run: files may hold more than the journal then."""
        self._boot = boot_id()
        # Where the system does not tell when it has started anew, nobody could see that a horizon is to be minded.
        self.waits_for_the_disk = durability is Durability.FULL or not self._boot
        """Whether each commit does: it belongs into a thread then."""
        self.attempts_made: dict[int, int] = {}
        """Attempts at records that are to be sent as if they had never been: a person has said that they are not
        applied.
        """
        self._has_failed = False
        self._horizon = 0
        place = str(path)
        if not path.name or path.is_dir():
            raise JournalError(place, "is a directory; name a file")
        refuse_device(path)
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
            if not self._has_failed:
                self._set("horizon", 0)  # nothing is in flight, and the checkpoint syncs it all
                self._set("going", 0)
            self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._database.close()
        self._lock.release()

    def commit(
        self,
        results: Sequence[Result],
        intents: Sequence[Intent] = (),
        withdrawn: Iterable[int] = (),
    ) -> None:
        """One transaction: all of it is in the journal, or StorageError is raised and none is.

        `withdrawn` are numbers of intents whose records were not sent after all and are to be sent by a resume. With
        full durability it waits for the disk.
        """
        horizon = None
        if intents and not self.waits_for_the_disk and (last := max(intents)[0]) >= self._horizon:
            horizon = last + HORIZON_STEP
        if _file_of(self.path) != self._file:  # SQLite would go on in the file that is gone, and a resume find none
            raise JournalLostError(f"{self.path}: was removed or replaced while the run went on; what it knew is lost")
        try:
            with self._transaction(synced=horizon is not None):
                for seq in withdrawn:
                    self._database.execute("DELETE FROM intent WHERE seq = ?", (seq,))
                if intents:
                    insert_intents(self._database, intents)
                if results:
                    insert_results(self._database, results)
                    if self.in_doubt:
                        settle_doubts(self._database, results)
                if horizon is not None:
                    self._set("horizon", horizon)
        except StorageError:
            self._has_failed = True
            raise
        if horizon is not None:
            self._horizon = horizon

    def note(self, notes: Mapping[str, str]) -> None:
        """Note this, so that a power cut does not take it. StorageError: it cannot be written."""
        with self._transaction(synced=True):
            for key, value in notes.items():
                self._set(key, value)
        self.notes.update(notes)

    @contextmanager
    def _transaction(self, *, synced: bool) -> Iterator[None]:
        """All that is done within is in the journal at its end, `synced` on the disk, or none is: StorageError."""
        execute = self._database.execute
        try:
            if synced:
                execute("PRAGMA synchronous = FULL")
            execute("BEGIN IMMEDIATE")
            yield
            execute("COMMIT")
            if synced and not self.waits_for_the_disk:
                execute("PRAGMA synchronous = NORMAL")
        except sqlite3.Error as error:
            with suppress(sqlite3.Error):
                execute("ROLLBACK")
            raise storage_error(self.path, error) from None

    def _set(self, key: str, value: str | int) -> None:
        self._database.execute("INSERT OR REPLACE INTO run VALUES (?, ?)", (key, str(value)))

    def known(self) -> Iterator[tuple[int, Known]]:
        """Every record with an outcome, by rising number; read page by page, so that writing may go on."""
        last = -1
        while True:
            rows = self._rows(
                "SELECT seq, digest, outcome, attempts FROM intent JOIN outcome USING (seq)"
                " WHERE seq > ? ORDER BY seq LIMIT ?",
                (last, PAGE),
            )
            if not rows:
                return
            for seq, digest, outcome, attempts in rows:
                if outcome not in OUTCOMES:
                    raise damaged(self.path, f"record {seq} has outcome {outcome}")
                yield seq, Known(digest, OUTCOMES[outcome], attempts)
            last = rows[-1][0]

    def lines(self) -> Iterator[OutcomeLine]:
        """The outcome of every record that has one, by rising number."""
        return self._lines("outcome NOT NULL")

    def _lines(self, where: str) -> Iterator[OutcomeLine]:
        last = -1
        while rows := self._rows(f"{LINES} WHERE {where} AND seq > ? ORDER BY seq LIMIT ?", (last, PAGE)):
            yield from lines_of(self.path, rows)
            last = rows[-1][0]

    def unknown_lines(self) -> Iterator[OutcomeLine]:
        """The outcome of every record that is unknown, by rising number."""
        return self._lines(f"outcome = {CODES[Outcome.UNKNOWN]}")

    def line(self, seq: int) -> OutcomeLine | None:
        """The outcome of this record; None where it has none."""
        rows = self._rows(
            f"{LINES} WHERE outcome NOT NULL AND seq = ?",
            (seq,),
        )
        return lines_of(self.path, rows)[0] if rows else None

    def attempt(self, seq: int) -> Attempt:
        """The attempt that has decided this record, which has an outcome."""
        line = self.line(seq)
        if line is None:
            raise damaged(self.path, f"record {seq} has lost its outcome")
        return attempt_of(line)

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
                sync_directory(self.path.parent)
            else:
                self.resumed = True
            version = version_of(self._database, self.path)
            self._refuse_another(connection_identity)
            self._database.execute("PRAGMA journal_mode = WAL")
            upgrade(self._database, version)
            sync_all(self._database)
            refuse_incomplete(self._database, self.path)
            mark_interrupted(self._database)
            self._begin_run()
            if not self.waits_for_the_disk:
                # A killed process loses nothing that was committed; only a power cut may lose what is not yet synced.
                self._database.execute("PRAGMA synchronous = NORMAL")
        except sqlite3.Error as error:
            self._database.close()
            raise fault(self.path, error) from None
        except JournalError:
            self._database.close()
            raise

    def _begin_run(self) -> None:
        """Count this run, and find out whether the machine has gone down since the last: one synced transaction."""
        execute = self._database.execute
        values = notes_of(self._database)
        self.identity = values.get("journal") or identity()
        self.runs = int(values.get("runs", 0)) + 1
        self.outlived_the_machine = has_outlived_the_machine(values, self._boot)
        execute("BEGIN IMMEDIATE")
        if self.outlived_the_machine:
            mark_doubt(self._database, values)
        self.is_keyed = self.is_keyed and (not self.resumed or values.get("keyed") == "1")
        notes: dict[str, str | int] = {
            "journal": self.identity,
            "runs": self.runs,
            "boot": self._boot,
            "horizon": 0,
            "going": 1,
        }
        notes["keyed"] = int(self.is_keyed)
        if self._request_id_header is not None:
            notes["request_id_header"] = self._request_id_header
        if self.outlived_the_machine:
            notes["output_file"] = ""  # a later run must not believe it either
        self.notes = {**values, **self.notes, **{key: str(value) for key, value in notes.items()}}
        for key, value in self.notes.items():
            self._set(key, value)
        execute("COMMIT")
        self.in_doubt = frozenset(seq for (seq,) in execute("SELECT seq FROM doubt"))
        self.attempts_made = dict(execute(_ATTEMPTS_MADE))

    def _refuse_another(self, connection_identity: str) -> None:
        owner = self._database.execute("SELECT value FROM run WHERE key = 'connection'").fetchone()
        if owner is None or owner[0] != connection_identity:
            problem = "belongs to another connection; name another journal, or start over with --fresh"
            raise JournalError(str(self.path), problem)


def _file_of(path: Path) -> tuple[int, int] | None:
    """Which file stands at the path, or None where there is none."""
    try:
        status = os.stat(path)  # noqa: PTH116 - for every commit, and a Path takes twice as long
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _open(path: Path) -> sqlite3.Connection:
    try:
        # The lock keeps other runs out; readers cannot block a writer in WAL mode, but a checkpoint may wait.
        # Full durability commits in threads, one after the other.
        return sqlite3.connect(path, isolation_level=None, timeout=5.0, check_same_thread=False)
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
