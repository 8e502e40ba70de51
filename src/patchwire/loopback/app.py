"""The embedded server's behaviour: a request and the documents in, a response and at most one change out.

The documents are read, never copied or written: the one Change is applied by their owner, so a request costs the
same among ten documents and ten million.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from patchwire.auth.verify.verdict import Refused, Verifier
from patchwire.delivery.json_values import ContentRefusedError, Fault, parse_json
from patchwire.http.media_types import JSON_PATCH, MERGE_PATCH
from patchwire.http.message import Headers, Request, Response
from patchwire.loopback.content import media_type_of, refused_content
from patchwire.loopback.documents import Document, document_of, patched
from patchwire.loopback.preconditions import failed_precondition
from patchwire.loopback.responses import finished, problem

JSON: Final = "application/json"

_ALLOW: Final = (b"Allow", b"GET, HEAD, OPTIONS, PATCH, PUT")
_ACCEPT_PATCH: Final = (b"Accept-Patch", f"{MERGE_PATCH}, {JSON_PATCH}".encode("ascii"))
_SERVED: Final = frozenset({"GET", "HEAD", "OPTIONS", "PATCH", "PUT"})
_KNOWN: Final = _SERVED | {"POST", "DELETE", "CONNECT", "TRACE"}
_STATUS_OF: Final = {Fault.MALFORMED: 400, Fault.NOT_APPLICABLE: 422, Fault.TEST_FAILED: 409}


class Change(Struct, frozen=True):
    """The one effect of a request: from now on `document` stands at `path`."""

    path: str
    document: Document


class App(Struct, frozen=True):
    """A store of JSON documents, each at the path of its URL, which GET reads, PUT replaces and PATCH changes."""

    verifier: Verifier | None = None
    """Who may use it; None: anyone. What a verifier remembers of nonces is the one thing that changes here."""
    create_missing: bool = False
    """Whether a merge patch for a path without document creates one (RFC 5789 section 2)."""

    def handle(
        self, request: Request, documents: Mapping[str, Document], now: float
    ) -> tuple[Response, Change | None]:
        """The response, complete but for connection fields, and what it has changed. `now` is in Unix seconds.

        Nothing is raised for a bad request. The order of checks is that of RFC 9110 section 13.2.1.
        """
        verdict = None if self.verifier is None else self.verifier.judge(request, now)
        if isinstance(verdict, Refused):
            return finished(_unauthorized(verdict), request.method, now), None
        response, change = self._answer(request, documents)
        response = finished(response, request.method, now)
        return response if verdict is None else verdict.signed(response, now), change

    def refuse(self, request: Request, documents: Mapping[str, Document], now: float) -> Response | None:
        """The refusal that stands whatever the content will be, else None.

        For a request whose content waits for 100 (Continue): RFC 9110 section 10.1.1.
        """
        verdict = None if self.verifier is None else self.verifier.judge(request, now, has_body=False)
        if isinstance(verdict, Refused):
            return finished(_unauthorized(verdict), request.method, now)
        if verdict is not None and verdict.provisional:
            return None
        refusal = self._refusal(request, documents)
        if refusal is None:
            return None
        if self.verifier is not None:  # there will be no other look at its credentials
            self.verifier.judge(request, now)
        return finished(refusal, request.method, now)

    def _answer(self, request: Request, documents: Mapping[str, Document]) -> tuple[Response, Change | None]:
        refusal = self._refusal(request, documents)
        if refusal is not None:
            return refusal, None
        path = path_of(request)
        document = documents.get(path)
        if request.method == "OPTIONS":
            return Response(204, (_ALLOW, _ACCEPT_PATCH)), None
        try:
            if request.method == "PATCH":
                return _patch(request, path, document)
            if request.method == "PUT":
                return _put(request, path, document)
        except ContentRefusedError as error:
            return problem(_STATUS_OF[error.fault], str(error)), None
        return Response(200, (*_representation(documents[path]), _ACCEPT_PATCH), documents[path].body), None

    def _refusal(self, request: Request, documents: Mapping[str, Document]) -> Response | None:
        refusal = refused_method(request.method)
        if refusal is not None or request.method == "OPTIONS":
            return refusal
        document = documents.get(path_of(request))
        if request.method == "PATCH":
            refusal = self._refused_patch(request, document)
        elif request.method == "PUT":
            refusal = refused_content(request, (JSON,), ((b"Accept", JSON.encode("ascii")),))
        elif document is None:
            refusal = _missing()
        return refusal or failed_precondition(request, document)

    def _refused_patch(self, request: Request, document: Document | None) -> Response | None:
        if document is None and not self.create_missing:
            return _missing()
        refusal = refused_content(request, (MERGE_PATCH, JSON_PATCH), (_ACCEPT_PATCH,))
        if refusal is None and document is None and media_type_of(request) == JSON_PATCH:
            return _missing()
        return refusal


def _unauthorized(verdict: Refused) -> Response:
    if verdict.content is None:
        return problem(verdict.status, verdict.reason, verdict.headers)
    media_type, body = verdict.content
    return Response(verdict.status, (*verdict.headers, (b"Content-Type", media_type.encode("ascii"))), body)


def path_of(request: Request) -> str:
    """The path of the request's target as it was written, without query; `*` for the server as a whole.

    A target in absolute form counts like its path, which is never empty (RFC 9112 section 3.2.2).
    """
    target = request.target.split(b"?", 1)[0].decode("ascii")
    if target.startswith("/") or target == "*":
        return target
    return "/" + target.partition("://")[2].partition("/")[2]


def refused_method(method: str) -> Response | None:
    """The 501 for a method that HTTP does not know, the 405 for one that no document has, else None."""
    if method not in _KNOWN:
        return problem(501, f"Method {method} is not known here; methods are case-sensitive.")
    if method not in _SERVED:
        return problem(405, f"No document has the method {method}.", (_ALLOW,))
    return None


def refused_asterisk(method: str) -> Response:
    """The refusal of a request for `*` whose method is not OPTIONS (RFC 9112 section 3.2.4)."""
    refusal = refused_method(method)
    if refusal is not None and refusal.status == 501:
        return refusal
    return problem(405, "Only OPTIONS may ask for the server as a whole.", ((b"Allow", b"OPTIONS"),))


def _missing() -> Response:
    return problem(404, "There is no document at this path.")


def _patch(request: Request, path: str, document: Document | None) -> tuple[Response, Change]:
    result = patched(document, media_type_of(request) or "", request.body)
    # Content-Location says that the content is the document itself, not a report on it (RFC 9110 section 8.7).
    headers = (*_representation(result), (b"Content-Location", path.encode("ascii")))
    if document is None:
        return Response(201, (*headers, (b"Location", path.encode("ascii"))), result.body), Change(path, result)
    return Response(200, headers, result.body), Change(path, result)


def _put(request: Request, path: str, document: Document | None) -> tuple[Response, Change]:
    parse_json(request.body)
    # Stored octet for octet, which is what lets a response to PUT carry a validator (RFC 9110 section 9.3.4).
    stored = document_of(request.body)
    status = 201 if document is None else 204
    return Response(status, ((b"ETag", stored.etag.encode("ascii")),)), Change(path, stored)


def _representation(document: Document) -> Headers:
    return ((b"Content-Type", JSON.encode("ascii")), (b"ETag", document.etag.encode("ascii")))
