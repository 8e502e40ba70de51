"""When a run stops itself: too many failures, or an origin that gives no answers, or takes nothing."""

from __future__ import annotations

from typing import Final

import trio
from msgspec import Struct

from patchwire.delivery.validators import Validators
from patchwire.errors import OriginError, PatchwireError, RunLimitError
from patchwire.net.perform import Performer
from patchwire.run.pacer import Pacer
from patchwire.run.reports import Reports

FEWEST: Final = 100
"""Records, below which a rate of failures says nothing."""
STANDSTILL: Final = 120.0
"""Seconds for which an origin may refuse all, at least: many count by the minute, and do not say when it is over."""


MAX_UNPROVEN: Final = 3
"""Answers in a row whose sender may not know the password: one may be an accident."""


class RunLimits(Struct, frozen=True, kw_only=True):
    """What was asked for, and whom it is about."""

    origin: str
    validators: Validators
    performer: Performer
    patience: float
    """Seconds without an answer, while records are sent."""
    max_failures: int | None = None
    """Records that are not applied."""
    max_failure_rate: float | None = None
    """Their share of all, from 0 to 1."""

    def failure(self, reports: Reports, pacer: Pacer) -> PatchwireError | None:
        """Why the run is to stop, if it is."""
        health = pacer.pace.health
        if health.is_bad and health.bad_for(trio.current_time()) > self.patience:
            return self._stopping(health.trouble)
        refusals, said = pacer.pace.refusals, pacer.pace.refusal.value
        if refusals.lasting(trio.current_time()) > max(self.patience, STANDSTILL):
            return self._stopping(
                f"has refused {refusals.count:,} requests as too many ({said}) since it last took one"
            )
        if self.performer.unproven >= MAX_UNPROVEN:
            return self._stopping(
                f"has given {self.performer.unproven} answers in a row that do not prove that it knows the password, "
                "and may be somebody else"
            )
        if self.validators.never_match:
            problem = f"{self.origin} answers 412 to the very entity tags that it gives, so no If-Match can match"
            return OriginError(f"{problem}; run without --if-match fetch", origin=self.origin)
        return self._too_many(reports)

    def _stopping(self, what: str) -> OriginError:
        return OriginError(f"{self.origin} {what}; nothing more was sent to it", origin=self.origin)

    def _too_many(self, reports: Reports) -> PatchwireError | None:
        failed, settled = reports.failed_now, reports.settled_now
        said = f"stopped, since {failed:,} of {settled:,} records were not applied"
        if self.max_failures is not None and failed > self.max_failures:
            return RunLimitError(f"{said} (--max-failures {self.max_failures})")
        if self.max_failure_rate is not None and settled >= FEWEST and failed > self.max_failure_rate * settled:
            return RunLimitError(f"{said} (--max-failure-rate {self.max_failure_rate:g})")
        return None
