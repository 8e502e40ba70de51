"""The pace of a run on trio's clock: who may send waits here, and what came back is told here."""

from __future__ import annotations

import trio

from patchwire.delivery.latency import Latencies
from patchwire.delivery.pacing import Pace
from patchwire.errors import Sent
from patchwire.net.connection import Reply
from patchwire.net.sources import now as wall_clock


class StoppedError(Exception):
    """The run was stopped before the request could be sent."""


class Pacer:
    """One for all workers of a run. `stop` is set when nothing more is to be sent."""

    def __init__(self, pace: Pace, stop: trio.Event) -> None:
        self.pace = pace
        self.latencies = Latencies()
        """Seconds from when a request left until its answer was whole."""
        self._stop = stop

    def allowance(self, in_flight: int) -> int:
        """How many records may be handed out now, beside those in flight."""
        return self.pace.allowance(in_flight, trio.current_time())

    def next_at(self, in_flight: int) -> float:
        """When to ask again, after an allowance of 0; infinity where only an answer changes it."""
        return self.pace.next_at(in_flight, trio.current_time())

    def refuse_if_stopped(self) -> None:
        """StoppedError, once the run is stopped."""
        if self._stop.is_set():
            raise StoppedError

    async def admit(self) -> None:
        """Wait until one more request may leave, on behalf of a record that is in flight. StoppedError: none may."""
        while not self._stop.is_set():
            if self.allowance(0):
                self.pace.take()
                return
            with trio.move_on_at(self.next_at(0)):
                await self._stop.wait()
        raise StoppedError

    async def follow(self) -> None:
        """Wait until the next request of an attempt under way may leave: at once, since the nonce that it answers may
        not live long, unless the origin asks to be left alone. The pace counts it. StoppedError: it may not.
        """
        await self.outwait_pause()
        self.pace.take()

    async def outwait_pause(self) -> None:
        """Wait while the origin asks to be left alone. StoppedError: the run was stopped."""
        while (left := self.pace.paused(trio.current_time())) > 0:
            with trio.move_on_after(left):
                await self._stop.wait()
            self.refuse_if_stopped()

    def observe(self, reply: Reply, sent_at: float) -> None:
        """Learn from what came of a request that left at `sent_at`."""
        now = trio.current_time()
        response = reply.response
        if response is None:
            if reply.sent is not Sent.NO:
                self.pace.lost(now)
            return
        self.latencies.record(now - sent_at)
        pause = response.retry_after(wall_clock()) if response.status in (429, 503) else None
        self.pace.answered(response.status, pause, sent_at, now)
