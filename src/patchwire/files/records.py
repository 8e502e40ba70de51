"""Reading the lines of a record file in blocks, so that memory does not grow with the file."""

from __future__ import annotations

import os
import stat
from io import BufferedReader
from pathlib import Path
from typing import Final

from patchwire.errors import RecordError
from patchwire.files.read import describe

BLOCK_SIZE = 262_144
MAX_LINE = 67_108_864
"""Octets of one line; a longer one is no record but a wrong file."""
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
OVERLONG: Final = b"(overlong)"
"""Stands for a line over MAX_LINE where such lines are passed over."""


class LineReader:
    """The lines of a file that are not blank, each with its number from 1. `place` names the file in errors.

    Of a regular file only what it holds at the beginning is read; one that has changed when that is done is a
    RecordError at its end. A line over MAX_LINE is a RecordError too; with `skips_overlong` it is OVERLONG instead.
    """

    def __init__(self, file: BufferedReader, place: str, *, skips_overlong: bool = False) -> None:
        self.place = place
        self.unended_line: int | None = None
        """The number of the last line, once it was read, where the file ends within it."""
        self._skips_overlong = skips_overlong
        self._is_overlong = False
        self._file = file
        self._status = _status_of_regular(file)
        self._left = self._status.st_size - file.tell() if self._status is not None else 0
        self._rest: list[bytes] = []
        self._rest_length = 0
        self._line_number = 0
        self._ended = False

    def read_block(self) -> list[tuple[int, bytes]]:
        """The lines of the next block; [] at the end of the file. Blocks the thread."""
        lines: list[tuple[int, bytes]] = []
        while not lines and not self._ended:
            data = self._read()
            whole = self._whole_lines(data)
            if self._line_number == 0 and whole and whole[0].startswith(BYTE_ORDER_MARK):
                whole[0] = whole[0][len(BYTE_ORDER_MARK) :]
            for line in whole:
                self._line_number += 1
                if line and not line.isspace():
                    lines.append((self._line_number, line))
        return lines

    def _read(self) -> bytes:
        size = BLOCK_SIZE if self._status is None else min(BLOCK_SIZE, self._left)
        try:
            data = self._file.read1(size) if size else b""  # what is there: a pipe need not fill a block
        except OSError as error:
            raise RecordError(self._next_place(), describe(error)) from None
        self._left -= len(data)
        return data

    def _whole_lines(self, data: bytes) -> list[bytes]:
        """The lines that end in `data`, and what is left at the end of the file."""
        if not data:
            self._ended = True
            self._refuse_changed_file()
            self.unended_line = self._line_number + 1 if self._rest_length or self._is_overlong else None
            return [self._kept()] if self.unended_line is not None else []
        first, *others = data.split(b"\n")
        self._keep(first)
        if not others:
            return []
        whole = [self._kept(), *others[:-1]]
        self._keep(others[-1])
        return whole

    def _keep(self, part: bytes) -> None:
        self._rest.append(part)
        self._rest_length += len(part)
        if self._rest_length > MAX_LINE:
            if not self._skips_overlong:
                raise RecordError(self._next_place(), too_long())
            self._is_overlong = True
        if self._is_overlong:
            self._rest, self._rest_length = [], 0

    def _kept(self) -> bytes:
        line = OVERLONG if self._is_overlong else b"".join(self._rest)
        self._rest, self._rest_length, self._is_overlong = [], 0, False
        return line

    def _refuse_changed_file(self) -> None:
        if self._status is None:
            return
        before, after = self._status, os.fstat(self._file.fileno())
        if after.st_size > before.st_size:
            problem = f"has grown from {before.st_size} to {after.st_size} bytes while it was read; what was added was"
            raise RecordError(self.place, f"{problem} not sent: run the same command again when the file is complete")
        if after.st_size < before.st_size or after.st_mtime_ns != before.st_mtime_ns:
            problem = "has changed while it was read; see that it is whole, and run the same command again: what was"
            raise RecordError(self.place, f"{problem} sent and differs now is refused by its line")

    def _next_place(self) -> str:
        return f"{self.place}:{self._line_number + 1}"


def too_long() -> str:
    """What is wrong with a line over MAX_LINE."""
    return f"line over {MAX_LINE} bytes; a record is one line of JSON"


def _status_of_regular(file: BufferedReader) -> os.stat_result | None:
    try:
        status = os.fstat(file.fileno())
    except OSError:  # nothing of the system's stands behind it
        return None
    return status if stat.S_ISREG(status.st_mode) else None


def read_body(directory: Path, name: str, max_body: int = 1_073_741_824) -> bytes:
    """The octets of a record's `body_file`, relative to `directory`. RecordError says why there are none."""
    path = directory / name
    try:
        if not path.is_file() and path.exists():
            raise RecordError("", f"body_file: {path}: is no regular file")
        if path.stat().st_size > max_body:
            raise RecordError("", f"body_file: {path}: over {max_body} bytes")
        return path.read_bytes()
    except ValueError:
        raise RecordError("", f"body_file: {name!r} names no file: it holds a null character") from None
    except OSError as error:
        raise RecordError("", f"body_file: {path}: {describe(error)}") from None
