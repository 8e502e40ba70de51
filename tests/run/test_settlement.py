from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from patchwire.delivery.outcome import Outcome
from patchwire.errors import JournalError, StorageError
from patchwire.files.lock import FileLock
from patchwire.http.message import Origin
from patchwire.run import journal as journal_module
from patchwire.run import settlement
from patchwire.run.journal import HORIZON_STEP, Journal
from patchwire.run.journal_file import INTERRUPTED, SCHEMA_VERSION, lock_path
from patchwire.run.journal_reader import JournalReader, Selection
from patchwire.run.settlement import Settled, Word, settle
from tests.support.batches import BatchFiles
from tests.support.journals import CONNECTION, intent, line, version_of, write_version_1, written
from tests.support.origins import OK, Origins, run


def unknown(path: Path, count: int = 3) -> Path:
    with written(path, [line(seq, Outcome.UNKNOWN, 502, error="gone") for seq in range(count)]):
        pass
    return path


def settlements(path: Path) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as database:
        return database.execute("SELECT seq, word, reason, at, before FROM settlement ORDER BY number").fetchall()


@pytest.mark.parametrize("table", ["intent", "outcome", "settlement", "attempt", "response"])
def test_a_journal_that_has_lost_a_table_is_damaged(tmp_path: Path, table: str) -> None:
    path = unknown(tmp_path / "journal")
    with closing(sqlite3.connect(path)) as database:
        database.execute(f"DROP TABLE {table}")
    with pytest.raises(JournalError) as caught:
        settle(path, [1], Word.APPLIED, None, 12.5)
    assert str(caught.value) == f"{path}: is damaged (no such table: {table}); restore it from a copy"


def test_applied_makes_a_record_applied_and_keeps_what_it_was(tmp_path: Path) -> None:
    path = unknown(tmp_path / "journal")
    assert settle(path, [1], Word.APPLIED, "looked at it", 12.5) == [Settled(1, "/people/1", 0)]
    ((seq, word, reason, at, before),) = settlements(path)
    assert (seq, word, reason, at) == (1, "applied", "looked at it", 12.5)
    assert json.loads(str(before)) == {
        "seq": 1, "id": "r1", "path": "/people/1", "outcome": "unknown", "status": 502, "attempts": 1, "etag": None,
        "seconds": 0.5, "error": "gone",
    }  # fmt: skip
    with closing(Journal(path, CONNECTION)) as journal:
        settled = journal.line(1)
        assert settled == line(1, Outcome.APPLIED, None, error="settled by hand: looked at it")
        assert journal.counts() == {"applied": 1, "pending": 0, "rejected": 0, "not_sent": 0, "unknown": 2}


def test_without_a_reason_the_error_says_only_that_it_was_settled(tmp_path: Path) -> None:
    path = unknown(tmp_path / "journal")
    settle(path, [0], Word.APPLIED, None, 1.0)
    with closing(Journal(path, CONNECTION)) as journal:
        assert journal.line(0) == line(0, Outcome.APPLIED, None, error="settled by hand")


def test_not_applied_forgets_the_record_and_keeps_the_word(tmp_path: Path) -> None:
    path = unknown(tmp_path / "journal")
    settle(path, [0, 2, 0], Word.NOT_APPLIED, None, 1.0)
    assert [row[:4] for row in settlements(path)] == [(0, "not-applied", None, 1.0), (2, "not-applied", None, 1.0)]
    with closing(Journal(path, CONNECTION)) as journal:
        assert [seq for seq, _ in journal.known()] == [1]
        journal.commit([], [intent(line(0))])  # it can be sent again


def test_a_record_that_was_sent_again_and_is_unknown_again_can_be_settled_again(tmp_path: Path) -> None:
    path = unknown(tmp_path / "journal", 1)
    settle(path, [0], Word.NOT_APPLIED, "first", 1.0)
    unknown(path, 1)
    settle(path, [0], Word.APPLIED, "second", 2.0)
    assert [row[1:3] for row in settlements(path)] == [("not-applied", "first"), ("applied", "second")]


def test_a_record_that_a_kill_left_without_outcome_can_be_settled(tmp_path: Path) -> None:
    write_version_1(tmp_path / "journal")
    settle(tmp_path / "journal", [2], Word.APPLIED, "seen", 1.0)
    ((*_, before),) = settlements(tmp_path / "journal")
    assert json.loads(str(before))["error"] == INTERRUPTED
    assert version_of(tmp_path / "journal") == SCHEMA_VERSION


