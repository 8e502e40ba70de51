"""A service of AWS's kind in memory, on the verifier of the embedded server, with a clock of its own."""

from __future__ import annotations

from collections.abc import Sequence

from patchwire.auth.aws_credentials import AwsCredentials
from patchwire.auth.aws_signing import Scope
from patchwire.auth.flow import Send
from patchwire.auth.verify.aws import AwsVerifier
from patchwire.http.message import Origin, Request, Response, request_to
from patchwire.loopback.app import App
from patchwire.loopback.documents import Document, document_of

ORIGIN = Origin("https", "apigateway.us-east-1.amazonaws.com", 443)
SCOPE = Scope("us-east-1", "apigateway")
KEYS = AwsCredentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
NOW = 1_440_938_160.0  # 2015-08-30T12:36:00Z


def patch(path: str = "/restapis/a", headers: Sequence[tuple[str, str]] = (), body: bytes = b'{"n": 1}') -> Request:
    """A merge patch for the service."""
    fields = [("Content-Type", "application/merge-patch+json"), *headers]
    return request_to("PATCH", f"{ORIGIN}{path}", fields, body)


class AwsService:
    """Answers the steps of a flow; `ahead` are the seconds by which its clock is ahead of `now`."""

    def __init__(self, *credentials: AwsCredentials, scope: Scope = SCOPE, ahead: float = 0.0) -> None:
        self._app = App(AwsVerifier(scope, credentials or (KEYS,)), create_missing=True)
        self.documents: dict[str, Document] = {"/restapis/a": document_of(b"{}")}
        self.ahead = ahead
        self.now = NOW
        self.seen: list[Request] = []

    def __call__(self, step: Send) -> Response:
        """The response to the request, as it would come over the wire."""
        request = step.request
        self.seen.append(request)
        if request.header(b"host") is None:
            request = request.with_header(b"Host", request.origin.authority.encode())
        return self._app.handle(request, self.documents, self.now + self.ahead)[0]
