from __future__ import annotations

from pathlib import Path

import pytest

from patchwire.files.read import TooLongError, read_at_most
from tests.support.pipes import endless, filled


def test_a_file_is_read_whole_up_to_its_limit_and_not_beyond(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    assert read_at_most(tmp_path / "file", 3) == b"abc"
    with pytest.raises(TooLongError):
        read_at_most(tmp_path / "file", 2)


def test_a_pipe_is_read_until_it_ends(tmp_path: Path) -> None:
    with filled(tmp_path / "pipe", b"a" * 100_000) as pipe:  # more than a pipe holds at once
        assert read_at_most(pipe, 1_000_000) == b"a" * 100_000


def test_a_pipe_without_an_end_is_left_at_the_limit(tmp_path: Path) -> None:
    with endless(tmp_path / "pipe") as pipe, pytest.raises(TooLongError):
        read_at_most(pipe, 1_000_000)


def test_what_cannot_be_read_is_the_error_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_at_most(tmp_path / "none", 1)
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(OSError, match="symbolic links"):
        read_at_most(tmp_path / "loop", 1)
