"""The token endpoint (RFC 6749 section 3.2): a client gives a grant and gets tokens."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from hmac import compare_digest
from typing import Final

from patchwire.http.message import Request, Response
from patchwire.loopback.device_codes import DeviceCodes
from patchwire.loopback.forms import Form, FormError, form_in
from patchwire.loopback.grants import Grant, Grants, Issued
from patchwire.loopback.oauth_answers import OAuthError, json_answer
from patchwire.loopback.oauth_clients import Client, Clients

DEVICE_GRANT: Final = "urn:ietf:params:oauth:grant-type:device_code"

_scope = re.compile(r"[!#-\[\]-~]+(?: [!#-\[\]-~]+)*").fullmatch


class TokenEndpoint:
    """`passwords` by the users who may give them to a client; where there are none, that grant is not known."""

    methods = ("POST",)

    def __init__(self, clients: Clients, grants: Grants, devices: DeviceCodes, passwords: Mapping[str, str]) -> None:
        self._clients = clients
        self._grants = grants
        self._devices = devices
        self._passwords = passwords
        self._given: dict[str, Callable[[Client, Form, float], Issued]] = {
            "authorization_code": self._code,
            "refresh_token": self._refresh,
            DEVICE_GRANT: self._device,
        }
        if clients.any_confidential:
            self._given["client_credentials"] = self._client
        if passwords:
            self._given["password"] = self._password

    @property
    def grant_types(self) -> list[str]:
        """Those that are known here."""
        return list(self._given)

    def answer(self, request: Request, now: float) -> Response:
        """Tokens. OAuthError where there are none for it."""
        form = parameters_of(request)
        client = self._clients.authenticated(request, form)
        give = self._given.get(required(form, "grant_type"))
        if give is None:
            raise OAuthError("unsupported_grant_type", f"Known here are {', '.join(self._given)}.")
        return json_answer(_members(give(client, form, now)))

    def _code(self, client: Client, form: Form, now: float) -> Issued:
        code, verifier = required(form, "code"), required(form, "code_verifier")
        return self._grants.redeem(code, client.id, form.get("redirect_uri"), verifier, now)

    def _refresh(self, client: Client, form: Form, now: float) -> Issued:
        scope = None if form.get("scope") is None else scope_in(form)
        return self._grants.refresh(required(form, "refresh_token"), client.id, scope, now)

    def _device(self, client: Client, form: Form, now: float) -> Issued:
        grant = self._devices.poll(required(form, "device_code"), client.id, now)
        return self._grants.issue(grant, now, refreshable=True)

    def _client(self, client: Client, form: Form, now: float) -> Issued:
        if client.secret is None:
            raise OAuthError("unauthorized_client", "A client without secret cannot act for itself.")
        return self._grants.issue(Grant(client.id, client.id, scope_in(form)), now, refreshable=False)

    def _password(self, client: Client, form: Form, now: float) -> Issued:
        user, password = required(form, "username"), required(form, "password")
        right = compare_digest(_octets(self._passwords.get(user, "")), _octets(password))
        if not right or user not in self._passwords:
            raise OAuthError("invalid_grant", "This user is not known, or the password is wrong.")
        return self._grants.issue(Grant(client.id, user, scope_in(form)), now, refreshable=True)


def parameters_of(request: Request) -> Form:
    """The form in the body. OAuthError where it is none."""
    try:
        return form_in(request)
    except FormError as error:
        raise OAuthError("invalid_request", str(error)) from None


def required(form: Form, name: str) -> str:
    """The value of a parameter. OAuthError where it is missing."""
    value = form.get(name)
    if value is None:
        raise OAuthError("invalid_request", f"{name} is missing.")
    return value


def scope_in(form: Form) -> tuple[str, ...]:
    """The scope that is asked for (RFC 6749 section 3.3), each part once. OAuthError where it is malformed."""
    scope = form.get("scope")
    if scope is None:
        return ()
    if not _scope(scope):
        raise OAuthError("invalid_scope", "A scope is a list of words with one blank between them.")
    return tuple(dict.fromkeys(scope.split(" ")))


def _members(issued: Issued) -> dict[str, str | int]:
    members: dict[str, str | int] = {
        "access_token": issued.access_token, "token_type": "Bearer", "expires_in": issued.lifetime,
    }  # fmt: skip
    if issued.refresh_token is not None:
        members["refresh_token"] = issued.refresh_token
    if issued.scope:
        members["scope"] = " ".join(issued.scope)
    return members


def _octets(text: str) -> bytes:
    return text.encode("utf-8")
