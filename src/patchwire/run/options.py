"""What one run of a batch is asked for."""

from __future__ import annotations

from msgspec import Struct

from patchwire.delivery.lanes import OnFailure
from patchwire.delivery.retry import RetryPolicy
from patchwire.run.journal import Durability

STANDARD_INPUT = "-"


class BatchOptions(Struct, frozen=True, kw_only=True):
    """What one run reads, writes and does. File names; "-" is standard input, or output. Times in seconds."""

    records: str
    journal: str
    output: str | None = None
    failed: str | None = None
    unknown: str | None = None
    concurrency: int = 8
    rate: float | None = None
    """Requests a second, at most."""
    durability: Durability = Durability.NORMAL
    fresh: bool = False
    retry_unknown: bool = False
    """Send again what earlier runs have left unknown: doubling is acceptable."""
    verify: bool = False
    idempotency_key: bool = False
    request_id_header: str | None = None
    responses: bool = False
    """Keep each response beside its outcome, in journal and output."""
    fetch_tags: bool = False
    refetches: int = 0
    on_lane_failure: OnFailure = OnFailure.HOLD_UNKNOWN
    validate_first: bool = False
    skip_invalid: bool = False
    patience: float = 30.0
    """How long an origin which goes down in mid-run is given to come back."""
    max_failures: int | None = None
    max_failure_rate: float | None = None
    deadline: float | None = None
    """After so long nothing more is sent."""
    retry: RetryPolicy = RetryPolicy()
