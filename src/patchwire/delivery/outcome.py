"""What happened to a change: judged for each attempt, joined over all of them.

PATCH is not idempotent, so the one question is whether the change may have been made. `unknown` says so plainly.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from enum import Enum

from msgspec import Struct

from patchwire.delivery.answer import Answer
from patchwire.errors import PatchwireError, Sent
from patchwire.http.message import Response
from patchwire.settings.written import DEFAULT_UNKNOWN_STATUSES


class Outcome(Enum):
    """How an attempt, or a record, ended."""

    APPLIED = "applied"
    REJECTED = "rejected"
    NOT_SENT = "not_sent"
    UNKNOWN = "unknown"


class Attempt(Struct, frozen=True):
    """One try at one record, and the evidence of it."""

    outcome: Outcome
    sent: Sent
    status: int | None = None
    etag: str | None = None
    error: str | None = None
    retry_after: float | None = None
    """Seconds that the response asked to wait, or None."""
    bytes_sent: int | None = 0
    """Octets of the request that the kernel took, on TLS with its framing; None, as with the next, if not known."""
    bytes_received: int | None = 0
    reused: bool | None = False
    """Whether the connection had served another request before."""
    answer: Answer | None = None
    """The response, where responses are kept."""


def untraced(
    outcome: Outcome,
    error: str | None,
    status: int | None = None,
    etag: str | None = None,
    answer: Answer | None = None,
) -> Attempt:
    """An attempt of which only its end is known, and not what went over the wire."""
    return Attempt(outcome, Sent.MAYBE, status, etag, error, None, None, None, None, answer)


def judge(sent: Sent, status: int | None, unknown_statuses: Collection[int]) -> Outcome:
    """The outcome of an attempt from its evidence: the final status, where a complete head has come, decides."""
    if status is None:
        return Outcome.NOT_SENT if sent is Sent.NO else Outcome.UNKNOWN
    if 200 <= status <= 299:
        return Outcome.APPLIED
    if status == 303 or status in unknown_statuses:
        return Outcome.UNKNOWN
    return Outcome.REJECTED


def outcome_of(
    result: Response | PatchwireError, unknown_statuses: Collection[int] = DEFAULT_UNKNOWN_STATUSES
) -> Outcome:
    """The outcome of a request from its response, or from the error that it ended with."""
    if isinstance(result, PatchwireError):
        return judge(result.sent, None, ())
    return judge(Sent.YES, result.status, unknown_statuses)


def join(attempts: Sequence[Attempt]) -> Attempt:
    """The attempt that decides the record.

    Any applied one; else the first unknown one, since an answer to a later attempt may come from this one's effect;
    else the last.
    """
    for wanted in (Outcome.APPLIED, Outcome.UNKNOWN):
        for attempt in attempts:
            if attempt.outcome is wanted:
                return attempt
    return attempts[-1]
