"""The input of a batch: opened, and looked through before anything is sent where that was asked for."""

from __future__ import annotations

import os
import stat
import sys
from contextlib import ExitStack
from io import BufferedReader
from pathlib import Path

import trio

from patchwire.delivery.record import RecordParser
from patchwire.errors import InvalidRecordsError, RecordError
from patchwire.files.read import describe
from patchwire.files.records import LineReader
from patchwire.run.options import STANDARD_INPUT, BatchOptions
from patchwire.run.records import faults_of


def open_records(options: BatchOptions, stack: ExitStack) -> tuple[LineReader, int | None]:
    """The lines of the input, and its size in bytes where it is a regular file."""
    name = options.records
    if name == STANDARD_INPUT:
        if sys.stdin is None:
            raise RecordError("-", "standard input is closed")
        # Its own object on a descriptor of its own: a thread that waits in it when the run ends blocks nobody else.
        file, size = os.fdopen(os.dup(sys.stdin.fileno()), "rb"), None
    else:
        file, size = _open_file(name)
        if size is not None:
            stack.callback(file.close)  # in a pipe a thread may still wait, and hold it
    return LineReader(file, name, skips_overlong=options.skip_invalid), size


def _open_file(name: str) -> tuple[BufferedReader, int | None]:
    try:
        file = Path(name).open("rb")  # noqa: SIM115 - the caller closes it
    except OSError as error:
        raise RecordError(name, describe(error)) from None
    status = os.fstat(file.fileno())
    if stat.S_ISDIR(status.st_mode):
        file.close()
        raise RecordError(name, "is a directory")
    return file, status.st_size if stat.S_ISREG(status.st_mode) else None


def refuse_pipe(name: str) -> None:
    """Before it is opened, which may wait for ever: RecordError where the input can be read only once."""
    path = Path(name)
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise RecordError(name, "can be read only once; --validate-first needs a file")


async def validate(options: BatchOptions, parser: RecordParser) -> None:
    """RecordError, with as many faults as there are, where any line of the input is no record."""
    file, _ = _open_file(options.records)
    with file:
        reader = LineReader(file, options.records, skips_overlong=True)
        directory = Path(options.records).parent
        number, faults = await trio.to_thread.run_sync(faults_of, reader, parser, directory, abandon_on_cancel=True)
    if number:
        raise InvalidRecordsError(number, faults)
