"""From a line of the input to a record with its body: for the intake, and for a look at all lines beforehand."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import trio

from patchwire.delivery.record import Record, RecordParser, with_body
from patchwire.errors import RecordError
from patchwire.files.records import OVERLONG, LineReader, read_body, too_long

SHOWN: Final = 10
"""So many faults are kept; the others are counted."""


def parsed(parser: RecordParser, line: bytes, seq: int) -> Record:
    """The record in this line, but for a body that stands in a file. RecordError has no place yet."""
    if line is OVERLONG:
        raise RecordError("", too_long())
    return parser.parse(line, seq)


async def whole(record: Record, directory: Path) -> Record:
    """The record with its body, also where that stands in a file. RecordError has no place yet."""
    if record.body_file is None:
        return record
    return with_body(record, await trio.to_thread.run_sync(read_body, directory, record.body_file))


def faults_of(reader: LineReader, parser: RecordParser, directory: Path) -> tuple[int, list[RecordError]]:
    """How many lines of the input are at fault, and the first of them. Reads it to its end; blocks the thread."""
    number_of_faults, seq = 0, 0
    shown: list[RecordError] = []
    while block := reader.read_block():
        for number, line in block:
            fault = _fault(parser, line, seq, directory)
            seq += 1
            if fault is not None:
                number_of_faults += 1
                if len(shown) < SHOWN:
                    shown.append(RecordError(f"{reader.place}:{number}", fault))
    return number_of_faults, shown


def _fault(parser: RecordParser, line: bytes, seq: int, directory: Path) -> str | None:
    try:
        record = parsed(parser, line, seq)
        if record.body_file is not None:
            read_body(directory, record.body_file)
    except RecordError as error:
        return error.problem
    return None
