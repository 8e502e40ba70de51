"""A request's head, from the message that was validated to the octets on the wire (RFC 9112 section 3)."""

from __future__ import annotations

from patchwire.errors import LocalProtocolError
from patchwire.http.fields import FieldSyntaxError, comma_list
from patchwire.http.message import Request
from patchwire.http.streamed_body import StreamedBody

_BODILESS_METHODS = frozenset({"GET", "HEAD", "DELETE", "OPTIONS", "TRACE", "CONNECT"})


def request_head(request: Request, streamed: StreamedBody | None = None) -> tuple[bytes, bool, bool]:
    """The head as it goes on the wire, whether it expects 100 (Continue), and whether it closes the connection.

    With `streamed` it frames that body in place of the request's own.

    Message types have validated every octet of it. LocalProtocolError where two fields contradict each other.
    """
    lines = [b"%b %b HTTP/1.1" % (request.method.encode("ascii"), request.target)]
    hosts = 0
    expects = closes = False
    for name, value in request.headers:
        lower = name.lower()
        if lower == b"host":
            hosts += 1
        elif lower == b"expect" and value.lower() == b"100-continue":
            if not request.body and streamed is None:
                continue  # there is nothing to wait with (RFC 9110 section 10.1.1)
            expects = True
        elif lower == b"connection":
            closes = closes or "close" in map(str.lower, _options(value))
        elif lower == b"upgrade":
            raise LocalProtocolError("field 'Upgrade': an exchange does not switch protocols")
        lines.append(name + b": " + value)
    if hosts > 1:
        raise LocalProtocolError("field 'Host': a request has one (RFC 9112 section 3.2)")
    if not hosts:
        lines.insert(1, b"Host: " + request.origin.authority.encode("ascii"))
    if streamed is not None:
        length = streamed.length
        lines.append(b"Transfer-Encoding: chunked" if length is None else b"Content-Length: %d" % length)
    elif request.body or request.method not in _BODILESS_METHODS:
        lines.append(b"Content-Length: %d" % len(request.body))
    lines.append(b"\r\n")
    return b"\r\n".join(lines), expects, closes


def _options(value: bytes) -> list[str]:
    try:
        return comma_list([value])
    except FieldSyntaxError as error:
        raise LocalProtocolError(f"field 'Connection': {error}") from None
