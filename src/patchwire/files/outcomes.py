"""Writing outcomes and record lines, so that a kill and a resume leave each of them once."""

from __future__ import annotations

import os
import shutil
import stat
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from enum import Enum
from pathlib import Path
from typing import BinaryIO, Final

import msgspec
from msgspec import Struct

from patchwire.delivery.outcome import Outcome
from patchwire.delivery.outcome_line import OutcomeLine
from patchwire.errors import InputError, StorageError
from patchwire.files.read import describe

BUFFER = 1 << 18
STANDARD_OUTPUT = "-"
MAX_SEQ = 1_000_000_000
"""No file holds as many records; a number beyond it is none of ours."""

encode = msgspec.json.Encoder().encode
_encode_lines = msgspec.json.Encoder().encode_lines

BEGIN_OF_OUTCOME: Final = b'{"seq":'
BEGIN_OF_RECORD: Final = b"{"


class _Line(Struct):
    seq: int
    path: str = ""
    outcome: str = ""


class LineFile:
    """A file that lines are written to; "-" is standard output. StorageError names it when a write fails.

    One that is `replacing` another takes its place only when it is closed: until then the other stands as it was.
    """

    def __init__(self, name: str, *, append: bool = False, replacing: bool = False) -> None:
        self.name = name
        self._is_ours = name != STANDARD_OUTPUT
        if name == STANDARD_OUTPUT and sys.stdout is None:
            raise StorageError("-: standard output is closed")
        target = Path(name)
        # A device or a pipe is written to, never replaced.
        self._aside = Path(f"{name}.new") if replacing and (target.is_file() or not target.exists()) else None
        try:
            if name == STANDARD_OUTPUT:
                self._file: BinaryIO = sys.stdout.buffer
            else:
                self._file = (self._aside or target).open("ab" if append else "wb", buffering=BUFFER)
            self.is_stream = not self._is_ours or not stat.S_ISREG(os.fstat(self._file.fileno()).st_mode)
            """Whether what was written cannot be taken back: a pipe, a device, standard output."""
            if self._aside is not None and target.exists():
                shutil.copymode(target, self._aside)  # what only its owner may read stays so
        except OSError as error:
            raise StorageError(f"{name}: {describe(error)}") from None

    def write(self, lines: Iterable[bytes]) -> None:
        """Write each line and a line break."""
        with self._named():
            self._file.writelines(line + b"\n" for line in lines)

    def write_outcomes(self, lines: Sequence[OutcomeLine]) -> None:
        """Write each outcome as a line of JSON."""
        with self._named():
            self._file.write(_encode_lines(lines))

    def close(self, *, keep: bool = True) -> None:
        """Hand everything to the system and close; standard output stays open.

        Without `keep`, what was to replace another file is dropped.
        """
        with self._named():
            if not self._is_ours:
                self._file.flush()
                return
            if keep:
                self._sync()
            is_gone = self._is_gone()
            self._file.close()
            if is_gone:
                raise StorageError(f"{self.name}: was removed or replaced; the same command writes it anew")
            if self._aside is not None and keep:
                self._aside.replace(self.name)
            elif self._aside is not None:
                self._aside.unlink()

    def _is_gone(self) -> bool:
        """Whether another file stands at its name, or none: then nobody will read what was written."""
        if self.is_stream or self._aside is not None:
            return False
        return file_identity(self.name) != _identity(os.fstat(self._file.fileno()))

    def _sync(self) -> None:
        """Let the disk have it: what a run has ended with survives a power cut."""
        self._file.flush()
        if not self.is_stream:
            os.fsync(self._file.fileno())

    @contextmanager
    def _named(self) -> Iterator[None]:
        """A failure ends the file: what stands in its buffer is lost to it, and it says so once."""
        try:
            yield
        except OSError as error:
            if self._is_ours:
                with suppress(OSError):
                    self._file.close()
            if self._aside is not None:
                self._aside.unlink(missing_ok=True)
            raise StorageError(f"{self.name}: {describe(error)}") from None


class Trust(Enum):
    """What is known of a file that is to hold the outcomes of a run."""

    OURS = "ours"
    """It is as an earlier run has left it: but for a torn end and what was unknown, it is right."""
    CLAIMED = "claimed"
    """It is the run's own, and may hold anything, as after a power cut: where it makes no sense it is made anew."""
    NONE = "none"
    """Nothing. Outcomes of something else are somebody else's, and refused."""


