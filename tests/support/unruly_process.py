"""The unruly server as a test sees it: its URL, its record, and its end."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.tls_batches import settings

ROOT = Path(__file__).parents[2]


class UnrulyServer:
    """One that runs on `port`. Its record, and over TLS its CA as ca.pem, are in `directory`."""

    def __init__(self, directory: Path, port: int, options: tuple[str, ...], tls: bool) -> None:
        self.settings = settings() if tls else ""
        """What a connection file needs to trust it."""
        self._kills = 0
        self._record = directory / "applied.tsv"
        self._offset = 0
        self._handled = 0
        self._command = [
            *(sys.executable, "-m", "tests.support.unruly", "--port", str(port), "--record", str(self._record)),
            *(("--authority", str(directory / "ca.pem")) if tls else ()),
            *options,
        ]
        self._process = self._start()
        assert self._process.stdout is not None
        self.url: str = json.loads(self._process.stdout.readline())["listening"]

    def stop(self) -> None:
        """Kill it."""
        self._process.kill()
        self._process.communicate()

    def kill(self, seconds: float) -> None:
        """Kill it, and start it again on the same port after so many seconds."""
        self.stop()
        self._kills += 1
        time.sleep(seconds)
        self._process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(self._command, cwd=ROOT, stdout=subprocess.PIPE)

    def changes(self) -> list[tuple[str, str]]:
        """Target and body of every change that it has applied, in order."""
        return [(line[1], line[2]) for line in self._lines("applied")]

    def applied(self) -> Counter[str]:
        """How often each target was changed."""
        return Counter(target for target, _ in self.changes())

    def refused(self) -> int:
        """How often it has answered 429."""
        return len(self._lines("refused"))

    def busy(self) -> int:
        """How often it has answered 503."""
        return len(self._lines("busy"))

    def cuts(self) -> Counter[str]:
        """How many connections it has cut where."""
        return Counter(place for _, place in self._lines("cut"))

    def absences(self) -> int:
        """How often it went away, by its own will or killed."""
        return self._kills + len(self._lines("outage"))

    def handled(self) -> int:
        """How many requests it has applied or answered 404; cheap enough to be asked over and over."""
        with self._record.open("rb") as file:
            file.seek(self._offset)
            whole, newline, _ = file.read().rpartition(b"\n")
        self._offset += len(whole + newline)
        self._handled += sum(line.startswith((b"applied", b"missing")) for line in whole.splitlines())
        return self._handled

    def _lines(self, what: str) -> list[list[str]]:
        lines = (line.split("\t") for line in self._record.read_text("utf-8").splitlines())
        return [line for line in lines if line[0] == what]


@contextmanager
def unruly(directory: Path, *options: str, tls: bool = False) -> Iterator[UnrulyServer]:
    """A server with these options, on a port that stays its own while it is down."""
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        server = UnrulyServer(directory, holder.getsockname()[1], options, tls)
        try:
            yield server
        finally:
            server.stop()
