"""Measure what journal and outcomes cost a batch: the whole command beside one that keeps neither.

Prints a line for each way of keeping them: processor time in microseconds a record (of all threads), how much of it
went into keeping them by a clock around just that, and the rate as a ratio to nothing kept; medians of interleaved
rounds against nginx. Where the machine is noisy, the clock says more than the ratio.
"""

import argparse
import sys
import tempfile
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent / "clients"))

from batch_command import batch_command
from cores import client_and_server_cores
from measured_batch import run
from tests.support.nginx import NGINX, nginx_server, pinned
from workload import write_connection, write_records

CLIENTS = Path(__file__).resolve().parent / "clients"
UNTOLD, TIMED = str(CLIENTS / "batch_untold.py"), str(CLIENTS / "batch_timed.py")
NOTHING = "nothing kept"
WAYS = {
    NOTHING: (UNTOLD, []),
    "journal": (TIMED, []),
    "journal and --output": (TIMED, ["--output", "{directory}/outcomes.ndjson"]),
    "the same, --durability full": (
        TIMED,
        ["--output", "{directory}/outcomes.ndjson", "--durability", "full"],
    ),
}


def measure(directory: Path, count: int, concurrency: int, rounds: int) -> dict[str, list[tuple[float, float, float]]]:
    """Return, for each way, microseconds a record in all and for keeping, and records a second, of each round."""
    client_core, server_core = client_and_server_cores()
    records = write_records(directory / "records.ndjson", count)
    figures: dict[str, list[tuple[float, float, float]]] = {way: [] for way in WAYS}
    with nginx_server(directory / "nginx", core=server_core) as nginx:
        connection = write_connection(directory / "connection.toml", nginx.base_url)
        for _ in range(rounds):
            for way, (program, options) in WAYS.items():
                command = batch_command(connection, records, concurrency)
                python, arguments = command[0], command[3:]
                command = [python, *program.split(), *arguments]
                command += [option.format(directory=directory) for option in options]
                said = run(pinned(command, client_core))
                seconds = said["cpu_seconds"], said.get("kept_seconds", 0.0)
                figures[way].append((*(each / count * 1e6 for each in seconds), said["rate"]))
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--concurrency", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    if NGINX is None:
        raise SystemExit("nginx is not installed: apt-get install nginx-light")
    with tempfile.TemporaryDirectory() as directory:
        figures = measure(Path(directory), options.records, options.concurrency, options.rounds)
    nothing = median(rate for *_, rate in figures[NOTHING])
    for way, measured in figures.items():
        cpu, kept, rate = (median(column) for column in zip(*measured, strict=True))
        print(f"{way:30} {cpu:6.1f} us, of it {kept:5.1f} us {rate:8.0f}/s {rate / nothing:5.2f}")


if __name__ == "__main__":
    main()
