from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from patchwire.errors import StorageError, UnreadableTokenError
from patchwire.files import token_key
from patchwire.files.lock import FileLock
from patchwire.files.token_key import SIZE, find_key, find_or_make_key
from tests.support.keyrings import FakeKeyring, KeyringError

KEPT = ("patchwire", "token store")
NO_KEYRING = r": has no key file, and the keyring, .*, or remove the directory and run patchwire authorize again$"


@pytest.fixture(autouse=True)
def _no_keyring(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keyring", None)


def install(monkeypatch: pytest.MonkeyPatch, keyring: FakeKeyring) -> FakeKeyring:
    monkeypatch.setitem(sys.modules, "keyring", keyring)
    return keyring


UNUSABLE = pytest.mark.parametrize(
    ("keyring", "why"),
    [
        (None, r"is not installed: pip install 'patchwire\[keyring\]'"),
        (FakeKeyring(priority=0, fault=KeyringError()), "has no backend that works here: run where it has one"),
        (FakeKeyring(priority=-1), "has no backend that works here"),
        (FakeKeyring(fault=KeyringError("locked")), r"cannot be read \(KeyringError\): unlock it"),
        (FakeKeyring(fault=RuntimeError("no bus")), r"cannot be read \(RuntimeError\): unlock it"),
        (FakeKeyring(fault=ImportError("backend")), r"cannot be read \(ImportError\): unlock it"),
    ],
    ids=["not installed", "no backend", "null backend", "locked", "broken", "backend not installed"],
)


@UNUSABLE
def test_without_a_keyring_that_works_a_key_is_made_in_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keyring: FakeKeyring | None, why: str
) -> None:
    monkeypatch.setitem(sys.modules, "keyring", keyring)
    key = find_or_make_key(tmp_path)
    assert len(key) == SIZE
    assert find_or_make_key(tmp_path) == find_key(tmp_path) == key
    assert list(tmp_path.iterdir()) == [tmp_path / "key"]
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600


@UNUSABLE
def test_no_key_is_made_where_a_keyring_may_hold_the_one_to_the_entries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keyring: FakeKeyring | None, why: str
) -> None:
    monkeypatch.setitem(sys.modules, "keyring", keyring)
    (tmp_path / "entry.token").touch()
    for ask in (find_key, find_or_make_key):
        with pytest.raises(StorageError, match=NO_KEYRING) as caught:
            ask(tmp_path)
        assert caught.match(why)
    assert list(tmp_path.iterdir()) == [tmp_path / "entry.token"]


def test_a_keyring_that_works_keeps_the_key_and_no_file_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keyring = install(monkeypatch, FakeKeyring())
    assert find_key(tmp_path) is None
    key = find_or_make_key(tmp_path)
    assert find_or_make_key(tmp_path) == find_key(tmp_path) == key
    assert keyring.kept == {KEPT: key.hex()}
    assert list(tmp_path.iterdir()) == []


def test_a_keyring_that_holds_no_key_any_more_is_given_a_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keyring = install(monkeypatch, FakeKeyring())
    (tmp_path / "entry.token").touch()
    assert find_key(tmp_path) is None
    assert find_or_make_key(tmp_path).hex() == keyring.kept[KEPT]


def test_a_keyring_that_does_not_keep_what_it_is_given_is_not_relied_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, FakeKeyring(leaks=True))
    assert find_or_make_key(tmp_path) == (tmp_path / "key").read_bytes()


def test_a_key_file_comes_before_the_keyring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = find_or_make_key(tmp_path)
    install(monkeypatch, FakeKeyring(fault=AssertionError("was asked")))
    assert find_key(tmp_path) == key


