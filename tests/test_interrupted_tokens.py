"""Ctrl-C while an authorization server has been asked, and has not answered yet."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from patchwire.auth.token import Token
from patchwire.auth.token_keeping import Kept, kept_in
from patchwire.files.token_store import TokenStore
from tests.support.batches import BatchFiles, people
from tests.support.commands import environment, running
from tests.support.late import LateServer, late_server

PERSON = "authorization_code"


@pytest.fixture
def server() -> Iterator[LateServer]:
    with late_server() as started:
        yield started


def files_for(directory: Path, server: LateServer, grant: str) -> BatchFiles:
    settings = (
        f'authentication = "oauth2"\npreemptive = true\n[oauth2]\ngrant_type = "{grant}"\nclient_id = "app"\n'
        f'access_token_url = "{server.url}/token"\nauthorization_url = "{server.url}/authorize"\n'
    )
    if grant == "client_credentials":
        settings = settings.replace(f'authorization_url = "{server.url}/authorize"\n', 'client_secret = "literal:s"\n')
    files = BatchFiles(directory, server.url, settings)
    files.write(people(8))
    return files


@contextmanager
def state_in(directory: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    monkeypatch.setenv("PATCHWIRE_STATE", str(directory / "state"))
    yield environment(PATCHWIRE_STATE=str(directory / "state"))


def entry(server: LateServer) -> TokenStore:
    url = server.url
    return TokenStore("\n".join([url, PERSON, "app", f"{url}/token", f"{url}/authorize", ""]))


def test_what_an_authorization_server_gives_to_a_send_that_is_interrupted_is_kept(
    tmp_path: Path, server: LateServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with state_in(tmp_path, monkeypatch) as env:
        files = files_for(tmp_path, server, PERSON)
        store = entry(server)
        ended = Token("spent", 1.0, 1.0, "refresh-0")
        store.write(msgspec.json.encode(Kept(ended, source=server.url)))
        with running("send", files.connection, "/a", "--body", "{}", env=env) as process:
            server.wait_for_a_question()
            process.send_signal(signal.SIGINT)
            time.sleep(0.2)
            server.answer(access_token="new", token_type="bearer", expires_in=3600, refresh_token="refresh-1")
            assert process.wait(20) == 130
        content = store.read()
        assert content is not None
        assert kept_in(content).token.refresh_token == "refresh-1"
        assert server.changes == []


def test_a_send_that_is_interrupted_does_not_wait_for_ever(tmp_path: Path, server: LateServer) -> None:
    files = files_for(tmp_path, server, "client_credentials")
    with running("send", files.connection, "/a", "--body", "{}") as process:
        server.wait_for_a_question()
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
    assert server.changes == []


def test_records_whose_token_is_still_awaited_are_not_unknown_when_the_run_is_stopped_at_once(
    tmp_path: Path, server: LateServer
) -> None:
    files = files_for(tmp_path, server, "client_credentials")
    with running("batch", files.connection, files.records, "--output", files.output) as process:
        server.wait_for_a_question()
        for _ in range(2):
            process.send_signal(signal.SIGINT)
            time.sleep(0.3)
        assert process.wait(20) == 130
    assert files.outcomes() == []
    with running("batch", files.connection, files.records, "--output", files.output) as process:
        server.wait_for_a_question()
        for _ in range(2):  # the first run's question is still open
            server.answer(access_token="new", token_type="bearer", expires_in=3600)
        assert process.wait(20) == 0
    assert [line["outcome"] for line in files.outcomes()] == ["applied"] * 8
    assert sorted(server.changes) == [f"/people/{number}" for number in range(8)]
