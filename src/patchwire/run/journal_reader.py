"""Reading a journal beside its run, or after it: no lock is taken, and nothing is written."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from patchwire.delivery.labels import Labels, idempotency_key, request_id
from patchwire.delivery.outcome import Outcome
from patchwire.delivery.outcome_line import OutcomeLine
from patchwire.errors import JournalError, PatchwireError
from patchwire.files.lock import is_locked
from patchwire.files.read import describe
from patchwire.net.sources import boot_id
from patchwire.run.journal_file import (
    CODES,
    INTERRUPTED,
    LINES,
    LINES_BEFORE_3,
    OUTCOMES,
    PAGE,
    damaged,
    fault,
    has_outlived_the_machine,
    lines_of,
    locate,
    lock_path,
    refuse_unreadable,
    version_of,
)

_OPEN: Final = "SELECT seq FROM intent WHERE seq NOT IN (SELECT seq FROM outcome)"
_WHERE: Final = (
    " WHERE (:outcomes IS NULL OR ifnull(outcome, :unknown) IN (SELECT value FROM json_each(:outcomes)))"
    " AND (:statuses IS NULL OR status IN (SELECT value FROM json_each(:statuses)))"
    " AND substr(path, 1, length(:path)) = :path"
)
_PAGE: Final = _WHERE + " AND seq > :after ORDER BY seq LIMIT :page"
_SELECTED: Final = " FROM intent LEFT JOIN outcome USING (seq)" + _WHERE
_EVIDENCE: Final = ("bytes_sent", "bytes_received", "reused")
_RECORDS: Final = (
    "SELECT seq, id, path, outcome, digest, attempts, status, {evidence}, error"
    + _SELECTED
    + " AND seq > :after ORDER BY seq LIMIT :page"
)
_ATTEMPTS: Final = (
    "SELECT seq, number, outcome, status, bytes_sent, bytes_received, reused, error FROM attempt"
    " WHERE seq IN (SELECT value FROM json_each(:seqs)) ORDER BY seq, number"
)
_COUNTS: Final = "SELECT outcome, count(*), sum(status = 202)" + _SELECTED + " GROUP BY outcome"
_SELECTED_OPEN: Final = "SELECT seq" + _SELECTED + " AND outcome IS NULL"
_COUNT_BY_HAND: Final = (
    "SELECT count(*)"  # noqa: S608 - all of it stands here
    + _SELECTED
    + " AND outcome = :applied AND seq IN (SELECT seq FROM settlement)"
)


class Selection(Struct, frozen=True):
    """Which records; what is empty leaves none out."""

    outcomes: frozenset[Outcome] = frozenset()
    statuses: frozenset[int] = frozenset()
    path: str = ""
    """How the record's path begins."""


class AttemptLine(Struct, frozen=True):
    """One attempt at a record, as the journal knows it; None where it does not know."""

    seq: int
    id: str
    path: str
    attempt: int
    """Its number, over all runs, from 1."""
    outcome: str
    status: int | None
    bytes_sent: int | None
    """Octets of the request that the kernel took, on TLS with its framing."""
    bytes_received: int | None
    connection: str | None
    """Whether it was `new`, or `reused`: had served another request before."""
    error: str | None
    idempotency_key: str | None
    """The key of the record, where every run sends keys; one that the record brought along is not known."""
    request_id: str | None
    """What the id of the attempt begins with, where ids are sent: for a search in a server's log."""


class Settlement(Struct, frozen=True):
    """What a person has said of an unknown record, and when, in Unix seconds."""

    seq: int
    word: str
    reason: str | None
    at: float