@pytest.mark.parametrize("text", ["", "canary", "ab" * 31, "zz" * 32])
def test_what_is_no_key_in_the_keyring_is_named_not_shown_and_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    keyring = install(monkeypatch, FakeKeyring())
    keyring.kept[KEPT] = text
    for ask in (find_key, find_or_make_key):
        with pytest.raises(
            UnreadableTokenError, match=r'service "patchwire", user "token store" is no key; remove'
        ) as e:
            ask(tmp_path)
        assert not text or text not in str(e.value)
    assert keyring.kept == {KEPT: text}


@pytest.mark.parametrize("size", [0, SIZE - 1, SIZE + 1, 100])
def test_a_key_file_of_another_size_is_damaged(tmp_path: Path, size: int) -> None:
    (tmp_path / "key").write_bytes(bytes(size))
    (tmp_path / "key").chmod(0o600)
    for ask in (find_key, find_or_make_key):
        with pytest.raises(
            UnreadableTokenError, match=r"/key: is damaged: .*; restore it .* patchwire authorize again$"
        ):
            ask(tmp_path)
    assert (tmp_path / "key").read_bytes() == bytes(size)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601])
def test_a_key_file_that_is_open_to_others_is_refused(tmp_path: Path, mode: int) -> None:
    find_or_make_key(tmp_path)
    (tmp_path / "key").chmod(mode)
    with pytest.raises(StorageError, match=r"/key: others may read it, which is the key to all tokens; chmod 600 it$"):
        find_key(tmp_path)


def test_a_key_file_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find_or_make_key(tmp_path)
    monkeypatch.setattr(os, "geteuid", lambda: (tmp_path / "key").stat().st_uid + 1)
    with pytest.raises(StorageError, match=r"/key: belongs to another user; remove it and"):
        find_key(tmp_path)


def test_a_link_is_no_key_and_none_is_followed_to_make_one(tmp_path: Path) -> None:
    target = tmp_path / "target"
    for name in ("key", "key.lock"):
        (tmp_path / name).symlink_to(target)
        with pytest.raises(StorageError, match=rf"/{name}: is a symbolic link; remove it$"):
            find_or_make_key(tmp_path)
        (tmp_path / name).unlink()
    assert not target.exists()


def test_a_pipe_is_no_key(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "key", 0o600)
    with pytest.raises(StorageError, match=r"/key: not a regular file$"):
        find_key(tmp_path)


def test_what_a_kill_has_left_of_a_key_is_removed_by_who_makes_the_next(tmp_path: Path) -> None:
    (tmp_path / "key.1.new").write_bytes(bytes(SIZE))
    find_or_make_key(tmp_path)
    assert list(tmp_path.iterdir()) == [tmp_path / "key"]


def test_processes_that_make_the_key_at_once_have_the_same(tmp_path: Path) -> None:
    program = (
        "import pathlib, sys; sys.modules['keyring'] = None\n"
        "from patchwire.files.token_key import find_or_make_key\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "print(find_or_make_key(pathlib.Path(sys.argv[1])).hex())\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    processes = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    keys = {process.communicate(timeout=60)[0].strip() for process in processes}
    assert keys == {(tmp_path / "key").read_bytes().hex()}
    assert list(tmp_path.iterdir()) == [tmp_path / "key"]


def test_threads_that_make_the_key_at_once_have_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keyring = install(monkeypatch, FakeKeyring())
    keys: list[bytes] = []
    threads = [threading.Thread(target=lambda: keys.append(find_or_make_key(tmp_path))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [key.hex() for key in keys] == [keyring.kept[KEPT]] * 8


def test_who_waits_too_long_for_another_that_makes_the_key_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(token_key, "PATIENCE", 0)
    lock = FileLock(tmp_path / "key.lock")
    with pytest.raises(StorageError, match=r"/key.lock: another patchwire is still making the key; try again later$"):
        find_or_make_key(tmp_path)
    lock.release()
    assert find_or_make_key(tmp_path)


def test_a_directory_that_cannot_be_looked_into_is_given_no_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(StorageError, match=r": permission denied$"):
        find_or_make_key(tmp_path)
    monkeypatch.undo()
    assert not (tmp_path / "key").exists()
