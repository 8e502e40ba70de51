from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from patchwire.delivery.labels import idempotency_key
from patchwire.delivery.outcome import Attempt, Outcome
from patchwire.delivery.outcome_line import OutcomeLine
from patchwire.errors import JournalError, Sent
from patchwire.run import journal_reader
from patchwire.run.journal import HORIZON_STEP, Journal
from patchwire.run.journal_file import INTERRUPTED, PAGE
from patchwire.run.journal_reader import AttemptLine, JournalReader, Selection
from patchwire.run.journal_rows import Result
from patchwire.run.settlement import Word, settle
from tests.support.journals import CONNECTION, intent, line, version_of, write_version_1, written

ALL = Selection()


def lines(path: Path, selection: Selection = ALL, limit: int | None = None) -> list[OutcomeLine]:
    with closing(JournalReader(path)) as reader:
        return [each for page in reader.pages(selection, limit) for each in page]


def seqs(path: Path, selection: Selection = ALL, limit: int | None = None) -> list[int]:
    return [each.seq for each in lines(path, selection, limit)]


def killed(directory: Path, outcomes: list[OutcomeLine], open_seqs: list[int]) -> Path:
    """What a kill leaves: the database, its log, the log's index, and a lock file that nobody holds."""
    (directory / "killed").mkdir()
    with written(directory / "journal", outcomes, open_seqs=open_seqs):
        for file in directory.glob("journal*"):
            shutil.copy(file, directory / "killed" / file.name)
    return directory / "killed" / "journal"


