from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from patchwire.errors import StorageError
from patchwire.files import key_log as module
from patchwire.files.key_log import VARIABLE, key_log
from tests.files.test_private import files_of_at_most, umask


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the environment wants the keys."""
    name = tmp_path / "keys.log"
    monkeypatch.setenv(VARIABLE, str(name))
    return name


def test_lines_are_appended_to_a_file_for_its_owner_alone(path: Path) -> None:
    with umask(0):
        log = key_log()
    assert log is not None
    log(b"CLIENT_RANDOM 00 11")
    log(b"CLIENT_RANDOM 22 33")
    assert path.read_bytes() == b"CLIENT_RANDOM 00 11\nCLIENT_RANDOM 22 33\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_what_stood_there_stands(path: Path) -> None:
    path.write_bytes(b"CLIENT_RANDOM 00 11\n")
    path.chmod(0o600)
    log = key_log()
    assert log is not None
    log(b"CLIENT_RANDOM 22 33")
    assert path.read_bytes() == b"CLIENT_RANDOM 00 11\nCLIENT_RANDOM 22 33\n"


def test_it_is_opened_once(path: Path) -> None:
    assert key_log() is key_log() is not None


@pytest.mark.parametrize("value", [None, ""])
def test_where_none_is_asked_for_there_is_none(monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    if value is not None:
        monkeypatch.setenv(VARIABLE, value)
    assert key_log() is None


def next_descriptor() -> int:
    descriptor = os.open(os.devnull, os.O_RDONLY)
    os.close(descriptor)
    return descriptor


def refusal(path: Path) -> str:
    """What is said of the file, the second time too; nothing is left open."""
    before = next_descriptor()
    said = []
    for _ in range(2):
        with pytest.raises(StorageError) as caught:
            key_log()
        said.append(str(caught.value))
    assert said[0] == said[1]
    assert next_descriptor() == before
    return said[0].removeprefix(f"{path}: ")


def test_a_link_is_not_followed(path: Path) -> None:
    path.symlink_to("elsewhere")
    assert refusal(path) == "is a symbolic link; remove it (SSLKEYLOGFILE)"
    assert not (path.parent / "elsewhere").exists()


def test_a_pipe_is_refused_without_a_wait(path: Path) -> None:
    os.mkfifo(path, 0o600)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        assert refusal(path) == "not a regular file (SSLKEYLOGFILE)"
    finally:
        os.close(reader)
    assert refusal(path) == "no such device or address (SSLKEYLOGFILE)"


def test_a_directory_is_refused(path: Path) -> None:
    path.mkdir()
    assert refusal(path) == "is a directory (SSLKEYLOGFILE)"


def test_where_there_is_no_directory_there_can_be_no_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(path / "deeper"))
    assert refusal(path / "deeper") == "no such file or directory (SSLKEYLOGFILE)"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_a_file_that_others_can_open_is_refused(path: Path, mode: int) -> None:
    path.touch()
    path.chmod(mode)
    assert refusal(path) == "is open to others; chmod 600 it (SSLKEYLOGFILE)"
    assert path.read_bytes() == b""


def test_a_file_of_another_user_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "belongs_to_us", lambda status: False)
    assert refusal(path) == "belongs to another user; name a file of your own (SSLKEYLOGFILE)"


def test_a_disk_that_is_full_ends_no_connection(path: Path) -> None:
    log = key_log()
    assert log is not None
    with files_of_at_most(0):
        log(b"CLIENT_RANDOM 00 11")
    assert path.read_bytes() == b""
