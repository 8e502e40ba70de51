"""The file to which the secrets of TLS connections are appended, for Wireshark to read along: NSS's key log format
(RFC 9850), where the environment variable SSLKEYLOGFILE asks for it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Final

from patchwire.errors import StorageError
from patchwire.files.private import belongs_to_us, fault
from patchwire.files.regular import BINARY, NO_FOLLOW, NO_WAIT, refuse_irregular

VARIABLE: Final = "SSLKEYLOGFILE"


def key_log_name() -> str | None:
    """The file that the environment names, or None."""
    return os.environ.get(VARIABLE) or None


def key_log() -> Callable[[bytes], None] | None:
    """What takes a line of the key log, the same each time, or None where none is asked for. The file is made with
    mode 0600. StorageError where it cannot be written, or others could read it.
    """
    name = key_log_name()
    return None if name is None else _opened(name)


@cache
def _opened(name: str) -> Callable[[bytes], None]:
    path = Path(name)
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | NO_FOLLOW | NO_WAIT | BINARY
    try:
        descriptor = os.open(path, flags, 0o600)
    except OSError as error:
        raise StorageError(f"{fault(path, error)} ({VARIABLE})") from None
    try:
        _refuse_unsafe(path, os.fstat(descriptor))
    except BaseException:
        os.close(descriptor)
        raise

    def write(line: bytes) -> None:
        with suppress(OSError):  # the connection is worth more than the log of its keys
            os.write(descriptor, line + b"\n")

    return write


def _refuse_unsafe(path: Path, status: os.stat_result) -> None:
    try:
        refuse_irregular(status)
    except OSError as error:
        raise StorageError(f"{fault(path, error)} ({VARIABLE})") from None
    if not belongs_to_us(status):
        raise StorageError(f"{path}: belongs to another user; name a file of your own ({VARIABLE})")
    if sys.platform != "win32" and status.st_mode & 0o077:
        raise StorageError(f"{path}: is open to others; chmod 600 it ({VARIABLE})")
