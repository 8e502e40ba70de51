from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from patchwire.errors import StorageError
from patchwire.files.outcomes import LineFile
from patchwire.files.writable import refuse_unwritable
from tests.support.pipes import filled


@contextmanager
def as_nobody(directory: Path) -> Iterator[None]:
    """Root may write everywhere; so for a while it is somebody else, whose directory this is."""
    if os.geteuid():
        yield
        return
    os.chown(directory, 65_534, 65_534)
    os.setresuid(65_534, 65_534, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)


def snapshot(directory: Path) -> dict[str, object]:
    return {path.name: path.read_bytes() if path.is_file() else path.lstat() for path in directory.iterdir()}


@pytest.mark.parametrize("replacing", [True, False])
@pytest.mark.parametrize("name", ["there", "to-come", "link", "link-to-come", "-"])
def test_what_can_be_written_is_let_through_and_nothing_is_made_or_changed(
    tmp_path: Path, name: str, replacing: bool
) -> None:
    (tmp_path / "there").write_bytes(b"{}\n")
    (tmp_path / "link").symlink_to("there")
    (tmp_path / "link-to-come").symlink_to("to-come")
    before = snapshot(tmp_path)
    refuse_unwritable(name if name == "-" else str(tmp_path / name), replacing=replacing)
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("replacing", [True, False])
@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("nowhere/out", "no such file or directory"),
        ("file/out", "not a directory"),
        ("directory", "is a directory"),
        ("loop", "too many levels of symbolic links"),
    ],
)
def test_what_cannot_be_opened_is_the_error_that_opening_it_would_be(
    tmp_path: Path, name: str, problem: str, replacing: bool
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "directory").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(StorageError) as caught:
        refuse_unwritable(str(tmp_path / name), replacing=replacing)
    assert str(caught.value) == f"{tmp_path / name}: {problem}"
    if name != "loop" or not replacing:  # which would be replaced itself
        with pytest.raises(StorageError, match=problem):
            LineFile(str(tmp_path / name), replacing=replacing)


def test_a_name_that_is_too_long_is_refused(tmp_path: Path) -> None:
    for replacing in (True, False):
        with pytest.raises(StorageError, match="file name too long"):
            refuse_unwritable(str(tmp_path / ("n" * 300)), replacing=replacing)


def test_a_link_to_what_cannot_be_made_is_refused_unless_it_is_itself_replaced(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("nowhere/out")
    refuse_unwritable(str(tmp_path / "link"), replacing=True)
    with pytest.raises(StorageError, match="link: no such file or directory"):
        refuse_unwritable(str(tmp_path / "link"), replacing=False)


@pytest.mark.parametrize("replacing", [True, False])
def test_what_must_not_be_written_is_refused(replacing: bool) -> None:
    with tempfile.TemporaryDirectory() as name, as_nobody(Path(name)):
        closed, pipe = Path(name, "closed"), Path(name, "pipe")
        closed.mkdir()
        (closed / "file").touch(0o444)
        os.mkfifo(pipe, 0o444)
        closed.chmod(0o555)
        for path in (closed / "to-come", closed / "file", pipe):
            with pytest.raises(StorageError, match="permission denied"):
                refuse_unwritable(str(path), replacing=replacing)
        closed.chmod(0o755)


@pytest.mark.parametrize("replacing", [True, False])
def test_a_pipe_is_not_opened(tmp_path: Path, replacing: bool) -> None:
    with filled(tmp_path / "pipe", b"content") as pipe:
        refuse_unwritable(str(pipe), replacing=replacing)
        assert pipe.read_bytes() == b"content"


def test_a_closed_standard_output_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    with pytest.raises(StorageError, match="standard output is closed"):
        refuse_unwritable("-", replacing=False)
