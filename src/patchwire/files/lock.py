"""An exclusive lock for as long as a process lives; the system drops it however the process ends."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from patchwire.files.regular import NO_FOLLOW, refuse_irregular

try:
    import fcntl
except ImportError:  # Windows has no flock; msvcrt locks the first byte instead
    fcntl = None  # type: ignore[assignment]


TRIES: Final = 5
PAUSE: Final = 0.01
"""Seconds between two tries to lock: longer than `is_locked` of another process holds the lock to look at it."""


class LockedError(Exception):
    """Another process holds the lock."""


class FileLock:
    """Locks `path`, a file of its own that is made for this and removed with the lock.

    LockedError: another holds it. OSError: it cannot be made, or a link or something else than a file stands there.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        while True:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | NO_FOLLOW, 0o600)
            try:
                refuse_irregular(os.fstat(self._descriptor))
                _lock_patiently(self._descriptor)
            except (BlockingIOError, PermissionError):
                os.close(self._descriptor)
                raise LockedError from None
            except OSError:
                os.close(self._descriptor)
                raise
            if self._is_current():
                return
            # The former owner removed the file between our open and our lock: the lock is on nothing.
            os.close(self._descriptor)

    def release(self) -> None:
        """Remove the file, then let go."""
        with suppress(OSError):  # a file that stays is no lock without its holder
            self._path.unlink()
        os.close(self._descriptor)

    def _is_current(self) -> bool:
        try:
            there = self._path.lstat()
        except FileNotFoundError:
            return False
        ours = os.fstat(self._descriptor)
        return (there.st_ino, there.st_dev) == (ours.st_ino, ours.st_dev)


def is_locked(path: Path) -> bool:
    """Whether a process holds the lock of `path`. Makes no file, keeps no lock. OSError where it cannot be seen."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        _lock(descriptor, shared=True)
    except (BlockingIOError, PermissionError):
        return True
    finally:
        os.close(descriptor)
    return False


def _lock_patiently(descriptor: int) -> None:
    for _ in range(TRIES - 1):
        with suppress(BlockingIOError, PermissionError):
            _lock(descriptor)
            return
        time.sleep(PAUSE)
    _lock(descriptor)


def _lock(descriptor: int, *, shared: bool = False) -> None:
    if fcntl is not None:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    else:
        import msvcrt

        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
