from __future__ import annotations

import os
import resource
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from patchwire.errors import StorageError
from patchwire.files import private
from patchwire.files.private import ABANDONED, is_safe, make_directory, remove_leftovers, replace


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """A disk that is full from there on."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_directory_is_made_for_its_owner_alone_with_all_that_is_missing_above_it(tmp_path: Path) -> None:
    with umask(0):
        make_directory(tmp_path / "a" / "b")
        make_directory(tmp_path / "a" / "b")
    assert [mode_of(tmp_path / "a"), mode_of(tmp_path / "a" / "b")] == [0o700, 0o700]


def test_each_directory_that_is_made_is_synced_into_the_one_above_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[Path] = []
    monkeypatch.setattr(private, "sync_directory", synced.append)
    make_directory(tmp_path / "a" / "b")
    make_directory(tmp_path / "a" / "b")
    assert synced == [tmp_path, tmp_path / "a"]


def test_a_directory_that_is_not_there_is_safe_only_once_it_is(tmp_path: Path) -> None:
    assert not is_safe(tmp_path / "none")
    assert is_safe(tmp_path)


@pytest.mark.parametrize("mode", [0o720, 0o702, 0o1777])
def test_a_directory_that_others_can_change_is_refused(tmp_path: Path, mode: int) -> None:
    directory = tmp_path / "directory"
    directory.mkdir()
    directory.chmod(mode)
    for use in (is_safe, make_directory):
        with pytest.raises(StorageError, match=r"directory: others can change what is in it; chmod 700 it$"):
            use(directory)


def test_a_directory_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: tmp_path.stat().st_uid + 1)
    with pytest.raises(StorageError, match=r"belongs to another user; use a directory of your own$"):
        is_safe(tmp_path)


def test_what_is_no_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("nowhere")
    (tmp_path / "circle").symlink_to("circle")
    with pytest.raises(StorageError, match=r"file: is no directory; remove it$"):
        make_directory(tmp_path / "file")
    with pytest.raises(StorageError, match=r"file/below: not a directory$"):
        make_directory(tmp_path / "file" / "below")
    with pytest.raises(StorageError, match=r"link: no such file or directory$"):
        make_directory(tmp_path / "link")
    with pytest.raises(StorageError, match=r"circle: is a symbolic link; remove it$"):
        is_safe(tmp_path / "circle")


def test_a_file_is_made_and_replaced_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with umask(0):
        replace(path, b"one")
        path.chmod(0o666)
        replace(path, b"two")
    assert (path.read_bytes(), mode_of(path)) == (b"two", 0o600)
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_is_replaced_and_what_it_points_to_stays(tmp_path: Path) -> None:
    target, path = tmp_path / "target", tmp_path / "file"
    target.write_bytes(b"theirs")
    path.symlink_to(target)
    replace(path, b"ours")
    assert (path.is_symlink(), path.read_bytes(), target.read_bytes()) == (False, b"ours", b"theirs")


def test_a_full_disk_is_told_and_leaves_what_stood_there(tmp_path: Path) -> None:
    path = tmp_path / "file"
    replace(path, b"one")
    with files_of_at_most(1000), pytest.raises(StorageError, match=r"/file: file too large$"):
        replace(path, bytes(5000))
    assert path.read_bytes() == b"one"
    assert list(tmp_path.iterdir()) == [path]


def test_content_and_names_are_synced_in_that_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    synced: list[tuple[bool, bool]] = []
    fsync = os.fsync

    def noting(descriptor: int) -> None:
        synced.append((stat.S_ISDIR(os.fstat(descriptor).st_mode), path.exists()))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noting)
    replace(path, b"one")
    assert synced == [(False, False), (True, True)]


def test_what_kills_have_left_is_removed_once_it_is_old_enough(tmp_path: Path) -> None:
    path = tmp_path / "file"
    young, old, other = (tmp_path / name for name in ("file.1.new", "file.2.new", "other.1.new"))
    for leftover in (young, old, other):
        leftover.touch()
    for leftover in (old, other):
        os.utime(leftover, (0, leftover.stat().st_mtime - ABANDONED - 1))
    replace(path, b"one")
    assert sorted(tmp_path.iterdir()) == [path, young, other]
    remove_leftovers(path, 0)
    assert sorted(tmp_path.iterdir()) == [path, other]
