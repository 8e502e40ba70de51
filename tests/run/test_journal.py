from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from patchwire.delivery.outcome import Outcome
from patchwire.errors import JournalError
from patchwire.run.journal import Journal
from patchwire.run.journal_file import APPLICATION_ID, INTERRUPTED, SCHEMA_VERSION
from tests.support.journals import CONNECTION, line, version_of, write_version_1, written


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
        assert journal.settled_by_hand() == frozenset()
    assert version_of(path) == SCHEMA_VERSION == 3
    with closing(Journal(path, CONNECTION)) as journal:
        assert journal.counts() == {"applied": 1, "pending": 1, "rejected": 0, "not_sent": 0, "unknown": 2}


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


def test_links_that_lead_in_a_circle_are_refused(tmp_path: Path) -> None:
    (tmp_path / "journal").symlink_to(tmp_path / "other")
    (tmp_path / "other").symlink_to(tmp_path / "journal")
    with pytest.raises(JournalError, match="leads back to itself"):
        Journal(tmp_path / "journal", CONNECTION)