@pytest.mark.parametrize(
    ("seq", "problem"),
    [
        (1, r"record 1 \(/people/1\) is applied; only what is unknown can be settled"),
        (2, r"record 2 \(/people/2\) is not_sent \(held by r0\); only what is unknown can be settled"),
        (9, "holds no record 9: the next run of the batch sends it"),
    ],
)
@pytest.mark.parametrize("word", list(Word))
def test_only_what_is_unknown_can_be_settled_and_one_that_is_not_leaves_all_as_they_were(
    tmp_path: Path, seq: int, problem: str, word: Word
) -> None:
    path = tmp_path / "journal"
    outcomes = [
        line(0, Outcome.UNKNOWN, None),
        line(1),
        line(2, Outcome.NOT_SENT, None, error="held by r0"),
    ]
    with written(path, outcomes):
        pass
    with pytest.raises(JournalError, match=problem):
        settle(path, [0, seq], word, "no", 1.0)
    assert settlements(path) == []
    with closing(Journal(path, CONNECTION)) as journal:
        assert list(journal.lines()) == outcomes


def test_held_records_of_the_same_path_are_counted_and_keep_their_outcome(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    held = [
        line(seq, Outcome.NOT_SENT, None, path=where, error=error)
        for seq, where, error in [
            (1, "/a?2", "held by r0"),
            (2, "a", "held by r0"),
            (3, "/b", "held by r0"),
            (4, "/a", "held by r1"),
            (5, "/a", "connection refused"),
        ]
    ]
    with written(path, [line(0, Outcome.UNKNOWN, None, path="/a?1"), *held]):
        pass
    assert settle(path, [0], Word.APPLIED, None, 1.0) == [Settled(0, "/a?1", 2)]
    with closing(Journal(path, CONNECTION)) as journal:
        assert list(journal.lines())[1:] == held


def test_a_journal_that_a_run_uses_is_refused(tmp_path: Path) -> None:
    with (
        written(tmp_path / "journal", [line(0, Outcome.UNKNOWN, None)]),
        pytest.raises(JournalError, match="a run is using this journal; settle when it has ended"),
    ):
        settle(tmp_path / "journal", [0], Word.APPLIED, None, 1.0)


def test_a_file_that_is_no_journal_is_refused_and_no_file_is_made(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="no such file"):
        settle(tmp_path / "journal", [0], Word.APPLIED, None, 1.0)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "journal").write_bytes(b"text" * 1000)
    with pytest.raises(JournalError, match="is no journal of patchwire"):
        settle(tmp_path / "journal", [0], Word.APPLIED, None, 1.0)
    assert list(tmp_path.iterdir()) == [tmp_path / "journal"]
    assert (tmp_path / "journal").read_bytes() == b"text" * 1000


def test_a_journal_that_cannot_be_written_is_named_and_the_lock_let_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    path = unknown(tmp_path / "journal")
    monkeypatch.setattr(settlement, "mark_interrupted", fail)
    with pytest.raises(StorageError, match="journal: database or disk is full; free some space"):
        settle(path, [0], Word.APPLIED, None, 1.0)
    FileLock(lock_path(path)).release()


# --- after a power cut


@pytest.fixture
def cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A journal whose machine has gone down: record 0 was in flight, and others behind it may have been."""
    names = ["before"]
    monkeypatch.setattr(journal_module, "boot_id", lambda: names[-1])
    monkeypatch.setattr(settlement, "boot_id", lambda: names[-1])
    journal = Journal(tmp_path / "journal", CONNECTION)
    journal.commit([], [intent(line(0))])
    journal._database.close()
    journal._lock.release()
    names.append("after")
    return tmp_path / "journal"


def test_a_word_that_is_said_before_the_resume_holds(cut_off: Path) -> None:
    settle(cut_off, [0], Word.NOT_APPLIED, "looked", 1.0)
    with closing(Journal(cut_off, CONNECTION)) as journal:
        assert journal.outlived_the_machine
        assert journal.in_doubt == frozenset(range(1, HORIZON_STEP))


def test_what_a_power_cut_has_taken_cannot_be_settled_before_the_batch_has_met_it(cut_off: Path) -> None:
    with pytest.raises(JournalError, match="has lost record 1 to a power cut: run the batch, which finds it unknown"):
        settle(cut_off, [1], Word.APPLIED, None, 1.0)


# --- what was done before the word


def test_the_attempts_before_a_persons_word_stay_and_are_counted(tmp_path: Path) -> None:
    origin = Origins(lambda *_: b"")

    async def job(target: Origin) -> BatchFiles:
        files = BatchFiles(tmp_path, target)
        files.write([{"path": "/a", "body": {}}])
        await files.run()
        settle(files.journal, [0], Word.NOT_APPLIED, "looked", 1.0)
        origin.answer = lambda *_: OK
        summary = await files.run()
        assert (summary.counts["applied"], summary.counts["unknown"]) == (1, 0)
        return files

    files: BatchFiles = run(origin, job)
    ((seq, attempts),) = [(each["seq"], each["attempts"]) for each in files.outcomes()]
    with closing(JournalReader(files.journal)) as reader:
        told = [(each.attempt, each.outcome) for page in reader.attempts(Selection()) for each in page]
    assert (seq, attempts, told) == (0, 2, [(1, "unknown"), (2, "applied")])
