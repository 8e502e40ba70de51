from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest
import trio
from rich.text import Text
from trio.testing import MockClock

from patchwire.cli.progress import BatchProgress, pace_in_force
from patchwire.delivery.health import FEWEST
from patchwire.delivery.pacing import Pace
from patchwire.run.batch import Live
from tests.support.journals import reports

NOW = 100.0
"""When the pace is looked at; it began at 0."""


def live(pace: Pace, *, down_for: float = 0.0, size: int | None = None, **counts: int) -> Live:
    origin: Any = SimpleNamespace(down_for=lambda now: down_for)
    return Live(reports(counts), size, pace, cast("Any", origin))


def plain(texts: list[str]) -> list[str]:
    """As they stand on a terminal."""
    return [Text.from_markup(text).plain for text in texts]


def answers(pace: Pace, count: int, *, taking: float = 0.01, until: float = NOW) -> None:
    """So many good answers, a thousandth of a second one after the other."""
    for number in range(count):
        at = until - (count - number) / 1000
        pace.answered(200, None, at - taking, at)


def too_soon(pace: Pace) -> None:
    answers(pace, 900)
    pace.answered(429, None, NOW - 0.01, NOW)


def unavailable(pace: Pace) -> None:
    answers(pace, 900)
    pace.answered(503, 0.0, NOW - 0.01, NOW)


def asks_for_a_pause(pace: Pace) -> None:
    pace.answered(503, 42.4, NOW - 0.01, NOW)


def silent(pace: Pace) -> None:
    for _ in range(2 * FEWEST):
        pace.lost(NOW - 7.0)


def slow(pace: Pace) -> None:
    answers(pace, 1500, until=NOW - 5.0)
    for number in range(902):
        at = NOW - 1.1 + number / 900
        pace.answered(200, None, at - 2.0, at)


def untroubled(pace: Pace) -> None:
    answers(pace, 100)


@pytest.mark.parametrize(
    ("rate", "happens", "said"),
    [
        (None, untroubled, []),
        (50.0, untroubled, ["at most 50/s (--rate)"]),
        (0.25, untroubled, ["at most 0.25/s (--rate)"]),
        (12_345.0, untroubled, ["at most 12,345/s (--rate)"]),
        (None, too_soon, ["at most 855/s, 11 in flight (429)"]),
        (800.0, too_soon, ["at most 800/s, 11 in flight (429)"]),
        (None, unavailable, ["11 in flight (503)"]),
        (50.0, asks_for_a_pause, ["pausing for 42 s (Retry-After)"]),
        (50.0, silent, ["no real answer for 7 s, trying one at a time"]),
        (None, slow, ["11 in flight (latency)"]),
        (50.0, slow, ["at most 50/s, 11 in flight (latency)"]),
    ],
    ids=lambda each: each.__name__ if callable(each) else None,
)
def test_the_pace_in_force_and_its_reason_are_told(
    rate: float | None, happens: Callable[[Pace], None], said: list[str]
) -> None:
    pace = Pace(rate=rate, concurrency=16, now=0.0)
    happens(pace)
    assert plain(pace_in_force(live(pace), NOW)) == said


def test_an_origin_that_cannot_be_reached_goes_before_all_other_reasons() -> None:
    pace = Pace(rate=50.0, concurrency=16, now=0.0)
    silent(pace)
    assert plain(pace_in_force(live(pace, down_for=12.6), NOW)) == ["origin down for 13 s"]


def test_counts_and_rate_go_before_it_and_what_there_is_none_of_is_left_out() -> None:
    async def main() -> list[str]:
        progress = BatchProgress()
        await trio.sleep(20.0)
        shown = live(Pace(rate=50.0, concurrency=16, now=0.0), applied=1_234_567, rejected=0, unknown=2)
        shown.reports.settled_now = 900
        return progress._describe(shown, trio.current_time())

    parts = plain(trio.run(main, clock=MockClock(autojump_threshold=0)))
    assert parts == ["1,234,567 applied", "2 unknown", "45/s", "at most 50/s (--rate)"]


def test_off_a_terminal_there_is_a_plain_line_every_ten_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    async def main() -> None:
        progress = BatchProgress()
        with trio.move_on_after(35.0):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(progress.show)
                await trio.sleep(15.0)  # nothing to be told of before the run has begun
                shown = live(Pace(rate=50.0, concurrency=16, now=0.0), applied=1_000, unknown=2)
                shown.reports.settled_now = 900
                progress.watch(shown)

    trio.run(main, clock=MockClock(autojump_threshold=0))
    assert capsys.readouterr().err.splitlines() == [
        "patchwire: 1,000 applied, 2 unknown, 45/s, at most 50/s (--rate)",
        "patchwire: 1,000 applied, 2 unknown, 30/s, at most 50/s (--rate)",
    ]
