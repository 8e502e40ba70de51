from __future__ import annotations

import json
import socket
import subprocess
from pathlib import Path

import httpx
import pytest

from tests.support.batches import read_lines
from tests.support.commands import patchwire, running, serving, without_traceback

MERGE = {"Content-Type": "application/merge-patch+json"}


def test_a_document_from_a_file_is_served_patched_and_recorded(tmp_path: Path) -> None:
    documents = tmp_path / "documents.ndjson"
    documents.write_text('{"path": "/a", "body": {"n": 1}}\n\n{"path": "/b", "body": [1, 2]}\n', "utf-8")
    record = tmp_path / "applied.ndjson"
    with serving("--documents", documents, "--record", record) as url, httpx.Client(base_url=url) as client:
        assert client.get("/a").json() == {"n": 1}
        assert client.patch("/a?x=1", headers=MERGE, content=b'{"n": null, "m": 2}').json() == {"m": 2}
        assert client.patch("/missing", headers=MERGE, content=b"{}").status_code == 404
        accepted = client.patch("/a", content=b"{}").headers["accept-patch"]
        assert accepted == "application/merge-patch+json, application/json-patch+json"
    (line,) = read_lines(record)
    assert (line["path"], line["status"], line["body"]) == ("/a?x=1", 200, {"n": None, "m": 2})


def test_basic_is_asked_for_and_taken(tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("p:w\n", "utf-8")
    with serving("--auth", "basic", "--user", "svc", "--password", f"file:{secret}", "--create-missing") as url:
        refused = httpx.patch(f"{url}/a", headers=MERGE, content=b"{}")
        assert refused.status_code == 401
        assert refused.headers["www-authenticate"] == 'Basic realm="patchwire", charset="UTF-8"'
        assert httpx.patch(f"{url}/a", headers=MERGE, content=b"{}", auth=("svc", "p:w")).status_code == 201
        assert httpx.patch(f"{url}/a", headers=MERGE, content=b"{}", auth=("svc", "no")).status_code == 401


@pytest.mark.parametrize(
    ("arguments", "code", "complaint"),
    [
        (["--auth", "basic"], 2, "needs --user and --password"),
        (["--user", "x"], 2, "need --auth basic"),
        (["--auth", "basic", "--user", "a:b", "--password", "x"], 2, "colon"),
        (["--auth", "basic", "--user", "a", "--password", "env:NOT_SET_ANYWHERE"], 2, "NOT_SET_ANYWHERE"),
        (["--documents", "/nowhere/documents"], 2, "/nowhere/documents: no such file"),
        (["--record", "/nowhere/record"], 4, "/nowhere/record: no such file"),
    ],
)
def test_what_is_wrong_is_one_line_with_its_exit_code(arguments: list[str], code: int, complaint: str) -> None:
    done = patchwire("serve", *arguments)
    assert done.returncode == code
    assert complaint in without_traceback(done)[-1]


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ('{"path": "/a"}', "body: missing"),
        ('{"path": "/a", "body": 1, "x": 2}', "x: unknown key"),
        ('{"path": "/a", "body": {"a": 1, "a": 2}}', "twice"),
        ("nonsense", "not a document line"),
    ],
)
def test_a_faulty_document_line_is_named(tmp_path: Path, line: str, complaint: str) -> None:
    documents = tmp_path / "documents.ndjson"
    documents.write_text('{"path": "/ok", "body": 1}\n' + line, "utf-8")
    done = patchwire("serve", "--documents", documents)
    assert done.returncode == 2
    (said,) = without_traceback(done)
    assert said.startswith(f"patchwire: {documents}:2: ")
    assert complaint in said


def test_a_port_in_use_is_one_line() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = patchwire("serve", "--port", str(taken.getsockname()[1]))
    assert done.returncode == 1
    (line,) = without_traceback(done)
    assert "in use" in line


def test_the_log_shows_requests_and_responses_without_secrets() -> None:
    with running("serve", "-v", "--create-missing", stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        url = json.loads(process.stdout.readline())["listening"]
        httpx.patch(f"{url}/a", headers=MERGE | {"Authorization": "canary"}, content=b"{}")
        process.send_signal(2)
        with process.stderr as stderr:
            said = stderr.read().decode()
    assert "< PATCH /a\n" in said
    assert "> 201 Created\n" in said
    assert "canary" not in said


def test_ctrl_c_ends_the_server_quietly() -> None:
    with running("serve", stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        json.loads(process.stdout.readline())
        process.send_signal(2)
        with process.stderr as stderr:
            assert stderr.read() == b""
        assert process.wait(10) == 0
