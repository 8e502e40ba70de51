"""Verifying bearer tokens (RFC 6750)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from hmac import compare_digest

from patchwire.auth.verify.credentials import UNREADABLE, credentials_in
from patchwire.auth.verify.verdict import Admitted, Refused, Verdict
from patchwire.http.fields import quote
from patchwire.http.message import Request

UserOf = Callable[[str, float], str | None]
"""Whom a token stands for at a time in Unix seconds; None where it does not hold."""


class BearerVerifier:
    """Lets in whoever has one of `tokens`, whose values are the users that they stand for, or a token for which
    `user_of` knows a user now: tokens that are issued, and expire.
    """

    def __init__(self, realm: str, tokens: Mapping[str, str], user_of: UserOf | None = None) -> None:
        self._realm = realm
        self._tokens = [(token.encode("ascii"), user) for token, user in tokens.items()]
        self._user_of = user_of

    def __repr__(self) -> str:
        """Never shows a token."""
        return f"<BearerVerifier of {len(self._tokens)} tokens>"

    def judge(self, request: Request, now: float, *, has_body: bool = True) -> Verdict:  # noqa: ARG002
        """Whether the token is known and holds (RFC 6750 section 3.1)."""
        given = credentials_in(request)
        if given is None or given.scheme not in ("bearer", UNREADABLE.scheme):
            return self._refused(401, "This server asks for a bearer token.")
        if given.token68 is None:
            return self._refused(400, "The Authorization field makes no sense.", "invalid_request")
        user = self._user(given.token68, now)
        return self._refused(401, "This token is not accepted.", "invalid_token") if user is None else Admitted(user)

    def _user(self, token: str, now: float) -> str | None:
        octets = token.encode("ascii")
        found = [user for known, user in self._tokens if compare_digest(known, octets)]
        if found or self._user_of is None:
            return found[0] if found else None
        return self._user_of(token, now)

    def _refused(self, status: int, reason: str, error: str | None = None) -> Refused:
        challenge = f"Bearer realm={quote(self._realm)}"
        if error is not None:
            challenge += f", error={quote(error)}, error_description={quote(reason)}"
        return Refused(status, reason, ((b"WWW-Authenticate", challenge.encode("utf-8")),))
