"""Whether a file could be written, found out without making or changing anything."""

from __future__ import annotations

import errno
import os
import stat
import sys
import tempfile
from pathlib import Path

from patchwire.errors import StorageError
from patchwire.files.outcomes import STANDARD_OUTPUT
from patchwire.files.read import describe


def refuse_unwritable(name: str, *, replacing: bool) -> None:
    """StorageError where a LineFile of this name, `replacing` another or not, could not be opened."""
    if name == STANDARD_OUTPUT:
        if sys.stdout is None:
            raise StorageError("-: standard output is closed")
        return
    path = Path(name)
    try:
        mode = _mode_of(path)
        if mode is None or (stat.S_ISREG(mode) and replacing):
            # One that is replaced stands in its own directory, others behind all links.
            _try_directory(path.parent if replacing else Path(os.path.realpath(path)).parent)
        else:
            _try_file(path, mode)
    except OSError as error:
        raise StorageError(f"{name}: {describe(error)}") from None


def _mode_of(path: Path) -> int | None:
    try:
        return path.stat().st_mode
    except FileNotFoundError:
        return None


def _try_directory(directory: Path) -> None:
    with tempfile.TemporaryFile(dir=directory):
        pass


def _try_file(path: Path, mode: int) -> None:
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if stat.S_ISREG(mode):
        os.close(os.open(path, os.O_WRONLY | os.O_APPEND))
    elif not os.access(path, os.W_OK):  # to open a pipe or a device may wait, or do something
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
