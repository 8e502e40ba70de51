from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from patchwire.delivery.latency import LONGEST, SHORTEST, Latencies

DURATIONS = st.lists(st.floats(0.0, 2 * LONGEST), min_size=1, max_size=200)


def of(durations: list[float]) -> Latencies:
    latencies = Latencies()
    for each in durations:
        latencies.record(each)
    return latencies


def test_before_anything_was_measured_there_is_nothing_to_say() -> None:
    latencies = Latencies()
    assert (latencies.count, latencies.mean, latencies.largest, latencies.percentile(0.5)) == (0, 0.0, 0.0, 0.0)
    assert latencies.histogram() == []


@given(DURATIONS, st.sampled_from([0.0, 0.5, 0.9, 0.99, 1.0]))
def test_a_percentile_is_right_to_a_twentieth(durations: list[float], share: float) -> None:
    latencies = of(durations)
    rank = max(1, -(-share * len(durations) // 1))
    exact = sorted(durations)[int(rank) - 1]
    found = latencies.percentile(share)
    if SHORTEST <= exact <= LONGEST:
        assert exact * 0.999 <= found <= exact * 1.0513
    assert found <= max(durations)


@given(DURATIONS)
def test_count_mean_and_largest_are_exact(durations: list[float]) -> None:
    latencies = of(durations)
    assert latencies.count == len(durations)
    assert latencies.largest == max(durations)
    assert abs(latencies.mean - sum(durations) / len(durations)) <= 1e-9 * sum(durations)


@given(DURATIONS, st.integers(1, 12))
def test_a_histogram_has_adjacent_bars_and_counts_everything(durations: list[float], rows: int) -> None:
    bars = of(durations).histogram(rows)
    assert 1 <= len(bars) <= rows
    assert sum(bar.count for bar in bars) == len(durations)
    assert all(left.high == right.low for left, right in itertools.pairwise(bars))
    assert bars[0].count > 0
    assert all(bar.low < bar.high for bar in bars)


def test_what_is_beyond_the_bounds_counts_as_the_bound() -> None:
    latencies = of([0.0, -1.0, 5000.0, 1e9])
    assert latencies.percentile(0.25) <= SHORTEST * 1.06
    assert latencies.percentile(1.0) <= LONGEST * 1.06
    assert latencies.largest == 1e9
