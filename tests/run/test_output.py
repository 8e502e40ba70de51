from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from patchwire.errors import InputError
from patchwire.files.connection_file import load_connection
from patchwire.files.outcomes import file_identity
from patchwire.http.message import Origin
from patchwire.run.batch import Summary
from patchwire.run.journal import Journal
from tests.support.batches import BatchFiles, people, read_lines
from tests.support.origins import OK, Origins, run, status


def begin(files: BatchFiles, *, fresh: bool = False) -> None:
    """A run that is killed when it has its journal and nothing else."""
    settings = load_connection(files.connection)
    journal = Journal(files.journal, settings.identity, fresh=fresh)
    journal._database.close()
    journal._lock.release()


def lose(files: BatchFiles, seq: int, below: int) -> None:
    """The machine went down in mid-run, and what the journal knew of this record was not on the disk."""
    with closing(sqlite3.connect(files.journal, isolation_level=None)) as database:
        database.execute("UPDATE run SET value = '1' WHERE key = 'going'")
        database.execute("UPDATE run SET value = 'an earlier one' WHERE key = 'boot'")
        database.execute("UPDATE run SET value = ? WHERE key = 'horizon'", (str(below),))
        database.execute("DELETE FROM outcome WHERE seq >= ?", (seq,))
        database.execute("DELETE FROM intent WHERE seq >= ?", (seq,))


def told(files: BatchFiles) -> list[tuple[int, str]]:
    return [(line["seq"], line["outcome"]) for line in files.outcomes()]


@pytest.mark.parametrize("resumed", [False, True])
def test_an_output_that_holds_the_outcomes_of_another_journal_is_refused_and_stays(
    tmp_path: Path, resumed: bool
) -> None:
    async def job(target: Origin) -> None:
        monday = BatchFiles(tmp_path, target)
        monday.write(people(3))
        await monday.run()
        kept = monday.output.read_bytes()
        (tmp_path / "tuesday").mkdir()
        tuesday = BatchFiles(tmp_path / "tuesday", target)
        tuesday.write(people(3, 10))
        if resumed:
            await tuesday.run()
        with pytest.raises(InputError, match=f"{monday.output}:1: is no outcome of this journal; name another"):
            await tuesday.run(output=str(monday.output))
        assert monday.output.read_bytes() == kept
        summary: Summary = await tuesday.run(output=str(monday.output), fresh=True)
        assert summary.counts["applied"] == 3
        assert sorted(line["id"] for line in read_lines(monday.output)) == ["r10", "r11", "r12"]

    run(Origins(lambda *_: OK), job)


def test_an_output_begun_anew_is_the_new_journals_own_also_when_the_run_is_killed_before_it_gets_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    origin = Origins(lambda *_: OK)

    async def job(target: Origin) -> BatchFiles:
        files = BatchFiles(tmp_path, target)
        files.write(people(3))
        await files.run()
        with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
            patched.setattr("patchwire.run.batch._open_reports", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
            await files.run(fresh=True)
        origin.answer = lambda *_: status(409)
        await files.run()
        return files

    assert told(run(origin, job)) == [(seq, "rejected") for seq in range(3)]


@pytest.mark.parametrize("tail", [b"", bytes(40), b'{"seq":2,'])
def test_after_a_power_cut_no_later_run_believes_what_the_journal_does_not_know(tmp_path: Path, tail: bytes) -> None:
    async def job(target: Origin) -> BatchFiles:
        files = BatchFiles(tmp_path, target)
        files.write(people(3))
        await files.run()
        lose(files, 2, 3)
        files.output.write_bytes(files.output.read_bytes() + tail)
        begin(files)
        await files.run()
        return files

    assert told(run(Origins(lambda *_: OK), job)) == [(0, "applied"), (1, "applied"), (2, "unknown")]


def test_what_a_power_cut_left_in_doubt_stands_in_the_output_also_where_it_was_not_sent_again(tmp_path: Path) -> None:
    origin = Origins(lambda *_: OK)

    async def job(target: Origin) -> BatchFiles:
        files = BatchFiles(tmp_path, target)
        files.write(people(5))
        await files.run()
        lose(files, 0, 5)
        origin.answer = lambda *_: status(409)
        await files.run(retry_unknown=True, max_failures=0, concurrency=1)
        return files

    files: BatchFiles = run(origin, job)
    assert told(files) == [(seq, "unknown") for seq in range(5)]
    assert sorted(files.ids(files.unknown)) == [f"r{seq}" for seq in range(5)]


@pytest.mark.parametrize("retry", [False, True])
def test_a_pipe_is_told_each_outcome_once_also_of_what_is_sent_again(tmp_path: Path, retry: bool) -> None:
    answers = iter([OK, b"", OK, OK, OK])
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)

    async def job(target: Origin) -> None:
        files = BatchFiles(tmp_path, target)
        files.write(people(2))
        await files.run(concurrency=1)
        files.write(people(3))
        await files.run(concurrency=1, output=str(pipe), retry_unknown=retry)

    try:
        run(Origins(lambda *_: next(answers)), job)
        said = os.read(reading, 65_536).splitlines()
    finally:
        os.close(reading)
    assert len(said) == 3
    assert sum(b'"outcome":"unknown"' in line for line in said) == (0 if retry else 1)


@pytest.mark.parametrize("retry", [False, True])
def test_a_file_that_is_called_like_standard_output_is_none_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes], retry: bool
) -> None:
    answers = iter([b"", OK, OK])
    monkeypatch.chdir(tmp_path)
    (tmp_path / "-").write_bytes(b"precious")

    async def job(target: Origin) -> None:
        files = BatchFiles(tmp_path, target)
        files.write(people(1))
        await files.run(concurrency=1)
        files.write(people(2))
        await files.run(concurrency=1, output="-", retry_unknown=retry)
        with closing(sqlite3.connect(files.journal)) as database:
            ((noted,),) = database.execute("SELECT value FROM run WHERE key = 'output_file'").fetchall()
        assert noted == file_identity(str(files.output))

    run(Origins(lambda *_: next(answers)), job)
    assert (tmp_path / "-").read_bytes() == b"precious"
    assert len(capfdbinary.readouterr().out.splitlines()) == 2


def test_an_output_that_is_removed_in_mid_run_is_named_and_the_same_command_makes_it_anew(tmp_path: Path) -> None:
    origin = Origins(lambda *_: OK)

    async def job(target: Origin) -> None:
        files = BatchFiles(tmp_path, target)
        files.write(people(3))

        def answer(*_: object) -> bytes:
            files.output.unlink(missing_ok=True)
            return OK

        origin.answer = answer
        summary = await files.run()
        (failure,) = summary.failures
        assert str(failure) == f"{files.output}: was removed or replaced; the same command writes it anew"
        await files.run()
        assert told(files) == [(seq, "applied") for seq in range(3)]

    run(origin, job)
    assert set(origin.times().values()) == {1}


def test_journal_and_output_may_move_together(tmp_path: Path) -> None:
    async def job(target: Origin) -> None:
        here = BatchFiles(tmp_path / "here", target)
        here.write(people(2))
        await here.run()
        here.directory.rename(tmp_path / "there")
        there = BatchFiles(tmp_path / "there", target)
        there.write(people(3))
        await there.run()
        assert told(there) == [(seq, "applied") for seq in range(3)]

    (tmp_path / "here").mkdir()
    run(Origins(lambda *_: OK), job)
