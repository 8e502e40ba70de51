from __future__ import annotations

import json
import os
import pty
import random
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from patchwire.auth.aws_credentials import AwsCredentials
from patchwire.cli.main import main
from patchwire.delivery.outcome import Outcome
from patchwire.http.message import Origin
from tests.support import journals
from tests.support.aws_batches import signing
from tests.support.batches import BatchFiles, people, read_lines
from tests.support.commands import PATCHWIRE, environment, patchwire, running, serving, without_traceback
from tests.support.origins import OK, Origins, document, run, status
from tests.support.peer import RequestReader, listening

Command = list[str | Path]


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


def test_a_host_that_contradicts_what_is_signed_for_is_one_warning_and_changes_no_exit_code(tmp_path: Path) -> None:
    host = "a.execute-api.eu-west-1.amazonaws.com"
    with serving("--create-missing") as url:
        files = served(tmp_path, url, 3, signing(AwsCredentials("AKIDEXAMPLE", "canary"), f'signing_host = "{host}"'))
        done = patchwire("batch", files.connection, files.records)
    assert done.returncode == 0
    assert without_traceback(done) == [
        f"patchwire: warning: host {host} is in eu-west-1, but region us-east-1 is signed for"
    ]


def test_a_text_summary_is_plain_lines_in_a_pipe_and_keeps_out_of_outcomes_on_stdout(tmp_path: Path) -> None:
    with serving("--create-missing") as url:
        files = served(tmp_path, url, 3)
        done = patchwire("batch", files.connection, files.records)
        assert "applied 3" in done.stdout.splitlines()
        done = patchwire("batch", files.connection, files.records, "--output", "-", "--fresh")
    assert [json.loads(line)["outcome"] for line in done.stdout.splitlines()] == ["applied"] * 3
    assert "applied 3" in done.stderr.splitlines()


