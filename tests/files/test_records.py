from __future__ import annotations

import io
import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchwire.errors import RecordError
from patchwire.files import records
from patchwire.files.records import BLOCK_SIZE, OVERLONG, LineReader, read_body


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


def reader_of(file: io.RawIOBase, *, skips_overlong: bool = False) -> LineReader:
    return LineReader(io.BufferedReader(file), "r", skips_overlong=skips_overlong)


def rest_of(reader: LineReader) -> list[tuple[int, bytes]]:
    found = []
    while block := reader.read_block():
        found += block
    assert reader.read_block() == []
    return found


def all_lines(content: bytes, size: int, *, skips_overlong: bool = False) -> list[tuple[int, bytes]]:
    return rest_of(reader_of(Pieces(content, size), skips_overlong=skips_overlong))


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


# --- lines that are too long


@pytest.mark.parametrize("size", [1, 3, 10])
def test_an_over_long_line_can_be_passed_over_and_reading_goes_on_at_the_next(
    monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(records, "MAX_LINE", 10)
    content = b"a" * 10 + b"\n" + b"b" * 11 + b"\nc\n\n" + b"d" * 35 + b"\n" + b"e" * 11
    assert all_lines(content, size, skips_overlong=True) == [
        (1, b"a" * 10), (2, OVERLONG), (3, b"c"), (5, OVERLONG), (6, OVERLONG),
    ]  # fmt: skip


@given(st.text("a\n", max_size=60).map(str.encode), st.integers(1, 5))
def test_passed_over_are_the_lines_that_are_too_long_and_no_others(content: bytes, size: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(records, "MAX_LINE", 5)
        found = all_lines(content, size, skips_overlong=True)
    lines = [(number, line) for number, line in enumerate(content.split(b"\n"), 1) if line]
    assert found == [(number, OVERLONG if len(line) > 5 else line) for number, line in lines]


def test_a_line_that_reads_like_the_mark_of_a_line_that_is_too_long_is_not_taken_for_one() -> None:
    ((_, line),) = all_lines(OVERLONG + b"\n", 100, skips_overlong=True)
    assert line == OVERLONG
    assert line is not OVERLONG


def test_of_a_line_that_is_too_long_no_more_is_held_than_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "MAX_LINE", 3 * BLOCK_SIZE)
    path = tmp_path / "records"
    with path.open("wb") as writing:
        writing.truncate(100_000_000)  # takes no room on the disk
        writing.seek(0, os.SEEK_END)
        writing.write(b"\n{}\n")
    with path.open("rb") as file:
        reader = LineReader(file, "r", skips_overlong=True)
        tracemalloc.start()
        try:
            found = rest_of(reader)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert found == [(1, OVERLONG), (2, b"{}")]
    assert peak < 10 * BLOCK_SIZE


# --- files that change while they are read

LINE = b"x" * 99 + b"\n"
LINES = 3 * BLOCK_SIZE // len(LINE)
"""More than two blocks."""


def begun(path: Path, content: bytes = LINE * LINES) -> LineReader:
    """A reader that has read the first block of this file."""
    path.write_bytes(content)
    reader = LineReader(path.open("rb"), "r")
    assert len(reader.read_block()) < LINES
    return reader


def numbers_until_refused(reader: LineReader, problem: str) -> list[int]:
    """The lines that are left until the reader complains of this."""
    numbers = []
    with reader._file, pytest.raises(RecordError, match=problem):
        while block := reader.read_block():
            numbers += [number for number, _ in block]
    return numbers


def test_of_a_file_that_grows_only_what_it_held_at_first_is_read_and_the_rest_is_named(tmp_path: Path) -> None:
    reader = begun(tmp_path / "r")
    with (tmp_path / "r").open("ab") as writing:
        writing.write(LINE * LINES)
    size = LINES * len(LINE)
    problem = f"^r: has grown from {size} to {2 * size} bytes while it was read; what was added was not sent: run the"
    assert numbers_until_refused(reader, problem)[-1] == LINES


def test_a_last_line_that_was_still_being_written_is_not_handed_out(tmp_path: Path) -> None:
    reader = begun(tmp_path / "r", LINE * LINES + b"{")
    with (tmp_path / "r").open("ab") as writing:
        writing.write(b"}\n")
    assert numbers_until_refused(reader, "^r: has grown")[-1] == LINES


def cut(path: Path) -> None:
    os.truncate(path, BLOCK_SIZE + 50)


def rewrite(path: Path) -> None:
    with path.open("r+b") as writing:
        writing.write(LINE.upper() * LINES)
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1_000_000_000))


@pytest.mark.parametrize("change", [cut, rewrite])
def test_a_file_that_was_changed_while_it_was_read_is_refused_at_its_end(
    tmp_path: Path, change: Callable[[Path], None]
) -> None:
    reader = begun(tmp_path / "r")
    change(tmp_path / "r")
    numbers_until_refused(reader, "^r: has changed while it was read; see that it is whole, and run the same command")


def test_a_file_that_another_has_replaced_is_read_as_it_was(tmp_path: Path) -> None:
    reader = begun(tmp_path / "r")
    (tmp_path / "new").write_bytes(b"other\n")
    (tmp_path / "new").replace(tmp_path / "r")
    with reader._file:
        assert rest_of(reader)[-1] == (LINES, LINE[:-1])


@pytest.mark.parametrize(
    ("content", "number"),
    [(b"a\nb\n", None), (b"a\nb", 2), (b"a", 1), (b"", None), (b"a\n\n{", 3), (b"a\n" + b"b" * 11, 2)],
)
@pytest.mark.parametrize("size", [1, 10])
def test_a_file_that_ends_within_a_line_is_known_to(
    monkeypatch: pytest.MonkeyPatch, content: bytes, number: int | None, size: int
) -> None:
    monkeypatch.setattr(records, "MAX_LINE", 10)
    reader = reader_of(Pieces(content, size), skips_overlong=True)
    assert reader.unended_line is None
    rest_of(reader)
    assert reader.unended_line == number
