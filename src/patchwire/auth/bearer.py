"""Bearer tokens (RFC 6750): whoever has one may use it, so it goes to its origin alone."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import ClassVar

from patchwire.auth.challenge import Challenge
from patchwire.auth.quoting import hiding
from patchwire.auth.role import SERVER, Role
from patchwire.auth.steady import SteadyAuthentication
from patchwire.errors import LocalProtocolError
from patchwire.http.message import Origin

_token = re.compile(r"[!#-+\--<>-\[\]-~]+=*").fullmatch


def is_token(text: str) -> bool:
    """Whether an Authorization field can carry it and hold nothing else: visible ASCII, without quotes, backslash and
    comma. RFC 6750 section 2.1 has fewer characters, and some who give tokens (Salesforce, Facebook) have these too.
    """
    return _token(text) is not None


def authorization(token: str) -> bytes:
    """The value of the Authorization field (RFC 6750 section 2.1). LocalProtocolError where that cannot carry it."""
    if not is_token(token):
        raise LocalProtocolError("the bearer token holds a character that no token may (RFC 6750 section 2.1)")
    return f"Bearer {token}".encode("ascii")


def rejected_by(challenge: Challenge | None, where: str = "", hide: Callable[[str], str] = str) -> str:
    """What the server says of the token (RFC 6750 section 3); `hide` takes the token out of its words."""
    said = [] if challenge is None else [challenge.get(name) for name in ("error", "error_description")]
    words = ": ".join(repr(hide(word)[:200])[1:-1] for word in said if word) or "no reason given"
    return f"the token was rejected{where}: {words}"


class BearerAuthentication(SteadyAuthentication):
    """Sends a token that was obtained elsewhere."""

    scheme: ClassVar[str] = "Bearer"

    def __init__(self, token: str, origin: Origin | None, *, preemptive: bool, role: Role = SERVER) -> None:
        self._field = authorization(token)
        self._hide = hiding([token])
        super().__init__(origin, preemptive=preemptive, role=role)

    def value(self, challenge: Challenge | None) -> bytes:  # noqa: ARG002 - a token is the same for all
        """The token."""
        return self._field

    def rejection(self, challenge: Challenge) -> str:
        """What the server says of the token (RFC 6750 section 3)."""
        return rejected_by(challenge, f"{self.role.by} {self.where(challenge)}", self._hide)
