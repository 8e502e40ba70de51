"""Documents, and beside them the authorization server that issues the tokens for them."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from patchwire.http.message import Request, Response
from patchwire.loopback.app import App, Change
from patchwire.loopback.authorization import AuthorizationServer
from patchwire.loopback.documents import Document


class GuardedApp(Struct, frozen=True):
    """Leads each request to the one that it is for. What `app` lets in is its verifier's to say: one that knows the
    tokens is `BearerVerifier(realm, {}, authorization.user_of)`.
    """

    app: App
    authorization: AuthorizationServer

    def handle(
        self, request: Request, documents: Mapping[str, Document], now: float
    ) -> tuple[Response, Change | None]:
        """As App.handle."""
        if self.authorization.has(request):
            return self.authorization.handle(request, now), None
        return self.app.handle(request, documents, now)

    def refuse(self, request: Request, documents: Mapping[str, Document], now: float) -> Response | None:
        """As App.refuse."""
        if self.authorization.has(request):
            return self.authorization.refuse(request, now)
        return self.app.refuse(request, documents, now)
