"""Exit codes, and the one line that goes with a bad one."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from patchwire.cli.terminal import printable
from patchwire.errors import InputError, PatchwireError, StorageError
from patchwire.files.key_log import key_log, key_log_name
from patchwire.settings.connection import ConnectionSettings

if TYPE_CHECKING:
    from patchwire.run.batch import Summary  # it takes a while to load, and only a batch has one

DONE = 0
SOME_FAILED = 1
"""Some records were rejected or not sent."""
USAGE = 2
"""Bad usage, settings or input."""
SOME_UNKNOWN = 3
STORAGE = 4
"""Local input or output failed."""
INTERRUPTED = 130
"""Stopped by a signal; the same command goes on."""


def code_of_error(error: PatchwireError) -> int:
    """The code of an error that ended the command."""
    if isinstance(error, StorageError):
        return STORAGE
    return USAGE if isinstance(error, InputError) else SOME_FAILED


def code_of_batch(summary: Summary) -> int:
    """The code of a batch. Where several hold: 130, then 4, 2, 3, 1."""
    codes = {code_of_error(failure) for failure in summary.failures}
    if summary.counts["unknown"]:
        codes.add(SOME_UNKNOWN)
    if summary.counts["rejected"] or summary.counts["not_sent"]:
        codes.add(SOME_FAILED)
    if summary.interrupted:
        codes.add(INTERRUPTED)
    return next((code for code in (INTERRUPTED, STORAGE, USAGE, SOME_UNKNOWN, SOME_FAILED) if code in codes), DONE)


def say(text: str) -> None:
    """One line on standard error, where there is one: for None, print would choose standard output."""
    if sys.stderr is None:
        return
    line = printable(" ".join(text.split()))
    with suppress(OSError):  # that nobody can read it changes nothing of the exit code
        print(f"patchwire: {line}", file=sys.stderr, flush=True)


def warn_of(settings: ConnectionSettings) -> None:
    """Say what in the settings is valid, and hardly meant."""
    for doubt in settings.doubts():
        say(f"warning: {doubt}")


def warn_of_key_log() -> None:
    """Before anything is sent: say that the keys of TLS are written down, where they are. StorageError where they
    should be and cannot.
    """
    if key_log() is not None:
        say(f"warning: TLS keys are written to {key_log_name()} (SSLKEYLOGFILE): who has them can read what is sent")


def say_finishing() -> None:
    """Answer the first interrupt."""
    say("finishing what is in flight; once more stops at once")


def log_line(line: str) -> None:
    """One line of the wire log, on standard error."""
    if sys.stderr is None:
        return
    with suppress(OSError):  # an exchange goes on when the terminal has gone
        print(line, file=sys.stderr, flush=True)
