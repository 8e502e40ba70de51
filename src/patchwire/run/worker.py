"""A worker: it brings one record after another to an outcome, over a sender of its own."""

from __future__ import annotations

from typing import Final

import msgspec
import trio
from msgspec import Struct

from patchwire.delivery.answer import answer_of
from patchwire.delivery.labels import Labels
from patchwire.delivery.outcome import Attempt, Outcome, join, judge, untraced
from patchwire.delivery.record import Record
from patchwire.delivery.retry import Again, RetryPolicy, next_attempt, postponement
from patchwire.delivery.validators import PRECONDITION_FAILED, is_strong
from patchwire.errors import (
    ConnectError,
    CredentialsError,
    LocalProtocolError,
    PatchwireError,
    Sent,
    StorageError,
    UnprovenResponseError,
)
from patchwire.http.message import Request
from patchwire.net.connection import Reply
from patchwire.net.sources import jitter, now
from patchwire.run.pacer import StoppedError
from patchwire.run.precondition import Preconditions, Unfetched
from patchwire.run.sender import Sender
from patchwire.run.verification import verified


class Delivery(Struct):
    """A record with this run's attempts. What stops the run stands beside them."""

    record: Record
    attempts: list[Attempt] = []
    seconds: float = 0.0
    verified: Attempt | None = None
    """What a look at the resource has shown, where it ended the doubt."""
    note: str | None = None
    """What a look at the resource has shown, where it did not."""
    refusal: str | None = None
    """The server does not accept the credentials."""
    unreachable: ConnectError | None = None
    unkept: StorageError | None = None
    """The credentials cannot be written down, without which they are not used."""
    postponed: float | None = None
    """Seconds for which the origin asks to be left alone, where that is longer than a run waits."""
    unsendable: bool = False
    """HTTP does not allow the request, or what it needs cannot be had."""
    unfinished: bool = False
    """The record was given up before its turn was over; if nothing may have been applied, a resume sends it."""
    unproven: bool = False
    """The answer may have come from somebody who does not know the password: nothing is sent after that."""
    sender: Sender | None = None
    """Who makes an attempt at the moment."""

    @property
    def outcome(self) -> Outcome | None:
        """What is known by now, with the attempts of earlier runs; None where there was none."""
        if self.verified is not None:
            return Outcome.APPLIED
        attempts = [*self.record.earlier, *self.attempts]
        return join(attempts).outcome if attempts else None

    @property
    def at_an_end(self) -> bool:
        """Whether no further attempt makes sense."""
        return self._is_stopped or self.unsendable or self.unproven

    def give_up(self) -> None:
        """The run is cancelled: an attempt that is under way may yet be applied."""
        if self.sender is not None and self.sender.is_sending:
            self.attempts.append(_CANCELLED)
        self.unfinished = True

    @property
    def _is_stopped(self) -> bool:
        """Whether what ends this delivery ends the run."""
        return self.refusal is not None or self.unreachable is not None or self.unkept is not None

    @property
    def to_be_sent_again(self) -> bool:
        """Whether a resume may take it as if this run had never had it."""
        if self.record.earlier:
            return not self.attempts and self.verified is None and self.note is None
        stopped = self._is_stopped or self.postponed is not None
        return not self.attempts or (
            (self.unfinished or stopped) and join(self.attempts).outcome in (Outcome.NOT_SENT, Outcome.REJECTED)
        )


class Delivering(Struct, frozen=True):
    """What all workers of a run have in common. `stop` is set when nothing more is to be sent."""

    policy: RetryPolicy
    labels: Labels
    preconditions: Preconditions
    unknown_statuses: frozenset[int]
    is_keyed: bool
    """Whether earlier runs have sent idempotency keys too."""
    retries_unknown: bool
    """Whether what an earlier run has left unknown is sent again."""
    verifies: bool
    """Whether the doubt is to be ended by a look at the resource, where that can end it."""
    stop: trio.Event
    keeps_responses: bool = False
    """Whether responses are kept beside their outcomes."""
    hidden_fields: frozenset[bytes] = frozenset()
    """Fields of theirs whose values are not kept, in lower case."""


