from __future__ import annotations

import json
import os
import random
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.support.batches import BatchFiles, people, read_lines
from tests.support.commands import PATCHWIRE, environment, patchwire, running, serving, without_traceback


def served(directory: Path, url: str, count: int, settings: str = "") -> BatchFiles:
    files = BatchFiles(directory, url, settings)
    files.write(people(count))
    return files


def test_a_batch_writes_outcomes_and_ends_with_its_summary_as_json(tmp_path: Path) -> None:
    with serving("--create-missing") as url:
        files = served(tmp_path, url, 300)
        done = patchwire("batch", files.connection, files.records, "--output", "-", "--summary", "json")
    assert done.returncode == 0, done.stderr
    *outcomes, last = (json.loads(line) for line in done.stdout.splitlines())
    assert sorted(line["seq"] for line in outcomes) == list(range(300))
    assert list(last) == [
        "records", "applied", "pending", "rejected", "not_sent", "unknown", "seconds", "rate", "journal",
        "latency",
    ]  # fmt: skip
    assert (last["records"], last["applied"], last["journal"]) == (300, 300, str(files.journal))
    assert last["rate"] > 0
    assert list(last["latency"]) == ["p50", "p90", "p99", "p999", "max"]
    assert 0 < last["latency"]["p50"] <= last["latency"]["max"]


def test_a_text_summary_is_plain_lines_in_a_pipe_and_keeps_out_of_outcomes_on_stdout(tmp_path: Path) -> None:
    with serving("--create-missing") as url:
        files = served(tmp_path, url, 3)
        done = patchwire("batch", files.connection, files.records)
        assert "applied 3" in done.stdout.splitlines()
        done = patchwire("batch", files.connection, files.records, "--output", "-", "--fresh")
    assert [json.loads(line)["outcome"] for line in done.stdout.splitlines()] == ["applied"] * 3
    assert "applied 3" in done.stderr.splitlines()


def test_records_come_from_standard_input_with_a_journal(tmp_path: Path) -> None:
    with serving("--create-missing") as url:
        files = served(tmp_path, url, 5)
        text = files.records.read_text("utf-8")
        refused = patchwire("batch", files.connection, "-", input=text)
        assert refused.returncode == 2
        assert "--journal" in without_traceback(refused)[-1]
        done = patchwire("batch", files.connection, "-", "--journal", files.journal, input=text)
        again = patchwire("batch", files.connection, "-", "--journal", files.journal, input=text)
    assert (done.returncode, again.returncode) == (0, 0)
    assert "applied 5" in again.stdout.splitlines()
    assert "nothing was left to send: all 5 records have an outcome (--fresh starts over)" in again.stderr


def test_the_wire_log_is_on_standard_error_without_secrets(tmp_path: Path) -> None:
    settings = 'authentication = "basic"\nuser = "svc"\npassword = "env:CANARY"\npreemptive = true\n'
    with serving("--create-missing", "--auth", "basic", "--user", "svc", "--password", "canary-7f3a") as url:
        files = served(tmp_path, url, 2, settings)
        done = patchwire(
            "batch", files.connection, files.records, "-v", env=environment(CANARY="canary-7f3a"),
        )  # fmt: skip
    assert done.returncode == 0
    assert "> PATCH /people/0 HTTP/1.1" in done.stderr
    assert "< 201 Created" in done.stderr
    assert "> Authorization: ***" in done.stderr
    assert "canary" not in done.stderr
    assert "c3ZjOmNhbmFyeS03ZjNh" not in done.stderr


# --- bad input: one line with place and remedy, the exit code, no traceback


