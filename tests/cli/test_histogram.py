from __future__ import annotations

from io import StringIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from patchwire.cli.histogram import LONGEST_BAR, ROWS, percentiles, print_histogram, shown
from patchwire.delivery.latency import Latencies

UNITS = {"s": 1.0, "ms": 1e-3, "µs": 1e-6}
DURATIONS = st.lists(st.floats(1e-6, 5000.0), min_size=1, max_size=200)


def latencies_of(durations: list[float]) -> Latencies:
    latencies = Latencies()
    for seconds in durations:
        latencies.record(seconds)
    return latencies


def printed(durations: list[float], width: int = 80) -> list[str]:
    file = StringIO()
    print_histogram(latencies_of(durations), Console(file=file, width=width))
    return file.getvalue().splitlines()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0 µs"), (0.00001, "10 µs"), (0.0000123456, "12.3 µs"), (0.000999, "999 µs"), (0.0009996, "1 ms"),
        (0.001, "1 ms"), (0.012345, "12.3 ms"), (0.0999, "99.9 ms"), (0.9994, "999 ms"), (0.9996, "1 s"),
        (1.0, "1 s"), (12.345, "12.3 s"), (99.96, "100 s"), (999.4, "999 s"), (999.6, "1000 s"), (3600.0, "3600 s"),
    ],
)  # fmt: skip
def test_a_duration_is_shown_in_three_digits_and_the_unit_that_suits_it(seconds: float, text: str) -> None:
    assert shown(seconds) == text


@given(st.floats(1e-6, 1e6))
def test_what_is_shown_is_the_duration_to_half_a_percent(seconds: float) -> None:
    number, unit = shown(seconds).split(" ")
    assert float(number) * UNITS[unit] == pytest.approx(seconds, rel=0.0051)
    assert "e" not in number


def test_where_nothing_was_measured_nothing_is_shown() -> None:
    assert percentiles(Latencies()) == {}
    assert printed([]) == []


def test_the_percentiles_are_right_to_five_percent_and_the_largest_exactly() -> None:
    found = percentiles(latencies_of([number / 1000 for number in range(1, 1001)]))
    assert list(found) == ["p50", "p90", "p99", "p999", "max"]
    assert list(found.values()) == pytest.approx([0.5, 0.9, 0.99, 0.999, 1.0], rel=0.051)
    assert found["max"] == 1.0


@given(DURATIONS)
def test_the_percentiles_rise_to_the_largest(durations: list[float]) -> None:
    values = list(percentiles(latencies_of(durations)).values())
    assert values == sorted(values)
    assert values[-1] == round(max(durations), 6)


@given(DURATIONS)
def test_the_bars_count_every_duration_and_none_is_longer_than_the_longest(durations: list[float]) -> None:
    first, *bars = printed(durations)
    assert first.startswith("latency  p50 ")
    assert len(bars) <= ROWS
    counts = [int(bar.rpartition(" ")[2].replace(",", "")) for bar in bars]
    lengths = [bar.count("█") for bar in bars]
    assert sum(counts) == len(durations)
    assert max(lengths) == LONGEST_BAR == lengths[counts.index(max(counts))]
    assert [length > 0 for length in lengths] == [count > 0 for count in counts]


def test_the_histogram_of_two_kinds_of_answers_shows_both_and_the_gap_between() -> None:
    lines = printed([0.001] * 3000 + [1.0] * 10)
    assert lines[0] == "latency  p50 1.05 ms  p90 1.05 ms  p99 1.05 ms  p999 1 s  max 1 s"
    assert lines[1].endswith(" 3,000")
    assert lines[1].count("█") == LONGEST_BAR
    assert lines[-1].endswith("  █ 10")
    assert all(line.endswith(" 0") for line in lines[2:-1])
    assert len({line.index("  █") for line in (lines[1], lines[-1])}) == 1


def test_in_a_narrow_terminal_no_bar_takes_two_lines() -> None:
    lines = printed([0.001] * 3000 + [1.0] * 10, width=30)
    assert max(map(len, lines)) <= 30
    assert sum("to" in line for line in lines) == len(printed([0.001] * 3000 + [1.0] * 10)) - 1
