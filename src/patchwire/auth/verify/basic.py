"""Verifying Basic credentials (RFC 7617)."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Mapping
from hmac import compare_digest

from patchwire.auth.credentials import encode
from patchwire.auth.verify.credentials import credentials_in
from patchwire.auth.verify.verdict import Admitted, Refused, Verdict
from patchwire.http.fields import quote
from patchwire.http.message import Request


class BasicVerifier:
    """Lets in the users of `passwords`, whose keys are their names."""

    def __init__(self, realm: str, passwords: Mapping[str, str]) -> None:
        self._challenge = f'Basic realm={quote(realm)}, charset="UTF-8"'.encode()
        self._users = [(user, encode(f"{user}:{password}", "UTF-8")) for user, password in passwords.items()]

    def __repr__(self) -> str:
        """Never shows a password."""
        return f"<BasicVerifier of {len(self._users)} users>"

    def judge(self, request: Request, now: float, *, has_body: bool = True) -> Verdict:  # noqa: ARG002
        """Whether name and password are known."""
        given = credentials_in(request)
        if given is None:
            return self._refused("This server asks for credentials.")
        if given.scheme == "basic" and given.token68 is not None:
            try:
                pair = b64decode(given.token68, validate=True)
            except ValueError:
                pair = b""
            found = [user for user, known in self._users if compare_digest(pair, known)]
            if found:
                return Admitted(found[0])
        return self._refused("These credentials are not accepted.")

    def _refused(self, reason: str) -> Refused:
        return Refused(401, reason, ((b"WWW-Authenticate", self._challenge),))
