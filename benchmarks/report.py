"""The table of a comparison: rich on a terminal, plain lines in a pipe."""

import statistics
import sys
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

BASELINE = "h11-trio"
TITLES = ("connections", "client", "requests/s", "min-max", f"x {BASELINE}")


@dataclass(frozen=True)
class Row:
    """One client at one number of connections, over all rounds; rates are requests a second."""

    connections: int
    client: str
    rates: list[float]
    baseline: float | None

    def cells(self) -> tuple[str, ...]:
        """Return the row's text: median, spread, and the median's ratio to the baseline's."""
        median = statistics.median(self.rates)
        ratio = f"{median / self.baseline:.2f}" if self.baseline else "-"
        spread = f"{min(self.rates):.0f}-{max(self.rates):.0f}"
        return str(self.connections), self.client, f"{median:.0f}", spread, ratio


def rows(runs: list[dict[str, Any]]) -> list[Row]:
    """Return a row for each client and number of connections, in the order of the runs."""
    rates: dict[tuple[int, str], list[float]] = defaultdict(list)
    for run in runs:
        if "rate" in run:
            rates[run["connections"], run["client"]].append(run["rate"])
    baselines = {count: statistics.median(seen) for (count, name), seen in rates.items() if name == BASELINE}
    return [Row(count, name, seen, baselines.get(count)) for (count, name), seen in rates.items()]


def show(runs: list[dict[str, Any]], unavailable: dict[str, str]) -> None:
    """Print the table, and below it the clients that could not take part, with the reason."""
    lines = [row.cells() for row in rows(runs)]
    if sys.stdout.isatty():
        _show_rich(lines)
    else:
        for line in (TITLES, *lines):
            print("{:>11}  {:<10}  {:>10}  {:>15}  {:>10}".format(*line))
    for name, reason in unavailable.items():
        print(f"{name}: not available: {reason}")


def _show_rich(lines: list[tuple[str, ...]]) -> None:
    table = Table()
    for title in TITLES:
        table.add_column(title, justify="left" if title == "client" else "right")
    for line in lines:
        table.add_row(*line)
    Console().print(table)