@pytest.mark.parametrize("name", ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
def test_standard_output_that_is_a_file_is_standard_output_by_whatever_name(tmp_path: Path, name: str) -> None:
    with serving("--create-missing") as url:
        files = served(tmp_path, url, 20)
        with (tmp_path / "out").open("wb") as out:
            command = [*PATCHWIRE, "batch", str(files.connection), str(files.records), "--output", name]
            subprocess.run([*command, "--summary", "json"], stdout=out, timeout=60, check=False)
    *lines, summary = read_lines(tmp_path / "out")
    assert sorted(line["path"] for line in lines) == sorted(record["path"] for record in people(20))
    assert summary["records"] == 20


def test_standard_output_in_two_roles_is_refused(tmp_path: Path) -> None:
    files = served(tmp_path, "http://127.0.0.1:9", 1)
    done = patchwire("batch", files.connection, files.records, "--output", "-", "--failed", "/dev/stdout")
    assert done.returncode == 2
    assert "is named both as output and as failed" in without_traceback(done)[0]


def test_in_a_pipe_progress_is_told_in_plain_lines(tmp_path: Path) -> None:
    with serving("--create-missing") as url:
        files = served(tmp_path, url, 12)
        done = patchwire("batch", files.connection, files.records, "--rate", "1", "--progress")
    assert done.returncode == 0
    assert re.fullmatch(r"patchwire: \d+ applied, 1/s, at most 1/s \(--rate\)\n", done.stderr), done.stderr


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


@pytest.mark.parametrize("command", ["batch", "journal", "settle"])
def test_a_journal_that_has_lost_a_table_is_one_line_for_every_command(tmp_path: Path, command: str) -> None:
    files = served(tmp_path, journals.CONNECTION, 1)
    with journals.written(files.journal, [journals.line(0, Outcome.UNKNOWN)]):
        pass
    database = sqlite3.connect(files.journal)
    database.execute("DROP TABLE outcome")
    database.close()
    arguments: dict[str, Command] = {
        "batch": [files.connection, files.records],
        "journal": [files.journal],
        "settle": [files.journal, "--seq", "0", "applied"],
    }
    done = patchwire(command, *arguments[command])
    assert done.returncode == 2
    (said,) = without_traceback(done)
    assert said.startswith(f"patchwire: {files.journal}: is damaged (no such "), said
    assert said.endswith("); restore it from a copy")


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


def test_one_file_under_two_names_is_refused_and_stays_as_it_is(tmp_path: Path) -> None:
    files = served(tmp_path, "http://127.0.0.1:9", 1)
    before = files.records.read_bytes()
    (tmp_path / "hard").hardlink_to(files.records)
    (tmp_path / "soft").symlink_to(files.records)
    (tmp_path / "to-come").symlink_to(files.output)  # which does not exist yet
    (tmp_path / "directory").symlink_to(tmp_path)
    for one, other, name in [
        ("output", "records", tmp_path / "hard"),
        ("failed", "records", tmp_path / "soft"),
        ("unknown", "output", tmp_path / "to-come"),
        ("unknown", "output", tmp_path / "directory" / files.output.name),
        ("output", "journal", tmp_path / "directory" / files.journal.name),
    ]:
        outputs: Command = [] if one == "output" else ["--output", files.output]
        done = patchwire("batch", files.connection, files.records, *outputs, f"--{one}", name, "--fresh")
        assert done.returncode == 2
        (line,) = without_traceback(done)
        assert line.startswith(f"patchwire: {name}: is named both as {other} and as {one}; "), line
        assert files.records.read_bytes() == before


@pytest.mark.parametrize(
    ("role", "code", "complaint"),
    [
        ("connection", 2, "too many levels of symbolic links"),
        ("records", 2, "too many levels of symbolic links"),
        ("--journal", 2, "is a link that leads back to itself"),
        ("--output", 4, "too many levels of symbolic links"),
        ("--failed", 4, "too many levels of symbolic links"),
        ("--unknown", 4, "too many levels of symbolic links"),
    ],
)
def test_a_link_that_leads_back_to_itself_is_one_line(tmp_path: Path, role: str, code: int, complaint: str) -> None:
    files = served(tmp_path, "http://127.0.0.1:9", 1)
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    connection, records = (loop if role == own.stem else own for own in (files.connection, files.records))
    options: Command = [role, loop] if role.startswith("--") else []
    done = patchwire("batch", connection, records, *options)
    assert (done.returncode, without_traceback(done)) == (code, [f"patchwire: {loop}: {complaint}"])


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


async def told(process: trio.Process, text: bytes) -> bytes:
    """What the process has said on standard error when this stands in it."""
    assert process.stderr is not None
    said = b""
    while text not in said:
        data = await process.stderr.receive_some()
        assert data, said
        said += data
    return said


class Pausing:
    """Asks at its first request to be left alone for long, does not answer the silent targets, and applies all
    other changes.
    """

    def __init__(self, *silent: str) -> None:
        self.silent = silent
        self.seen: list[str] = []
        self.paused = trio.Event()

    async def __call__(self, stream: trio.SocketStream) -> None:
        reader = RequestReader(stream)
        while (request := await reader.next()) is not None:
            self.seen.append(request[1])
            if request[1] in self.silent:
                await trio.sleep_forever()
            first = not self.paused.is_set()
            self.paused.set()
            await stream.send_all(status(429, "Retry-After: 100") if first else OK)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_during_a_pause_ends_the_run_and_a_resume_sends_what_waited(
    tmp_path: Path, number: signal.Signals
) -> None:
    async def job() -> None:
        origin = Pausing()
        async with listening(origin) as target:
            files = served(tmp_path, str(target), 50)
            command = [*PATCHWIRE, "batch", str(files.connection), str(files.records), "--output", str(files.output)]
            process = await trio.lowlevel.open_process(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            with trio.fail_after(60):
                await origin.paused.wait()
                await trio.sleep(0.2)
                process.send_signal(number)
                await told(process, b"once more stops at once")
                assert await process.wait() == 130
            before = len(origin.seen)
            assert before < 50
            assert len(files.outcomes()) == before - 1
            assert {line["outcome"] for line in files.outcomes()} == {"applied"}
            done = await trio.run_process(command, capture_stdout=True, capture_stderr=True, check=False)
        assert done.returncode == 0, done.stderr
        assert (len(files.outcomes()), len(origin.seen)) == (50, 51)
        assert max(Counter(origin.seen).values()) == 2

    trio.run(job)


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT, signal.SIGTERM])
def test_a_signal_that_is_ignored_at_the_start_stays_ignored(tmp_path: Path, number: signal.Signals) -> None:
    ignoring = f"import signal; signal.signal({int(number)}, signal.SIG_IGN); "
    ignoring += "import os, sys; os.execv(sys.argv[1], sys.argv[1:])"

    async def job() -> None:
        origin = Pausing()
        async with listening(origin) as target:
            files = served(tmp_path, str(target), 5)
            command = [sys.executable, "-c", ignoring, *PATCHWIRE, "batch", str(files.connection), str(files.records)]
            process = await trio.lowlevel.open_process(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            with trio.fail_after(60):
                await origin.paused.wait()
                await trio.sleep(0.2)
                process.send_signal(number)
                with trio.move_on_after(0.5):
                    await process.wait()
                assert process.returncode is None
                process.send_signal(signal.SIGTERM if number is not signal.SIGTERM else signal.SIGINT)
                await told(process, b"once more stops at once")
                assert await process.wait() == 130

    trio.run(job)


class Slow:
    """Applies all changes, each of them after a while."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    async def __call__(self, stream: trio.SocketStream) -> None:
        reader = RequestReader(stream)
        while (request := await reader.next()) is not None:
            self.seen.append(request[1])
            await trio.sleep(0.5)
            await stream.send_all(OK)


@pytest.mark.parametrize("options", [[], ["-v", "--no-progress"]])
def test_a_session_that_is_dropped_with_its_terminal_lets_what_is_in_flight_come_home(
    tmp_path: Path, options: list[str]
) -> None:
    async def job() -> None:
        origin = Slow()
        async with listening(origin) as target:
            files = served(tmp_path, str(target), 1000)
            command = [*PATCHWIRE, "batch", str(files.connection), str(files.records), "--output", str(files.output)]
            master, slave = pty.openpty()
            process = await trio.lowlevel.open_process(
                [*command, *options], stdout=subprocess.DEVNULL, stderr=slave, env=environment(TERM="xterm-256color")
            )
            os.close(slave)
            with trio.fail_after(60):
                while not origin.seen:
                    await trio.sleep(0.01)
                os.close(master)
                process.send_signal(signal.SIGHUP)
                assert await process.wait() == 130
            assert 0 < len(origin.seen) < 1000
            assert {(line["outcome"], line["error"]) for line in files.outcomes()} == {("applied", None)}
            assert len(files.outcomes()) == len(origin.seen)

    trio.run(job)


def test_a_second_interrupt_during_a_pause_does_not_wait_for_what_is_in_flight(tmp_path: Path) -> None:
    async def job() -> None:
        origin = Pausing("/people/1")
        async with listening(origin) as target:
            files = served(tmp_path, str(target), 50)
            command = [*PATCHWIRE, "batch", str(files.connection), str(files.records), "--output", str(files.output)]
            process = await trio.lowlevel.open_process(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            with trio.fail_after(60):
                await origin.paused.wait()
                while "/people/1" not in origin.seen:
                    await trio.sleep(0.01)
                await trio.sleep(0.2)
                process.send_signal(signal.SIGINT)
                await told(process, b"once more stops at once")
                with trio.move_on_after(0.3):
                    await process.wait()
                assert process.returncode is None
                process.send_signal(signal.SIGINT)
                assert await process.wait() == 130
        outcomes = {line["path"]: line["outcome"] for line in files.outcomes()}
        assert outcomes.pop("/people/1") == "unknown"
        assert set(outcomes.values()) == {"applied"}
        assert len(outcomes) == len(origin.seen) - 2

    trio.run(job)


# --- options: what they refuse


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ("--rate 0", "Invalid value for '--rate': 0.0 is not in the range x>0."),
        ("--rate -1", "Invalid value for '--rate': -1.0 is not in the range x>0."),
        ("--rate nan", "Invalid value for '--rate': 'nan' is not a number."),
        ("--patience nan", "Invalid value for '--patience': 'nan' is not a number."),
        ("--deadline -nan", "Invalid value for '--deadline': '-nan' is not a number."),
        ("--max-failure-rate NaN", "Invalid value for '--max-failure-rate': 'NaN' is not a number."),
        ("--rate fast", "Invalid value for '--rate': 'fast' is not a valid float"),
        ("--durability some", "Invalid value for '--durability': 'some' is not one of 'normal', 'full'."),
        ("--if-match always", "Invalid value for '--if-match': 'always' is not"),
        ("--refetch 1", "--refetch renews tags that --if-match fetch has fetched; give both"),
        ("--if-match fetch --refetch -1", "Invalid value for '--refetch': -1 is not in the range x>=0."),
        ("--on-lane-failure stop", "Invalid value for '--on-lane-failure': 'stop' is not one of 'hold-unknown',"),
        ("--validate-first --skip-invalid", "--validate-first sends nothing where --skip-invalid goes on; choose one"),
        ("--max-failures -1", "Invalid value for '--max-failures': -1 is not in the range x>=0."),
        ("--max-failures few", "Invalid value for '--max-failures': 'few' is not a valid integer"),
        ("--max-failure-rate 1.5", "Invalid value for '--max-failure-rate': 1.5 is not in the range 0<=x<=1."),
        ("--max-failure-rate 5%", "Invalid value for '--max-failure-rate': '5%' is not a valid float"),
        ("--deadline -1", "Invalid value for '--deadline': -1.0 is not in the range x>=0."),
        ("--deadline 5m", "Invalid value for '--deadline': '5m' is not a valid float"),
        ("--retry-unknown=yes", "Option '--retry-unknown' does not take a value."),
        ("--verify=yes", "Option '--verify' does not take a value."),
        ("--idempotency-key=k", "Option '--idempotency-key' does not take a value."),
        ("--request-id-header", "Option '--request-id-header' requires an argument."),
        ("--request-id-header=", "--request-id-header: '' is no field name: a field name is a token"),
        ("--request-id-header=X:Y", "--request-id-header: 'X:Y' is no field name: a field name is a token"),
        ("--request-id-header X-É", "--request-id-header: 'X-É' is no field name: a field name is a token"),
        ("--request-id-header Content-Length", "--request-id-header: field 'Content-Length' is not yours to set"),
        ("--request-id-header TE", "--request-id-header: TE has a meaning of its own; name another field"),
        ("--request-id-header Range", "--request-id-header: Range has a meaning of its own; name another field"),
        ("--request-id-header Host", "--request-id-header: Host has a meaning of its own; name another field"),
        ("--request-id-header authorization", "--request-id-header: authorization has a meaning of its own"),
        ("--request-id-header If-Match", "--request-id-header: If-Match has a meaning of its own; name another"),
        ("--request-id-header Idempotency-Key", "--request-id-header: Idempotency-Key has a meaning of its own"),
        ("--request-id-header x-own", "--request-id-header: x-own is set by the connection already; name another"),
    ],
)
def test_an_option_that_makes_no_sense_is_named_and_nothing_is_begun(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: str,
    complaint: str,
) -> None:
    files = served(tmp_path, "http://127.0.0.1:9", 1, '[headers]\nX-Own = "1"\n')
    arguments = ["patchwire", "batch", str(files.connection), str(files.records), *options.split()]
    monkeypatch.setattr(sys, "argv", arguments)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith(f"Error: {complaint}")
    assert not files.journal.exists()


def test_standard_input_can_not_be_looked_at_first(tmp_path: Path) -> None:
    files = served(tmp_path, "http://127.0.0.1:9", 1)
    done = patchwire("batch", files.connection, "-", "--journal", files.journal, "--validate-first", input="{")
    assert done.returncode == 2
    assert without_traceback(done)[-1] == "Error: --validate-first reads the records twice, so it needs a file"


# --- options: what they do


def after(
    directory: Path, origin: Origins, records: list[dict[str, Any]], *commands: list[str]
) -> tuple[BatchFiles, list[subprocess.CompletedProcess[str]]]:
    """The batch as a command with each of these options, one resuming the other, against an origin of this process."""

    async def job(target: Origin) -> tuple[BatchFiles, list[subprocess.CompletedProcess[str]]]:
        files = BatchFiles(directory, target)
        files.write(records)
        common: Command = ["batch", files.connection, files.records, "--output", files.output, "--summary", "json"]
        return files, [await trio.to_thread.run_sync(partial(patchwire, *common, *each)) for each in commands]

    result: tuple[BatchFiles, list[subprocess.CompletedProcess[str]]] = run(origin, job)
    return result


def counted(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """The summary, without what is 0."""
    names = ("applied", "rejected", "not_sent", "unknown", "invalid")
    summary = json.loads(done.stdout.splitlines()[-1])
    return {name: summary[name] for name in names if summary.get(name)}


def cutting_first() -> Origins:
    """Cuts the connection at the first request for each target."""
    seen: Counter[str] = Counter()

    def answer(method: str, target: str, body: bytes) -> bytes:
        seen[target] += 1
        return b"" if seen[target] == 1 else OK

    return Origins(answer)


def test_unknown_records_are_sent_again_when_it_is_said_that_doubling_is_acceptable(tmp_path: Path) -> None:
    origin = cutting_first()
    files, (first, second, third) = after(tmp_path, origin, people(5), [], [], ["--retry-unknown"])
    assert [done.returncode for done in (first, second, third)] == [3, 3, 0]
    assert [counted(done) for done in (first, second, third)] == [{"unknown": 5}, {"unknown": 5}, {"applied": 5}]
    assert {(line["outcome"], line["attempts"]) for line in files.outcomes()} == {("applied", 2)}
    assert len(files.outcomes()) == 5


def test_unknown_merge_patches_are_looked_at(tmp_path: Path) -> None:
    origin = Origins(lambda method, target, body: document(b'{"n": 0}') if method == "GET" else b"")
    files, (done,) = after(tmp_path, origin, people(1), ["--verify"])
    assert (done.returncode, counted(done)) == (0, {"applied": 1})
    assert files.outcomes()[0]["error"] == "verified: a GET shows the change"


def test_keys_go_out_the_same_at_every_attempt_and_ids_another_at_each(tmp_path: Path) -> None:
    origin = cutting_first()
    _, (done,) = after(tmp_path, origin, people(3), ["--idempotency-key", "--request-id-header", "X-Request-Id"])
    assert (done.returncode, counted(done)) == (0, {"applied": 3})
    assert len(origin.fields) == 6
    assert len({fields["idempotency-key"] for fields in origin.fields}) == 3
    assert len({fields["x-request-id"] for fields in origin.fields}) == 6


def test_tags_are_fetched_and_fetched_again_where_they_have_gone_stale(tmp_path: Path) -> None:
    answers = iter([document(b"{}", '"1"'), status(412), document(b"{}", '"2"'), OK])
    origin = Origins(lambda *_: next(answers))
    files, (done,) = after(tmp_path, origin, people(1), ["--if-match", "fetch", "--refetch", "1"])
    assert (done.returncode, counted(done)) == (0, {"applied": 1})
    assert [fields.get("if-match") for fields in origin.fields] == [None, '"1"', None, '"2"']
    assert files.outcomes()[0]["attempts"] == 2


def test_on_the_embedded_server_fetched_tags_match(tmp_path: Path) -> None:
    documents = tmp_path / "documents.ndjson"
    documents.write_text("".join(f'{{"path": "/people/{n}", "body": {{}}}}\n' for n in range(20)), "utf-8")
    with serving("--documents", documents) as url:
        files = served(tmp_path, url, 21)
        done = patchwire(
            "batch", files.connection, files.records, "--if-match", "fetch", "--output", files.output, "-v"
        )
    assert done.returncode == 1
    assert done.stderr.count("> If-Match: ") == 20
    assert [(line["seq"], line["error"]) for line in files.outcomes() if line["outcome"] != "applied"] == [
        (20, "the GET for its entity tag was answered with 404")
    ]


@pytest.mark.parametrize(
    ("choice", "counts"),
    [("hold-unknown", {"rejected": 3}), ("hold", {"rejected": 1, "not_sent": 2}), ("go-on", {"rejected": 3})],
)
def test_what_holds_a_lane_is_chosen(tmp_path: Path, choice: str, counts: dict[str, int]) -> None:
    with serving() as url:
        files = BatchFiles(tmp_path, url)
        files.write({"path": "/missing", "body": {"n": n}} for n in range(3))
        command: Command = ["batch", files.connection, files.records, "--on-lane-failure", choice, "--summary", "json"]
        done = patchwire(*command)
    assert (done.returncode, counted(done)) == (1, counts)


def test_no_more_requests_a_second_go_out_than_the_rate_allows(tmp_path: Path) -> None:
    with serving("--create-missing") as url:
        files = served(tmp_path, url, 40)
        done = patchwire("batch", files.connection, files.records, "--rate", "32", "--summary", "json")
    assert (done.returncode, counted(done)) == (0, {"applied": 40})
    assert json.loads(done.stdout)["seconds"] > 1.1  # 39 intervals, less what a late timer is owed


def test_with_full_durability_a_run_that_is_killed_is_resumed_too(tmp_path: Path) -> None:
    record = tmp_path / "applied.ndjson"
    with serving("--create-missing", "--record", record) as url:
        files = served(tmp_path, url, 1000)
        command: Command = ["batch", files.connection, files.records, "--output", files.output, "--durability", "full"]
        with running(*command, stdout=subprocess.DEVNULL):
            while not record.exists() or record.stat().st_size < 10_000:
                time.sleep(0.002)
        done = patchwire(*command)
    assert done.returncode in (0, 3)
    assert len(files.outcomes()) == 1000
    hold_against_the_servers_record(files, record, unknown_at_most=8)


def with_faults(files: BatchFiles) -> None:
    """Three faulty lines among the records: 2, 4 and 9."""
    lines = files.records.read_text("utf-8").splitlines(keepends=True)
    faults = ["{\n", '{"path": "/a b", "body": {}}\n', '{"path": "/a"}\n']
    files.records.write_text("".join([lines[0], faults[0], lines[1], faults[1], *lines[2:6], faults[2], *lines[6:]]))


def test_nothing_is_sent_where_any_line_is_at_fault_and_each_is_named(tmp_path: Path) -> None:
    record = tmp_path / "applied.ndjson"
    with serving("--create-missing", "--record", record) as url:
        files = served(tmp_path, url, 20)
        with_faults(files)
        done = patchwire("batch", files.connection, files.records, "--output", files.output, "--validate-first")
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = without_traceback(done)
    assert [f"{files.records}:{number}: " in line for number in (1, 2, 3, 4, 9)] == [False, True, False, True, True]
    assert line.endswith("; give one of body, body_text, body_base64, body_file: nothing was sent")
    assert not record.read_text()
    assert not files.output.exists()
    assert not files.journal.exists()


def test_lines_at_fault_are_named_and_passed_over(tmp_path: Path) -> None:
    with serving("--create-missing") as url:
        files = served(tmp_path, url, 20)
        with_faults(files)
        command: Command = ["batch", files.connection, files.records, "--output", files.output, "--summary", "json"]
        done, again = (patchwire(*command, "--skip-invalid") for _ in range(2))
    assert (done.returncode, again.returncode) == (2, 2)
    assert [line.split(": ")[1] for line in without_traceback(done)[:3]] == [f"{files.records}:{n}" for n in (2, 4, 9)]
    assert counted(done) == counted(again) == {"applied": 20, "invalid": 3}
    assert [line["seq"] for line in files.outcomes()] == [n for n in range(23) if n not in (1, 3, 8)]


@pytest.mark.parametrize(
    ("option", "said"),
    [
        (["--max-failures", "10"], "(--max-failures 10)"),
        (["--max-failure-rate", "0.5"], "(--max-failure-rate 0.5)"),
    ],
)
def test_a_run_stops_at_too_many_failures_and_the_same_command_goes_on(
    tmp_path: Path, option: list[str], said: str
) -> None:
    with serving() as url:
        files = served(tmp_path, url, 1000)
        command: Command = ["batch", files.connection, files.records, "--summary", "json", *option]
        stopped, again = patchwire(*command), patchwire(*command)
    first, second = without_traceback(stopped)
    assert first.startswith("patchwire: stopped, since ")
    assert first.endswith(f" records were not applied {said}")
    assert second.endswith("; the same command goes on from there")
    assert stopped.returncode == again.returncode == 1
    assert 10 < counted(stopped)["rejected"] < counted(again)["rejected"] < 1000


def test_a_failure_that_is_not_allowed_at_all_stops_the_run(tmp_path: Path) -> None:
    with serving() as url:
        files = served(tmp_path, url, 1000)
        done = patchwire("batch", files.connection, files.records, "--max-failures", "0", "--concurrency", "1")
    assert done.returncode == 1
    assert "stopped, since 1 of 1 records were not applied" in without_traceback(done)[0]


def test_at_the_deadline_a_run_ends_as_if_interrupted_also_while_its_input_goes_on(tmp_path: Path) -> None:
    record = tmp_path / "applied.ndjson"
    with serving("--create-missing", "--record", record) as url:
        files = served(tmp_path, url, 10)
        command: Command = ["batch", files.connection, "-", "--journal", files.journal, "--output", files.output]
        with running(
            *command, "--deadline", "1.5", stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        ) as process:
            assert process.stdin is not None
            assert process.stderr is not None
            with process.stdin as pipe, process.stderr as stderr:
                pipe.write(files.records.read_bytes())
                pipe.flush()
                assert process.wait(60) == 130
                said = stderr.read().decode()
        assert said.startswith("patchwire: stopped after 1.5 seconds (--deadline)\n")
        assert {line["outcome"] for line in files.outcomes()} <= {"applied"}
        done = patchwire(*command, input=files.records.read_text("utf-8"))
    assert done.returncode == 0
    assert len(read_lines(record)) == len(files.outcomes()) == 10


def on_a_terminal(*arguments: str | Path) -> tuple[int, str]:
    """The exit code of a command, and what it shows on a terminal of 200 columns."""
    terminal, end = pty.openpty()
    shown = b""
    try:
        with subprocess.Popen(
            [*PATCHWIRE, *map(str, arguments)],
            stdout=end,
            stderr=end,
            env=environment(COLUMNS="200", TERM="xterm-256color"),
        ) as process:
            os.close(end)
            try:
                while data := os.read(terminal, 65_536):
                    shown += data
            except OSError:  # Linux says so when the last who could write has gone
                pass
            return process.wait(60), shown.decode()
    finally:
        os.close(terminal)


def test_on_a_terminal_progress_tells_the_pace_in_force_and_the_end_has_a_histogram(tmp_path: Path) -> None:
    with serving("--create-missing") as url:
        files = served(tmp_path, url, 40)
        code, shown = on_a_terminal("batch", files.connection, files.records, "--rate", "32")
    assert code == 0
    assert "at most 32/s (--rate)" in shown
    assert "latency  p50 " in shown
    assert shown.rstrip().rpartition("█ ")[2].isdigit()


def test_a_named_pipe_is_refused_with_validate_first_before_anybody_waits_for_it(tmp_path: Path) -> None:
    files = BatchFiles(tmp_path, "http://127.0.0.1:9")
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    done = patchwire("batch", files.connection, pipe, "--journal", files.journal, "--validate-first")
    assert done.returncode == 2
    assert without_traceback(done) == [f"patchwire: {pipe}: can be read only once; --validate-first needs a file"]


def test_a_grant_that_cannot_be_kept_is_not_spent_and_the_run_goes_on_when_it_can(tmp_path: Path) -> None:
    settings = """authentication = "oauth2"
preemptive = true
[oauth2]
grant_type = "authorization_code"
client_id = "app"
refresh_token = "literal:unknown"
access_token_url = "{}/oauth2/token"
"""
    (tmp_path / "state").write_text("no directory", "utf-8")
    variables = environment(PATCHWIRE_STATE=str(tmp_path / "state"))
    with serving("--create-missing", "--auth", "bearer", "--client-id", "app") as url:
        files = BatchFiles(tmp_path, url, settings.format(url))
        files.write(people(3))
        done = patchwire("batch", files.connection, files.records, "--output", files.output, env=variables)
        assert done.returncode == 4, done.stderr
        (line,) = without_traceback(done)
        assert str(tmp_path / "state") in line
        assert files.outcomes() == []
        (tmp_path / "state").unlink()
        done = patchwire("batch", files.connection, files.records, "--output", files.output, env=variables)
    assert done.returncode == 1, done.stderr
    (line,) = without_traceback(done)
    assert " answered 400: invalid_grant: " in line
    assert f": run patchwire authorize {files.connection};" in line


def test_a_batch_runs_with_the_values_of_its_extension(tmp_path: Path) -> None:
    extensible = '[extensions]\nextensible = ["base_url"]\n'
    other = tmp_path / "prod.toml"
    with serving("--create-missing") as url:
        files = BatchFiles(tmp_path, "http://127.0.0.1:1", extensible)
        files.write(people(3))
        other.write_text(f'base_url = "{url}"', "utf-8")
        done = patchwire("batch", files.connection, files.records, "--output", files.output, "--extension", other)
    assert done.returncode == 0, done.stderr
    assert [each["outcome"] for each in files.outcomes()] == ["applied"] * 3


def test_a_batch_does_not_write_over_its_extension(tmp_path: Path) -> None:
    files = BatchFiles(tmp_path, "http://127.0.0.1:1", '[extensions]\nextensible = ["base_url"]\n')
    files.write(people(1))
    other = tmp_path / "prod.toml"
    other.write_text('base_url = "http://127.0.0.1:2"', "utf-8")
    done = patchwire("batch", files.connection, files.records, "--output", other, "--extension", other)
    assert done.returncode == 2
    assert len(without_traceback(done)) == 1
    assert other.read_text("utf-8") == 'base_url = "http://127.0.0.1:2"'
