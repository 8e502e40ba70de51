"""Pipes with a name, and somebody who writes into them."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def filled(path: Path, content: bytes) -> Iterator[Path]:
    """A pipe that gives this content to one who reads it, and ends."""
    with _written(path, lambda pipe: pipe.write_bytes(content)):
        yield path


@contextmanager
def endless(path: Path) -> Iterator[Path]:
    """A pipe that gives the letter a for as long as somebody reads it."""

    def write(pipe: Path) -> None:
        with pipe.open("wb") as file:
            while True:
                file.write(b"a" * 65_536)

    with _written(path, write):
        yield path


@contextmanager
def _written(path: Path, write: Callable[[Path], object]) -> Iterator[None]:
    def until_nobody_reads() -> None:
        with suppress(BrokenPipeError):
            write(path)

    os.mkfifo(path)
    writer = threading.Thread(target=until_nobody_reads)
    writer.start()
    try:
        yield
    finally:
        while writer.is_alive():
            os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK))  # lets a writer go whom nobody has read
            writer.join(0.01)
