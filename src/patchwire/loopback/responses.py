"""Responses of the embedded server: problem details (RFC 9457), and what every response carries."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

import msgspec

from patchwire.http.message import Headers, Response

REASONS: Final = {
    200: "OK",
    201: "Created",
    204: "No Content",
    303: "See Other",
    304: "Not Modified",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    409: "Conflict",
    412: "Precondition Failed",
    413: "Content Too Large",
    415: "Unsupported Media Type",
    417: "Expectation Failed",
    422: "Unprocessable Content",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    501: "Not Implemented",
}
"""Reason phrases of the statuses this server uses (RFC 9110 section 15, RFC 6585)."""

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def problem(status: int, detail: str, headers: Headers = ()) -> Response:
    """An error as application/problem+json (RFC 9457 section 3); `headers` go before the content's own."""
    body = {"type": "about:blank", "title": REASONS[status], "status": status, "detail": detail}
    return Response(
        status,
        (*headers, (b"Content-Type", b"application/problem+json")),
        msgspec.json.encode(body),
    )


def finished(response: Response, method: str, now: float) -> Response:
    """The response with reason phrase, Date (`now` in Unix seconds) and Content-Length, as `method` lets it be sent.

    What answers HEAD has no content but its length; 204 and 304 have neither (RFC 9110 sections 8.6, 9.3.2).
    """
    headers = (*response.headers, (b"Date", http_date(int(now))))
    if response.status not in (204, 304):
        headers = (*headers, (b"Content-Length", b"%d" % len(response.body)))
    body = b"" if method == "HEAD" else response.body
    return Response(response.status, headers, body, REASONS[response.status].encode("ascii"))


@lru_cache(maxsize=2)
def http_date(seconds: int) -> bytes:
    """Unix seconds as an IMF-fixdate, in English whatever the locale (RFC 9110 section 5.6.7)."""
    moment = datetime.fromtimestamp(seconds, UTC)
    day, month = _DAYS[moment.weekday()], _MONTHS[moment.month - 1]
    return f"{day}, {moment.day:02} {month} {moment.year:04} {moment:%H:%M:%S} GMT".encode("ascii")
