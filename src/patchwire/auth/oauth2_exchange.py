"""Asking an authorization server for tokens: where it is, how often it is asked, and what its answer gives."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Final

from msgspec.structs import replace

from patchwire.auth import oauth2
from patchwire.auth.flow import Answer, Ask, Pause, Step, Tell, send
from patchwire.auth.oauth2_answer import is_passing, token_in
from patchwire.auth.oauth2_metadata import Metadata, metadata_in
from patchwire.auth.oauth2_terms import Parameters, Terms
from patchwire.auth.quoting import hiding
from patchwire.auth.token import Token
from patchwire.errors import CredentialsError, HandshakeError, RemoteProtocolError, Sent, TransportError
from patchwire.http.message import Request, Response, request_to

TRIES: Final = 4
LONGEST_WAIT: Final = 60.0
"""Seconds that a server may ask to be left alone (RFC 9110 section 10.2.3); one that asks for more has failed."""
_NOT_ACTED_UPON: Final = frozenset({429, 503})
"""Statuses of who has not looked at the request; behind those of a gateway somebody may have."""
Steps = Generator[Step, Answer, Response]


class TokenExchange:
    """Requests to one authorization server, on the terms of one connection.

    `clock` gives Unix seconds, `unique` a text that nobody can foresee and that is never drawn again.
    """

    def __init__(self, terms: Terms, clock: Callable[[], float], unique: Callable[[], str]) -> None:
        self.terms = terms
        """With what the metadata has filled in, once they are discovered."""
        self.metadata: Metadata | None = None
        self.clock = clock
        self.unique = unique

    def discovered(self) -> Generator[Step, Answer, Terms]:
        """The terms, with each endpoint that they do not name taken from the metadata (RFC 8414).

        CredentialsError where there is no metadata to be had, or none that may be used.
        """
        terms, url = self.terms, self.terms.metadata_url
        if url is None or self.metadata is not None:
            return terms
        response = yield from self.answer(lambda: request_to("GET", url, [("Accept", "application/json")]))
        try:
            found = metadata_in(response, url, terms.issuer)
        except RemoteProtocolError as error:
            raise CredentialsError(str(error), origin=url) from None
        self.metadata = found
        in_body = terms.prefers_metadata and found.wants_body
        self.terms = replace(
            terms,
            authorization_url=terms.authorization_url or found.authorization_endpoint,
            access_token_url=terms.access_token_url or found.token_endpoint,
            device_authorization_url=terms.device_authorization_url or found.device_authorization_endpoint,
            client_authentication="body" if in_body else terms.client_authentication,
            issuer=found.issuer,
            requires_issuer=found.authorization_response_iss_parameter_supported,
        )
        return self.terms

    def own_grant(self, terms: Terms) -> Parameters:
        """The parameters of a grant that needs nobody."""
        match terms.grant_type:
            case "password":
                return oauth2.password(terms)
            case "jwt_bearer":
                return oauth2.jwt_bearer(terms, self.clock(), self.unique())
        return oauth2.client_credentials(terms)

    def token(
        self, make: Callable[[Terms], Parameters], *, once: bool = False, pause: float = 1.0
    ) -> Generator[Step, Answer, Token]:
        """The token that a grant gives, whose parameters `make` makes of the terms at each try. `once`: the request is
        not repeated where it may have been acted upon. `pause`: seconds before the second try, doubled for each more.

        TokenError where the server gives none, CredentialsError where it does not answer.
        """
        terms = yield from self.discovered()
        sent_at, request, secrets = 0.0, None, terms.secrets()

        def another() -> Request:
            nonlocal sent_at, request
            sent_at = self.clock()
            request = oauth2.token_request(terms, make(terms), sent_at, self.unique())
            secrets.extend(oauth2.secrets_in(request))
            return request

        response = yield from self.answer(another, once=once, pause=pause)
        assert request is not None  # noqa: S101 - it has been answered
        return token_in(response, request, sent_at, hiding(secrets))

    def answer(self, make: Callable[[], Request], *, once: bool = False, pause: float = 1.0) -> Steps:
        """The response to a request, which is made anew for each try: to one who is busy, or cannot be reached."""
        tries = 0
        while True:
            tries += 1
            request = make()
            wait = pause * 2.0 ** (tries - 1)
            try:
                response = yield from send(Ask(request))
            except (TransportError, RemoteProtocolError) as error:
                is_final = isinstance(error, HandshakeError) or (once and error.sent is not Sent.NO)
                if is_final or tries == TRIES:
                    problem = f"no answer from the authorization server: {error}"
                    raise CredentialsError(problem, origin=str(request.origin)) from None
                problem = str(error)
            else:
                least = response.retry_after(self.clock()) or 0.0
                wait = max(wait, least)
                is_final = not is_passing(response) or (once and response.status not in _NOT_ACTED_UPON)
                if is_final or tries == TRIES or least > LONGEST_WAIT:
                    return response
                problem = f"{request.origin} answered {response.status}"
            yield Tell(f"{problem}; the authorization server is asked again in {wait:g} s")
            yield Pause(wait)
