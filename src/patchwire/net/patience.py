"""How long the peer may take over each part of an exchange, and which limit it has passed."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

NEVER: Final = float("inf")


class Timeouts(Struct, frozen=True):
    """Seconds, each for what the limit of its name says. One that is None is `read`."""

    read: float
    response: float = NEVER
    write: float | None = None
    first_byte: float | None = None
    request: float = NEVER


class Patience:
    """What is waited for, from exchange to exchange of one connection. `now` is on trio's clock, and so is what each
    method gives: until when to wait.
    """

    __slots__ = ("_answer_by", "_end_by", "_first_byte", "_part", "_read", "_timeouts", "_write")

    def __init__(self, timeouts: Timeouts) -> None:
        self._timeouts = timeouts
        self._read = timeouts.read
        self._write = timeouts.read if timeouts.write is None else timeouts.write
        self._first_byte = timeouts.read if timeouts.first_byte is None else timeouts.first_byte
        self._part = ""
        self._answer_by = self._end_by = NEVER

    def begin(self, now: float) -> None:
        """The first octet of a request is about to go."""
        self._end_by = now + self._timeouts.request

    def taking(self, now: float) -> float:
        """The peer takes the request, of which more is to come."""
        self._part = "write"
        self._answer_by = min(now + self._timeouts.response, self._end_by)
        return min(now + self._write, self._answer_by)

    def taken(self, now: float) -> float:
        """The peer has taken all of it."""
        self._part = "first_byte"
        self._answer_by = min(now + self._timeouts.response, self._end_by)
        return min(now + self._first_byte, self._answer_by)

    def holding(self, now: float) -> float:
        """The peer has the head, and the body waits for what it says of that."""
        self._part = "read"
        return min(now + self._read, self._answer_by)

    def filling(self) -> float:
        """It is not the peer who is waited for, but more of the body."""
        self._part = ""
        return self._end_by

    def heard(self, now: float, deadline: float, *, answered: bool) -> float:
        """The peer has said something; `deadline` is what counts so far. Interim responses do not make up for a body
        that it does not take, where that has a limit of its own.
        """
        part = self._part
        if not answered and (part == "" or (part == "write" and self._timeouts.write is not None)):
            return deadline
        self._part = "read"
        return min(now + self._read, self._answer_by)

    def complaint(self, origin: str, now: float) -> str:
        """Which limit has been passed, once one has."""
        timeouts = self._timeouts
        if self._end_by <= now:
            return (
                f"the exchange with {origin} did not end within {timeouts.request:g} seconds (limits.request_timeout)"
            )
        if self._answer_by <= now:
            timeout = f"{timeouts.response:g} seconds (limits.response_timeout)"
            return f"the response of {origin} was not complete within {timeout}"
        if self._part == "write" and timeouts.write is not None:
            return f"{origin} took nothing of the request within {timeouts.write:g} seconds (limits.write_timeout)"
        if self._part == "first_byte" and timeouts.first_byte is not None:
            timeout = f"{timeouts.first_byte:g} seconds (limits.first_byte_timeout)"
            return f"the response of {origin} did not begin within {timeout}"
        return f"{origin} was silent for {timeouts.read:g} seconds (limits.read_timeout)"
