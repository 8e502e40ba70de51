from __future__ import annotations

import json
import os
import pty
import socket
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest

from patchwire.delivery.outcome import Outcome
from patchwire.run.journal import HORIZON_STEP
from patchwire.run.settlement import Word, settle
from tests.support.batches import BatchFiles, people
from tests.support.commands import PATCHWIRE, environment, patchwire, running, serving, without_traceback
from tests.support.journals import line, written


@contextmanager
def in_flight(files: BatchFiles, origin: socket.socket, connections: int) -> Iterator[subprocess.Popen[bytes]]:
    """A batch in another process of which so many records have been sent, and wait for their answers."""
    command = ("batch", files.connection, files.records, "--output", files.output, "--concurrency", str(connections))
    with running(*command) as process, ExitStack() as stack:
        for _ in range(connections):
            peer, _ = origin.accept()
            stack.enter_context(peer)
            assert peer.recv(1000)
        yield process


def counts(path: Path, *options: str) -> dict[str, str]:
    done = patchwire("journal", path, "--counts", *options)
    assert done.returncode == 0, done.stderr
    return dict(text.split(" ", 1) for text in done.stdout.splitlines())


def on_a_terminal(*arguments: str | Path) -> str:
    """What a command shows on a terminal of 200 columns."""
    master, slave = pty.openpty()
    try:
        command = [*PATCHWIRE, *map(str, arguments)]
        done = subprocess.run(
            command, stdout=slave, env=environment(COLUMNS="200", TERM="xterm-256color"), timeout=60, check=False
        )
        assert done.returncode == 0
        return os.read(master, 65_536).decode()
    finally:
        os.close(slave)
        os.close(master)


def test_to_a_pipe_the_journal_prints_the_very_lines_of_the_output(tmp_path: Path) -> None:
    with serving("--create-missing") as url:
        files = BatchFiles(tmp_path, url)
        records = people(30)
        records[3]["properties"] = {"row": [1, "é"]}
        records[4]["media_type"] = "text/plain"
        del records[5]["id"]
        files.write(records)
        assert patchwire("batch", files.connection, files.records, "--output", files.output).returncode == 1
    done = patchwire("journal", files.journal)
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(done.stdout.splitlines()) == sorted(files.output.read_text("utf-8").splitlines())
    assert [json.loads(text)["seq"] for text in done.stdout.splitlines()] == list(range(30))
    done = patchwire("journal", files.journal, "--outcome", "rejected")
    assert [json.loads(text)["seq"] for text in done.stdout.splitlines()] == [4]
    done = patchwire("journal", files.journal, "--status", "201", "--path", "/people/2", "--limit", "3")
    assert [json.loads(text)["seq"] for text in done.stdout.splitlines()] == [2, 20, 21]


def test_while_a_batch_runs_in_another_process_its_journal_says_what_is_in_flight(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as origin:
        files = BatchFiles(tmp_path, f"http://127.0.0.1:{origin.getsockname()[1]}")
        files.write(people(10))
        with in_flight(files, origin, 3):
            done = patchwire("journal", files.journal)
            assert (done.returncode, done.stdout) == (0, "")
            assert without_traceback(done) == ["patchwire: 3 records are in flight: the run goes on"]
            assert counts(files.journal)["in_flight"] == "3"
            assert counts(files.journal)["unknown"] == "0"


def test_a_batch_that_is_read_all_the_while_loses_nothing(tmp_path: Path) -> None:
    with serving("--create-missing") as url:
        files = BatchFiles(tmp_path, url)
        files.write(people(3000))
        with running("batch", files.connection, files.records, "--output", files.output) as process:
            read = 0
            while process.poll() is None:
                if files.journal.exists():
                    done = patchwire("journal", files.journal, "--outcome", "unknown", "--outcome", "not_sent")
                    assert done.stdout == ""
                    assert "Traceback" not in done.stderr
                    read += 1
        assert process.returncode == 0
    assert read
    assert [each["seq"] for each in files.outcomes()] == list(range(3000))
    assert counts(files.journal)["applied"] == "3000"


def test_after_a_kill_what_was_in_flight_is_unknown_and_a_resume_says_the_same(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as origin:
        port = origin.getsockname()[1]
        files = BatchFiles(tmp_path, f"http://127.0.0.1:{port}")
        files.write(people(10))
        with in_flight(files, origin, 2) as process:
            process.kill()
            process.wait()
    done = patchwire("journal", files.journal)
    assert (done.returncode, done.stderr) == (0, "")
    shown = [json.loads(text) for text in done.stdout.splitlines()]
    assert [(each["seq"], each["outcome"], each["error"]) for each in shown] == [
        (0, "unknown", "interrupted before an answer was recorded"),
        (1, "unknown", "interrupted before an answer was recorded"),
    ]
    assert (counts(files.journal)["unknown"], counts(files.journal)["in_flight"]) == ("2", "0")
    with serving("--create-missing", "--port", str(port)):
        resumed = patchwire("batch", files.connection, files.records, "--output", files.output)
    assert resumed.returncode == 3, resumed.stderr
    assert files.outcomes()[:2] == shown
    assert [each["outcome"] for each in files.outcomes()[2:]] == ["applied"] * 8


def journal_of_three(directory: Path) -> Path:
    path = directory / "journal"
    outcomes = [
        line(0, Outcome.APPLIED, 202),
        line(1, Outcome.UNKNOWN, None, error="the peer said \x1b[2J[red]"),
        line(2, Outcome.REJECTED, 404),
    ]
    with written(path, outcomes):
        pass
    return path


def test_the_counts_are_lines_of_name_and_value(tmp_path: Path) -> None:
    path = journal_of_three(tmp_path)
    settle(path, [1], Word.APPLIED, "seen", 1_800_000_000.0)
    assert counts(path) == {
        "records": "3", "applied": "2", "pending": "1", "rejected": "1", "not_sent": "0", "unknown": "0",
        "settled": "1", "in_flight": "0", "journal": str(path),
    }  # fmt: skip
    assert counts(path, "--outcome", "applied", "--status", "202")["records"] == "1"


def test_on_a_terminal_there_is_a_table_that_nothing_in_the_journal_can_steer(tmp_path: Path) -> None:
    path = journal_of_three(tmp_path)
    shown = on_a_terminal("journal", path)
    assert all(name in shown for name in ("seq", "id", "path", "outcome", "status", "attempts", "error"))
    assert "/people/2" in shown
    assert "\x1b[31m" in shown  # what is unknown is red
    assert "\x1b[2J" not in shown
    assert r"\x1b[2J[red]" in shown
    assert "applied" in on_a_terminal("journal", path, "--counts")


def test_verbose_says_what_was_settled_by_hand(tmp_path: Path) -> None:
    path = journal_of_three(tmp_path)
    settle(path, [1], Word.NOT_APPLIED, "looked\nat it", 1_800_000_000.0)
    done = patchwire("journal", path, "-v")
    assert without_traceback(done) == [
        "patchwire: record 1 was settled as not-applied at 2027-01-15 08:00:00+00:00: looked at it"
    ]
    assert [json.loads(text)["seq"] for text in done.stdout.splitlines()] == [0, 2]


@pytest.mark.parametrize("options", [[], ["--counts"]])
def test_a_reader_that_goes_away_ends_it_in_silence(tmp_path: Path, options: list[str]) -> None:
    path = tmp_path / "journal"
    with written(path, (line(seq) for seq in range(20_000))):
        pass
    receiver, sender = os.pipe()
    os.close(receiver)
    with os.fdopen(sender) as pipe:
        done = subprocess.run(
            [*PATCHWIRE, "journal", path, *options], stdout=pipe, stderr=subprocess.PIPE, timeout=60, check=False
        )
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_a_full_disk_behind_standard_output_is_one_line_and_exit_code_4(tmp_path: Path) -> None:
    path = journal_of_three(tmp_path)
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*PATCHWIRE, "journal", path], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False
        )
    assert done.returncode == 4
    assert done.stderr.splitlines() == ["patchwire: standard output: no space left on device"]


