"""Credentials that are the same for every request, such as those of Basic and Bearer: sent at once, or when asked."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from patchwire.auth.challenge import Challenge, parse
from patchwire.auth.flow import Body, Flow, FlowResult, Send, Tell, as_a_stranger, offers, send, send_held_back
from patchwire.auth.protection import ProtectionSpaces, directory_of
from patchwire.auth.role import SERVER, Role
from patchwire.http.message import Origin, Request


class SteadyAuthentication(ABC):
    """Sends credentials at once when `preemptive`, else from the first challenge on within its protection space.

    Credentials go to `origin` alone; for a proxy, `origin` is None and `role` says so.
    """

    scheme: ClassVar[str]
    """In its usual case."""
    generation = 0

    def __init__(self, origin: Origin | None, *, preemptive: bool, role: Role = SERVER) -> None:
        self._origin = origin
        self._preemptive = preemptive
        self.role = role
        self._spaces: ProtectionSpaces[bytes] = ProtectionSpaces()
        self._value = self.value(None)

    @abstractmethod
    def value(self, challenge: Challenge | None) -> bytes:
        """The credentials, as the challenge wants them if there is one."""

    @abstractmethod
    def rejection(self, challenge: Challenge) -> str:
        """What is said of a response that rejects them, with this challenge."""

    def where(self, challenge: Challenge) -> str:
        """Scheme and realm, for a person."""
        return f"({self.scheme})" if challenge.realm is None else f"({self.scheme}, realm {challenge.realm[:80]!r})"

    def _mine(self, asked: Sequence[Challenge]) -> Challenge | None:
        """The challenge of this scheme."""
        return next((challenge for challenge in asked if challenge.scheme == self.scheme.lower()), None)

    def _no_use(self, asked: Sequence[Challenge]) -> str:
        return f"{self.role.owner} asks for {offers(asked)}, this connection has {self.scheme}"

    def flow(self, request: Request, body: Body = Body.IN_REQUEST) -> Flow:
        """The conversation for one request. Its result names a refusal when the server rejects the credentials."""
        if self._origin is not None and request.origin != self._origin:
            return (yield from as_a_stranger(request))
        role = self.role
        value = self._value if self._preemptive else self._spaces.find(request)
        if value is None:
            response = yield from send_held_back(Send(request), body)
            if not role.is_asked_by(response):
                return FlowResult(response)
            asked = parse(response.all_values(role.challenge))
            challenge = self._mine(asked)
            if challenge is None:
                return FlowResult(response, self._no_use(asked))
            yield Tell(f"{role.owner} asks for {offers(asked)}; chosen: {self.scheme}")
            value = self.value(challenge)
        response = yield from send(Send(request.with_header(role.credentials, value)))
        if role.is_asked_by(response):
            asked = parse(response.all_values(role.challenge))
            challenge = self._mine(asked)
            return FlowResult(response, self._no_use(asked) if challenge is None else self.rejection(challenge))
        if self._origin is None:  # a proxy asks about whatever goes through it
            self._preemptive, self._value = True, value
        elif not self._preemptive:
            self._spaces.add(directory_of(request), value)
        return FlowResult(response, proves=role.proof)
