"""The clients of the authorization server: who they are, how they prove it, and where they may be sent to."""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Iterable
from hmac import compare_digest
from typing import Final
from urllib.parse import unquote_plus

from msgspec import Struct

from patchwire.auth.verify.credentials import credentials_in
from patchwire.errors import LocalProtocolError
from patchwire.http.message import Request
from patchwire.loopback.forms import Form
from patchwire.loopback.oauth_answers import OAuthError

_CHALLENGE: Final = (b"WWW-Authenticate", b'Basic realm="oauth2", charset="UTF-8"')
_visible = re.compile(r"[ -~]+").fullmatch
_CHARACTER: Final = r"[A-Za-z0-9\-._~!$&'()*+,;=:@/?%]"
_uri = re.compile(rf"[A-Za-z][A-Za-z0-9+\-.]*:(?:{_CHARACTER}|[\[\]])+").fullmatch
_loopback = re.compile(rf"http://(?:127\.0\.0\.1|\[::1\])(?::[0-9]{{1,5}})?(?:[/?]{_CHARACTER}*)?").fullmatch


class Client(Struct, frozen=True):
    """A registered client; without `secret` it is a public one (RFC 6749 section 2.1).

    LocalProtocolError where id or secret is empty or not of visible ASCII, or a redirect URI is none.
    """

    id: str
    secret: str | None = None
    redirect_uris: tuple[str, ...] = ()
    """Beside those on the loopback interface, which every client may use, at any port (RFC 8252 section 7.3)."""

    def __post_init__(self) -> None:
        for what, text in (("client id", self.id), ("client secret", self.secret)):
            if text is not None and not _visible(text):
                raise LocalProtocolError(f"the {what} must be of visible ASCII characters (RFC 6749 appendix A)")
        for uri in self.redirect_uris:
            if not _uri(uri):
                raise LocalProtocolError(f"{uri!r} is no absolute URI without fragment (RFC 6749 section 3.1.2)")

    def __repr__(self) -> str:
        """Never shows the secret."""
        return f"<Client {self.id!r}>"

    def may_be_sent_to(self, uri: str) -> bool:
        """Whether a code for this client may go there: compared character for character (RFC 9700 section 2.1)."""
        return uri in self.redirect_uris or _loopback(uri) is not None


class Clients:
    """All that are registered."""

    def __init__(self, clients: Iterable[Client]) -> None:
        self._clients = {client.id: client for client in clients}

    def __repr__(self) -> str:
        """Never shows a secret."""
        return f"<{len(self._clients)} clients>"

    def get(self, client_id: str | None) -> Client | None:
        """The client, or None."""
        return None if client_id is None else self._clients.get(client_id)

    @property
    def any_confidential(self) -> bool:
        """Whether one has a secret."""
        return any(client.secret is not None for client in self._clients.values())

    @property
    def ways(self) -> list[str]:
        """How they prove who they are, as metadata names it (RFC 8414 section 2)."""
        public = any(client.secret is None for client in self._clients.values())
        return ["client_secret_basic", "client_secret_post"] * self.any_confidential + ["none"] * public

    def authenticated(self, request: Request, form: Form) -> Client:
        """The client that has sent the request (RFC 6749 section 2.3). OAuthError where it is not proved."""
        basic = request.header(b"authorization") is not None
        if basic + sum(form.get(name) is not None for name in ("client_secret", "client_assertion")) > 1:
            raise OAuthError("invalid_request", "The client must prove itself in one way, not in several.")
        client_id, secret = _basic(request) if basic else (form.get("client_id"), form.get("client_secret"))
        if client_id is None and not basic:
            raise OAuthError("invalid_client", "The request does not say which client it comes from.")
        if form.get("client_id") not in (None, client_id):
            raise OAuthError("invalid_request", "The request names two clients.")
        client = self.get(client_id)
        expected = "" if client is None else client.secret or ""
        right = compare_digest(expected.encode("ascii"), (secret or "").encode("utf-8"))
        if client is None or not right:
            raise unproved(over_basic=basic)
        return client


def _basic(request: Request) -> tuple[str | None, str | None]:
    """Id and secret, which are form-encoded before they are joined (RFC 6749 section 2.3.1)."""
    given = credentials_in(request)
    if given is None or given.scheme != "basic" or given.token68 is None:
        raise unproved(over_basic=True)
    try:
        text = b64decode(given.token68, validate=True).decode("utf-8")
        client_id, colon, secret = (unquote_plus(part, errors="strict") for part in text.partition(":"))
    except ValueError:
        raise unproved(over_basic=True) from None
    if not colon:
        raise unproved(over_basic=True)
    return client_id, secret


def unproved(*, over_basic: bool) -> OAuthError:
    """What an unknown client and a wrong secret alike are told (RFC 6749 section 5.2)."""
    return OAuthError(
        "invalid_client",
        "This client is not known, or has not proved itself.",
        status=401 if over_basic else 400,
        headers=(_CHALLENGE,) if over_basic else (),
    )
