"""Whether to send a record again, from what was sent and seen: a pure function.

Nothing else in the library resends anything. What may have been applied is resent only where this is harmless.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from patchwire.delivery.outcome import Attempt, Outcome

ASKS_FOR_ANOTHER_TRY = frozenset({408, 421, 425, 429})
"""Statuses which mean that the request was not acted upon and may be repeated (RFC 9110 section 15.5, RFC 6585,
RFC 8470); 503 joins them where it names a time, 417 where the request had an expectation."""


class RetryPolicy(Struct, frozen=True):
    """Delays in seconds. The n-th delay is drawn up to base_delay x 2^n, never over max_delay."""

    max_attempts: int = 5
    base_delay: float = 0.2
    max_delay: float = 10.0
    max_retry_after: float = 120.0
    """A server that asks for a longer pause is not waited for."""


class Again(Struct, frozen=True):
    """Send the record again at `at`, on the clock of `now`."""

    at: float
    without_expect: bool = False


def next_attempt(
    attempts: Sequence[Attempt],
    *,
    resendable: bool,
    expects: bool,
    policy: RetryPolicy,
    now: float,
    jitter: float,
) -> Again | None:
    """When to send again, or None: the record's outcome stands.

    `resendable` says that a second application would be harmless, or is kept from happening by a key or a validator.
    `jitter` is drawn evenly from 0 to 1 by the caller.
    """
    last = attempts[-1]
    outcomes = {attempt.outcome for attempt in attempts}
    if Outcome.APPLIED in outcomes or (Outcome.UNKNOWN in outcomes and not resendable):
        return None
    if len(attempts) >= policy.max_attempts or not _may_repeat(last, expects):
        return None
    without_expect = last.status == 417
    if last.retry_after is not None:
        at = now + last.retry_after
        return Again(at, without_expect) if last.retry_after <= policy.max_retry_after else None
    if without_expect or (last.outcome is Outcome.NOT_SENT and len(attempts) == 1):
        return Again(now, without_expect)
    ceiling = min(policy.max_delay, policy.base_delay * 2.0 ** min(len(attempts), 60))
    return Again(now + jitter * ceiling)


def postponement(last: Attempt, policy: RetryPolicy) -> float | None:
    """The seconds for which an answer that asks for another try wants it put off, where that is not waited for."""
    pause = last.retry_after
    asks = last.outcome is Outcome.NOT_SENT or last.status == 503 or last.status in ASKS_FOR_ANOTHER_TRY
    return pause if asks and pause is not None and pause > policy.max_retry_after else None


def _may_repeat(last: Attempt, expects: bool) -> bool:
    if last.outcome is Outcome.NOT_SENT:
        return True
    if last.outcome is Outcome.UNKNOWN:
        return True  # and resendable
    if last.status == 417:
        return expects
    return last.status in ASKS_FOR_ANOTHER_TRY or (last.status == 503 and last.retry_after is not None)
