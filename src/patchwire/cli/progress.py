"""Progress of a batch: outcome counts, the rate and what holds it down; on a terminal under a bar over the input."""

from __future__ import annotations

import sys
from contextlib import suppress

import trio
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

from patchwire.cli import exits
from patchwire.cli.terminal import is_terminal
from patchwire.delivery.pacing import Reason
from patchwire.run.batch import Live

INTERVAL = 0.2
LINE_INTERVAL = 10.0
"""Seconds between two lines, where there is no terminal to draw on."""
COLOURS = {"applied": "green", "rejected": "yellow", "not_sent": "magenta", "unknown": "red"}


class BatchProgress:
    """Shows itself on standard error, off a terminal as a plain line now and then. Run `show` beside the batch and
    hand `watch` to it.
    """

    def __init__(self) -> None:
        self._live: Live | None = None
        self._started = trio.current_time()

    def watch(self, live: Live) -> None:
        """What to show."""
        self._live = live

    async def show(self) -> None:
        """Runs until it is cancelled, or nobody can see it any more."""
        with suppress(OSError):  # a batch goes on when its terminal has gone
            await (self._draw() if is_terminal(sys.stderr) else self._say())

    async def _draw(self) -> None:
        columns = (
            BarColumn(),
            TextColumn("{task.description}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        # Drawn from this task: rich's own thread would compete with the batch for the interpreter.
        with Progress(*columns, console=Console(stderr=True), auto_refresh=False, transient=True) as progress:
            task = progress.add_task("", total=None)
            while True:
                if self._live is not None:
                    done, parts = self._live.reports.bytes_passed, self._describe(self._live, trio.current_time())
                    progress.update(task, total=self._live.size, completed=done, description="  ".join(parts))
                    progress.refresh()
                await trio.sleep(INTERVAL)

    async def _say(self) -> None:
        while True:
            await trio.sleep(LINE_INTERVAL)
            if self._live is not None:
                parts = self._describe(self._live, trio.current_time())
                exits.say(Text.from_markup(", ".join(parts)).plain)

    def _describe(self, live: Live, now: float) -> list[str]:
        """In rich's markup: the counts that are not 0, the rate, and the pace in force."""
        reports = live.reports
        elapsed = now - self._started
        rate = reports.settled_now / elapsed if elapsed > 0 else 0.0
        counts = [
            f"[{colour}]{reports.counts[name]:,} {name}[/]" for name, colour in COLOURS.items() if reports.counts[name]
        ]
        return [*counts, f"{rate:,.0f}/s", *pace_in_force(live, now)]


def pace_in_force(live: Live, now: float) -> list[str]:
    """What holds the run down, and how far; nothing where nothing does."""
    down = live.origin.down_for(now)
    if down:
        return [f"[red]origin down for {down:.0f} s[/]"]
    pace, reason = live.pace, live.pace.reason(now)
    if reason is Reason.NO_ANSWER:
        return [f"[red]no real answer for {pace.health.bad_for(now):.0f} s, trying one at a time[/]"]
    if reason is Reason.PAUSE:
        return [f"[yellow]pausing for {pace.paused(now):.0f} s (Retry-After)[/]"]
    if reason is Reason.NOTHING:
        return []
    limits = []
    if pace.rate(now) != float("inf"):
        rate = pace.rate(now)
        limits.append(f"at most {rate:,.0f}/s" if rate >= 100 else f"at most {rate:.3g}/s")
    if pace.is_concurrency_cut:
        limits.append(f"{pace.in_flight_limit} in flight")
    return [f"[yellow]{', '.join(limits)} ({reason.value})[/]"]
