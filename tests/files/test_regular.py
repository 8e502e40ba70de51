from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from patchwire.files.regular import open_regular


def test_a_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content\r\n\x1a")
    with open_regular(tmp_path / "file") as file:
        assert file.read() == b"content\r\n\x1a"


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    (tmp_path / "link").symlink_to("file")
    with pytest.raises(OSError, match="symbolic links"):
        open_regular(tmp_path / "link")


def next_descriptor() -> int:
    descriptor = os.open(os.devnull, os.O_RDONLY)
    os.close(descriptor)
    return descriptor


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir], ids=["pipe", "directory"])
def test_what_is_no_file_is_refused_without_a_wait_and_closed(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "other")
    before = next_descriptor()
    with pytest.raises(OSError, match="not a regular file"):
        open_regular(tmp_path / "other")
    assert next_descriptor() == before
