"""The authorization endpoint: a user lets a client have a code (RFC 6749 section 4.1, RFC 7636, RFC 9207)."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlencode

from msgspec import Struct

from patchwire.http.message import Request, Response
from patchwire.loopback.consent import consent_page
from patchwire.loopback.expiring import Expiring
from patchwire.loopback.forms import Form, FormError, form_in, query_of
from patchwire.loopback.grants import CodeRequest, Entropy, Grant, Grants, new_token
from patchwire.loopback.oauth_answers import NO_STORE, OAuthError
from patchwire.loopback.oauth_clients import Client, Clients
from patchwire.loopback.pages import message_page
from patchwire.loopback.token_endpoint import scope_in

TICKET_LIFETIME: Final = 600.0
"""Seconds that a user may take to decide."""

_challenge = re.compile(r"[A-Za-z0-9\-_]{43}").fullmatch


class _Return(Struct, frozen=True):
    """Where the answer goes, and the state that goes with it."""

    redirect_uri: str
    state: str | None

    def __repr__(self) -> str:
        """The state is what protects the client."""
        return "<return>"


class _Asked(Struct, frozen=True):
    """What a page has asked the user."""

    request: CodeRequest
    back: _Return


class AuthorizeEndpoint:
    """GET shows the page, POST takes the decision. `owner` is the user who decides."""

    methods = ("GET", "HEAD", "POST")

    def __init__(
        self, path: str, clients: Clients, grants: Grants, entropy: Entropy, *, owner: str, most: int
    ) -> None:
        self._path = path
        self._clients = clients
        self._grants = grants
        self._entropy = entropy
        self._owner = owner
        self._tickets: Expiring[_Asked] = Expiring(TICKET_LIFETIME, most)

    def answer(self, request: Request, now: float) -> Response:
        """A page, or the way back to the client: to where it may be sent and nowhere else (section 4.1.2.1)."""
        try:
            if request.method == "POST":
                return self._decided(form_in(request), str(request.origin), now)
            query = query_of(request)
            client = self._client(query)
            back = _Return(_redirect_uri(query, client), query.get("state"))
        except FormError as error:
            return message_page("This request cannot be answered", str(error), 400)
        try:
            asked = _Asked(self._checked(query, client), back)
        except OAuthError as error:
            return _back(back, str(request.origin), {"error": error.code, "error_description": error.description})
        ticket = new_token(self._entropy)
        self._tickets.put(ticket, asked, now)
        scope = " ".join(asked.request.grant.scope)
        facts = [("Client", client.id), ("Scope", scope or "none named"), ("Leads back to", back.redirect_uri)]
        return consent_page(self._path, ticket, facts, back.redirect_uri.partition(":")[0])

    def _client(self, query: Form) -> Client:
        if not query.repeated.isdisjoint(("client_id", "redirect_uri", "state")):
            raise FormError("client_id, redirect_uri and state must not be repeated.")
        client = self._clients.get(query.get("client_id"))
        if client is None:
            raise FormError("client_id names no client that is known here.")
        return client

    def _checked(self, query: Form, client: Client) -> CodeRequest:
        if query.repeated:
            raise OAuthError("invalid_request", "A parameter stands more than once.")
        response_type = query.get("response_type")
        if response_type is None:
            raise OAuthError("invalid_request", "response_type is missing.")
        if response_type != "code":
            raise OAuthError("unsupported_response_type", "The only response_type known here is code.")
        challenge = query.get("code_challenge") or ""
        if query.get("code_challenge_method") != "S256" or not _challenge(challenge):
            raise OAuthError("invalid_request", "PKCE is required: code_challenge_method=S256 and a code_challenge.")
        grant = Grant(client.id, self._owner, scope_in(query))
        return CodeRequest(grant, query.get("redirect_uri"), challenge)

    def _decided(self, form: Form, issuer: str, now: float) -> Response:
        decision = form.get("decision")
        if decision not in ("accept", "deny"):
            raise FormError("decision must be accept or deny.")
        asked = self._tickets.take(form.get("ticket") or "", now)
        if asked is None:
            raise FormError("This page has been answered before, or has expired. Start again in the program.")
        if decision == "deny":
            return _back(
                asked.back, issuer, {"error": "access_denied", "error_description": "The user has denied it."}
            )
        return _back(asked.back, issuer, {"code": self._grants.code(asked.request, now)})


def _redirect_uri(query: Form, client: Client) -> str:
    """Where the client is sent; the only one that is registered where the request names none (section 3.1.2.3)."""
    uri = query.get("redirect_uri")
    if uri is None and len(client.redirect_uris) == 1:
        return client.redirect_uris[0]
    if uri is None or not client.may_be_sent_to(uri):
        raise FormError("redirect_uri is missing, or not registered for this client.")
    return uri


def _back(back: _Return, issuer: str, members: dict[str, str]) -> Response:
    """See Other: no browser posts the form again (RFC 9700 section 4.12)."""
    state = {} if back.state is None else {"state": back.state}
    joint = "&" if "?" in back.redirect_uri else "?"
    location = back.redirect_uri + joint + urlencode({**members, **state, "iss": issuer})
    return Response(303, ((b"Location", location.encode("ascii")), NO_STORE, (b"Referrer-Policy", b"no-referrer")))
