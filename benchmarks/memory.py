"""Measure `patchwire batch` over a long file: its memory must not grow with it, nor its rate fall.

Prints one JSON line: records, concurrency, peak_rss_bytes, rate (requests a second) as a whole and over the first and
the last tenth, journal_bytes_per_record and output_bytes_per_record. The files lie in the temporary directory; TMPDIR
moves them to a larger disk: 10,000,000 records take 6 GB.
"""

import argparse
import json
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any
from urllib.request import urlopen

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent / "clients"))

from batch_command import batch_command
from cores import client_and_server_cores
from measured_batch import run
from tests.support.nginx import HELLO_WORLD, NGINX, nginx_server, pinned
from workload import write_connection, write_records

LOCATIONS = f"location = /status {{ stub_status; }} {HELLO_WORLD}"
INTERVAL = 0.25


class Counting:
    """Asks nginx now and then how many requests it has had, in a thread of its own."""

    def __init__(self, base_url: str) -> None:
        self._url = f"{base_url}/status"
        self._samples: list[tuple[float, int]] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._sample)

    def __enter__(self) -> "Counting":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def rate(self, begin: int, end: int) -> float:
        """Return the requests a second between these numbers of requests, as closely as was sampled."""
        inside = [sample for sample in self._samples if begin <= sample[1] <= end]
        if len(inside) < 2:
            return 0.0
        (since, first), (until, last) = inside[0], inside[-1]
        return (last - first) / (until - since)

    def _sample(self) -> None:
        while not self._ended.wait(INTERVAL):
            with urlopen(self._url) as answer:
                *_, requests = answer.read().split(b"requests")[1].split()[:3]
            self._samples.append((time.monotonic(), int(requests)))


def measure(directory: Path, count: int, concurrency: int) -> dict[str, Any]:
    """Return the figures of a batch of `count` records against nginx."""
    client_core, server_core = client_and_server_cores()
    records = write_records(directory / "records.ndjson", count)
    output = directory / "outcomes.ndjson"
    with nginx_server(directory / "nginx", locations=LOCATIONS, core=server_core) as nginx:
        connection = write_connection(directory / "connection.toml", nginx.base_url)
        command = [*batch_command(connection, records, concurrency), "--output", str(output)]
        with Counting(nginx.base_url) as counting:
            figures = run(pinned(command, client_core))
    tenth = count // 10
    return {
        "records": count,
        "concurrency": concurrency,
        "peak_rss_bytes": figures["peak_rss_bytes"],
        "rate": figures["rate"],
        "first_tenth_rate": round(counting.rate(0, tenth), 1),
        "last_tenth_rate": round(counting.rate(count - tenth, count), 1),
        "journal_bytes_per_record": round(Path(figures["journal"]).stat().st_size / count, 1),
        "output_bytes_per_record": round(output.stat().st_size / count, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--concurrency", type=int, default=32)
    options = parser.parse_args()
    if NGINX is None:
        raise SystemExit("nginx is not installed: apt-get install nginx-light")
    with tempfile.TemporaryDirectory() as directory:
        print(json.dumps(measure(Path(directory), options.records, options.concurrency)))


if __name__ == "__main__":
    main()
