"""Reading the lines of a record file in blocks, so that memory does not grow with the file."""

from __future__ import annotations

from io import BufferedReader
from pathlib import Path

from patchwire.errors import RecordError
from patchwire.files.read import describe

BLOCK_SIZE = 65_536
MAX_LINE = 67_108_864
"""Octets of one line; a longer one is no record but a wrong file."""
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class LineReader:
    """The lines of a file that are not blank, each with its number from 1. `place` names the file in errors."""

    def __init__(self, file: BufferedReader, place: str) -> None:
        self.place = place
        self._file = file
        self._rest: list[bytes] = []
        self._rest_length = 0
        self._line_number = 0
        self._ended = False

    def read_block(self) -> list[tuple[int, bytes]]:
        """The lines of the next block; [] at the end of the file. Blocks the thread."""
        lines: list[tuple[int, bytes]] = []
        while not lines and not self._ended:
            try:
                data = self._file.read1(BLOCK_SIZE)  # what is there: a pipe need not fill a block
            except OSError as error:
                raise RecordError(self._next_place(), describe(error)) from None
            whole = self._whole_lines(data)
            if self._line_number == 0 and whole and whole[0].startswith(BYTE_ORDER_MARK):
                whole[0] = whole[0][len(BYTE_ORDER_MARK) :]
            for line in whole:
                self._line_number += 1
                if line and not line.isspace():
                    lines.append((self._line_number, line))
        return lines

    def _whole_lines(self, data: bytes) -> list[bytes]:
        """The lines that end in `data`, and what is left at the end of the file."""
        first, *others = data.split(b"\n")
        self._keep(first)
        if not data:
            self._ended = True
            return [self._kept()] if self._rest_length else []
        if not others:
            return []
        whole = [self._kept(), *others[:-1]]
        self._keep(others[-1])
        return whole

    def _keep(self, part: bytes) -> None:
        self._rest.append(part)
        self._rest_length += len(part)
        if self._rest_length > MAX_LINE:
            raise RecordError(self._next_place(), f"line over {MAX_LINE} bytes; a record is one line of JSON")

    def _kept(self) -> bytes:
        line = b"".join(self._rest)
        self._rest, self._rest_length = [], 0
        return line

    def _next_place(self) -> str:
        return f"{self.place}:{self._line_number + 1}"


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