@pytest.mark.parametrize(
    ("toml", "complaint"),
    [
        ("base_url = \nuser = 1", "not valid TOML: Invalid value (at line 1"),
        ('base_url = "http://h"\nbase_ulr = "x"', "base_ulr: unknown key"),
        ('base_url = "http://h"\n[limits]\nread_timeout = "1"', "limits.read_timeout: expected `float`, got `str`"),
        ('base_url = "http://h"\nauthentication = "basic"\nuser = "a"', "password: missing"),
        ('base_url = "http://h"\nauthentication = "basic"\nuser = "a"\npassword = "hunter2"', "password: a secret"),
        ('authentication = "none"', "base_url: missing"),
        ('base_url = "ftp://h"', "base_url: 'ftp://h' must begin with http:// or https://"),
    ],
)
def test_a_bad_connection_file_is_one_line_with_file_and_key(tmp_path: Path, toml: str, complaint: str) -> None:
    connection = tmp_path / "crm.toml"
    connection.write_text(toml, "utf-8")
    done = patchwire("batch", connection, tmp_path / "records.ndjson")
    assert done.returncode == 2
    (line,) = without_traceback(done)
    assert line.startswith(f"patchwire: {connection}: {complaint}"), line
    assert "hunter2" not in line


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    done = patchwire("batch", tmp_path / "none.toml", "records.ndjson")
    assert (done.returncode, without_traceback(done)) == (
        2, [f"patchwire: {tmp_path / 'none.toml'}: no such file or directory"],
    )  # fmt: skip
    files = BatchFiles(tmp_path, "http://127.0.0.1:9")
    done = patchwire("batch", files.connection, tmp_path / "none.ndjson")
    assert (done.returncode, without_traceback(done)) == (
        2, [f"patchwire: {tmp_path / 'none.ndjson'}: no such file or directory"],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("{", "not valid JSON"),
        ('{"path": "/a b", "body": {}}', "path: character 3, ' ', is not allowed in a URL; write '/a%20b'"),
        ('{"path": "/a\\r\\nb", "body": {}}', "path: character 3, '\\r', is not allowed in a URL; write '/a%0D%0Ab'"),
        ('{"path": "/a", "body_file": "x", "media_type": "a/b"}', "body_file:"),
    ],
)
def test_a_malformed_record_is_one_line_with_its_number_and_what_came_before_is_done(
    tmp_path: Path, line: str, complaint: str
) -> None:
    with serving("--create-missing") as url:
        files = served(tmp_path, url, 20)
        files.records.write_text(files.records.read_text("utf-8") + line + "\n", "utf-8")
        done = patchwire("batch", files.connection, files.records, "--summary", "json")
    assert done.returncode == 2
    first, second = without_traceback(done)
    assert first.startswith(f"patchwire: {files.records}:21: {complaint}"), first
    assert "records with an outcome: 20" in second
    assert json.loads(done.stdout)["applied"] == 20


