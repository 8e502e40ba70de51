"""Files for nobody but their owner, in a directory that nobody else can change: made so, or refused."""

from __future__ import annotations

import errno
import os
import secrets
import stat
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from patchwire.errors import StorageError
from patchwire.files.read import describe
from patchwire.files.regular import BINARY, NO_FOLLOW
from patchwire.files.sync import sync_directory

ABANDONED: Final = 3600.0
"""Seconds after which what was written aside is known to be left by a process that was killed."""


def make_directory(directory: Path) -> None:
    """Make it and what is missing above it, with mode 0700. StorageError where it cannot be, or others can change it.

    What it is in survives a power cut.
    """
    try:
        for missing in reversed([path for path in (directory, *directory.parents) if not path.is_dir()]):
            with suppress(FileExistsError):  # another process was faster
                missing.mkdir(0o700)
            sync_directory(missing.parent)
        if not is_safe(directory):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))  # a link that leads nowhere
    except OSError as error:
        raise fault(directory, error) from None


def is_safe(directory: Path) -> bool:
    """Whether the directory is there. StorageError where somebody else can change what is in it."""
    try:
        status = directory.stat()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise fault(directory, error) from None
    if not stat.S_ISDIR(status.st_mode):
        raise StorageError(f"{directory}: is no directory; remove it")
    if not belongs_to_us(status):
        raise StorageError(f"{directory}: belongs to another user; use a directory of your own")
    if sys.platform != "win32" and status.st_mode & 0o022:
        raise StorageError(f"{directory}: others can change what is in it; chmod 700 it")
    return True


def belongs_to_us(status: os.stat_result) -> bool:
    """Whether this process's user owns it. Windows does not say: there the profile of a user is closed to others."""
    return sys.platform == "win32" or status.st_uid == os.geteuid()


def replace(path: Path, content: bytes) -> None:
    """Put a file with mode 0600 at `path`; it is on the disk once this returns.

    StorageError where it could not be written: what stood there stands.
    """
    aside = path.with_name(f"{path.name}.{secrets.token_hex(8)}.new")
    try:
        _write_new(aside, content)
        aside.replace(path)
    except OSError as error:
        raise fault(path, error) from None
    finally:
        with suppress(OSError):  # it is there only where it has not taken its place
            aside.unlink()
    sync_directory(path.parent)
    remove_leftovers(path, ABANDONED)


def remove_leftovers(path: Path, age: float) -> None:
    """Remove what kills have left aside of this file for at least `age` seconds."""
    for leftover in path.parent.glob(f"{path.name}.*.new"):
        with suppress(OSError):
            if time.time() - leftover.lstat().st_mtime >= age:
                leftover.unlink()


def fault(path: Path, error: OSError) -> StorageError:
    """What the system says about the file, in a line that names it."""
    # What O_NOFOLLOW meets a link with: ELOOP, and on FreeBSD EMLINK.
    is_link = error.errno in (errno.ELOOP, errno.EMLINK)
    return StorageError(f"{path}: {'is a symbolic link; remove it' if is_link else describe(error)}")


def _write_new(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | NO_FOLLOW | BINARY, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(descriptor)
