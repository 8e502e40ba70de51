"""Progress of a batch on a terminal: a bar over the input, outcome counts, and the rate."""

from __future__ import annotations

import trio
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from patchwire.run.reports import Reports

INTERVAL = 0.2
COLOURS = {"applied": "green", "rejected": "yellow", "not_sent": "magenta", "unknown": "red"}


class BatchProgress:
    """Shows itself on standard error. Run `show` beside the batch and hand `watch` to it."""

    def __init__(self) -> None:
        self._reports: Reports | None = None
        self._size: int | None = None
        self._started = trio.current_time()

    def watch(self, reports: Reports, size: int | None) -> None:
        """What to show: live counts, and the input's size in bytes where it is known."""
        self._reports = reports
        self._size = size

    async def show(self) -> None:
        """Runs until it is cancelled."""
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
                if self._reports is not None:
                    done = self._reports.bytes_passed
                    progress.update(task, total=self._size, completed=done, description=self._describe(self._reports))
                    progress.refresh()
                await trio.sleep(INTERVAL)

    def _describe(self, reports: Reports) -> str:
        elapsed = trio.current_time() - self._started
        rate = reports.settled_now / elapsed if elapsed > 0 else 0.0
        counts = [
            f"[{colour}]{reports.counts[name]:,} {name}[/]" for name, colour in COLOURS.items() if reports.counts[name]
        ]
        return "  ".join([*counts, f"{rate:,.0f}/s"])