class JournalReader:
    """What a journal says. All methods raise JournalError where it cannot be read or makes no sense."""

    def __init__(self, path: Path) -> None:
        self.path = locate(path)
        refuse_unreadable(self.path)
        self._connect()
        try:
            # First what is open, then whether a run goes on: one that begins in between makes unknown what an earlier
            # one has left before it sends anything, so of what is open now nothing is in flight unless it is locked.
            open_now = frozenset(seq for (seq,) in self._rows(_OPEN))
            self.lock_fault: str | None = None
            """Why it cannot be seen whether the run goes on; then it is taken to."""
            goes_on = bool(open_now) and self._goes_on()
        except BaseException:
            self.close()
            raise
        self.in_flight = len(open_now) if goes_on else 0
        """How many records were in flight at the beginning."""
        self._interrupted = frozenset() if goes_on else open_now

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()

    def pages(self, selection: Selection, limit: int | None = None) -> Iterator[list[OutcomeLine]]:
        """The outcomes of the selected records, by rising number, at most `limit`, some at a time.

        What a kill has interrupted is unknown, as a resume will make it; what is in flight is left out.
        """
        query = (LINES if self._version >= 3 else LINES_BEFORE_3) + _PAGE
        for rows in self._ended(query, selection, limit):
            yield lines_of(self.path, rows)

    def attempts(self, selection: Selection, limit: int | None = None) -> Iterator[list[AttemptLine]]:
        """The attempts at the selected records, by rising number, at most `limit` records, some at a time."""
        query = _RECORDS.format(evidence=", ".join(_EVIDENCE if self._version >= 3 else ["NULL"] * len(_EVIDENCE)))
        labels = self._labels()
        for rows in self._ended(query, selection, limit):
            kept = self._kept([row[0] for row in rows])
            lines = [line for row in rows for line in _attempt_lines(self.path, row, kept.get(row[0], []), labels)]
            if lines:
                yield lines

    def counts(self, selection: Selection) -> dict[str, int]:
        """How many of the selected records ended how: all, the four outcomes, and, of those applied, `pending` and
        `settled`, by hand.
        """
        values = _values(selection)
        counts = dict.fromkeys(("records", "applied", "pending", "rejected", "not_sent", "unknown", "settled"), 0)
        for code, number, pending in self._rows(_COUNTS, values):
            if code is None:
                number = len(self._interrupted.intersection(seq for (seq,) in self._rows(_SELECTED_OPEN, values)))
                code = CODES[Outcome.UNKNOWN]
            if code not in OUTCOMES:
                raise damaged(self.path, f"{number} records have outcome {code}")
            counts[OUTCOMES[code].value] += number
            counts["records"] += number
            if OUTCOMES[code] is Outcome.APPLIED:
                counts["pending"] = pending or 0
        if self._version >= 2:
            ((counts["settled"],),) = self._rows(_COUNT_BY_HAND, values)
        return counts

    def settlements(self) -> Iterator[Settlement]:
        """What was settled by hand, in the order in which it was."""
        last = 0
        while self._version >= 2:
            rows = self._rows(
                "SELECT number, seq, word, reason, at FROM settlement WHERE number > :after ORDER BY number"
                " LIMIT :page",
                {"after": last, "page": PAGE},
            )
            if not rows:
                return
            last = rows[-1][0]
            yield from (Settlement(*row[1:]) for row in rows)

    def doubted(self) -> int:
        """How many records a power cut may have robbed of what the journal knew: a resume finds them unknown."""
        if self._version < 3:
            return 0
        ((number,),) = self._rows("SELECT count(*) FROM doubt")
        notes = self._notes()
        if has_outlived_the_machine(notes, boot_id()):
            ((known,),) = self._rows("SELECT count(*) FROM intent WHERE seq < :horizon", {"horizon": notes["horizon"]})
            number += max(0, int(notes["horizon"]) - int(known))
        return int(number)

    def _ended(self, query: str, selection: Selection, limit: int | None) -> Iterator[list[Any]]:
        """The rows of selected records that are not in flight, page by page; their fourth column is the outcome."""
        values = _values(selection)
        after = -1
        while limit is None or limit > 0:
            rows = self._rows(query, {**values, "after": after, "page": PAGE if limit is None else min(limit, PAGE)})
            if not rows:
                return
            after = rows[-1][0]
            rows = [row for row in rows if row[3] is not None or row[0] in self._interrupted]
            if limit is not None:
                limit -= len(rows)
            if rows:
                yield rows

    def _notes(self) -> dict[str, str]:
        return dict(self._rows("SELECT key, value FROM run"))

    def _labels(self) -> Labels:
        """What all runs have added to their requests."""
        notes = self._notes()
        return Labels(
            journal=notes.get("journal", ""),
            run=0,
            idempotency_key=notes.get("keyed") == "1",
            request_id_header=notes.get("request_id_header"),
        )

    def _kept(self, seqs: list[int]) -> dict[int, list[Any]]:
        """Of those of these records that took several attempts, or whose attempt was overtaken: all attempts."""
        kept: dict[int, list[Any]] = {}
        if self._version >= 3:
            for seq, *row in self._rows(_ATTEMPTS, {"seqs": msgspec.json.encode(seqs).decode()}):
                kept.setdefault(seq, []).append(row)
        return kept

    def _goes_on(self) -> bool:
        try:
            return is_locked(lock_path(self.path))
        except OSError as error:
            self.lock_fault = f"{lock_path(self.path)}: {describe(error)}"
            return True

    def _rows(self, query: str, values: Mapping[str, Any] | None = None) -> list[Any]:
        """All rows of one query: no snapshot is kept between two, so that the run can fold in its log."""
        while True:
            try:
                rows = self._database.execute(query, values or {}).fetchall()
                failure = None
            except sqlite3.Error as error:
                rows, failure = [], error
            if self._rest is not None and self._rest != _at_rest(self.path):
                self._database.close()  # a run has begun: what was just read may be half of before and half of after
                self._connect()
            elif failure is not None:
                raise _fault(self.path, failure)
            else:
                return rows

    def _connect(self) -> None:
        # With no log beside it the file is all there is, and to read it as immutable leaves no log behind, and works
        # where none could be made. Then it is only for us to see that it stays as it is.
        self._rest = _at_rest(self.path)
        place = self.path.as_uri() + ("?mode=ro" if self._rest is None else "?mode=ro&immutable=1")
        try:
            self._database = sqlite3.connect(place, uri=True, isolation_level=None, timeout=5.0)
        except sqlite3.Error as error:
            raise _fault(self.path, error) from None
        try:
            self._version = version_of(self._database, self.path)
        except sqlite3.Error as error:
            self._database.close()
            raise _fault(self.path, error) from None
        except JournalError:
            self._database.close()
            raise


