"""A worker: it owns one connection, and brings one record after another to an outcome on it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio
from msgspec import Struct

from patchwire.auth.flow import Authentication
from patchwire.delivery.outcome import Attempt, Outcome, join, judge
from patchwire.delivery.record import Record
from patchwire.delivery.retry import RetryPolicy, next_attempt
from patchwire.errors import ConnectError, CredentialsRejectedError, LocalProtocolError, Sent
from patchwire.http.fields import retry_after
from patchwire.http.message import Request, Response
from patchwire.net.connection import Connection, Reply
from patchwire.net.credentials import CredentialsGate
from patchwire.net.perform import perform
from patchwire.net.sources import jitter, now
from patchwire.settings.connection import ConnectionSettings


class Delivery(Struct):
    """A record with its attempts. What stops the run stands beside them."""

    record: Record
    attempts: list[Attempt]
    seconds: float
    refusal: str | None = None
    """The server does not accept the credentials."""
    unreachable: ConnectError | None = None
    unsendable: bool = False
    """HTTP does not allow the request."""
    unfinished: bool = False
    """The record was given up before its turn was over; if nothing may have been applied, a resume sends it."""

    @property
    def at_an_end(self) -> bool:
        """Whether no further attempt makes sense."""
        return self.refusal is not None or self.unreachable is not None or self.unsendable

    @property
    def to_be_sent_again(self) -> bool:
        """Whether a resume may send it as if it had never been sent."""
        given_up = self.unfinished or self.unreachable is not None or self.refusal is not None
        return given_up and join(self.attempts).outcome in (Outcome.NOT_SENT, Outcome.REJECTED)


class Worker:
    """Delivers records, one at a time. `connect` opens its connection whenever it has none that is fit for use."""

    def __init__(
        self,
        settings: ConnectionSettings,
        authentication: Authentication,
        connect: Callable[[], Awaitable[Connection]],
        policy: RetryPolicy,
        credentials: CredentialsGate,
        stop: trio.Event,
    ) -> None:
        self._unknown_statuses = frozenset(settings.outcomes.unknown_statuses)
        self._authentication = authentication
        self._connect = connect
        self._policy = policy
        self._credentials = credentials
        self._stop = stop
        self._connection: Connection | None = None

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()

    async def deliver(self, record: Record) -> Delivery:
        """Bring the record to an outcome: the attempts it took, of which the last may have been given up."""
        request = record.request
        delivery = Delivery(record, [], 0.0)
        started = trio.current_time()
        while True:
            attempt = await self._attempt(request, delivery)
            delivery.attempts.append(attempt)
            if attempt.outcome is Outcome.APPLIED or delivery.at_an_end:
                break
            again = next_attempt(
                delivery.attempts,
                idempotent=record.idempotent,
                expects=request.header(b"expect") is not None,
                policy=self._policy,
                now=trio.current_time(),
                jitter=jitter(),
            )
            if again is None:
                break
            if await self._stopped_before(again.at):
                delivery.unfinished = True
                break
            if again.without_expect:
                request = request.without_header(b"expect")
        delivery.seconds = trio.current_time() - started
        return delivery

    async def _attempt(self, request: Request, delivery: Delivery) -> Attempt:
        try:
            reply, result = await perform(self._authentication.flow(request), self._send)
        except CredentialsRejectedError as error:
            delivery.refusal = str(error)
            return Attempt(Outcome.NOT_SENT, Sent.NO, error=str(error))
        except ConnectError as error:
            delivery.unreachable = error
            return Attempt(Outcome.NOT_SENT, Sent.NO, error=str(error))
        except LocalProtocolError as error:
            delivery.unsendable = True
            return Attempt(Outcome.NOT_SENT, Sent.NO, error=str(error))
        if result is not None:
            delivery.refusal = result.refusal
        response = reply.response
        if response is not None and response.status == 421:
            self.close()  # it asks for another connection (RFC 9110 section 15.5.20)
        if response is None:
            return Attempt(judge(reply.sent, None, ()), reply.sent, error=str(reply.error))
        return self._answered(reply.sent, response)

    def _answered(self, sent: Sent, response: Response) -> Attempt:
        etag = response.header(b"etag")
        pause = response.header(b"retry-after")
        return Attempt(
            judge(sent, response.status, self._unknown_statuses),
            sent,
            response.status,
            None if etag is None else etag.decode("latin-1"),
            response.error,
            None if pause is None else retry_after(pause, now()),
        )

    async def _send(self, request: Request) -> Reply:
        return await self._credentials.send(request, self._exchange)

    async def _exchange(self, request: Request) -> Reply:
        if self._connection is not None and self._connection.usable:
            reply = await self._connection.exchange(request)
            if reply.sent is not Sent.NO or not reply.reused:
                return reply
        # An idle connection that the server has closed meanwhile is the ordinary end of it, and no attempt.
        self._connection = await self._connect()
        reply = await self._connection.exchange(request)
        if isinstance(reply.error, ConnectError):
            raise reply.error  # the server rejected our certificate behind the handshake: its state, not the record's
        return reply

    async def _stopped_before(self, at: float) -> bool:
        """Wait until `at`; whether the run was stopped meanwhile."""
        with trio.move_on_at(at):
            await self._stop.wait()
        return self._stop.is_set()
