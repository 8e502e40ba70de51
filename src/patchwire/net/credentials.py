"""Credentials that no server has accepted yet go out in one conversation at a time, lest they lock an account."""

from __future__ import annotations

import trio

from patchwire.auth.flow import FlowResult, Send
from patchwire.auth.role import PROXY, SERVER, Role
from patchwire.errors import CredentialsRejectedError


class CredentialsGate:
    """Shared by all who send them. Once the server has accepted the credentials it costs a look at a flag."""

    def __init__(self, *, needed: bool, role: Role = SERVER) -> None:
        self._open = not needed
        self._field = role.credentials.lower()
        self._rejected = 0
        self._lock = trio.Lock()

    async def enter(self, step: Send) -> bool:
        """Wait until the step may go. Whether the caller is alone with its credentials then, and has to `leave`.

        After a rejection it is alone also while it asks for a challenge: a nonce must not grow old in waiting.
        CredentialsRejectedError, with nothing sent, after the server has rejected them.
        """
        if step.after_rejection:
            self._open = False
        elif self.lets_through(step):
            return False
        await self._lock.acquire()
        if self._rejected:
            self._lock.release()
            who = "proxy" if self._rejected == PROXY.status else "server"
            problem = f"not sent, since the {who} has rejected these credentials"
            raise CredentialsRejectedError(problem, origin=str(step.request.origin), status=self._rejected)
        if self._open:
            self._lock.release()
            return False
        return True

    def lets_through(self, step: Send) -> bool:
        """Whether the step may go side by side with others: it has no credentials, or they are known to be good."""
        return self._open or not self.is_shown_by(step)

    def leave(self, result: FlowResult | None) -> None:
        """Let the next go. `result` is what became of the conversation, if it has come to an end."""
        if result is not None and result.shows_acceptance:
            self._open = True
        self._lock.release()

    def reject(self, status: int) -> None:
        """The credentials have been rejected with this status, whoever has sent them: nobody sends them any more."""
        self._open = False
        self._rejected = status

    def is_shown_by(self, step: Send) -> bool:
        """Whether the step's request has the credentials of any scheme that are for who is asked here."""
        return step.request.header(self._field) is not None
