"""Two hosts with a wire between them, as network namespaces: the wire can be cut, and addresses lead nowhere."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest

IP = shutil.which("ip")
OURS, THEIRS = "10.199.0.1", "10.199.0.2"
PORT = 8080
_numbers = count()
_SERVER = f"""
import socket, sys
with socket.create_server(("{THEIRS}", {PORT})) as listener:
    print("listening", flush=True)
    peer, _ = listener.accept()
    received = b""
    while not received.endswith(b"}}"):
        received += peer.recv(65536)
    print("received", flush=True)
    sys.stdin.readline()
    peer.sendall(b"HTTP/1.1 204 No Content\\r\\n\\r\\n")
    print("answered", flush=True)
    sys.stdin.readline()
"""


def _can_be_made() -> bool:
    if IP is None or os.geteuid() != 0:
        return False
    name = f"pw-trial-{os.getpid()}"
    if subprocess.run([IP, "netns", "add", name], capture_output=True).returncode:
        return False
    subprocess.run([IP, "netns", "del", name], capture_output=True, check=True)
    return True


needs_namespaces = pytest.mark.skipif(
    not _can_be_made(), reason="network namespaces cannot be made: that takes root, and apt-get install iproute2"
)


@dataclass(frozen=True)
class Hosts:
    """`ours` and `theirs` are names of namespaces; ours has no route but to the other's network."""

    ours: str
    theirs: str

    def run(self, *command: str | Path, seconds: float = 30) -> subprocess.CompletedProcess[str]:
        """A command on our host."""
        return subprocess.run(_within(self.ours, command), capture_output=True, text=True, timeout=seconds)

    def start(self, *command: str | Path) -> subprocess.Popen[str]:
        """A command on our host, still running."""
        return _started(_within(self.ours, command))

    def route(self, *words: str) -> None:
        """Change our routes."""
        _ip("-n", self.ours, "route", *words)

    def link(self, state: str) -> None:
        """Their end of the wire is "up" or "down"."""
        _ip("-n", self.theirs, "link", "set", "wire", state)

    @contextmanager
    def server(self) -> Iterator[subprocess.Popen[str]]:
        """Yield a server on theirs that takes one request, and answers it once a line is written to it."""
        process = _started(_within(self.theirs, [sys.executable, "-c", _SERVER]))
        try:
            assert heard(process) == "listening"
            yield process
        finally:
            process.kill()
            process.communicate()


@contextmanager
def hosts() -> Iterator[Hosts]:
    """Yield two hosts, gone with all that runs there on the way out."""
    number = f"{os.getpid()}-{next(_numbers)}"
    both = Hosts(f"pw-ours-{number}", f"pw-theirs-{number}")
    names = (both.ours, both.theirs)
    try:
        for name in names:
            _ip("netns", "add", name)
        _ip("-n", both.ours, "link", "add", "wire", "type", "veth", "peer", "name", "wire", "netns", both.theirs)
        for name, address in zip(names, (OURS, THEIRS), strict=True):
            _ip("-n", name, "address", "add", f"{address}/24", "dev", "wire")
            for link in ("lo", "wire"):
                _ip("-n", name, "link", "set", link, "up")
        yield both
    finally:
        for name in names:
            subprocess.run([str(IP), "netns", "del", name], capture_output=True)


def heard(process: subprocess.Popen[str]) -> str:
    """The next line that the process writes."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


def told(process: subprocess.Popen[str]) -> None:
    """Write a line to the process."""
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def _within(name: str, command: Sequence[str | Path]) -> list[str]:
    return [str(IP), "netns", "exec", name, *map(str, command)]


def _started(command: list[str]) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)


def _ip(*words: str) -> None:
    done = subprocess.run([str(IP), *words], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"ip {' '.join(words)}: {done.stderr}")
