from __future__ import annotations

import json
import shlex
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from patchwire.auth.aws_credentials import AwsCredentials
from tests.support.aws_batches import signing
from tests.support.commands import PATCHWIRE, environment, patchwire, serving, without_traceback

MERGE = ("--body", '{"a": 1}')


def connection(directory: Path, url: str, more: str = "") -> Path:
    path = directory / "c.toml"
    path.write_text(f'base_url = "{url}"\n{more}', "utf-8")
    return path


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serving("--create-missing") as base_url:
        yield base_url


@contextmanager
def answering(answer: bytes) -> Iterator[str]:
    """A server that gives this answer to whatever comes, and closes."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            peer, _ = listener.accept()
            with peer:
                peer.recv(65_536)
                peer.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        thread.join()


def test_the_response_body_is_printed_as_it_came_and_the_outcome_told(tmp_path: Path, url: str) -> None:
    done = patchwire("send", connection(tmp_path, url), "/printed", *MERGE)
    assert (done.returncode, json.loads(done.stdout)) == (0, {"a": 1})
    assert without_traceback(done) == ["patchwire: applied: 201 Created"]


def test_the_head_stands_above_the_body_where_it_is_asked_for(tmp_path: Path, url: str) -> None:
    done = patchwire("send", connection(tmp_path, url), "/headed", *MERGE, "-i")
    head, _, body = done.stdout.partition("\n\n")
    assert head.startswith("HTTP/1.1 201 Created\n")
    assert "ETag: " in head
    assert json.loads(body) == {"a": 1}


def test_the_body_comes_from_a_file_or_standard_input(tmp_path: Path, url: str) -> None:
    (tmp_path / "change.json").write_text('\n [{"op": "add", "path": "/b", "value": 2}]', "utf-8")
    file = connection(tmp_path, url)
    assert patchwire("send", file, "/read", "--body", "-", input='{"a": 1}').returncode == 0
    done = patchwire("send", file, "/read", "--body", f"@{tmp_path}/change.json")
    assert json.loads(done.stdout) == {"a": 1, "b": 2}


def test_tag_query_and_fields_go_along(tmp_path: Path, url: str) -> None:
    file = connection(tmp_path, url)
    assert patchwire("send", file, "/tagged", *MERGE).returncode == 0
    done = patchwire(
        "send", file, "/tagged", *MERGE, "--if-match", '"no"', "--query", "a=b c", "--header", "X-A: b", "-v"
    )
    assert done.returncode == 1
    assert "patchwire: rejected: 412 Precondition Failed" in done.stderr
    assert "PATCH /tagged?a=b%20c HTTP/1.1" in done.stderr
    assert 'If-Match: "no"' in done.stderr
    assert "X-A: b" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("/a b", *MERGE), "send: path: character 3, ' ', is not allowed in a URL; write '/a%20b'"),
        (("/a", "--body", "{a: 1}"), "--body: not valid JSON: "),
        (("/a", "--body", "text"), "--body: is no JSON object or array"),
        (("/a", "--body", "@/nowhere/x"), "--body @/nowhere/x: no such file or directory"),
        (("/a", *MERGE, "--query", "a"), "--query: expected NAME=VALUE, got 'a'"),
        (("/a", *MERGE, "--header", "a"), "--header: expected NAME:VALUE, got 'a'"),
        (("/a", *MERGE, "--header", "Host: a"), "send: headers.Host: belongs to the connection"),
        (("/a", *MERGE, "--if-match", "v1"), "send: if_match: no entity tag"),
    ],
)
def test_a_slip_of_the_pen_is_one_line_and_sends_nothing(
    tmp_path: Path, url: str, arguments: tuple[str, ...], complaint: str
) -> None:
    done = patchwire("send", connection(tmp_path, url), *arguments, "-v")
    assert done.returncode == 2
    lines = without_traceback(done)
    assert len(lines) == 1
    assert lines[0].startswith(f"patchwire: {complaint}")


def test_another_media_type_is_sent_as_it_is_named(tmp_path: Path, url: str) -> None:
    done = patchwire("send", connection(tmp_path, url), "/typed", "--body", "a=b", "--media-type", "text/plain")
    assert done.returncode == 1
    assert "patchwire: rejected: 415 Unsupported Media Type" in done.stderr


def test_a_401_says_what_the_server_asks_for(tmp_path: Path) -> None:
    with serving("--auth", "basic", "--user", "u", "--password", "p") as base_url:
        done = patchwire("send", connection(tmp_path, base_url), "/a", *MERGE)
    assert done.returncode == 1
    assert without_traceback(done) == [
        "patchwire: rejected: 401 Unauthorized; the server asks for Basic authentication"
    ]


@pytest.mark.parametrize(
    ("answer", "code", "said"),
    [
        (b"HTTP/1.1 504 Gateway Timeout\r\nContent-Length: 0\r\n\r\n", 3, "unknown: 504 Gateway Timeout"),
        (b"HTTP/1.1 200 OK\r\nConte", 3, "unknown: the peer closed the connection within its response head"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab", 0, "applied: 200 OK; the peer closed the connection"),
        (b"SSH-2.0-x\r\n\r\n", 3, "unknown: no HTTP/1 status line"),
    ],
)
def test_the_outcome_is_what_the_evidence_allows(tmp_path: Path, answer: bytes, code: int, said: str) -> None:
    with answering(answer) as base_url:
        done = patchwire("send", connection(tmp_path, base_url), "/a", *MERGE)
    assert done.returncode == code
    assert without_traceback(done)[0].startswith(f"patchwire: {said}")


def test_a_server_that_is_not_there_was_sent_nothing(tmp_path: Path) -> None:
    done = patchwire("send", connection(tmp_path, "http://127.0.0.1:1"), "/a", *MERGE)
    assert done.returncode == 1
    assert without_traceback(done) == ["patchwire: not_sent: cannot connect to http://127.0.0.1:1: connection refused"]


def test_no_secret_is_in_what_it_writes(tmp_path: Path) -> None:
    with serving("--create-missing", "--auth", "basic", "--user", "u", "--password", "canary-1") as base_url:
        more = 'authentication = "basic"\nuser = "u"\npassword = "env:CANARY"\n[headers]\nX-T = "literal:canary-2"'
        file = connection(tmp_path, base_url, more)
        done = patchwire("send", file, "/a", *MERGE, "-v", "-i", env=environment(CANARY="canary-1"))
    assert done.returncode == 0
    assert "Authorization: ***" in done.stderr
    assert "canary" not in done.stdout + done.stderr


@pytest.mark.parametrize(("host", "doubt"), [
    ("a.execute-api.eu-west-1.amazonaws.com", "is in eu-west-1, but region us-east-1 is signed for"),
    ("s3.us-east-1.amazonaws.com", "belongs to s3, but service execute-api is signed for"),
    ("a.execute-api.us-east-1.amazonaws.com", None),
])  # fmt: skip
def test_a_host_that_contradicts_what_is_signed_for_is_one_warning_and_changes_no_exit_code(
    tmp_path: Path, url: str, host: str, doubt: str | None
) -> None:
    keys = AwsCredentials("AKIDEXAMPLE", "canary")
    done = patchwire("send", connection(tmp_path, url, signing(keys, f'signing_host = "{host}"')), "/doubt", *MERGE)
    assert done.returncode == 0
    *warnings, told = without_traceback(done)
    assert told.startswith("patchwire: applied: 20")
    assert warnings == ([] if doubt is None else [f"patchwire: warning: host {host} {doubt}"])


def test_the_outcome_is_told_also_where_the_body_cannot_be_written(tmp_path: Path, url: str) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*PATCHWIRE, "send", connection(tmp_path, url), "/full", *MERGE], stdout=full, stderr=subprocess.PIPE,
            text=True, timeout=60, check=False,
        )  # fmt: skip
    assert done.returncode == 4
    assert done.stderr.splitlines() == [
        "patchwire: applied: 201 Created", "patchwire: standard output: no space left on device",
    ]  # fmt: skip


def test_a_closed_standard_output_is_said_before_anything_is_sent(tmp_path: Path, url: str) -> None:
    command = shlex.join([*PATCHWIRE, "send", str(connection(tmp_path, url)), "/closed", *MERGE, "-v"])
    done = subprocess.run(["sh", "-c", f"{command} >&-"], stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (4, "patchwire: -: standard output is closed\n")


def test_an_extension_leads_to_another_server_with_other_fields(tmp_path: Path, url: str) -> None:
    extensible = '[headers]\nX-Env = "test"\n[extensions]\nextensible = ["base_url", "headers.X-Env"]\n'
    file = connection(tmp_path, "http://127.0.0.1:1", extensible)
    other = tmp_path / "prod.toml"
    other.write_text(f'base_url = "{url}"\n[headers]\nX-Env = "literal:canary"\n', "utf-8")
    done = patchwire("send", file, "/extended", *MERGE, "--extension", other, "-v")
    assert done.returncode == 0, done.stderr
    assert "X-Env: ***" in done.stderr
    assert "canary" not in done.stdout + done.stderr


def test_an_extension_that_is_refused_sends_nothing(tmp_path: Path, url: str) -> None:
    other = tmp_path / "prod.toml"
    other.write_text('user = "x"', "utf-8")
    done = patchwire("send", connection(tmp_path, url), "/a", *MERGE, "--extension", other, "-v")
    assert done.returncode == 2
    assert without_traceback(done) == [
        f"patchwire: {other}: user: is not extensible; in {tmp_path}/c.toml extensions.extensible has nothing"
    ]
