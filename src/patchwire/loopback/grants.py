"""What the authorization server has given out: codes, access tokens and refresh tokens, in families.

All tokens that come from one grant are a family. It falls as a whole when a code or a refresh token comes a second
time, since one of its two senders has stolen it (RFC 6749 section 10.5, RFC 9700 section 4.14.2).
"""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Callable
from hmac import compare_digest
from typing import Final

from msgspec import Struct

from patchwire.auth.pkce import challenge_of
from patchwire.errors import LocalProtocolError
from patchwire.loopback.expiring import Expiring
from patchwire.loopback.oauth_answers import OAuthError

DEFAULT_LIFETIME: Final = 3600
"""Seconds that an access token holds."""
CODE_LIFETIME: Final = 60.0
REFRESH_LIFETIME: Final = 1_209_600.0
MOST: Final = 10_000
"""Of each kind."""

_CODE_REMEMBERED: Final = 600.0

Entropy = Callable[[int], bytes]
"""Gives so many octets that nobody can foresee."""


class Grant(Struct, frozen=True):
    """What a user has allowed a client, or the server a client that acts for itself."""

    client_id: str
    user: str
    scope: tuple[str, ...] = ()


class CodeRequest(Struct, frozen=True):
    """What the request for a code said that the request for a token must match."""

    grant: Grant
    redirect_uri: str | None
    """None where it was left out."""
    challenge: str
    """Of PKCE, with S256 (RFC 7636 section 4.2)."""

    def __repr__(self) -> str:
        """A redirect URI may hold what it likes."""
        return f"<CodeRequest {self.grant!r}>"


class Issued(Struct, frozen=True):
    """Tokens as they are given out; `lifetime` of the access token in seconds."""

    access_token: str
    lifetime: int
    scope: tuple[str, ...]
    refresh_token: str | None

    def __repr__(self) -> str:
        """Never shows a token."""
        return f"<Issued, {self.lifetime} s>"


class Found(Struct, frozen=True):
    """What is known of a token that holds; times in Unix seconds."""

    grant: Grant
    issued_at: float
    expires_at: float
    refreshes: bool


class _Family:
    """A grant with the tokens that come from it."""

    def __init__(self, grant: Grant) -> None:
        self.grant = grant
        self.revoked = False


class _Code:
    def __init__(self, request: CodeRequest, now: float) -> None:
        self.request = request
        self.expires_at = now + CODE_LIFETIME
        self.family = _Family(request.grant)
        self.used = False


class _Token:
    def __init__(self, family: _Family, scope: tuple[str, ...], now: float, lifetime: float, refreshes: bool) -> None:
        self.family = family
        self.scope = scope
        self.issued_at = now
        self.expires_at = now + lifetime
        self.refreshes = refreshes
        self.used = False  # a refresh token that has been rotated


class Grants:
    """The memory of codes and tokens. `now` is in Unix seconds throughout."""

    def __init__(self, entropy: Entropy, *, lifetime: int = DEFAULT_LIFETIME, most: int = MOST) -> None:
        self._entropy = entropy
        self._lifetime = lifetime
        self._codes: Expiring[_Code] = Expiring(_CODE_REMEMBERED, most)
        self._access: Expiring[_Token] = Expiring(lifetime, most)
        self._refresh: Expiring[_Token] = Expiring(REFRESH_LIFETIME, most)

    def __repr__(self) -> str:
        """Never shows a token."""
        return f"<Grants with {len(self._access)} access tokens>"

    def code(self, request: CodeRequest, now: float) -> str:
        """A code for what the user has accepted."""
        code = new_token(self._entropy)
        self._codes.put(code, _Code(request, now), now)
        return code

    def redeem(self, code: str, client_id: str, redirect_uri: str | None, verifier: str, now: float) -> Issued:
        """Tokens for a code. OAuthError where any of it is not as it was asked for (RFC 6749 section 4.1.3)."""
        held = self._codes.get(code, now)
        if held is None or held.request.grant.client_id != client_id:
            raise _invalid_grant("This code is not known, or not this client's.")
        if held.used:
            held.family.revoked = True
            raise _invalid_grant("This code has been used before; what it gave is revoked.")
        held.used = True  # whatever comes: a verifier is guessed once
        if now >= held.expires_at:
            raise _invalid_grant("This code has expired.")
        if redirect_uri != held.request.redirect_uri:
            raise _invalid_grant("redirect_uri is not the one that the code was asked for with.")
        if not _fits(verifier, held.request.challenge):
            raise _invalid_grant("code_verifier does not fit the code_challenge.")
        return self._issue(held.family, held.request.grant.scope, now, refreshable=True)

    def issue(self, grant: Grant, now: float, *, refreshable: bool) -> Issued:
        """Tokens for a grant that needs no code."""
        return self._issue(_Family(grant), grant.scope, now, refreshable=refreshable)

    def refresh(self, token: str, client_id: str, scope: tuple[str, ...] | None, now: float) -> Issued:
        """Tokens in place of older ones; None for `scope`: as it was granted (RFC 6749 section 6)."""
        held = self._refresh.get(token, now)
        if held is None or held.family.revoked or held.family.grant.client_id != client_id:
            raise _invalid_grant("This refresh token does not hold, or is not this client's.")
        if held.used:
            held.family.revoked = True
            raise _invalid_grant("This refresh token has been used before; all that came of it is revoked.")
        granted = held.family.grant.scope
        if scope is not None and not set(scope) <= set(granted):
            raise OAuthError("invalid_scope", "The scope is wider than what was granted.")
        held.used = True
        return self._issue(held.family, granted if scope is None else scope, now, refreshable=True)

    def find(self, token: str, now: float) -> Found | None:
        """What is known of an access or refresh token; None where it does not hold."""
        held = self._access.get(token, now) or self._refresh.get(token, now)
        if held is None or held.used or held.family.revoked:
            return None
        grant = Grant(held.family.grant.client_id, held.family.grant.user, held.scope)
        return Found(grant, held.issued_at, held.expires_at, held.refreshes)

    def user_of(self, token: str, now: float) -> str | None:
        """Whom an access token stands for; None where it does not hold."""
        found = self.find(token, now)
        return None if found is None or found.refreshes else found.grant.user

    def _issue(self, family: _Family, scope: tuple[str, ...], now: float, *, refreshable: bool) -> Issued:
        access = new_token(self._entropy)
        self._access.put(access, _Token(family, scope, now, self._lifetime, False), now)
        refresh = None
        if refreshable:
            refresh = new_token(self._entropy)
            # A new one allows what the old one did, however narrow the access token is (RFC 6749 section 6).
            self._refresh.put(refresh, _Token(family, family.grant.scope, now, REFRESH_LIFETIME, True), now)
        return Issued(access, self._lifetime, scope, refresh)


def new_token(entropy: Entropy) -> str:
    """256 bits in letters, digits, - and _."""
    return urlsafe_b64encode(entropy(32)).decode("ascii").rstrip("=")


def _fits(verifier: str, challenge: str) -> bool:
    """RFC 7636 section 4.6."""
    try:
        return compare_digest(challenge_of(verifier), challenge)
    except LocalProtocolError:
        return False


def _invalid_grant(description: str) -> OAuthError:
    return OAuthError("invalid_grant", description)
