"""Credentials that no server has accepted yet go out in one conversation at a time, lest they lock an account."""

from __future__ import annotations

import trio

from patchwire.auth.flow import FlowResult, Send, accepts
from patchwire.errors import CredentialsRejectedError


class CredentialsGate:
    """Shared by all who send them. Once the server has accepted the credentials it costs a look at a flag."""

    def __init__(self, *, needed: bool) -> None:
        self._open = not needed
        self._rejected = False
        self._lock = trio.Lock()

    async def enter(self, step: Send) -> bool:
        """Wait until the step may go. Whether the caller is alone with its credentials then, and has to `leave`.

        CredentialsRejectedError, with nothing sent, after the server has rejected them.
        """
        if step.after_rejection:
            self._open = False
        if self.lets_through(step):
            return False
        await self._lock.acquire()
        if self._rejected:
            self._lock.release()
            problem = "not sent, since the server has rejected these credentials"
            raise CredentialsRejectedError(problem, origin=str(step.request.origin), status=401)
        if self._open:
            self._lock.release()
            return False
        return True

    def lets_through(self, step: Send) -> bool:
        """Whether the step may go side by side with others: it has no credentials, or they are known to be good."""
        return self._open or not _carries_credentials(step)

    def leave(self, result: FlowResult | None) -> None:
        """Let the next go. `result` is what became of the conversation, if it has come to an end."""
        if result is not None:
            self._rejected = result.refusal is not None
            self._open = result.doubt is None and accepts(result.response)
        self._lock.release()


def _carries_credentials(step: Send) -> bool:
    request = step.request
    return request.header(b"authorization") is not None or request.header(b"proxy-authorization") is not None
