"""Basic authentication (RFC 7617): user name and password, encoded and not encrypted."""

from __future__ import annotations

from base64 import b64encode
from typing import ClassVar

from patchwire.auth.challenge import Challenge
from patchwire.auth.credentials import Credentials
from patchwire.auth.role import SERVER, Role
from patchwire.auth.steady import SteadyAuthentication
from patchwire.http.message import Origin


def authorization(credentials: Credentials, *, utf8: bool = False) -> bytes:
    """The value of the Authorization field (RFC 7617 section 2). `utf8` where the challenge asks for UTF-8."""
    return b"Basic " + b64encode(b":".join(credentials.octets(utf8=utf8)))


class BasicAuthentication(SteadyAuthentication):
    """Sends user name and password (RFC 7617)."""

    scheme: ClassVar[str] = "Basic"

    def __init__(
        self, credentials: Credentials, origin: Origin | None, *, preemptive: bool, role: Role = SERVER
    ) -> None:
        self._credentials = credentials
        super().__init__(origin, preemptive=preemptive, role=role)

    def value(self, challenge: Challenge | None) -> bytes:
        """The credentials, in the charset that the challenge names."""
        charset = "" if challenge is None else challenge.get("charset") or ""
        return authorization(self._credentials, utf8=charset.lower() == "utf-8")

    def rejection(self, challenge: Challenge) -> str:
        """Which user was rejected, and in which realm."""
        return f"user {self._credentials.user!r} or its password was rejected{self.role.by} {self.where(challenge)}"
