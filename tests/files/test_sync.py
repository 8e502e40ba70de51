from __future__ import annotations

import os
from pathlib import Path

import pytest

from patchwire.files.sync import sync_directory


def test_the_directory_itself_is_synced_and_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced = []

    def fsync(descriptor: int) -> None:
        synced.append((descriptor, os.fstat(descriptor).st_ino))

    monkeypatch.setattr(os, "fsync", fsync)
    sync_directory(tmp_path)
    ((descriptor, inode),) = synced
    assert inode == tmp_path.stat().st_ino
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


def test_a_directory_that_cannot_be_synced_is_left_as_it_is(tmp_path: Path) -> None:
    sync_directory(tmp_path / "none")