class Worker:
    """Brings one record after another to its outcome."""

    def __init__(self, sender: Sender, delivering: Delivering) -> None:
        self._sender = sender
        self._with = delivering

    async def deliver(self, delivery: Delivery) -> None:
        """Bring the record to an outcome: the attempts it took, of which the last may have been given up."""
        record = delivery.record
        started = trio.current_time()
        self._sender.admitted()
        try:
            if not record.earlier or await self._is_to_be_sent_again(delivery):
                await self._send(self._with.labels.keyed(record), delivery)
            if self._with.verifies and delivery.attempts and delivery.outcome is Outcome.UNKNOWN:
                await self._verify(delivery)
        except StoppedError:
            delivery.unfinished = True
        delivery.seconds = trio.current_time() - started
        self._sender.share()

    async def _is_to_be_sent_again(self, delivery: Delivery) -> bool:
        """Of a record that an earlier run has left unknown."""
        if self._with.verifies:
            await self._verify(delivery)
            if delivery.verified is not None:
                return False
        record = delivery.record
        return not delivery.at_an_end and (self._with.retries_unknown or self._is_harmless(record, record.request))

    async def _send(self, request: Request, delivery: Delivery) -> None:
        renewals = 0
        while True:
            request = await self._attempt(request, delivery)
            last = delivery.attempts[-1]
            if last.outcome is Outcome.APPLIED or delivery.at_an_end:
                return
            if last.status == PRECONDITION_FAILED and self._may_renew(delivery):
                renewed = await self._renewed(request, delivery, renewals)
                if renewed is None:
                    return
                request, renewals = renewed, renewals + 1
                continue
            again = self._again(request, delivery)
            if again is None:
                return
            if await self._is_stopped_before(again.at):
                delivery.unfinished = True
                return
            if again.without_expect:
                request = request.without_header(b"expect")

    async def _attempt(self, request: Request, delivery: Delivery) -> Request:
        """Make one more attempt. Returns the request as it went out, with the tag that was fetched for it."""
        preconditions = self._with.preconditions
        try:
            if preconditions.lacks_tag(request):
                tag = await preconditions.fetch(self._sender, request)
                if isinstance(tag, Unfetched):
                    delivery.attempts.append(tag.attempt)
                    delivery.unsendable = tag.is_final
                    return request
                request = request.with_header(b"If-Match", tag)
            record = delivery.record
            number = record.attempts_before + len(delivery.attempts) + 1
            identified = self._with.labels.identified(request, record.seq, number)
            if delivery.unfinished:  # given up while this task was about to go on
                raise StoppedError
            delivery.sender = self._sender  # also when it is cancelled
            reply, result = await self._sender.send(identified, keep_body=self._with.keeps_responses)
        except StoppedError:
            delivery.sender = None
            raise
        except _STOPPING as error:
            delivery.sender = None
            _note(error, delivery)
            delivery.attempts.append(Attempt(Outcome.NOT_SENT, Sent.NO, error=str(error)))
            return request
        delivery.sender = None
        if result is not None:
            delivery.refusal = result.refusal
        delivery.unproven = isinstance(reply.error, UnprovenResponseError)
        if reply.response is not None:
            preconditions.validators.learn(request, reply.response)
        delivery.attempts.append(self._judged(reply))
        return request

    def _judged(self, reply: Reply) -> Attempt:
        response = reply.response
        evidence = (reply.bytes_sent, reply.bytes_received, reply.reused)
        if response is None:
            outcome = judge(reply.sent, None, ())
            return Attempt(outcome, reply.sent, None, None, str(reply.error), None, *evidence)
        etag = response.header(b"etag")
        return Attempt(
            judge(reply.sent, response.status, self._with.unknown_statuses),
            reply.sent,
            response.status,
            None if etag is None else etag.decode("latin-1"),
            response.error,
            None if response.status < 300 else response.retry_after(now()),
            *evidence,
            answer_of(response, self._with.hidden_fields) if self._with.keeps_responses else None,
        )

    def _again(self, request: Request, delivery: Delivery) -> Again | None:
        policy = self._with.policy
        again = next_attempt(
            delivery.attempts,
            resendable=self._is_harmless(delivery.record, request),
            expects=request.header(b"expect") is not None,
            policy=policy,
            now=trio.current_time(),
            jitter=jitter(),
        )
        if again is None:
            delivery.postponed = postponement(delivery.attempts[-1], policy)
        return again

    def _is_harmless(self, record: Record, request: Request) -> bool:
        """Whether the request may be sent again after an attempt that may have been applied."""
        if record.idempotent:
            return True
        if self._with.labels.idempotency_key and (self._with.is_keyed or not record.earlier):
            return True
        return self._with.preconditions.validators.are_honoured and is_strong(request.header(b"if-match") or b"")

    def _may_renew(self, delivery: Delivery) -> bool:
        """Whether the tag that was refused is one that was fetched, and the refusal settles the record."""
        fetched = self._with.preconditions.lacks_tag(delivery.record.request)
        return fetched and delivery.outcome is Outcome.REJECTED

    async def _renewed(self, request: Request, delivery: Delivery, renewals: int) -> Request | None:
        try:
            renewed, fault = await self._with.preconditions.renewed(self._sender, request, renewals)
        except _STOPPING as error:
            _note(error, delivery)
            return None
        if fault is not None:
            delivery.attempts[-1] = msgspec.structs.replace(delivery.attempts[-1], error=fault)
        return renewed

    async def _verify(self, delivery: Delivery) -> None:
        try:
            request, just_sent = delivery.record.request, bool(delivery.attempts)
            found = await verified(self._sender, request, self._with.stop, just_sent=just_sent)
        except _STOPPING as error:
            _note(error, delivery)
            return
        if isinstance(found, Attempt):
            delivery.verified = found
        else:
            delivery.note = found

    async def _is_stopped_before(self, at: float) -> bool:
        """Wait until `at`; whether the run was stopped meanwhile."""
        with trio.move_on_at(at):
            await self._with.stop.wait()
        return self._with.stop.is_set()


_CANCELLED: Final = untraced(Outcome.UNKNOWN, "stopped before an answer came")
_STOPPING: Final = (CredentialsError, ConnectError, LocalProtocolError, StorageError)
"""With these nothing was sent, and nothing more is to be."""


def _note(error: PatchwireError, delivery: Delivery) -> None:
    if isinstance(error, CredentialsError):
        delivery.refusal = str(error)
    elif isinstance(error, ConnectError):
        delivery.unreachable = error
    elif isinstance(error, StorageError):
        delivery.unkept = error
    else:
        delivery.unsendable = True