def test_a_journal_that_cannot_be_read_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_text("no journal", "utf-8")
    for path, problem in [
        (tmp_path / "none", "no such file or directory"),
        (tmp_path, "is a directory; name a journal"),
        (text, "is no journal of patchwire (file is not a database)"),
    ]:
        done = patchwire("journal", path)
        assert (done.returncode, done.stdout) == (2, "")
        assert without_traceback(done) == [f"patchwire: {path}: {problem}"]


@pytest.mark.parametrize(
    "options",
    [
        ["--counts", "--limit", "3"],
        ["--counts", "--attempts"],
        ["--outcome", "lost"],
        ["--status", "x"],
        ["--limit", "0"],
    ],
)
def test_options_that_make_no_sense_are_refused(tmp_path: Path, options: list[str]) -> None:
    done = patchwire("journal", journal_of_three(tmp_path), *options)
    assert done.returncode == 2
    assert without_traceback(done)


def test_a_prefix_that_is_no_unicode_finds_nothing(tmp_path: Path) -> None:
    done = subprocess.run(
        [*PATCHWIRE, "journal", journal_of_three(tmp_path), "--path", b"/\xff"],
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_attempts_are_lines_of_json_and_on_a_terminal_a_table(tmp_path: Path) -> None:
    with serving("--create-missing") as url:
        files = BatchFiles(tmp_path, url)
        files.write(people(2))
        options = ["--request-id-header", "X-Request-Id", "--concurrency", "1"]
        assert patchwire("batch", files.connection, files.records, *options).returncode == 0
    done = patchwire("journal", files.journal, "--attempts")
    assert (done.returncode, done.stderr) == (0, "")
    first, second = (json.loads(text) for text in done.stdout.splitlines())
    identity = first["request_id"].removesuffix("-0-")
    assert first == {
        "seq": 0, "id": "r0", "path": "/people/0", "attempt": 1, "outcome": "applied", "status": 201,
        "bytes_sent": first["bytes_sent"], "bytes_received": first["bytes_received"], "connection": "new",
        "error": None, "idempotency_key": None, "request_id": f"{identity}-0-",
    }  # fmt: skip
    assert first["bytes_sent"] > 100 < first["bytes_received"]
    assert (second["connection"], second["request_id"]) == ("reused", f"{identity}-1-")
    shown = on_a_terminal("journal", files.journal, "--attempts")
    assert all(name in shown for name in ("seq", "attempt", "bytes_sent", "connection", "reused", f"{identity}-1-"))


def test_a_journal_that_a_power_cut_has_robbed_says_so(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    with written(path, [line(0)]):
        with closing(sqlite3.connect(path)) as database, database:
            database.execute("UPDATE run SET value = 'another' WHERE key = 'boot'")
        done = patchwire("journal", path, "--counts")
    assert done.returncode == 0
    assert without_traceback(done) == [
        f"patchwire: up to {HORIZON_STEP - 1:,} records that do not stand here may have been sent before the machine"
        " went down: the next run finds them unknown"
    ]
