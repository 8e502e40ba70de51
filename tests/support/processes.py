"""Servers as processes: a port, the wait until they listen, and their end."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

START_ATTEMPTS = 5
START_SECONDS = 15.0  # nginx itself retries a failed bind for 2.5 seconds
STOP_SECONDS = 10.0
ANNOUNCE_SECONDS = 30.0  # an interpreter and its imports on a busy machine

_LISTENING = re.compile(r'^\{"listening": ?"(http://[^"]+)"\}$', re.MULTILINE)


class PortTakenError(Exception):
    """Another process took the port between its choice and nginx's bind."""


def free_port() -> int:
    """Return a port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_until_bound(process: subprocess.Popen[bytes], directory: Path, pid_file: str) -> None:
    """Return once the server has bound its sockets; raise PortTakenError or RuntimeError where it will not.

    nginx and Apache write their pid file only then, and standard error and error.log stand beside it. A connection
    would prove less: whoever took the port would answer it.
    """
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if text_of(directory / pid_file).strip() == str(process.pid):
            return
        if process.poll() is not None:
            break
        time.sleep(0.01)
    said = text_of(directory / "stderr.log") + text_of(directory / "error.log")
    if process.poll() is not None and "Address already in use" in said:
        raise PortTakenError
    raise RuntimeError(f"{pid_file.removesuffix('.pid')} did not start:\n{said}")


def bound_server(
    directory: Path, pid_file: str, spawn: Callable[[int], subprocess.Popen[bytes]]
) -> tuple[subprocess.Popen[bytes], int]:
    """Return a server that has bound a port, and the port. `spawn` starts it for a port; where another process takes
    that first, it is called again.
    """
    for _ in range(START_ATTEMPTS):
        port = free_port()
        process = spawn(port)
        try:
            _wait_until_bound(process, directory, pid_file)
        except PortTakenError:
            continue
        except BaseException:
            stop(process)
            raise
        return process, port
    raise RuntimeError(f"{pid_file.removesuffix('.pid')} found no free port in {START_ATTEMPTS} attempts")


def announced_url(process: subprocess.Popen[bytes], log: Path) -> str:
    """Return the URL that the server names in its log once it listens, as `{"listening": "http://127.0.0.1:PORT"}`.

    Raises RuntimeError with all that the log says where it ends or stays silent.
    """
    return announced(process, log, _LISTENING, ANNOUNCE_SECONDS)


def announced(process: subprocess.Popen[bytes], log: Path, pattern: re.Pattern[str], seconds: float) -> str:
    """Return the first group of what the server says in its log once it listens, within so many seconds.

    Raises RuntimeError with all that the log says where it ends or stays silent.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.poll() is None:
        if found := pattern.search(text_of(log)):
            return found[1]
        time.sleep(0.02)
    raise RuntimeError(f"{log.stem} did not start:\n{text_of(log)}")


def text_of(path: Path) -> str:
    """Return the file's text, or nothing where there is no file."""
    return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""


def unescaped(text: str) -> str:
    """Return a field as it came; Apache and lighttpd log quotes and what is not ASCII with backslashes."""
    return text.encode().decode("unicode_escape").encode("latin-1").decode(errors="surrogateescape")


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a server: asked first, then killed together with its workers."""
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)  # a master killed alone would leave its workers behind
        process.wait()
