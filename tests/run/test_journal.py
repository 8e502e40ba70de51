from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import UNSET

from patchwire.delivery.answer import Answer
from patchwire.delivery.labels import idempotency_key
from patchwire.delivery.outcome import Attempt, Outcome
from patchwire.delivery.outcome_line import OutcomeLine, line_from
from patchwire.errors import JournalError, Sent, StorageError
from patchwire.files.outcomes import encode
from patchwire.run import journal as journal_module
from patchwire.run.journal import Durability, Journal
from patchwire.run.journal_file import APPLICATION_ID, INTERRUPTED, SCHEMA_VERSION
from patchwire.run.journal_reader import JournalReader, Selection
from patchwire.run.journal_rows import Intent, Result
from patchwire.run.settlement import Word, settle
from tests.support.journals import CONNECTION, intent, line, version_of, write_version_1, written

TABLES = ("run", "intent", "outcome", "settlement", "attempt", "response", "doubt")


def test_a_journal_of_version_1_is_upgraded_in_place_and_keeps_what_it_knew(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    write_version_1(path)
    with closing(Journal(path, CONNECTION)) as journal:
        assert journal.resumed
        assert [(each.seq, each.outcome, each.error) for each in journal.lines()] == [
            (0, "applied", None),
            (1, "unknown", None),
            (2, "unknown", INTERRUPTED),
        ]
    assert version_of(path) == SCHEMA_VERSION == 3
    with closing(Journal(path, CONNECTION)) as journal:
        assert journal.counts() == {"applied": 1, "pending": 1, "rejected": 0, "not_sent": 0, "unknown": 2}


def test_a_journal_whose_earlier_runs_could_send_no_keys_is_not_keyed(tmp_path: Path) -> None:
    write_version_1(tmp_path / "journal")
    with closing(Journal(tmp_path / "journal", CONNECTION, keyed=True)) as journal:
        assert journal.resumed
        assert not journal.is_keyed


def test_a_journal_of_another_connection_is_refused_before_it_is_upgraded(tmp_path: Path) -> None:
    write_version_1(tmp_path / "journal")
    with pytest.raises(JournalError, match="belongs to another connection"):
        Journal(tmp_path / "journal", "http://other")
    assert version_of(tmp_path / "journal") == 1


def test_a_newer_journal_is_refused_and_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    write_version_1(path)
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA user_version = 4")
    with pytest.raises(JournalError, match="has version 4, this patchwire reads versions up to 3"):
        Journal(path, CONNECTION)
    assert version_of(path) == 4


def test_fresh_knows_a_journal_for_ours_before_its_log_is_folded_in(tmp_path: Path) -> None:
    path, killed = tmp_path / "journal", tmp_path / "killed"
    with written(path, [line(0)]):
        # What a kill at this moment leaves of the database: the content stands in the log.
        killed.write_bytes(path.read_bytes())
    assert killed.read_bytes()[68:72] == APPLICATION_ID.to_bytes(4, "big")
    with closing(Journal(killed, CONNECTION, fresh=True)) as journal:
        assert not journal.resumed


def test_a_kill_before_the_schema_was_written_leaves_a_journal_that_begins_anew(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    with closing(sqlite3.connect(path)) as database:
        database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    with closing(Journal(path, CONNECTION)) as journal:
        assert not journal.resumed
    assert version_of(path) == SCHEMA_VERSION


def test_the_line_of_one_record_is_its_outcome_or_none(tmp_path: Path) -> None:
    with written(tmp_path / "journal", [line(0), line(1, Outcome.REJECTED, 404)], open_seqs=[2]) as journal:
        assert journal.line(1) == line(1, Outcome.REJECTED, 404)
        assert journal.line(2) is None
        assert journal.line(3) is None


@pytest.mark.parametrize("statement", ["UPDATE outcome SET outcome = 9", "UPDATE outcome SET seconds = 'long'"])
def test_a_row_that_makes_no_sense_is_a_damaged_journal(tmp_path: Path, statement: str) -> None:
    with written(tmp_path / "journal", [line(0)]):
        pass
    with closing(sqlite3.connect(tmp_path / "journal", isolation_level=None)) as database:
        database.execute(statement)
    with (
        closing(Journal(tmp_path / "journal", CONNECTION)) as journal,
        pytest.raises(JournalError, match="is damaged"),
    ):
        list(journal.lines())


@pytest.mark.parametrize(
    ("statements", "missing"),
    [
        ("DROP TABLE run", "no such table: run"),
        ("DROP TABLE intent", "no such column: intent.digest"),
        ("DROP TABLE outcome", "no such column: outcome.attempts"),
        ("DROP TABLE attempt", "no such column: attempt.bytes_received"),
        ("DROP TABLE doubt", "no such column: doubt.seq"),
        ("DROP TABLE settlement", "no such column: settlement.at"),
        ("ALTER TABLE outcome DROP COLUMN etag", "no such column: outcome.etag"),
        ("; ".join(f"DROP TABLE {name}" for name in TABLES), "no such table: run"),
    ],
)
def test_a_journal_that_has_lost_a_table_or_a_column_is_damaged_and_nothing_is_begun(
    tmp_path: Path, statements: str, missing: str
) -> None:
    path = tmp_path / "journal"
    with written(path, [line(0)]):
        pass
    with closing(sqlite3.connect(path)) as database:
        database.executescript(statements)
    with pytest.raises(JournalError) as caught:
        Journal(path, CONNECTION)
    assert str(caught.value) == f"{path}: is damaged ({missing}); restore it from a copy"
    with closing(Journal(path, CONNECTION, fresh=True)) as journal:
        assert not journal.resumed


def test_links_that_lead_in_a_circle_are_refused(tmp_path: Path) -> None:
    (tmp_path / "journal").symlink_to(tmp_path / "other")
    (tmp_path / "other").symlink_to(tmp_path / "journal")
    with pytest.raises(JournalError, match="leads back to itself"):
        Journal(tmp_path / "journal", CONNECTION)


@pytest.mark.parametrize("fresh", [True, False])
def test_what_is_no_file_on_a_disk_is_refused_and_stays(tmp_path: Path, fresh: bool) -> None:
    pipe, link = tmp_path / "pipe", tmp_path / "link"
    os.mkfifo(pipe)
    link.symlink_to(pipe)
    for path in (pipe, link):
        with pytest.raises(JournalError, match="pipe: is no file on a disk; name a journal"):
            Journal(path, CONNECTION, fresh=fresh)
    assert pipe.is_fifo()
    assert sorted(tmp_path.iterdir()) == [link, pipe]


# --- earlier versions

SETTLEMENTS = """
CREATE TABLE settlement (number INTEGER PRIMARY KEY, seq INTEGER NOT NULL, word TEXT NOT NULL, reason TEXT,
 at REAL NOT NULL, before TEXT NOT NULL);
INSERT INTO settlement VALUES (1, 0, 'applied', 'seen', 5.0, '{}');
PRAGMA user_version = 2;
"""


def write_version_2(path: Path) -> None:
    """That of version 1, whose first record was settled by hand."""
    write_version_1(path)
    with closing(sqlite3.connect(path)) as database:
        database.executescript(SETTLEMENTS)


def schema_of(path: Path) -> dict[str, set[str]]:
    """The columns of each table."""
    with closing(sqlite3.connect(path)) as database:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        return {name: {row[1] for row in database.execute(f"PRAGMA table_info({name})")} for name in tables}


def test_a_journal_of_version_2_is_upgraded_in_place_and_keeps_what_it_knew(tmp_path: Path) -> None:
    write_version_2(tmp_path / "journal")
    with closing(Journal(tmp_path / "journal", CONNECTION)) as journal:
        assert [(each.seq, each.outcome) for each in journal.lines()] == [
            (0, "applied"),
            (1, "unknown"),
            (2, "unknown"),
        ]
    assert version_of(tmp_path / "journal") == 3


@pytest.mark.parametrize("write", [write_version_1, write_version_2])
def test_an_upgraded_journal_is_like_a_new_one_and_goes_on(tmp_path: Path, write: Any) -> None:
    write(tmp_path / "journal")
    again = Result(line(2), [Attempt(Outcome.APPLIED, Sent.YES, 200)], 1)
    with closing(Journal(tmp_path / "journal", CONNECTION)) as journal:
        assert (len(journal.identity), journal.in_doubt, journal.outlived_the_machine) == (16, frozenset(), False)
        journal.commit([again, Result(line(3))], [intent(line(3)), intent(line(4))])
    Journal(tmp_path / "new", CONNECTION).close()
    assert schema_of(tmp_path / "journal") == schema_of(tmp_path / "new")
    with closing(Journal(tmp_path / "journal", CONNECTION)) as journal:
        assert [each.outcome for each in journal.lines()] == ["applied", "unknown", "applied", "applied", "unknown"]


# --- its size


def test_a_record_takes_at_most_120_bytes(tmp_path: Path) -> None:
    number, together = 20_000, 8
    tag = '"' + 32 * "f" + '"'
    attempt = Attempt(Outcome.APPLIED, Sent.YES, 200, tag, None, None, 280, 211, reused=True)

    def result(seq: int) -> Result:
        return Result(msgspec.structs.replace(line(seq), etag=tag), [attempt])

    with closing(Journal(tmp_path / "journal", CONNECTION)) as journal:
        for first in range(0, number, together):
            results = [result(seq) for seq in range(first, first + together)]
            lines = [each.line for each in results]
            journal.commit([], [Intent(each.seq, b"%016d" % each.seq, each.path, each.id, None) for each in lines])
            journal.commit(results)
    assert [path.name for path in tmp_path.iterdir()] == ["journal"]
    assert (tmp_path / "journal").stat().st_size <= 120 * number


# --- a power cut

STEP = 10


@pytest.fixture
def boots(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What the machine is called since it has started, last."""
    names = ["first"]
    monkeypatch.setattr(journal_module, "boot_id", lambda: names[-1])
    monkeypatch.setattr(journal_module, "HORIZON_STEP", STEP)
    yield names


@contextmanager
def left_behind(directory: Path, **options: Any) -> Iterator[tuple[Journal, Path]]:
    """A journal, and where all of it stands afterwards as if neither it nor the system had come to an end."""
    number = len(list(directory.iterdir()))
    (directory / f"{number}").mkdir()
    with closing(Journal(directory / "journal", CONNECTION, **options)) as journal:
        yield journal, directory / f"{number}" / "journal"
        for file in directory.glob("journal*"):
            shutil.copy(file, directory / f"{number}" / file.name)


def commits_of(journal: Journal) -> list[str]:
    """The synchronous mode of each commit from now on."""
    mode, modes = ["unsaid"], []

    def note(statement: str) -> None:
        if statement.startswith("PRAGMA synchronous = "):
            mode.append(statement.rpartition(" ")[2])
        elif statement == "COMMIT":
            modes.append(mode[-1])

    journal._database.set_trace_callback(note)
    return modes


def horizon_of(path: Path) -> int:
    """As another process sees it."""
    with closing(sqlite3.connect(path)) as database:
        ((value,),) = database.execute("SELECT value FROM run WHERE key = 'horizon'")
        return int(value)


def test_no_record_is_sent_before_a_synced_transaction_has_moved_the_horizon_beyond_it(
    tmp_path: Path, boots: list[str]
) -> None:
    with closing(Journal(tmp_path / "journal", CONNECTION)) as journal:
        modes = commits_of(journal)
        for seq in range(3 * STEP):
            journal.commit([Result(line(seq - 1))] if seq else [], [intent(line(seq))])
            assert horizon_of(tmp_path / "journal") > seq
        assert modes == (["FULL"] + ["NORMAL"] * (STEP - 1)) * 3
        journal.commit([Result(line(seq))])
        assert modes[-1] == "NORMAL"


def test_after_a_power_cut_what_is_before_the_horizon_and_has_no_outcome_is_in_doubt(
    tmp_path: Path, boots: list[str]
) -> None:
    with left_behind(tmp_path) as (journal, left):
        journal.commit([Result(line(0)), Result(line(3))], [intent(line(seq)) for seq in range(5)])
    boots.append("second")
    with closing(Journal(left, CONNECTION)) as journal:
        assert journal.outlived_the_machine
        # What the journal knows to have been sent is unknown; of what it does not know at all, a resume will say so.
        assert [(each.seq, each.outcome) for each in journal.lines()] == [
            (0, "applied"), (1, "unknown"), (2, "unknown"), (3, "applied"), (4, "unknown"),
        ]  # fmt: skip
        assert journal.in_doubt == set(range(5, 4 + STEP))


def test_the_doubt_stays_until_a_record_has_its_outcome(tmp_path: Path, boots: list[str]) -> None:
    with left_behind(tmp_path) as (journal, left):
        journal.commit([], [intent(line(0))])
    boots.append("second")
    with closing(Journal(left, CONNECTION)) as journal:
        assert journal.in_doubt == set(range(1, STEP))
        unknown = line(1, Outcome.UNKNOWN, None)
        journal.commit([Result(unknown)], [intent(unknown)])
    boots.append("third")
    with closing(Journal(left, CONNECTION)) as journal:
        assert journal.in_doubt == set(range(2, STEP))


def test_a_kill_leaves_nothing_in_doubt_while_the_machine_goes_on(tmp_path: Path, boots: list[str]) -> None:
    with left_behind(tmp_path) as (journal, left):
        journal.commit([], [intent(line(0))])
    with closing(Journal(left, CONNECTION)) as journal:
        assert (journal.in_doubt, journal.outlived_the_machine) == (frozenset(), False)


def test_a_run_that_has_ended_leaves_nothing_in_doubt_whatever_becomes_of_the_machine(
    tmp_path: Path, boots: list[str]
) -> None:
    with written(tmp_path / "journal", [line(0)]):
        pass
    boots.append("second")
    with closing(Journal(tmp_path / "journal", CONNECTION)) as journal:
        assert (journal.in_doubt, journal.outlived_the_machine) == (frozenset(), False)


def test_with_full_durability_each_transaction_is_synced_and_a_power_cut_leaves_nothing_in_doubt(
    tmp_path: Path, boots: list[str]
) -> None:
    with left_behind(tmp_path, durability=Durability.FULL) as (journal, left):
        assert journal.waits_for_the_disk
        for seq in range(3 * STEP):
            journal.commit([Result(line(seq - 1))] if seq else [], [intent(line(seq))])
            assert journal._database.execute("PRAGMA synchronous").fetchone() == (2,)
    boots.append("second")
    with closing(Journal(left, CONNECTION)) as journal:
        assert journal.in_doubt == frozenset()
        assert journal.counts()["unknown"] == 1


# --- what it is told apart by


def test_its_identity_stays_over_all_runs_and_so_do_the_keys_that_follow_from_it(tmp_path: Path) -> None:
    seen = []
    for _ in range(3):
        with closing(Journal(tmp_path / "journal", CONNECTION)) as journal:
            seen.append((journal.identity, idempotency_key(journal.identity, 7, b"digest")))
            assert journal.runs == len(seen)
    assert len(set(seen)) == 1


def test_begun_anew_it_is_another_with_other_keys(tmp_path: Path) -> None:
    with written(tmp_path / "journal", [line(0)]) as journal:
        before = journal.identity
    with closing(Journal(tmp_path / "journal", CONNECTION, fresh=True)) as journal:
        assert journal.identity != before
        assert idempotency_key(journal.identity, 0, b"d") != idempotency_key(before, 0, b"d")
        assert (journal.runs, journal.resumed, list(journal.lines())) == (1, False, [])


@pytest.mark.parametrize(
    ("runs", "is_keyed"),
    [
        ([True, True, True], [True, True, True]),
        ([True, False, True], [True, False, False]),
        ([False, True], [False] * 2),
    ],
)
def test_only_a_journal_whose_every_run_has_sent_keys_is_keyed(
    tmp_path: Path, runs: list[bool], is_keyed: list[bool]
) -> None:
    found = []
    for keyed in runs:
        with closing(Journal(tmp_path / "journal", CONNECTION, keyed=keyed)) as journal:
            found.append(journal.is_keyed)
    assert found == is_keyed


# --- transactions


def test_an_intent_that_was_withdrawn_was_never_there(tmp_path: Path) -> None:
    with written(tmp_path / "journal", [line(0)], open_seqs=[1, 2]) as journal:
        journal.commit([], [], [1])
    with closing(Journal(tmp_path / "journal", CONNECTION)) as journal:
        assert [(each.seq, each.outcome) for each in journal.lines()] == [(0, "applied"), (2, "unknown")]


def test_a_transaction_that_fails_leaves_nothing_of_itself(tmp_path: Path) -> None:
    with written(tmp_path / "journal", [line(0)], open_seqs=[1]) as journal:
        with pytest.raises(StorageError, match="journal: UNIQUE constraint failed"):
            journal.commit([Result(line(1))], [intent(line(2)), intent(line(0))])
        assert journal.line(1) is None
        journal.commit([Result(line(1)), Result(line(2))], [intent(line(2))])
    with closing(Journal(tmp_path / "journal", CONNECTION)) as journal:
        assert journal.counts()["applied"] == 3


# --- responses


def answered(seq: int, answer: Answer | None, outcome: Outcome = Outcome.UNKNOWN) -> OutcomeLine:
    return line_from(
        seq,
        str(seq),
        "/a",
        outcome,
        504,
        attempts=1,
        etag=None,
        seconds=0.5,
        error=None,
        properties=b"",
        answer=answer,
    )


TEXT, BINARY = Answer({"server": "s", "vary": "a, b"}, "é", None), Answer({}, "AA==", "base64")


def test_responses_come_back_from_a_journal_as_they_went_in(tmp_path: Path) -> None:
    lines = [answered(0, TEXT), answered(1, BINARY), answered(2, None)]
    with closing(Journal(tmp_path / "journal", CONNECTION)) as journal:
        journal.commit([Result(each) for each in lines], [intent(each) for each in lines])
    with closing(Journal(tmp_path / "journal", CONNECTION)) as journal:
        assert list(journal.lines()) == [journal.line(seq) for seq in range(3)]
        assert [encode(each) for each in journal.lines()] == [encode(each) for each in lines]
    with closing(JournalReader(tmp_path / "journal")) as reader:
        assert [each.response for page in reader.pages(Selection()) for each in page] == ["é", "AA==", UNSET]


def test_a_response_goes_with_the_attempt_that_it_answered(tmp_path: Path) -> None:
    lines = [answered(0, TEXT), answered(1, TEXT), answered(2, TEXT)]
    with closing(Journal(tmp_path / "journal", CONNECTION)) as journal:
        journal.commit([Result(each) for each in lines], [intent(each) for each in lines])
        journal.commit([Result(answered(0, None, Outcome.APPLIED), before=1), Result(answered(1, BINARY), before=1)])
    settle(tmp_path / "journal", [2], Word.APPLIED, None, 1.0)
    with closing(Journal(tmp_path / "journal", CONNECTION)) as journal:
        assert [each.response for each in journal.lines()] == [UNSET, "AA==", UNSET]


def test_a_response_whose_fields_are_no_json_is_damage(tmp_path: Path) -> None:
    with closing(Journal(tmp_path / "journal", CONNECTION)) as journal:
        journal.commit([Result(answered(0, TEXT))], [intent(answered(0, TEXT))])
    with closing(sqlite3.connect(tmp_path / "journal")) as database, database:
        database.execute("UPDATE response SET headers = '{'")
    with (
        closing(Journal(tmp_path / "journal", CONNECTION)) as journal,
        pytest.raises(JournalError, match="is damaged"),
    ):
        list(journal.lines())


def test_where_the_system_does_not_tell_of_its_starts_each_commit_waits_for_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "boot_id", lambda: "")
    with closing(Journal(tmp_path / "journal", CONNECTION)) as journal:
        assert journal.waits_for_the_disk
        assert journal._database.execute("PRAGMA synchronous").fetchone() == (2,)