def _attempt_lines(path: Path, row: Any, kept: list[Any], labels: Labels) -> list[AttemptLine]:
    """The attempts at a record: those that were kept, else the one that its outcome tells of, if there was one."""
    seq, record_id, record_path, outcome, digest, attempts, *evidence = row
    if outcome is None:
        kept = [*kept, (len(kept) + 1, CODES[Outcome.UNKNOWN], None, None, None, None, INTERRUPTED)]
    elif not kept and attempts:
        kept = [(attempts, outcome, *evidence)]
    key = idempotency_key(labels.journal, seq, digest) if labels.idempotency_key else None
    identifier = f"{request_id(labels.journal, seq)}-" if labels.request_id_header else None
    try:
        return [
            AttemptLine(
                seq,
                str(seq) if record_id is None else record_id,
                record_path,
                number,
                OUTCOMES[code].value,
                status,
                bytes_sent,
                bytes_received,
                None if reused is None else "reused" if reused else "new",
                error,
                key,
                identifier,
            )
            for number, code, status, bytes_sent, bytes_received, reused, error in kept
        ]
    except KeyError as error:
        raise damaged(path, f"KeyError: {error}") from None


def _at_rest(path: Path) -> tuple[int, int, int] | None:
    """Which file stands there, and of when; None while a log beside it holds more than it does."""
    try:
        log = path.with_name(path.name + "-wal")
        if log.exists() and log.stat().st_size:
            return None
        status = path.stat()
    except OSError as error:
        raise JournalError(str(path), describe(error)) from None
    return status.st_ino, status.st_mtime_ns, status.st_size


def _fault(path: Path, error: sqlite3.Error) -> PatchwireError:
    """What keeps the journal from being read is the user's to mend: a JournalError in any case."""
    if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_CANTOPEN:
        return JournalError(
            str(path), "its log cannot be read in this directory; copy the journal and its -wal file to another"
        )
    found = fault(path, error)
    return found if isinstance(found, JournalError) else JournalError(str(path), f"cannot be read ({error})")


def _values(selection: Selection) -> dict[str, Any]:
    outcomes = sorted(CODES[outcome] for outcome in selection.outcomes)
    return {
        "outcomes": msgspec.json.encode(outcomes).decode() if outcomes else None,
        "statuses": msgspec.json.encode(sorted(selection.statuses)).decode() if selection.statuses else None,
        "path": selection.path,
        "unknown": CODES[Outcome.UNKNOWN],
        "applied": CODES[Outcome.APPLIED],
    }
