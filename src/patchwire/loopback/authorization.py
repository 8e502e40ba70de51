"""An authorization server for the embedded server's documents: OAuth 2.0 (RFC 6749) with PKCE (RFC 7636), metadata
(RFC 8414), introspection (RFC 7662) and device codes (RFC 8628).

It is made for trying clients: whoever reaches its pages may accept, and nobody has to log in first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, Protocol

from patchwire.http.message import Request, Response
from patchwire.loopback.app import path_of
from patchwire.loopback.authorize_endpoint import AuthorizeEndpoint
from patchwire.loopback.device_codes import DEFAULT_INTERVAL, DEVICE_LIFETIME, DeviceCodes
from patchwire.loopback.device_pages import DevicePages
from patchwire.loopback.grants import DEFAULT_LIFETIME, MOST, Entropy, Grants
from patchwire.loopback.oauth_answers import OAuthError, json_answer
from patchwire.loopback.oauth_clients import Client, Clients, unproved
from patchwire.loopback.responses import finished, problem
from patchwire.loopback.token_endpoint import TokenEndpoint, parameters_of, required, scope_in

METADATA: Final = "/.well-known/oauth-authorization-server"
AUTHORIZE: Final = "/oauth2/authorize"
TOKEN: Final = "/oauth2/token"  # noqa: S105
INTROSPECT: Final = "/oauth2/introspect"
DEVICE_AUTHORIZATION: Final = "/oauth2/device_authorization"
DEVICE: Final = "/oauth2/device"

_GET: Final = ("GET", "HEAD")


class Endpoint(Protocol):
    """What answers at one path."""

    @property
    def methods(self) -> tuple[str, ...]:
        """Those that it has."""

    def answer(self, request: Request, now: float) -> Response:
        """The response. OAuthError is answered as JSON."""


class AuthorizationServer:
    """Answers under `/oauth2/` and at the path of its metadata; its issuer is the origin that is asked.

    `entropy` gives so many octets that nobody can foresee. `passwords`, by user, are those that the password grant
    takes; who accepts on a page counts as the first of these users, or as "user". Seconds: `token_lifetime`, and
    `device_interval` between two polls. `most` bounds what is remembered of each kind: the oldest is forgotten first.
    """

    def __init__(
        self,
        clients: Iterable[Client],
        entropy: Entropy,
        *,
        passwords: Mapping[str, str] | None = None,
        token_lifetime: int = DEFAULT_LIFETIME,
        device_interval: int = DEFAULT_INTERVAL,
        most: int = MOST,
    ) -> None:
        self._clients = Clients(clients)
        self._grants = Grants(entropy, lifetime=token_lifetime, most=most)
        self._devices = DeviceCodes(entropy, interval=device_interval, most=most)
        passwords = passwords or {}
        owner = next(iter(passwords), "user")
        token = TokenEndpoint(self._clients, self._grants, self._devices, passwords)
        self._endpoints: dict[str, Endpoint] = {
            METADATA: _Metadata(self._clients, token.grant_types),
            TOKEN: token,
            INTROSPECT: _Introspection(self._clients, self._grants),
            AUTHORIZE: AuthorizeEndpoint(AUTHORIZE, self._clients, self._grants, entropy, owner=owner, most=most),
            DEVICE_AUTHORIZATION: _DeviceAuthorization(self._clients, self._devices),
            DEVICE: DevicePages(DEVICE, self._devices, entropy, owner=owner, most=most),
        }

    def __repr__(self) -> str:
        """Never shows a secret."""
        return f"<AuthorizationServer of {self._clients!r}>"

    def user_of(self, token: str, now: float) -> str | None:
        """Whom an access token stands for, None where it does not hold: for BearerVerifier."""
        return self._grants.user_of(token, now)

    def has(self, request: Request) -> bool:
        """Whether the path of the request is this server's."""
        path = path_of(request)
        return path == METADATA or path.startswith("/oauth2/")

    def handle(self, request: Request, now: float) -> Response:
        """The response, complete but for connection fields."""
        refusal = self.refuse(request, now)
        if refusal is not None:
            return refusal
        try:
            response = self._endpoints[path_of(request)].answer(request, now)
        except OAuthError as error:
            response = error.response()
        return finished(response, request.method, now)

    def refuse(self, request: Request, now: float) -> Response | None:
        """The refusal that the head of a request earns by itself, else None."""
        endpoint = self._endpoints.get(path_of(request))
        if endpoint is None:
            refusal = problem(404, "The authorization server has nothing at this path.")
        elif request.method not in endpoint.methods:
            allowed = ", ".join(endpoint.methods)
            refusal = problem(405, f"Allowed here: {allowed}.", ((b"Allow", allowed.encode("ascii")),))
        else:
            return None
        return finished(refusal, request.method, now)


class _Metadata:
    """What the server tells of itself (RFC 8414 section 2)."""

    methods = _GET

    def __init__(self, clients: Clients, grant_types: list[str]) -> None:
        self._paths = {
            "authorization_endpoint": AUTHORIZE,
            "token_endpoint": TOKEN,
            "device_authorization_endpoint": DEVICE_AUTHORIZATION,
        }
        self._members: dict[str, object] = {
            "response_types_supported": ["code"],
            "response_modes_supported": ["query"],
            "grant_types_supported": grant_types,
            "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": clients.ways,
            "authorization_response_iss_parameter_supported": True,
        }
        if clients.any_confidential:
            self._paths["introspection_endpoint"] = INTROSPECT
            ways = [way for way in clients.ways if way != "none"]
            self._members["introspection_endpoint_auth_methods_supported"] = ways

    def answer(self, request: Request, now: float) -> Response:  # noqa: ARG002
        """The same at all times."""
        issuer = str(request.origin)
        urls = {name: issuer + path for name, path in self._paths.items()}
        return json_answer({"issuer": issuer, **urls, **self._members})


class _Introspection:
    """Tells a client that has a secret what a token stands for (RFC 7662)."""

    methods = ("POST",)

    def __init__(self, clients: Clients, grants: Grants) -> None:
        self._clients = clients
        self._grants = grants

    def answer(self, request: Request, now: float) -> Response:
        """Of a token that does not hold nothing else is said (section 2.2)."""
        form = parameters_of(request)
        if self._clients.authenticated(request, form).secret is None:
            raise unproved(over_basic=request.header(b"authorization") is not None)
        found = self._grants.find(required(form, "token"), now)
        if found is None:
            return json_answer({"active": False})
        members: dict[str, object] = {
            "active": True,
            "client_id": found.grant.client_id,
            "username": found.grant.user,
            "iss": str(request.origin),
            "iat": int(found.issued_at),
            "exp": int(found.expires_at),
        }
        if found.grant.scope:
            members["scope"] = " ".join(found.grant.scope)
        if not found.refreshes:
            members["token_type"] = "Bearer"  # noqa: S105
        return json_answer(members)


class _DeviceAuthorization:
    """Gives a device its codes (RFC 8628 section 3.2)."""

    methods = ("POST",)

    def __init__(self, clients: Clients, devices: DeviceCodes) -> None:
        self._clients = clients
        self._devices = devices

    def answer(self, request: Request, now: float) -> Response:
        """The codes, and where the user types one of them."""
        form = parameters_of(request)
        client = self._clients.authenticated(request, form)
        codes = self._devices.begin(client.id, scope_in(form), now)
        return json_answer(
            {
                "device_code": codes.device_code,
                "user_code": codes.user_code,
                "verification_uri": f"{request.origin}{DEVICE}",
                "expires_in": DEVICE_LIFETIME,
                "interval": codes.interval,
            }
        )
