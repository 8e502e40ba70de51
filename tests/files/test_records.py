from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchwire.errors import RecordError
from patchwire.files import records
from patchwire.files.records import LineReader, read_body


class Pieces(io.RawIOBase):
    """A file whose reads are short."""

    def __init__(self, content: bytes, size: int) -> None:
        super().__init__()
        self._content = content
        self._size = size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        piece, self._content = self._content[: self._size], self._content[self._size :]
        buffer[: len(piece)] = piece
        return len(piece)


def reader_of(file: io.RawIOBase) -> LineReader:
    return LineReader(io.BufferedReader(file), "r")


def all_lines(content: bytes, size: int) -> list[tuple[int, bytes]]:
    reader = reader_of(Pieces(content, size))
    found = []
    while block := reader.read_block():
        found += block
    assert reader.read_block() == []
    return found


@given(st.binary(max_size=60) | st.text("a\n \r", max_size=40).map(str.encode), st.integers(1, 70))
def test_lines_are_those_of_the_file_however_it_is_read(content: bytes, size: int) -> None:
    plain = content.removeprefix(b"\xef\xbb\xbf")
    expected = [(n, line) for n, line in enumerate(plain.split(b"\n"), 1) if line.strip()]
    assert all_lines(content, size) == expected


def test_a_byte_order_mark_is_no_part_of_the_first_line() -> None:
    assert all_lines(b"\xef\xbb\xbf{}\n{}", 1) == [(1, b"{}"), (2, b"{}")]


@pytest.mark.parametrize("size", [1, 7])
def test_an_over_long_line_is_refused_with_its_number(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(records, "MAX_LINE", 10)
    assert all_lines(b"a" * 10 + b"\nb", size)[0] == (1, b"a" * 10)
    with pytest.raises(RecordError, match="^r:2: line over 10 bytes"):
        all_lines(b"a\n" + b"b" * 11 + b"\nc", size)


def test_a_file_that_cannot_be_read_says_where(tmp_path: Path) -> None:
    class Broken(Pieces):
        def readinto(self, buffer: Any) -> int:
            raise OSError(5, "Input/output error")

    with pytest.raises(RecordError, match="^r:1: input/output error"):
        reader_of(Broken(b"", 1)).read_block()


def test_a_body_file_is_relative_to_the_records(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"\x00")
    assert read_body(tmp_path, "a") == b"\x00"
    assert read_body(Path("/nowhere"), str(tmp_path / "a")) == b"\x00"
    with pytest.raises(RecordError, match="body_file: .*none: no such file"):
        read_body(tmp_path, "none")
    with pytest.raises(RecordError, match="body_file: .*a: over 0 bytes"):
        read_body(tmp_path, "a", max_body=0)


@given(
    st.sampled_from([b"", b"\xef\xbb\xbf", b"\xef\xbb", b"\n\xef\xbb\xbf"]),
    st.text("a\n \r\t", max_size=30).map(str.encode),
    st.integers(1, 5),
)
def test_only_a_mark_at_the_very_beginning_is_taken_off_and_blank_lines_are_counted(
    start: bytes, content: bytes, size: int
) -> None:
    expected = [
        (number, line)
        for number, line in enumerate((start + content).removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1)
        if line.strip()
    ]
    assert all_lines(start + content, size) == expected


def test_a_line_is_read_while_its_writer_has_not_ended() -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as file, os.fdopen(writing, "wb", buffering=0) as pipe:
        reader = LineReader(file, "-")
        pipe.write(b"\n{}\n{")
        assert reader.read_block() == [(2, b"{}")]
        pipe.write(b"}\n")
        assert reader.read_block() == [(3, b"{}")]


def test_a_line_longer_than_a_block_is_read_whole() -> None:
    line = b"x" * (3 * records.BLOCK_SIZE + 1)
    assert all_lines(line + b"\n" + line, records.BLOCK_SIZE) == [(1, line), (2, line)]


@pytest.mark.parametrize(
    ("name", "problem"),
    [("", "is no regular file"), ("folder", "is no regular file"), ("a\0b", "holds a null character")],
)
def test_what_is_no_file_is_no_body(tmp_path: Path, name: str, problem: str) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(RecordError, match=f"^body_file: .*{problem}"):
        read_body(tmp_path, name)
