from __future__ import annotations

import json
import socket
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from patchwire.delivery.outcome import Outcome
from tests.support.batches import BatchFiles, people, read_lines
from tests.support.commands import PATCHWIRE, patchwire, running, serving, without_traceback
from tests.support.journals import line, written


def interrupted_batch(directory: Path, records: list[dict[str, Any]], connections: int) -> tuple[BatchFiles, int]:
    """A batch that was killed while its first `connections` records were in flight, and the port of its origin."""
    with socket.create_server(("127.0.0.1", 0)) as origin:
        port = origin.getsockname()[1]
        files = BatchFiles(directory, f"http://127.0.0.1:{port}")
        files.write(records)
        with running("batch", files.connection, files.records, "--concurrency", str(connections)) as process:
            peers = [origin.accept()[0] for _ in range(connections)]
            for peer in peers:
                assert peer.recv(1000)
            process.kill()
            process.wait()
            for peer in peers:
                peer.close()
    return files, port


def resume(files: BatchFiles) -> subprocess.CompletedProcess[str]:
    return patchwire(
        "batch", files.connection, files.records, "--output", files.output, "--failed", files.failed,
        "--unknown", files.unknown,
    )  # fmt: skip


def applied_by(record: Path) -> list[str]:
    return sorted(str(each["path"]) for each in read_lines(record))


def test_after_a_settlement_the_resumed_batch_has_each_record_once_in_its_output_with_its_last_outcome(
    tmp_path: Path,
) -> None:
    files, port = interrupted_batch(tmp_path, people(6), 3)
    record = tmp_path / "applied.ndjson"
    with serving("--create-missing", "--port", str(port), "--record", record):
        assert resume(files).returncode == 3
        before = {each["seq"]: each for each in files.outcomes()}
        assert [before[seq]["outcome"] for seq in range(6)] == ["unknown"] * 3 + ["applied"] * 3
        assert files.ids(files.unknown) == ["r0", "r1", "r2"]

        done = patchwire("settle", files.journal, "--seq", "0", "applied", "--reason", "it is there")
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.splitlines() == [
            "record 0 (/people/0) counts as applied; the next run of the batch brings its --output and --unknown up"
            " to date"
        ]
        done = patchwire("settle", files.journal, "--seq", "1", "not-applied")
        assert done.stdout.splitlines() == ["record 1 (/people/1) will be sent again by the next run of the batch"]

        assert resume(files).returncode == 3
        after = files.outcomes()
        assert [each["seq"] for each in after] == list(range(6))
        assert after[0] == before[0] | {"outcome": "applied", "error": "settled by hand: it is there"}
        assert (after[1]["outcome"], after[1]["status"], after[1]["error"]) == ("applied", 201, None)
        assert after[2:] == [before[seq] for seq in range(2, 6)]
        assert files.ids(files.unknown) == ["r2"]
        assert applied_by(record) == [f"/people/{n}" for n in (1, 3, 4, 5)]

        # A run that finds the output up to date appends to it, and here has nothing to append.
        content, file = files.output.read_bytes(), files.output.stat().st_ino
        assert resume(files).returncode == 3
        assert (files.output.read_bytes(), files.output.stat().st_ino) == (content, file)

        patchwire("settle", files.journal, "--seq", "2", "applied")
        assert resume(files).returncode == 0
    assert [each["outcome"] for each in files.outcomes()] == ["applied"] * 6
    assert files.ids(files.unknown) == []
    assert not list(tmp_path.glob("*.new"))


def test_an_output_that_missed_a_run_after_a_settlement_gets_the_last_outcome(tmp_path: Path) -> None:
    files, port = interrupted_batch(tmp_path, people(2), 2)
    with serving("--create-missing", "--port", str(port)):
        assert resume(files).returncode == 3
        patchwire("settle", files.journal, "--seq", "0", "--seq", "1", "not-applied")
        assert patchwire("batch", files.connection, files.records).returncode == 0  # with no --output
        assert [each["outcome"] for each in files.outcomes()] == ["unknown"] * 2
        assert resume(files).returncode == 0
    assert [(each["seq"], each["outcome"], each["status"]) for each in files.outcomes()] == [
        (0, "applied", 201),
        (1, "applied", 201),
    ]


def test_standard_output_gets_the_outcomes_as_they_are_after_the_settlement(tmp_path: Path) -> None:
    files, port = interrupted_batch(tmp_path, people(2), 2)
    patchwire("settle", files.journal, "--seq", "0", "applied")
    patchwire("settle", files.journal, "--seq", "1", "not-applied")
    with serving("--create-missing", "--port", str(port)):
        done = patchwire("batch", files.connection, files.records, "--output", "-")
    assert [(each["seq"], each["status"]) for each in map(json.loads, done.stdout.splitlines())] == [
        (0, None),
        (1, 201),
    ]