def open_output(
    name: str,
    settled: Iterable[OutcomeLine],
    current: Callable[[int], OutcomeLine | None],
    trust: Trust = Trust.OURS,
) -> LineFile:
    """The --output of a run, to which every outcome in `settled`, those of earlier runs, has been written once.

    A last line that a kill has torn is cut. Where a number stands twice, or `current`, which knows what now holds of
    a number, has overtaken a line, the file is made anew of `settled`. StorageError where it cannot be written;
    InputError where the file is something else.
    """
    path = Path(name)
    written = Written() if name == STANDARD_OUTPUT else _cut_torn_line(path, current, trust)
    if written is None:
        rewrite_output(name, settled)
        return LineFile(name, append=True)
    file = LineFile(name, append=True)
    file.write(encode(line) for line in settled if not written.has(line.seq))
    return file


def rewrite_output(name: str, settled: Iterable[OutcomeLine]) -> None:
    """Put in place of the file one that holds these outcomes. StorageError where it cannot be written."""
    anew = LineFile(os.path.realpath(name), replacing=True)  # a link to it stays a link
    anew.write(map(encode, settled))
    anew.close()


def file_identity(name: str) -> str:
    """What tells the file that stands there from any that takes its place; empty where none does."""
    try:
        return _identity(Path(name).stat())
    except OSError:
        return ""


def _identity(status: os.stat_result) -> str:
    return f"{status.st_dev}:{status.st_ino}"


def refuse_foreign(name: str, what: str, begins: bytes, *, may_be_torn: bool = False) -> None:
    """InputError where a file stands that does not begin like one of `what`, and so is something else.

    Where an earlier run may have written it, it may begin with the zeros that a power cut leaves.
    """
    if not Path(name).is_file():
        return  # and opening a pipe would wait for who writes to it
    try:
        with Path(name).open("rb") as file:
            start = file.read(len(begins))
    except OSError:
        return  # it is not there, or opening it to write will say more
    if not begins.startswith(start) and not (may_be_torn and start.startswith(b"\0")):
        raise InputError(name, f"holds something else than {what}, which would be lost; name another file")


class Written:
    """Which numbers stand in an output already: one bit each."""

    def __init__(self) -> None:
        self._bits = bytearray()

    def add(self, seq: int) -> None:
        """Mark a number. OverflowError beyond MAX_SEQ."""
        if not 0 <= seq <= MAX_SEQ:
            raise OverflowError
        byte = seq >> 3
        if byte >= len(self._bits):
            self._bits.extend(bytes(max(1024, byte + 1 - len(self._bits))))
        self._bits[byte] |= 1 << (seq & 7)

    def has(self, seq: int) -> bool:
        """Whether the number is marked."""
        byte = seq >> 3
        return byte < len(self._bits) and bool(self._bits[byte] >> (seq & 7) & 1)


def _cut_torn_line(path: Path, current: Callable[[int], OutcomeLine | None], trust: Trust) -> Written | None:
    """What stands in the output; None where it must be made anew."""

    def is_overtaken(place: str, line: _Line, text: bytes) -> bool:
        # What was unknown may have been sent again, looked at or settled by hand; every other outcome is the last.
        was_unknown = line.outcome == Outcome.UNKNOWN.value
        if trust is Trust.OURS and not was_unknown:
            return False
        now = current(line.seq)
        if now is not None and encode(now) == text:
            return False
        if trust is Trust.NONE and not (was_unknown and now is not None and now.path == line.path):
            raise InputError(place, "is no outcome of this journal; name another --output, or start over with --fresh")
        return True

    written = Written()
    overtaken = False
    if not path.is_file():
        return written
    decode = msgspec.json.Decoder(_Line).decode
    kept = 0
    try:
        with path.open("r+b") as file:
            for number, line in enumerate(file, 1):
                place = f"{path}:{number}"
                if not line.endswith(b"\n"):
                    if trust is not Trust.CLAIMED and not BEGIN_OF_OUTCOME.startswith(line[: len(BEGIN_OF_OUTCOME)]):
                        raise InputError(place, "is no outcome line; name another --output")
                    break
                try:
                    outcome = decode(line)
                    overtaken = overtaken or written.has(outcome.seq)
                    written.add(outcome.seq)
                except (msgspec.DecodeError, UnicodeDecodeError, IndexError, OverflowError):
                    if trust is Trust.CLAIMED:
                        return None
                    raise InputError(place, "is no outcome line; name another --output") from None
                kept += len(line)
                overtaken = overtaken or is_overtaken(place, outcome, line[:-1])
            file.truncate(kept)
    except OSError as error:
        raise StorageError(f"{path}: {describe(error)}") from None
    return None if overtaken else written
