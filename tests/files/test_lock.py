from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from patchwire.files.lock import FileLock, LockedError, is_locked

HOLD = "import sys, pathlib; from patchwire.files.lock import FileLock; l = FileLock(pathlib.Path(sys.argv[1]));"


def test_a_lock_of_another_process_is_respected_and_ends_with_it(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    program = HOLD + "print('held', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", program, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        with pytest.raises(LockedError):
            FileLock(path)
        process.kill()
        process.wait()
        assert path.exists()
        FileLock(path).release()
    assert not path.exists()


def test_a_released_lock_can_be_taken_again_and_leaves_no_file(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    for _ in range(3):
        lock = FileLock(path)
        with pytest.raises(LockedError):
            FileLock(path)
        lock.release()
        assert not path.exists()


def test_many_processes_that_want_it_at_once_get_it_one_after_the_other(tmp_path: Path) -> None:
    path, log = tmp_path / "lock", tmp_path / "log"
    program = (
        "import sys, pathlib, time; from patchwire.files.lock import FileLock, LockedError\n"
        "path, log = map(pathlib.Path, sys.argv[1:])\n"
        "def append(text):\n"
        "    with log.open('a') as file: file.write(text)\n"
        "for _ in range(20):\n"
        "    while True:\n"
        "        try: lock = FileLock(path); break\n"
        "        except LockedError: time.sleep(0.0005)\n"
        "    append('('); append(')'); lock.release()\n"
    )
    processes = [subprocess.Popen([sys.executable, "-c", program, path, log]) for _ in range(4)]
    assert [process.wait(60) for process in processes] == [0] * 4
    assert log.read_text() == "()" * 80


@pytest.mark.parametrize("content", [b"", b"1\n", b"something else"])
def test_a_file_that_nobody_holds_is_no_obstacle(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "lock"
    path.write_bytes(content)
    lock = FileLock(path)
    with pytest.raises(LockedError):
        FileLock(path)
    lock.release()


def test_a_lock_whose_file_is_removed_while_it_is_taken_is_taken_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "lock"
    flock, taken = fcntl.flock, []

    def removed_or_replaced_meanwhile(descriptor: int, operation: int) -> None:
        flock(descriptor, operation)
        taken.append(descriptor)
        if len(taken) <= 2:
            path.unlink()
        if len(taken) == 2:
            (tmp_path / "other").touch()
            (tmp_path / "other").rename(path)

    monkeypatch.setattr(fcntl, "flock", removed_or_replaced_meanwhile)
    lock = FileLock(path)
    assert len(taken) == 3
    assert os.fstat(taken[-1]).st_ino == path.stat().st_ino
    lock.release()
    assert not path.exists()


def test_a_file_system_that_cannot_lock_says_so_and_keeps_no_descriptor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []

    def no_locks(descriptor: int, operation: int) -> None:
        tried.append(descriptor)
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with pytest.raises(OSError, match="No locks available"):
        FileLock(tmp_path / "lock")
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(tried[0])


def test_to_look_whether_it_is_locked_makes_no_file_and_takes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    assert not is_locked(path)
    assert not path.exists()
    path.touch()
    assert not is_locked(path)
    lock = FileLock(path)
    assert is_locked(path)
    assert is_locked(path)
    lock.release()
    assert not is_locked(path)
    with pytest.raises(NotADirectoryError):
        is_locked(Path(__file__) / "lock")


def test_one_who_only_looks_keeps_nobody_from_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.touch()
    looking = os.open(path, os.O_RDONLY)
    fcntl.flock(looking, fcntl.LOCK_SH)
    threading.Timer(0.005, os.close, [looking]).start()
    FileLock(path).release()


def test_no_link_is_followed_and_only_a_file_is_locked(tmp_path: Path) -> None:
    target = tmp_path / "target"
    (tmp_path / "link").symlink_to(target)
    with pytest.raises(OSError, match=r"symbolic links"):
        FileLock(tmp_path / "link")
    assert not target.exists()
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="not a regular file"):
        FileLock(tmp_path / "pipe")
    assert (tmp_path / "pipe").exists()