def test_what_a_record_held_stays_not_sent_when_that_is_settled_and_nothing_overtakes_it(tmp_path: Path) -> None:
    def step(n: int) -> dict[str, Any]:
        return {"id": f"r{n}", "path": f"/people/1?{n}", "body": {"n": n}}

    files, port = interrupted_batch(tmp_path, [step(0)], 1)
    with serving("--create-missing", "--port", str(port)):
        files.write([step(0), step(1), step(2)])
        assert resume(files).returncode == 3
        done = patchwire("settle", files.journal, "--seq", "0", "applied")
        assert done.stdout.splitlines()[0].endswith(
            "; 2 records that it held stay not_sent, and that run lists such in --failed, to be run after it"
        )
        files.write([step(0), step(1), step(2), step(3)])
        assert resume(files).returncode == 1
    assert [(each["outcome"], each["error"]) for each in files.outcomes()] == [
        ("applied", "settled by hand"),
        ("not_sent", "held by r0"),
        ("not_sent", "held by r0"),
        ("not_sent", "held by r1"),
    ]
    assert files.ids(files.failed) == ["r1", "r2", "r3"]


def test_a_run_that_goes_on_cannot_be_settled(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as origin:
        files = BatchFiles(tmp_path, f"http://127.0.0.1:{origin.getsockname()[1]}")
        files.write(people(1))
        with running("batch", files.connection, files.records):
            peer, _ = origin.accept()
            with peer:
                peer.recv(1000)
                done = patchwire("settle", files.journal, "--seq", "0", "applied")
    assert done.returncode == 2
    assert without_traceback(done) == [
        f"patchwire: {files.journal}: a run is using this journal; settle when it has ended"
    ]


def test_what_is_not_unknown_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    with written(path, [line(0), line(1, Outcome.UNKNOWN, None)]):
        pass
    done = patchwire("settle", path, "--seq", "1", "--seq", "0", "applied")
    assert (done.returncode, done.stdout) == (2, "")
    assert without_traceback(done) == [
        f"patchwire: {path}: record 0 (/people/0) is applied; only what is unknown can be settled"
    ]
    done = patchwire("settle", path, "--seq", "7", "not-applied")
    assert done.returncode == 2
    assert "holds no record 7" in without_traceback(done)[0]
    done = patchwire("settle", tmp_path / "none", "--seq", "7", "applied")
    assert (done.returncode, without_traceback(done)) == (
        2, [f"patchwire: {tmp_path / 'none'}: no such file or directory"],
    )  # fmt: skip


@pytest.mark.parametrize(
    "arguments",
    [
        ["applied"],
        ["--seq", "0"],
        ["--seq", "0", "perhaps"],
        ["--seq", "-1", "applied"],
        ["--seq", "9" * 30, "applied"],
    ],
)
def test_bad_usage_is_refused(tmp_path: Path, arguments: list[str]) -> None:
    done = patchwire("settle", tmp_path / "journal", *arguments)
    assert done.returncode == 2
    assert without_traceback(done)


def test_a_reason_of_any_bytes_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    with written(path, [line(0, Outcome.UNKNOWN, None)]):
        pass
    done = subprocess.run(
        [*PATCHWIRE, "settle", path, "--seq", "0", "applied", "--reason", b"seen \xff"], timeout=60, check=False
    )
    assert done.returncode == 0
    assert json.loads(patchwire("journal", path).stdout)["error"] == r"settled by hand: seen \udcff"


def test_killed_over_tls_settled_by_the_servers_own_record_and_resumed_every_change_is_made_once(
    tmp_path: Path,
) -> None:
    options = ("--tls", "--authority", tmp_path / "ca.pem", "--create-missing", "--record", tmp_path / "applied")
    with serving(*options) as url:
        files = BatchFiles(tmp_path, url, '[tls]\ntrust = ["ca.pem"]\nsystem_roots = false\n')
        files.write({"path": f"/{n}", "body": {"n": n}} for n in range(3000))
        command = (
            "batch", files.connection, files.records, "--output", files.output, "--unknown", files.unknown,
            "--concurrency", "16",
        )  # fmt: skip
        with running(*command, stdout=subprocess.DEVNULL) as batch:
            while len(applied(tmp_path)) < 500:
                assert batch.poll() is None
        assert patchwire(*command).returncode == 3
        open_seqs = [line["seq"] for line in files.outcomes() if line["outcome"] == "unknown"]
        assert 0 < len(open_seqs) <= 16
        made = applied(tmp_path)
        for word, chosen in (
            ("applied", [seq for seq in open_seqs if made[f"/{seq}"]]),
            ("not-applied", [seq for seq in open_seqs if not made[f"/{seq}"]]),
        ):
            numbers = [option for seq in chosen for option in ("--seq", str(seq))]
            assert not chosen or patchwire("settle", files.journal, word, *numbers).returncode == 0
        assert patchwire(*command).returncode == 0
        assert set(applied(tmp_path).values()) == {1}
    assert [(line["seq"], line["outcome"]) for line in files.outcomes()] == [(n, "applied") for n in range(3000)]
    assert files.unknown.read_bytes() == b""


def applied(directory: Path) -> Counter[str]:
    """How often the server has changed each path, by its own record, whose last line may be half written."""
    path = directory / "applied"
    whole = path.read_bytes().rpartition(b"\n")[0] if path.exists() else b""
    return Counter(json.loads(line)["path"] for line in whole.splitlines())
