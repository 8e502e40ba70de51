"""The outcome of a record as a line of --output says it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import UNSET, Struct, UnsetType

from patchwire.delivery.answer import Answer
from patchwire.delivery.outcome import Attempt, Outcome, join, untraced
from patchwire.delivery.record import Record

LOOKED: Final = "; --verify: "
"""Between why a record is unknown and why a look at the resource could not end the doubt."""


class OutcomeLine(Struct):
    """The outcome of a record, as it stands in --output."""

    seq: int
    id: str
    path: str
    outcome: str
    status: int | None
    attempts: int
    etag: str | None
    seconds: float
    error: str | None
    pending: bool | UnsetType = UNSET
    partial: bool | UnsetType = UNSET
    properties: msgspec.Raw | UnsetType = UNSET
    response_headers: dict[str, str] | UnsetType = UNSET
    response: str | UnsetType = UNSET
    response_encoding: str | UnsetType = UNSET


def outcome_line(
    record: Record,
    attempts: Sequence[Attempt],
    seconds: float,
    *,
    verified: Attempt | None = None,
    note: str | None = None,
) -> OutcomeLine:
    """What --output says of a record after these attempts, and those of earlier runs; at least one in all.

    `verified` is what a look at the resource has found, which decides; `note`, why a look could not end the doubt.
    """
    decisive = verified or join([*record.earlier, *attempts])
    error = decisive.error
    if note is not None and decisive.outcome is Outcome.UNKNOWN:
        doubt = (error or f"answered with {decisive.status}").partition(LOOKED)[0]  # a later look replaces an earlier
        error = f"{doubt}{LOOKED}{note}"
    return line_from(
        record.seq,
        record.id,
        record.path,
        decisive.outcome,
        decisive.status,
        attempts=record.attempts_before + len(attempts),
        etag=decisive.etag,
        seconds=seconds,
        error=error,
        properties=record.properties,
        answer=decisive.answer,
    )


def held_line(record: Record, holder: str) -> OutcomeLine:
    """What --output says of a record that is not sent because the record `holder` of its lane is unknown."""
    return line_from(
        record.seq,
        record.id,
        record.path,
        Outcome.NOT_SENT,
        None,
        attempts=0,
        etag=None,
        seconds=0.0,
        error=f"held by {holder}",
        properties=record.properties,
    )


def attempt_of(line: OutcomeLine) -> Attempt:
    """The attempt that has decided a record, as far as its outcome tells of it."""
    answer = None
    if line.response_headers is not UNSET and line.response is not UNSET:
        encoding = None if line.response_encoding is UNSET else line.response_encoding
        answer = Answer(line.response_headers, line.response, encoding)
    return untraced(Outcome(line.outcome), line.error, line.status, line.etag, answer)


def line_from(
    seq: int,
    record_id: str,
    path: str,
    outcome: Outcome,
    status: int | None,
    *,
    attempts: int,
    etag: str | None,
    seconds: float,
    error: str | None,
    properties: bytes,
    answer: Answer | None = None,
) -> OutcomeLine:
    """The outcome line of these values; `pending` and `partial` follow from 202 and 207."""
    line = OutcomeLine(
        seq,
        record_id,
        path,
        outcome.value,
        status,
        attempts,
        etag,
        round(seconds, 6),
        error,
        pending=True if status == 202 else UNSET,
        partial=True if status == 207 else UNSET,
        properties=msgspec.Raw(properties) if properties else UNSET,
    )
    if answer is not None:
        line.response_headers, line.response = answer.headers, answer.body
        line.response_encoding = UNSET if answer.encoding is None else answer.encoding
    return line
