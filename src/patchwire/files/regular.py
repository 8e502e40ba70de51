"""Regular files, opened where no link leads: what stands in a link's place is never taken for what it points to."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO, Final

NO_FOLLOW: Final[int] = getattr(os, "O_NOFOLLOW", 0)
BINARY: Final[int] = getattr(os, "O_BINARY", 0)
NO_WAIT: Final[int] = getattr(os, "O_NONBLOCK", 0)
"""To open a pipe waits for who writes to it."""


def open_regular(path: Path) -> BinaryIO:
    """Open a file to read it. OSError where there is none, or a link or something else than a file stands there."""
    descriptor = os.open(path, os.O_RDONLY | NO_FOLLOW | BINARY | NO_WAIT)
    try:
        refuse_irregular(os.fstat(descriptor))
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def refuse_irregular(status: os.stat_result) -> None:
    """OSError unless it is that of a regular file."""
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "not a regular file")