def test_a_refused_connection_is_one_line_and_nothing_is_lost(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        files = served(tmp_path, f"http://127.0.0.1:{unused.getsockname()[1]}", 50)
        done = patchwire("batch", files.connection, files.records)
    assert done.returncode == 1
    (line,) = without_traceback(done)
    assert "cannot connect to http://127.0.0.1" in line
    assert "connection refused" in line
    with serving("--create-missing", "--port", files.connection.read_text("utf-8").split(":")[-1].strip('"\n')):
        assert patchwire("batch", files.connection, files.records).returncode == 0


def test_rejected_credentials_are_one_line_and_exit_code_1(tmp_path: Path) -> None:
    settings = 'authentication = "basic"\nuser = "svc"\npassword = "literal:wrong-canary"\n'
    with serving("--create-missing", "--auth", "basic", "--user", "svc", "--password", "right") as url:
        files = served(tmp_path, url, 50, settings)
        done = patchwire("batch", files.connection, files.records, "--output", files.output, "--concurrency", "16")
    assert done.returncode == 1
    assert "user 'svc' or its password was rejected" in without_traceback(done)[0]
    assert files.outcomes() == []
    written = b"".join(path.read_bytes() for path in tmp_path.iterdir() if path != files.connection)
    assert b"wrong-canary" not in written + done.stderr.encode() + done.stdout.encode()


def test_a_journal_in_use_is_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        files = served(tmp_path, f"http://127.0.0.1:{silent.getsockname()[1]}", 3)
        with running("batch", files.connection, files.records):
            connected, _ = silent.accept()
            with connected:
                connected.recv(1000)
                done = patchwire("batch", files.connection, files.records)
    assert done.returncode == 2
    (line,) = without_traceback(done)
    assert line.startswith(f"patchwire: {files.journal}: another run is using this journal")


@pytest.mark.parametrize("content", [b"this is a text, not a database, and long enough to be sure of it" * 20, None])
def test_a_journal_that_is_none_is_one_line_and_stays_as_it_is(tmp_path: Path, content: bytes | None) -> None:
    files = served(tmp_path, "http://127.0.0.1:9", 1)
    if content is None:
        database = sqlite3.connect(files.journal)
        database.execute("CREATE TABLE mine (a)")
        database.close()
        content = files.journal.read_bytes()
    files.journal.write_bytes(content)
    done = patchwire("batch", files.connection, files.records)
    assert done.returncode == 2
    (line,) = without_traceback(done)
    assert "no journal of patchwire" in line
    assert files.journal.read_bytes() == content


@pytest.mark.parametrize("option", ["--journal", "--output", "--failed", "--unknown"])
@pytest.mark.parametrize("fresh", [True, False])
def test_a_file_that_is_something_else_is_not_overwritten(tmp_path: Path, option: str, fresh: bool) -> None:
    precious = tmp_path / "precious.txt"
    precious.write_text("years of work, and longer than the head of a database: " + "x" * 100, "utf-8")
    before = precious.read_bytes()
    files = served(tmp_path, "http://127.0.0.1:9", 1)
    done = patchwire("batch", files.connection, files.records, option, precious, *(["--fresh"] if fresh else []))
    assert done.returncode == 2
    (line,) = without_traceback(done)
    assert line.startswith(f"patchwire: {precious}")
    assert precious.read_bytes() == before


def test_one_file_in_two_roles_is_refused(tmp_path: Path) -> None:
    files = served(tmp_path, "http://127.0.0.1:9", 1)
    done = patchwire("batch", files.connection, files.records, "--output", files.records)
    assert done.returncode == 2
    assert "is named both as records and as output" in without_traceback(done)[0]
    assert files.records.read_text("utf-8")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to mount a small file system")
def test_a_full_disk_for_the_journal_is_one_line_and_exit_code_4_and_nothing_done_is_lost(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", disk], capture_output=True)
    if mounted.returncode:
        pytest.skip("cannot mount a tmpfs here")
    try:
        record = tmp_path / "applied.ndjson"
        with serving("--create-missing", "--record", record) as url:
            files = served(tmp_path, url, 20_000)
            journal = disk / "journal"
            command: list[str | Path] = [
                "batch",
                files.connection,
                files.records,
                "--journal",
                journal,
                "--summary",
                "json",
            ]
            done = patchwire(*command, "--output", files.output)
            assert done.returncode == 4
            assert "full" in without_traceback(done)[0]
            assert str(journal) in done.stderr
            stopped = json.loads(done.stdout)
            assert 0 < stopped["applied"] < 20_000
            subprocess.run(["mount", "-o", "remount,size=30m", disk], check=True)
            resumed = patchwire(*command, "--output", files.output)
        assert resumed.returncode in (0, 3), resumed.stderr
        assert json.loads(resumed.stdout)["records"] == 20_000
        hold_against_the_servers_record(files, record, unknown_at_most=8)
    finally:
        subprocess.run(["umount", disk], check=True)


def hold_against_the_servers_record(files: BatchFiles, record: Path, *, unknown_at_most: int) -> Counter[str]:
    """Each record applied exactly once by the server, or reported unknown and applied at most once."""
    applied = Counter(line["path"] for line in read_lines(record))
    outcomes = files.outcomes()
    assert [line["seq"] for line in outcomes] == list(range(len(outcomes)))
    assert set(applied.values()) <= {1}
    for line in outcomes:
        if line["outcome"] == "applied":
            assert applied[line["path"]] == 1, line
        elif line["outcome"] == "unknown":
            assert applied[line["path"]] <= 1, line
        else:
            assert applied[line["path"]] == 0, line
    counts = Counter(line["outcome"] for line in outcomes)
    assert counts["unknown"] <= unknown_at_most
    return counts


def test_a_reader_that_goes_away_is_one_line_and_nothing_is_lost(tmp_path: Path) -> None:
    with serving("--create-missing") as url:
        files = served(tmp_path, url, 2000)
        with running(
            "batch", files.connection, files.records, "--output", "-", stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            process.stdout.readline()
            process.stdout.close()
            with process.stderr as stderr:
                said = stderr.read().decode()
            assert process.wait(20) == 4, said
        assert said.startswith("patchwire: -: broken pipe")
        assert "Traceback" not in said
        assert patchwire("batch", files.connection, files.records).returncode == 0


def test_a_closed_standard_output_is_no_traceback(tmp_path: Path) -> None:
    with serving("--create-missing") as url:
        files = served(tmp_path, url, 5)
        for output, code in ((files.output, 0), ("-", 4)):
            command = ["batch", str(files.connection), str(files.records), "--output", str(output)]
            closing = ["sh", "-c", 'exec "$@" >&-', "sh", *PATCHWIRE, *command]
            done = subprocess.run(closing, capture_output=True, text=True, timeout=60, check=False)
            assert done.returncode == code, done.stderr
            without_traceback(done)


def test_records_from_a_pipe_go_out_as_they_come_and_an_interrupt_does_not_wait(tmp_path: Path) -> None:
    record = tmp_path / "applied.ndjson"
    with serving("--create-missing", "--record", record) as url:
        files = served(tmp_path, url, 0)
        with running(
            "batch",
            files.connection,
            "-",
            "--journal",
            files.journal,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
        ) as process:
            assert process.stdin is not None
            with process.stdin as pipe:
                pipe.write(b'{"path": "/a", "body": {}}\n')
                pipe.flush()
                while not record.exists() or not record.stat().st_size:
                    time.sleep(0.005)
                process.send_signal(signal.SIGINT)
                assert process.wait(10) == 130


def test_a_second_interrupt_stops_at_once_and_says_what_is_unknown(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        files = served(tmp_path, f"http://127.0.0.1:{silent.getsockname()[1]}", 3)
        with running(
            "batch", files.connection, files.records, "--output", files.output, "--concurrency", "1",
            "--summary", "json", stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        ) as process:  # fmt: skip
            connected, _ = silent.accept()
            with connected:
                connected.recv(1000)
                process.send_signal(signal.SIGINT)
                assert process.stderr is not None
                assert b"once more stops at once" in process.stderr.readline()
                process.send_signal(signal.SIGINT)
                out, _ = process.communicate(timeout=10)
        assert process.returncode == 130
        assert json.loads(out)["unknown"] == 1
        assert [line["outcome"] for line in files.outcomes()] == ["unknown"]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (
            '{"path": "/a", "body_file": "a\\u0000b", "media_type": "a/b"}',
            "body_file: 'a\\x00b' names no file: it holds a null character",
        ),
        ('{"path": "/a", "body_file": ".", "media_type": "a/b"}', "is no regular file"),
    ],
)
def test_a_body_file_that_is_none_is_one_line(tmp_path: Path, text: str, complaint: str) -> None:
    files = served(tmp_path, "http://127.0.0.1:9", 0)
    files.records.write_text(text, "utf-8")
    done = patchwire("batch", files.connection, files.records)
    assert done.returncode == 2
    assert complaint in without_traceback(done)[0]


def test_a_host_that_is_no_name_is_one_line(tmp_path: Path) -> None:
    files = served(tmp_path, "http://a..b", 1)
    done = patchwire("batch", files.connection, files.records)
    assert done.returncode == 1
    assert "'a..b' is no host name" in without_traceback(done)[0]


@pytest.mark.parametrize("journal", ["", "."])
def test_a_journal_without_a_name_is_one_line(tmp_path: Path, journal: str) -> None:
    files = served(tmp_path, "http://127.0.0.1:9", 1)
    done = patchwire("batch", files.connection, files.records, "--journal", journal, cwd=tmp_path)
    assert done.returncode == 2
    assert "is a directory; name a file" in without_traceback(done)[0]


def test_the_connection_file_is_not_overwritten(tmp_path: Path) -> None:
    files = served(tmp_path, "http://127.0.0.1:9", 1)
    done = patchwire("batch", files.connection, files.records, "--failed", files.connection)
    assert done.returncode == 2
    assert "is named both as connection and as failed" in without_traceback(done)[0]
    assert files.connection.read_bytes()


def test_a_journal_in_use_is_found_through_a_link_too(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        files = served(tmp_path, f"http://127.0.0.1:{silent.getsockname()[1]}", 3)
        link = tmp_path / "link"
        link.symlink_to(files.journal)
        with running("batch", files.connection, files.records):
            connected, _ = silent.accept()
            with connected:
                connected.recv(1000)
                done = patchwire("batch", files.connection, files.records, "--journal", link)
    assert done.returncode == 2
    assert "another run is using this journal" in without_traceback(done)[0]


PEAK = (
    "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL);"
    " print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
)


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    peaks = []
    with serving("--create-missing") as url:
        for count in (1_000, 20_000):
            directory = tmp_path / str(count)
            directory.mkdir()
            files = BatchFiles(directory, url)
            files.write({"path": f"/people/{n % 100}/{n}", "body": {"x": "y" * 500}} for n in range(count))
            command = [sys.executable, "-c", PEAK, *PATCHWIRE, "batch", str(files.connection), str(files.records)]
            done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
            peaks.append(int(done.stdout))
    small, large = peaks
    assert files.records.stat().st_size > 10_000_000
    assert large < small * 1.15, peaks


# --- stopped and killed


def test_an_interrupt_lets_what_is_in_flight_come_home_and_exits_with_130(tmp_path: Path) -> None:
    record = tmp_path / "applied.ndjson"
    with serving("--create-missing", "--record", record) as url:
        files = served(tmp_path, url, 20_000)
        with running(
            "batch", files.connection, files.records, "--output", files.output, stderr=subprocess.PIPE
        ) as process:
            while not record.exists() or record.stat().st_size < 20_000:
                time.sleep(0.002)
            process.send_signal(signal.SIGINT)
            assert process.wait(20) == 130
            assert process.stderr is not None
            with process.stderr as stderr:
                assert b"the same command goes on from there" in stderr.read()
        stopped = len(read_lines(record))
        assert stopped < 20_000
        assert len(files.outcomes()) == stopped
        assert {line["outcome"] for line in files.outcomes()} == {"applied"}
        done = patchwire("batch", files.connection, files.records, "--output", files.output)
    assert done.returncode == 0
    assert hold_against_the_servers_record(files, record, unknown_at_most=0)["applied"] == 20_000


KILLS, CONNECTIONS = 20, 8


def open_intents(journal: Path) -> int:
    """How many records a killed run has left without an outcome."""
    database = sqlite3.connect(journal)
    try:
        (count,) = database.execute(
            "SELECT count(*) FROM intent WHERE seq NOT IN (SELECT seq FROM outcome)"
        ).fetchone()
    finally:
        database.close()
    return int(count)


def test_killed_at_20_random_instants_each_record_is_applied_once_or_unknown(tmp_path: Path) -> None:
    record = tmp_path / "applied.ndjson"
    count = 12_000
    chance = random.Random()
    with serving("--create-missing", "--record", record) as url:
        files = served(tmp_path, url, count)
        command = [
            *PATCHWIRE, "batch", str(files.connection), str(files.records), "--output", str(files.output),
            "--concurrency", str(CONNECTIONS),
        ]  # fmt: skip
        line_size = 0
        for kill in range(1, KILLS + 1):
            done = record.stat().st_size if record.exists() else 0
            # Each life is given a random share of what is left for it, so that all 20 deaths fall into the run.
            share = (count * (line_size or 180) - done) / (KILLS - kill + 2)
            target = done + chance.random() * share
            with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
                while not record.exists() or record.stat().st_size <= target:
                    assert process.poll() is None, "the run ended before it could be killed"
                    time.sleep(chance.random() * 0.002)
                process.kill()
                process.wait()
            assert open_intents(files.journal) <= CONNECTIONS
            line_size = line_size or len(record.read_bytes().splitlines()[0])
        done_command = subprocess.run(command, stdout=subprocess.DEVNULL, check=False)
        assert done_command.returncode in (0, 3)
    assert len(files.outcomes()) == count
    counts = hold_against_the_servers_record(files, record, unknown_at_most=KILLS * CONNECTIONS)
    assert set(counts) <= {"applied", "unknown"}
