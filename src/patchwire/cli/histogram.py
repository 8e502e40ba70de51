"""How long answers took, for a person: percentiles, and a histogram of bars."""

from __future__ import annotations

from typing import Final

from rich.console import Console
from rich.text import Text

from patchwire.delivery.latency import Latencies

SHARES: Final = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p999": 0.999}
LONGEST_BAR: Final = 30
ROWS: Final = 10


def percentiles(latencies: Latencies) -> dict[str, float]:
    """The percentiles and the largest, in seconds, by their names; empty where there is nothing."""
    if not latencies.count:
        return {}
    found = {name: latencies.percentile(share) for name, share in SHARES.items()}
    return {name: round(seconds, 6) for name, seconds in {**found, "max": latencies.largest}.items()}


def print_histogram(latencies: Latencies, console: Console) -> None:
    """A line of percentiles and a bar for each range of the same ratio; nothing where there is nothing."""
    if not latencies.count:
        return
    said = "  ".join(f"{name} {shown(seconds)}" for name, seconds in percentiles(latencies).items())
    console.print(Text(f"latency  {said}"), overflow="fold")
    bars = latencies.histogram(ROWS)
    tallest = max(bar.count for bar in bars)
    for bar in bars:
        length = -(-LONGEST_BAR * bar.count // tallest)
        label = f"{shown(bar.low)} to {shown(bar.high)}"
        console.print(Text(f"{label:>21}  {'█' * length} {bar.count:,}"), no_wrap=True, overflow="ellipsis")


def shown(seconds: float) -> str:
    """A duration in three digits and the unit that suits it."""
    for unit, scale in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= scale * 0.9995:
            return f"{seconds / scale:.3g} {unit}" if seconds < 999.5 * scale else f"{seconds / scale:.0f} {unit}"
    return f"{seconds / 1e-6:.3g} µs"
