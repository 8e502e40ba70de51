"""Order: records of one lane, the path they change, go out one after the other; lanes go side by side.

A lane whose record ended `unknown` is held: what comes next in it may build on a change that is or is not there. What
else holds a lane, or nothing, can be chosen.
"""

from __future__ import annotations

from collections import deque
from enum import Enum
from typing import Final

from patchwire.delivery.outcome import Outcome
from patchwire.delivery.record import Record


class OnFailure(Enum):
    """What becomes of a lane behind a record that was not applied."""

    HOLD_UNKNOWN = "hold-unknown"
    """It is held by one that is unknown."""
    HOLD = "hold"
    """It is held by any that is not applied."""
    GO_ON = "go-on"


HOLDING: Final = {
    OnFailure.HOLD_UNKNOWN: frozenset({Outcome.UNKNOWN}),
    OnFailure.HOLD: frozenset({Outcome.UNKNOWN, Outcome.REJECTED, Outcome.NOT_SENT}),
    OnFailure.GO_ON: frozenset[Outcome](),
}


class Lanes:
    """The records that wait, and which of them may go out now. Every operation takes constant time."""

    def __init__(self, on_failure: OnFailure = OnFailure.HOLD_UNKNOWN) -> None:
        self._holding = HOLDING[on_failure]
        self.waiting_bytes = 0
        """Octets of the lines and bodies of all records that wait or are in flight."""
        self.waiting = 0
        """Their number."""
        self._ready: deque[Record] = deque()
        # A lane that is in flight or ready is a key here; its value holds what waits behind, when anything does.
        self._behind: dict[bytes, deque[Record] | None] = {}
        self._held: dict[bytes, str] = {}

    @property
    def has_ready(self) -> bool:
        """Whether a record may go out now."""
        return bool(self._ready)

    def holder(self, lane: bytes) -> str | None:
        """The id of the record that holds a lane, if one does."""
        return self._held.get(lane)

    def add(self, record: Record) -> str | None:
        """Queue a record. Returns the id of the record that holds its lane, if one does: then it is not queued."""
        lane = record.lane
        holder = self._held.get(lane)
        if holder is not None:
            return holder
        self.waiting += 1
        self.waiting_bytes += weight(record)
        if lane not in self._behind:
            self._behind[lane] = None
            self._ready.append(record)
        else:
            queue = self._behind[lane]
            if queue is None:
                queue = self._behind[lane] = deque()
            queue.append(record)
        return None

    def take(self) -> Record | None:
        """The next record that may go out, or None when all lanes with records are busy."""
        return self._ready.popleft() if self._ready else None

    def finish(self, record: Record, outcome: Outcome) -> list[Record]:
        """Free the lane of a record that was taken. Returns its successors when the lane is now held by it."""
        self._leave(record)
        queue = self._behind.pop(record.lane)
        if outcome in self._holding:
            self._held.setdefault(record.lane, record.id)
            successors = list(queue) if queue else []
            for successor in successors:
                self._leave(successor)
            return successors
        if queue:
            self._ready.append(queue.popleft())
            self._behind[record.lane] = queue or None
        return []

    def holds(self, outcome: Outcome) -> bool:
        """Whether a record that ended so holds its lane."""
        return outcome in self._holding

    def hold(self, lane: bytes, record_id: str) -> None:
        """Let nothing more out of this lane, because of its record `record_id`."""
        self._held.setdefault(lane, record_id)

    def _leave(self, record: Record) -> None:
        self.waiting -= 1
        self.waiting_bytes -= weight(record)


def weight(record: Record) -> int:
    """Octets that a waiting record keeps in memory, about."""
    return len(record.line) + len(record.request.body)
