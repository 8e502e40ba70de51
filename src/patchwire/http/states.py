"""Where an exchange can stand, and every step that it can take from there."""

from __future__ import annotations

from enum import Enum, auto
from typing import Final


class _FastEnum(Enum):
    """Members are singletons: hashing them by identity saves a call in Python for each look into the table."""

    __hash__ = object.__hash__


class State(_FastEnum):
    """Where an exchange stands."""

    READY = auto()  # nothing handed out yet
    HOLDING = auto()  # head handed out; the body waits for 100 (Continue)
    SENDING = auto()  # everything handed out, but the caller has not sent all of it
    WAITING = auto()  # everything sent; no final head yet
    REFUSED = auto()  # the final head came in place of 100 (Continue); the body stays here
    EARLY = auto()  # the final head came before everything was sent
    READING = auto()  # everything sent, final head came, its body is coming
    COMPLETE = auto()
    FAILED = auto()


class Step(_FastEnum):
    """What can happen to an exchange."""

    START = auto()
    START_HOLDING = auto()
    RELEASE = auto()  # 100 (Continue) came, or its deadline passed
    ALL_SENT = auto()
    INTERIM = auto()
    HEAD = auto()
    END = auto()
    FAIL = auto()


TRANSITIONS: Final[dict[tuple[State, Step], State]] = {
    (State.READY, Step.START): State.SENDING,
    (State.READY, Step.START_HOLDING): State.HOLDING,
    (State.HOLDING, Step.ALL_SENT): State.HOLDING,
    (State.HOLDING, Step.INTERIM): State.HOLDING,
    (State.HOLDING, Step.RELEASE): State.SENDING,
    (State.HOLDING, Step.HEAD): State.REFUSED,
    (State.HOLDING, Step.FAIL): State.FAILED,
    (State.SENDING, Step.ALL_SENT): State.WAITING,
    (State.SENDING, Step.INTERIM): State.SENDING,
    (State.SENDING, Step.HEAD): State.EARLY,
    (State.SENDING, Step.FAIL): State.FAILED,
    (State.WAITING, Step.INTERIM): State.WAITING,
    (State.WAITING, Step.HEAD): State.READING,
    (State.WAITING, Step.FAIL): State.FAILED,
    (State.REFUSED, Step.ALL_SENT): State.REFUSED,
    (State.REFUSED, Step.END): State.COMPLETE,
    (State.REFUSED, Step.FAIL): State.FAILED,
    (State.EARLY, Step.ALL_SENT): State.READING,
    (State.EARLY, Step.END): State.COMPLETE,
    (State.EARLY, Step.FAIL): State.FAILED,
    (State.READING, Step.END): State.COMPLETE,
    (State.READING, Step.FAIL): State.FAILED,
}
