"""Obtaining a first token where somebody must accept, or where one is to be kept beforehand."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Generator
from typing import Final, TypeVar
from urllib.parse import parse_qsl

from msgspec import Struct

from patchwire.auth import oauth2
from patchwire.auth.flow import Answer, Pause, Step
from patchwire.auth.oauth2_code import authorization_url, code_in
from patchwire.auth.oauth2_device import LONGEST, SLOWER, DeviceAuthorization, device_authorization_in
from patchwire.auth.oauth2_exchange import TokenExchange
from patchwire.auth.oauth2_terms import Before, Parameters, Terms
from patchwire.auth.quoting import hiding
from patchwire.auth.token import Token
from patchwire.auth.token_keeping import TokenKeeping, entry_for
from patchwire.errors import CredentialsError, TokenError
from patchwire.http.message import Request

T = TypeVar("T")
Steps = Generator[Step, Answer, T]
_UNFORESEEABLE: Final = 2
"""Texts of 128 bits in a verifier, and in a state: RFC 7636 section 7.1 wants 256."""


class AuthorizationRequest(Struct, frozen=True):
    """What the user's browser is sent to, and what proves that the answer to it is ours and meant for us."""

    url: str
    redirect_uri: str
    state: str
    verifier: str
    issuer: str | None
    requires_issuer: bool

    def __repr__(self) -> str:
        """The verifier redeems the code."""
        return f"<AuthorizationRequest to {self.redirect_uri}>"

    def is_answered_by(self, callback: str) -> bool:
        """Whether the callback is the answer to this request, not to that of another tab (RFC 6749 section 10.12)."""
        states = [value for name, value in parse_qsl(callback.partition("?")[2]) if name == "state"]
        return len(states) == 1 and hmac.compare_digest(states[0].encode(), self.state.encode())


class Authorizing:
    """The connector's Generate: its result is kept, where the connection's requests will find it."""

    def __init__(self, exchange: TokenExchange, keeping: TokenKeeping, origin: str, before: Before) -> None:
        self._exchange = exchange
        self._before = before
        self._keeping = keeping
        self._origin = origin

    def at_once(self) -> Steps[Token]:
        """The token of a grant that needs nobody."""
        return (yield from self._alone(self._asked(self._exchange.own_grant)))

    def request(self, redirect_uri: str) -> Steps[AuthorizationRequest]:
        """A new authorization request, with a state and a verifier of its own (RFC 6749 section 4.1.1, RFC 7636).

        StorageError where its result could not be kept.
        """
        yield from self._try_out()
        terms = yield from self._exchange.discovered()
        metadata, endpoint = self._exchange.metadata, terms.authorization_url
        if endpoint is None:
            raise self._missing("authorization endpoint", "authorization_url")
        self._check_token_endpoint(terms)
        if metadata is not None and metadata.lacks_s256:
            problem = "the authorization server's metadata does not offer PKCE with S256, which keeps a stolen code"
            raise CredentialsError(
                f"{problem} from being used: set its URLs in place of metadata_url", origin=endpoint
            )
        state, verifier = (
            "".join(self._exchange.unique() for _ in range(_UNFORESEEABLE)) for _ in ("state", "verifier")
        )
        url = authorization_url(
            endpoint,
            client_id=terms.client_id,
            redirect_uri=redirect_uri,
            scope=terms.scope,
            state=state,
            verifier=verifier,
            parameters=dict(terms.authorization_parameters),
        )
        return AuthorizationRequest(url, redirect_uri, state, verifier, terms.issuer, terms.requires_issuer)

    def redeemed(self, request: AuthorizationRequest, callback: str) -> Steps[Token]:
        """The token for the code in the callback, which is redeemed once (RFC 6749 section 4.1.2).

        CallbackError where the callback is none that may be followed.
        """
        code = code_in(
            callback,
            redirect_uri=request.redirect_uri,
            state=request.state,
            issuer=request.issuer,
            requires_issuer=request.requires_issuer,
        )
        parameters = oauth2.authorization_code(code, request.redirect_uri, request.verifier)
        return (yield from self._alone(self._asked(lambda _: parameters, once=True)))

    def device(self) -> Steps[DeviceAuthorization]:
        """A code that the user types on another device (RFC 8628 section 3.1). StorageError as in `request`."""
        exchange = self._exchange
        yield from self._try_out()
        terms = yield from exchange.discovered()
        if terms.device_authorization_url is None:
            raise self._missing("device authorization endpoint", "device_authorization_url")
        self._check_token_endpoint(terms)
        request, asked_at = None, exchange.clock()

        def another() -> Request:
            nonlocal request
            request = oauth2.device_authorization_request(terms, exchange.clock(), exchange.unique())
            return request

        response = yield from exchange.answer(another)
        assert request is not None  # noqa: S101 - it has been answered
        return device_authorization_in(
            response, request, asked_at, hiding(terms.secrets() + oauth2.secrets_in(request))
        )

    def polled(self, device: DeviceAuthorization) -> Steps[Token]:
        """The token, once the user has accepted: asked for as often as the server allows (RFC 8628 section 3.5)."""
        interval, failure = device.interval, None
        while self._exchange.clock() + interval < device.expires_at:
            yield Pause(interval)
            try:
                token = yield from self._exchange.token(
                    lambda _: oauth2.device_code(device.device_code), pause=2 * interval
                )
            except TokenError as error:
                failure = None
                if error.code == "slow_down":
                    interval += SLOWER
                elif error.code != "authorization_pending":
                    raise
            except CredentialsError as error:
                failure = error
                interval = min(2 * interval, LONGEST)  # who cannot be reached is asked less often
            else:
                return (yield from self._alone(self._kept(token)))
        if failure is not None:
            raise failure
        raise CredentialsError("nobody accepted before the code ended: try again", origin=self._origin)

    def _try_out(self) -> Steps[None]:
        """Nobody is to accept what cannot be kept."""
        try:
            yield from self._keeping.lock(self._origin)
        finally:
            self._keeping.unlock()

    def _alone(self, steps: Steps[Token]) -> Steps[Token]:
        """What the steps give, while no other process renews the token."""
        try:
            yield from self._keeping.lock(self._origin)
            return (yield from steps)
        finally:
            self._keeping.unlock()

    def _asked(self, make: Callable[[Terms], Parameters], *, once: bool = False) -> Steps[Token]:
        return (yield from self._kept((yield from self._exchange.token(make, once=once))))

    def _kept(self, token: Token) -> Steps[Token]:
        """The token, after it has been written down in place of any other, also of one in the settings."""
        yield from self._keeping.keep(entry_for(token, self._exchange.terms, self._before))
        return token

    def _check_token_endpoint(self, terms: Terms) -> None:
        """Before anybody is asked to accept."""
        if terms.access_token_url is None:
            raise self._missing("token endpoint", "access_token_url")

    def _missing(self, what: str, key: str) -> CredentialsError:
        return CredentialsError(f"no {what} is known: set oauth2.{key}, or metadata_url", origin=self._origin)
