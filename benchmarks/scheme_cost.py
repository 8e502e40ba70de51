"""What an authentication costs a batch: whole runs against nginx for several connection files, interleaved."""

from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median
from timeit import timeit

from batch_command import batch_command
from cores import client_and_server_cores
from measured_batch import run
from tests.support.nginx import nginx_server, pinned
from workload import write_records


def measure_calls(made: Mapping[str, Callable[[], object]], rounds: int, number: int) -> dict[str, float]:
    """Return the median of interleaved rounds for each, in microseconds."""
    figures: dict[str, list[float]] = {name: [] for name in made}
    for _ in range(rounds):
        for name, make in made.items():
            figures[name].append(timeit(make, number=number) / number * 1e6)
    return {name: median(each) for name, each in figures.items()}


def measure_batches(
    directory: Path, connections: Mapping[str, str], locations: str, count: int, concurrency: int, rounds: int
) -> dict[str, tuple[float, float]]:
    """Return microseconds of processor time a record and records a second for each of `connections`: the lines of a
    connection file, by name. Those that have none go to a server without `locations` of its own.
    """
    client_core, server_core = client_and_server_cores()
    records = write_records(directory / "records.ndjson", count)
    figures: dict[str, list[tuple[float, float]]] = {name: [] for name in connections}
    with (
        nginx_server(directory / "asking", core=server_core, locations=locations) as asking,
        nginx_server(directory / "open", core=server_core) as open_to_all,
    ):
        for round_number in range(rounds):
            for name, settings in connections.items():
                server = asking if settings else open_to_all
                connection = directory / "connection.toml"
                connection.write_text(f'base_url = "{server.base_url}"\n{settings}', encoding="utf-8")
                said = run(pinned(batch_command(connection, records, concurrency), client_core))
                if said["applied"] != count:
                    raise SystemExit(f"{name}, round {round_number}: {said}")
                figures[name].append((said["cpu_seconds"] / count * 1e6, said["rate"]))
    return {name: (median(c for c, _ in each), median(r for _, r in each)) for name, each in figures.items()}


def print_batches(figures: Mapping[str, tuple[float, float]]) -> None:
    """Print a line for each, beside the first."""
    bare, bare_rate = next(iter(figures.values()))
    for name, (cpu, rate) in figures.items():
        print(f"{name:22} {cpu:6.1f} us {cpu - bare:+6.1f} us {rate:8.0f}/s {rate / bare_rate:5.2f}")
