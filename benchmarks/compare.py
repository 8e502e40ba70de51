"""Compare clients: PATCH with a 220-byte body and an 11-byte answer against nginx on loopback.

nginx has one core and each client, a process of its own, another. The rounds are interleaved, so that
whatever else the machine does meets every client alike.
"""

import argparse
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from cores import client_and_server_cores
from environment import environment
from report import show
from tests.support.certificates import Authority
from tests.support.nginx import NGINX, nginx_server, pinned, tls_directives

SCRIPTS = Path(__file__).resolve().parent / "clients"
PROBE_REQUESTS = 1000
TIME_LIMIT = 1300.0  # longer than the two runs of patchwire_client.py may take, so that it ends its child


class UnavailableError(Exception):
    """A client that cannot be measured; its text says why."""


@dataclass(frozen=True)
class Client:
    """A client's name, its script, and the module or program that it needs."""

    name: str
    script: str
    module: str | None = None
    program: str | None = None

    def run(self, url: str, connections: int, requests: int, core: int | None) -> dict[str, Any]:
        """Return the line that the client printed, parsed; raise UnavailableError where it failed."""
        self._require()
        command = [sys.executable, str(SCRIPTS / self.script), url]
        command += ["--connections", str(connections), "--requests", str(requests)]
        try:
            finished = subprocess.run(pinned(command, core), capture_output=True, text=True, timeout=TIME_LIMIT)
        except subprocess.TimeoutExpired:
            raise UnavailableError(f"it took longer than {TIME_LIMIT:.0f} seconds") from None
        if finished.returncode:
            said = finished.stderr.strip().splitlines() or [f"exit code {finished.returncode}"]
            raise UnavailableError(said[-1].strip())
        line: dict[str, Any] = json.loads(finished.stdout)
        return {"client": self.name, **line}

    def _require(self) -> None:
        if self.module and importlib.util.find_spec(self.module) is None:
            raise UnavailableError(f"not installed (Python module {self.module})")
        if self.program and shutil.which(self.program) is None:
            raise UnavailableError(f"not installed (program {self.program})")


CLIENTS = (
    Client("patchwire", "patchwire_client.py", module="patchwire"),
    Client("h11-trio", "h11_trio_client.py", module="trio"),
    Client("httpx", "httpx_client.py", module="httpx"),
    Client("aiohttp", "aiohttp_client.py", module="aiohttp"),
    Client("pycurl", "pycurl_client.py", module="pycurl"),
    Client("wrk", "wrk_client.py", program="wrk"),
)


class Comparison:
    """The runs of one comparison, as they come in."""

    def __init__(self, options: argparse.Namespace, url: str, core: int | None) -> None:
        self.options = options
        self.url = url
        self.core = core
        self.runs: list[dict[str, Any]] = []
        self.unavailable: dict[str, str] = {}
        self.requests: dict[tuple[str, int], int] = {}

    def plan(self) -> None:
        """Find out who can take part, and how many requests fill a cell's time."""
        for client in self.options.clients:
            try:
                for connections in self.options.connections:
                    self._plan_cell(client, connections)
            except UnavailableError as error:
                self.unavailable[client.name] = str(error)

    def _plan_cell(self, client: Client, connections: int) -> None:
        probe = client.run(self.url, connections, PROBE_REQUESTS, self.core)
        filling = max(PROBE_REQUESTS, int(probe["rate"] * self.options.seconds))
        self.requests[client.name, connections] = self.options.requests or filling

    def round(self, number: int) -> None:
        """Run each client that can take part once at each number of connections."""
        for connections in self.options.connections:
            for client in self.options.clients:
                if client.name not in self.unavailable:
                    self._cell(number, client, connections)

    def _cell(self, number: int, client: Client, connections: int) -> None:
        """Keep the cell's result, also where it is a failure."""
        requests = self.requests[client.name, connections]
        try:
            result = client.run(self.url, connections, requests, self.core)
        except UnavailableError as error:
            result = {"client": client.name, "connections": connections, "error": str(error)}
            print(f"{client.name} at {connections} connections failed: {error}", file=sys.stderr)
        self.runs.append({"round": number, **result})

    def raw(self) -> dict[str, Any]:
        """Return everything that was measured, and where."""
        where = environment(NGINX or "nginx")
        return {"environment": where, "runs": self.runs, "unavailable": self.unavailable}


def compare(options: argparse.Namespace) -> Comparison:
    """Return the finished comparison."""
    client_core, server_core = client_and_server_cores()
    if client_core is None:
        print("nothing is pinned: there are no two cores to pin to", file=sys.stderr)
    with tempfile.TemporaryDirectory() as directory:
        tls = over_tls(Path(directory)) if options.tls else None
        with nginx_server(Path(directory), core=server_core, tls=tls) as nginx:
            return measured(options, nginx.base_url, client_core)


def over_tls(directory: Path) -> str:
    """Return what makes nginx speak TLS; the clients learn by the environment whom to trust."""
    authority = Authority()
    (directory / "authority.pem").write_bytes(authority.pem)
    os.environ["BENCHMARK_AUTHORITY"] = str(directory / "authority.pem")
    return tls_directives(directory, authority.issue("127.0.0.1"))


def measured(options: argparse.Namespace, url: str, core: int | None) -> Comparison:
    """Return the comparison against the server at `url`, finished."""
    comparison = Comparison(options, url, core)
    comparison.plan()
    for number in range(options.rounds):
        comparison.round(number)
    return comparison


def parse_options() -> argparse.Namespace:
    """Return the options: clients as Client values, connections as numbers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    amount = parser.add_mutually_exclusive_group()
    amount.add_argument("--seconds", type=float, default=3.0, help="roughly, for each cell (default 3)")
    amount.add_argument("--requests", type=int, help="for each cell, instead of --seconds")
    parser.add_argument("--connections", type=_numbers, default=[1, 8, 32], help="default 1,8,32")
    names = ",".join(client.name for client in CLIENTS)
    parser.add_argument("--clients", type=_clients, default=list(CLIENTS), help=f"of {names}; default all")
    parser.add_argument("--tls", action="store_true", help="over TLS 1.3, with the server's certificate verified")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the raw results there")
    return parser.parse_args()


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def _clients(text: str) -> list[Client]:
    known = {client.name: client for client in CLIENTS}
    try:
        return [known[name] for name in text.split(",")]
    except KeyError as error:
        raise argparse.ArgumentTypeError(f"no client is called {error}; there are {', '.join(known)}") from None


def main() -> None:
    """Compare, print the table, and write the raw results where asked."""
    options = parse_options()
    if NGINX is None:
        raise SystemExit("nginx is not installed: apt-get install nginx-light")
    comparison = compare(options)
    if options.json:
        options.json.write_text(json.dumps(comparison.raw(), indent=2) + "\n", encoding="utf-8")
    show(comparison.runs, comparison.unavailable)


if __name__ == "__main__":
    main()
