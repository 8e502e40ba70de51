from __future__ import annotations

import json
from pathlib import Path

from tests.support.batches import read_lines
from tests.support.commands import environment, patchwire, without_traceback


def test_every_outcome_of_the_demo_is_what_the_servers_own_record_shows(tmp_path: Path) -> None:
    done = patchwire("demo", "--keep", tmp_path / "demo", "--summary", "json")
    assert done.returncode == 0, done.stderr
    assert without_traceback(done) == []
    *lines, last = done.stdout.splitlines()
    assert "every outcome is what the server's own record shows" in lines
    assert "200 records with a missing document: 200 got 404" in lines
    assert "200 records with a JSON Patch whose test fails: 200 got 409" in lines
    assert "200 records with a stale If-Match: 200 got 412" in lines
    assert "200 records with a wrong media type: 200 got 415" in lines
    summary = json.loads(last)
    assert {key: summary[key] for key in ("records", "applied", "rejected", "not_sent", "unknown", "pending")} == {
        "records": 10_000, "applied": 9_200, "rejected": 800, "not_sent": 0, "unknown": 0, "pending": 0,
    }  # fmt: skip
    outcomes = read_lines(tmp_path / "demo" / "outcomes.ndjson")
    assert sorted(line["seq"] for line in outcomes) == list(range(10_000))
    assert len(read_lines(tmp_path / "demo" / "failed.ndjson")) == 800


def test_the_demo_of_a_few_records_needs_no_directory() -> None:
    done = patchwire("demo", "--records", "60", "--concurrency", "3", "-v")
    assert done.returncode == 0
    assert done.stderr.count("> PATCH /") == 60
    assert "records 60" in done.stdout.splitlines()
    assert "journal" not in done.stdout


def test_a_directory_that_cannot_be_made_is_one_line_and_exit_code_4() -> None:
    done = patchwire("demo", "--keep", "/proc/nowhere")
    assert done.returncode == 4
    (line,) = without_traceback(done)
    assert line.startswith("patchwire: /proc/nowhere: ")


def test_over_tls_every_outcome_is_true_as_well_and_the_key_is_its_owners_alone(tmp_path: Path) -> None:
    done = patchwire("demo", "--records", "300", "--tls", "--keep", tmp_path, "--summary", "json")
    assert done.returncode == 0, done.stderr
    assert "every outcome is what the server's own record shows" in done.stdout
    connection = (tmp_path / "connection.toml").read_text("utf-8")
    assert 'base_url = "https://127.0.0.1:' in connection
    assert 'client_certificate = "client.pem"' in connection
    assert (tmp_path / "client.pem").stat().st_mode & 0o777 == 0o600
    assert patchwire("check", tmp_path / "connection.toml").returncode == 0


def test_behind_an_authorization_server_every_outcome_is_true_as_well_and_tokens_are_kept_with_the_demo(
    tmp_path: Path,
) -> None:
    state = tmp_path / "state"
    done = patchwire(
        "demo", "--records", "300", "--oauth2", "--keep", tmp_path / "demo", "--summary", "json",
        env=environment(PATCHWIRE_STATE=str(state)),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["records"] == 300
    assert not state.exists()
    assert [path.suffix for path in (tmp_path / "demo" / "tokens").glob("*.token")] == [".token"]
