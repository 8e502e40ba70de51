"""Keys that sign requests to AWS: one value, so that key, secret and token are never those of two sessions."""

from __future__ import annotations

import re

from msgspec import Struct

from patchwire.errors import LocalProtocolError

_access_key = re.compile(r"[!-+\--.0-~]+").fullmatch  # visible, without the comma and slash that end it in a field
_visible = re.compile(r"[!-~]+").fullmatch


class AwsCredentials(Struct, frozen=True):
    """An access key, its secret and, for temporary ones, the token of their session. `expires_at` in Unix seconds,
    where that is known. LocalProtocolError where no request could carry them.
    """

    access_key: str
    secret_key: str
    session_token: str | None = None
    expires_at: float | None = None

    def __post_init__(self) -> None:
        if not _access_key(self.access_key):
            raise LocalProtocolError("the access key is no AWS access key: letters and digits, such as AKIDEXAMPLE")
        if not _visible(self.secret_key):
            raise LocalProtocolError("the secret key is empty, or holds a blank or a character beyond ASCII")
        if self.session_token is not None and not _visible(self.session_token):
            raise LocalProtocolError("the session token is empty, or holds a blank or a character beyond ASCII")

    def __repr__(self) -> str:
        """Never shows secret or token."""
        token = "" if self.session_token is None else ", session_token=***"
        return f"AwsCredentials(access_key={self.access_key!r}, secret_key=***{token})"

    def are_those_of(self, other: AwsCredentials | None) -> bool:
        """Whether the other's keys are the same, whatever is known of their end."""
        return other is not None and (self.access_key, self.secret_key, self.session_token) == (
            other.access_key,
            other.secret_key,
            other.session_token,
        )

    def expire_within(self, seconds: float, now: float) -> bool:
        """Whether they are known to end within so many seconds of `now`."""
        return self.expires_at is not None and self.expires_at - now <= seconds
