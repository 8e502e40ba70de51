"""What the authorization server answers to programs: JSON that no cache may keep (RFC 6749 sections 5.1 and 5.2)."""

from __future__ import annotations

from typing import Final

import msgspec

from patchwire.http.message import Headers, Response

NO_STORE: Final = (b"Cache-Control", b"no-store")


class OAuthError(Exception):
    """A request is refused with an error code of RFC 6749; `description` is told, and so holds nothing of a secret."""

    def __init__(self, code: str, description: str, *, status: int = 400, headers: Headers = ()) -> None:
        super().__init__(code)
        self.code = code
        self.description = description
        self.status = status
        self.headers = headers

    def response(self) -> Response:
        """The error as the token endpoint answers it (section 5.2)."""
        return json_answer(
            {"error": self.code, "error_description": self.description}, status=self.status, headers=self.headers
        )


def json_answer(value: object, *, status: int = 200, headers: Headers = ()) -> Response:
    """The value as JSON."""
    fields = (*headers, (b"Content-Type", b"application/json"), NO_STORE, (b"Pragma", b"no-cache"))
    return Response(status, fields, msgspec.json.encode(value))