def names(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


def test_the_lines_are_those_of_the_journal_by_rising_number_over_many_pages(tmp_path: Path) -> None:
    outcomes = [line(seq) for seq in range(0, 3 * PAGE, 2)]
    with written(tmp_path / "journal", reversed(outcomes)):
        pass
    assert lines(tmp_path / "journal") == outcomes
    assert seqs(tmp_path / "journal", limit=PAGE + 1) == [each.seq for each in outcomes[: PAGE + 1]]
    with closing(JournalReader(tmp_path / "journal")) as reader:
        assert max(map(len, reader.pages(ALL))) == PAGE


def test_reading_a_finished_journal_leaves_no_file_behind_and_changes_none(tmp_path: Path) -> None:
    with written(tmp_path / "a #%?é journal", [line(0)]):
        pass
    before = (tmp_path / "a #%?é journal").read_bytes()
    assert seqs(tmp_path / "a #%?é journal") == [0]
    assert names(tmp_path) == {"a #%?é journal"}
    assert (tmp_path / "a #%?é journal").read_bytes() == before


def test_a_run_goes_on_beside_a_reader_and_what_it_adds_is_read(tmp_path: Path) -> None:
    with written(tmp_path / "journal", [line(0)], open_seqs=[1, 2]) as journal:
        with closing(JournalReader(tmp_path / "journal")) as reader:
            assert reader.in_flight == 2
            pages = reader.pages(ALL, limit=None)
            assert [each.seq for each in next(pages)] == [0]
            journal.commit([Result(line(1)), Result(line(3))], [intent(line(3))])
            assert [each.seq for each in next(pages)] == [3]  # 1 was in flight when its page was read
            assert list(pages) == []
            assert reader.counts(ALL)["unknown"] == 0
        journal.commit([Result(line(2))])
    assert seqs(tmp_path / "journal") == [0, 1, 2, 3]


def test_what_a_kill_has_left_open_is_unknown_as_a_resume_will_make_it(tmp_path: Path) -> None:
    path = killed(tmp_path, [line(0), line(2)], [1, 3])
    with closing(JournalReader(path)) as reader:
        assert reader.in_flight == 0
        read = [each for page in reader.pages(ALL) for each in page]
        assert reader.counts(ALL) == {
            "records": 4, "applied": 2, "pending": 0, "rejected": 0, "not_sent": 0, "unknown": 2, "settled": 0,
        }  # fmt: skip
        assert reader.counts(Selection(path="/people/3"))["unknown"] == 1
    assert [(each.seq, each.outcome, each.error) for each in read if each.seq % 2] == [
        (1, "unknown", INTERRUPTED),
        (3, "unknown", INTERRUPTED),
    ]
    assert seqs(path, Selection(frozenset({Outcome.UNKNOWN}))) == [1, 3]
    assert seqs(path, Selection(frozenset({Outcome.APPLIED}))) == [0, 2]
    with closing(Journal(path, CONNECTION)) as journal:
        assert list(journal.lines()) == read


def test_a_run_that_begins_while_a_killed_journal_is_read_puts_nothing_in_flight_among_the_unknown(
    tmp_path: Path,
) -> None:
    path = killed(tmp_path, [line(0)], [1])
    with closing(JournalReader(path)) as reader, closing(Journal(path, CONNECTION)) as journal:
        journal.commit([], [intent(line(2))])
        assert [each.seq for page in reader.pages(ALL) for each in page] == [0, 1]
        assert reader.counts(ALL)["records"] == 2


def test_a_run_that_begins_while_a_finished_journal_is_read_is_seen(tmp_path: Path) -> None:
    with written(tmp_path / "journal", [line(0)]):
        pass
    with closing(JournalReader(tmp_path / "journal")) as reader:
        with written(tmp_path / "journal", [line(1)]):
            assert [each.seq for page in reader.pages(ALL) for each in page] == [0, 1]
        with written(tmp_path / "journal", [line(seq) for seq in range(2, 500)]):
            pass
        assert reader.counts(ALL)["applied"] == 500


def test_a_journal_that_is_removed_while_it_is_read_is_said_to_be(tmp_path: Path) -> None:
    with written(tmp_path / "journal", [line(0)]):
        pass
    with closing(JournalReader(tmp_path / "journal")) as reader:
        (tmp_path / "journal").unlink()
        with pytest.raises(JournalError, match="journal: no such file"):
            list(reader.pages(ALL))


def test_the_selection_is_by_outcome_status_and_path_and_all_must_hold(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    outcomes = [
        line(0, Outcome.APPLIED, 202, path="/a/1"),
        line(1, Outcome.REJECTED, 404, path="/a/2"),
        line(2, Outcome.REJECTED, 409, path="/b/1"),
        line(3, Outcome.UNKNOWN, None, path="/a%2F_"),
        line(4, Outcome.NOT_SENT, None, path="/A/1"),
    ]
    with written(path, outcomes):
        pass
    rejected, applied = Outcome.REJECTED, Outcome.APPLIED
    assert seqs(path, Selection(frozenset({rejected}))) == [1, 2]
    assert seqs(path, Selection(frozenset({rejected, applied}))) == [0, 1, 2]
    assert seqs(path, Selection(statuses=frozenset({404, 202}))) == [0, 1]
    assert seqs(path, Selection(frozenset({rejected}), frozenset({404, 202}))) == [1]
    assert seqs(path, Selection(path="/a")) == [0, 1, 3]
    assert seqs(path, Selection(path="/a/"), limit=1) == [0]
    with closing(JournalReader(path)) as reader:
        assert reader.counts(Selection(path="/a/")) == {
            "records": 2, "applied": 1, "pending": 1, "rejected": 1, "not_sent": 0, "unknown": 0, "settled": 0,
        }  # fmt: skip


@pytest.mark.parametrize(
    ("prefix", "found"), [("/a%", [3]), ("/_", []), ("%", []), ("_", []), ("/A", [4]), ("'", []), ("/a%2F_", [3])]
)
def test_a_prefix_has_no_wildcards_and_tells_capitals(tmp_path: Path, prefix: str, found: list[int]) -> None:
    with written(tmp_path / "journal", [line(1, path="/a/1"), line(3, path="/a%2F_"), line(4, path="/A/1")]):
        pass
    assert seqs(tmp_path / "journal", Selection(path=prefix)) == found


def test_a_journal_of_version_1_is_read_and_not_upgraded(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    write_version_1(path)
    with closing(JournalReader(path)) as reader:
        assert reader.counts(ALL)["settled"] == 0
        assert list(reader.settlements()) == []
    first, second, third = lines(path)
    assert (first.id, first.pending, first.etag) == ("first", True, '"e"')
    assert (second.id, second.status) == ("1", 502)
    assert (third.outcome, third.error) == ("unknown", INTERRUPTED)
    assert version_of(path) == 1


def test_settlements_are_counted_and_told_in_their_order(tmp_path: Path) -> None:
    with written(tmp_path / "journal", [line(seq, Outcome.UNKNOWN, None) for seq in range(3)]):
        pass
    settle(tmp_path / "journal", [2], Word.NOT_APPLIED, None, 5.0)
    settle(tmp_path / "journal", [0], Word.APPLIED, "seen", 6.5)
    with closing(JournalReader(tmp_path / "journal")) as reader:
        assert [(each.seq, each.word, each.reason, each.at) for each in reader.settlements()] == [
            (2, "not-applied", None, 5.0),
            (0, "applied", "seen", 6.5),
        ]
        counts = reader.counts(ALL)
    assert (counts["records"], counts["applied"], counts["unknown"], counts["settled"]) == (2, 1, 1, 1)


# --- what is no journal, or cannot be read


def database(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


def make_nothing(path: Path) -> None:
    pass


def make_text(path: Path) -> None:
    path.write_text("this is a text, not a database, and long enough to be sure of it" * 20, "utf-8")


def make_foreign(path: Path) -> None:
    database(path, "CREATE TABLE mine (a)")


def make_newer(path: Path) -> None:
    write_version_1(path)
    database(path, "PRAGMA user_version = 7")


def make_senseless(path: Path) -> None:
    write_version_1(path)
    database(path, "UPDATE outcome SET outcome = 9")


def make_torn(path: Path) -> None:
    with written(path, [line(seq) for seq in range(500)]):
        pass
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xa5" * (path.stat().st_size - 4096))


def make_without_tables(path: Path) -> None:
    write_version_1(path)
    database(path, "DROP TABLE outcome")


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (make_nothing, "no such file or directory"),
        (Path.mkdir, "is a directory; name a journal"),
        (os.mkfifo, "is no file on a disk; name a journal"),
        (Path.touch, "is empty"),
        (make_text, "is no journal of patchwire"),
        (make_foreign, "is a database, but no journal of patchwire"),
        (make_newer, "has version 7, this patchwire reads versions up to 3; use a newer patchwire"),
        (make_senseless, "is damaged"),
        (make_torn, "is damaged (database disk image is malformed); restore it from a copy"),
        (make_without_tables, "is damaged (no such table: outcome); restore it from a copy"),
    ],
)
def test_what_is_no_sound_journal_is_refused_with_its_name_and_makes_no_file(
    tmp_path: Path, make: Any, problem: str
) -> None:
    path = tmp_path / "journal"
    make(path)
    before = names(tmp_path)
    with pytest.raises(JournalError) as caught:
        lines(path)
    assert str(caught.value).startswith(f"{path}: {problem}")
    assert names(tmp_path) == before


def test_a_lock_that_cannot_be_looked_at_leaves_open_records_in_flight(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> bool:
        raise PermissionError(errno.EACCES, "Permission denied")

    path = killed(tmp_path, [line(0)], [1])
    monkeypatch.setattr(journal_reader, "is_locked", refuse)
    with closing(JournalReader(path)) as reader:
        assert reader.in_flight == 1
        assert reader.lock_fault == f"{path}.lock: permission denied"
        assert [each.seq for page in reader.pages(ALL) for each in page] == [0]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, which a test may make one that can only be read."""
    place = tmp_path / "disk"
    place.mkdir()
    if os.geteuid() or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", place]).returncode:
        pytest.skip("cannot mount a tmpfs here")
    yield place
    subprocess.run(["umount", place], check=True)


def test_journals_in_a_directory_that_cannot_be_written_are_read(tmp_path: Path, disk: Path) -> None:
    with written(disk / "journal", [line(0)]):
        pass
    path = killed(tmp_path, [line(0)], [1])
    for file in path.parent.iterdir():
        shutil.copy(file, disk / file.name.replace("journal", "killed"))
    shutil.copy(path, disk / "without-index")
    shutil.copy(f"{path}-wal", disk / "without-index-wal")
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    before = names(disk)
    assert seqs(disk / "journal") == [0]
    assert seqs(disk / "killed") == [0, 1]
    with pytest.raises(JournalError, match="copy the journal and its -wal file to another"):
        lines(disk / "without-index")
    assert names(disk) == before


def test_a_journal_that_its_reader_may_not_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with written(tmp_path / "journal", [line(0)]):
        pass

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(JournalError, match="journal: permission denied"):
        JournalReader(tmp_path / "journal")


# --- attempts


def attempts(path: Path, selection: Selection = ALL, limit: int | None = None) -> list[AttemptLine]:
    with closing(JournalReader(path)) as reader:
        return [each for page in reader.attempts(selection, limit) for each in page]


CUT = Attempt(Outcome.UNKNOWN, Sent.MAYBE, error="cut", bytes_sent=300, reused=True)
BUSY = Attempt(Outcome.REJECTED, Sent.YES, 429, bytes_sent=310, bytes_received=90)
DONE = Attempt(Outcome.APPLIED, Sent.YES, 204, bytes_sent=311, bytes_received=80, reused=True)


def commit(path: Path, results: list[Result], **settings: Any) -> None:
    with closing(Journal(path, CONNECTION, **settings)) as journal:
        fresh = [] if journal.runs > 1 else [intent(result.line) for result in results]
        journal.commit(results, fresh)


def told(path: Path) -> list[tuple[Any, ...]]:
    return [
        (
            each.seq,
            each.attempt,
            each.outcome,
            each.status,
            each.bytes_sent,
            each.bytes_received,
            each.connection,
            each.error,
        )
        for each in attempts(path)
    ]


def test_every_attempt_has_its_evidence_whether_it_was_the_only_one_or_one_of_several_runs(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    unknown = line(1, Outcome.UNKNOWN, None, error="cut")
    commit(path, [Result(line(0), [BUSY, DONE]), Result(unknown, [CUT]), Result(line(2), [DONE])])
    first = [
        (0, 1, "rejected", 429, 310, 90, "new", None),
        (0, 2, "applied", 204, 311, 80, "reused", None),
        (1, 1, "unknown", None, 300, 0, "reused", "cut"),
        (2, 1, "applied", 200, 311, 80, "reused", None),
    ]
    assert told(path) == first
    commit(path, [Result(line(1), [DONE], 1)])
    assert told(path) == [*first[:3], (1, 2, "applied", 204, 311, 80, "reused", None), first[3]]
    assert [each.seq for each in attempts(path, Selection(path="/people/1"))] == [1, 1]
    assert [each.seq for each in attempts(path, limit=2)] == [0, 0, 1, 1]


def test_what_a_person_or_a_look_at_the_resource_has_settled_keeps_its_attempt(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    seen = line(0, error="verified: a GET shows the change")
    commit(path, [Result(seen, [CUT]), Result(line(1, Outcome.UNKNOWN, None, error="cut"), [CUT])])
    settle(path, [1], Word.APPLIED, None, 1.0)
    assert told(path) == [(seq, 1, "unknown", None, 300, 0, "reused", "cut") for seq in (0, 1)]


def test_a_record_that_was_held_has_no_attempt_and_one_that_was_interrupted_has_one(tmp_path: Path) -> None:
    held = line(1, Outcome.NOT_SENT, None, error="held by r0")
    path = killed(tmp_path, [held], [0])
    assert told(path) == [(0, 1, "unknown", None, None, None, None, INTERRUPTED)]
    assert [each.attempt for each in attempts(path, limit=1)] == [1]
    commit(path, [])
    assert told(path) == [(0, 1, "unknown", None, None, None, None, INTERRUPTED)]


def test_what_is_in_flight_is_left_out(tmp_path: Path) -> None:
    with written(tmp_path / "journal", [line(0)], open_seqs=[1]):
        assert [each.seq for each in attempts(tmp_path / "journal")] == [0]


def test_an_attempt_tells_what_to_search_a_servers_log_for(tmp_path: Path) -> None:
    path, plain = tmp_path / "journal", tmp_path / "plain"
    commit(path, [Result(line(7), [DONE])], keyed=True, request_id_header="X-Request-Id")
    commit(plain, [Result(line(7), [DONE])])
    with closing(Journal(path, CONNECTION, keyed=True)) as journal:
        identity = journal.identity
    (attempt,) = attempts(path)
    assert attempt.idempotency_key == idempotency_key(identity, 7, intent(line(7)).digest)
    assert attempt.request_id == f"{identity}-7-"
    (attempt,) = attempts(plain)
    assert (attempt.idempotency_key, attempt.request_id) == (None, None)


def test_attempts_in_a_journal_of_version_1_have_no_evidence(tmp_path: Path) -> None:
    write_version_1(tmp_path / "journal")
    assert told(tmp_path / "journal") == [
        (0, 1, "applied", 202, None, None, None, None),
        (1, 1, "unknown", 502, None, None, None, None),
        (2, 1, "unknown", None, None, None, None, INTERRUPTED),
    ]
    with closing(JournalReader(tmp_path / "journal")) as reader:
        assert reader.doubted() == 0


def test_attempts_of_many_pages_come_in_order(tmp_path: Path) -> None:
    commit(tmp_path / "journal", [Result(line(seq), [BUSY, DONE]) for seq in range(2 * PAGE + 10)])
    found = [(each.seq, each.attempt) for each in attempts(tmp_path / "journal")]
    assert found == [(seq, number) for seq in range(2 * PAGE + 10) for number in (1, 2)]


def test_an_attempt_with_an_outcome_that_is_none_is_damage(tmp_path: Path) -> None:
    commit(tmp_path / "journal", [Result(line(0), [BUSY, DONE])])
    with closing(sqlite3.connect(tmp_path / "journal")) as database:
        database.execute("UPDATE attempt SET outcome = 9")
        database.commit()
    with pytest.raises(JournalError, match="is damaged"):
        attempts(tmp_path / "journal")


# --- a power cut


def test_after_a_power_cut_a_reader_says_how_many_records_the_journal_may_have_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "journal"

    def doubted() -> int:
        with closing(JournalReader(path)) as reader:
            return reader.doubted()

    with written(path, [line(0), line(1)], open_seqs=[2]):
        assert doubted() == 0  # the run goes on
        monkeypatch.setattr(journal_reader, "boot_id", lambda: "another")
        monkeypatch.setattr("patchwire.run.journal.boot_id", lambda: "another")
        assert doubted() == HORIZON_STEP - 1
        for file in tmp_path.glob("journal*"):
            shutil.copy(file, tmp_path / f"copy-of-{file.name}")
    path = tmp_path / "copy-of-journal"
    commit(path, [])
    assert doubted() == HORIZON_STEP - 1  # until a run has met them
    commit(path, [Result(line(3, Outcome.UNKNOWN, None))])
    assert doubted() == HORIZON_STEP - 2
