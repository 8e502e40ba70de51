"""What a request's content claims to be (RFC 9110 section 8)."""

from __future__ import annotations

import re
from collections.abc import Sequence

from patchwire.http.message import Headers, Request, Response
from patchwire.loopback.responses import problem

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_QUOTED = rb'"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t \x21-\x7e\x80-\xff])*"'
_PARAMETER = rb"[ \t]*;[ \t]*(?:(" + _TOKEN + rb")=(" + _TOKEN + rb"|" + _QUOTED + rb"))?"
_essence = re.compile(_TOKEN + rb"/" + _TOKEN).match
_parameter = re.compile(_PARAMETER).match


def media_type_of(request: Request) -> str | None:
    """The media type in lower case, without parameters, of which none but a foreign charset matters.

    None where Content-Type is missing, repeated or malformed, or says that the text is not in UTF-8, which JSON
    always is (RFC 8259 section 8.1).
    """
    values = [value for name, value in request.headers if name.lower() == b"content-type"]
    if len(values) != 1:
        return None
    value = values[0]
    if value in (b"application/merge-patch+json", b"application/json-patch+json"):
        return value.decode("ascii")
    essence = _essence(value)
    if essence is None:
        return None
    position = essence.end()
    while position < len(value):
        parameter = _parameter(value, position)
        if parameter is None:
            return None
        if (parameter[1] or b"").lower() == b"charset" and parameter[2].strip(b'"').lower() != b"utf-8":
            return None
        position = parameter.end()
    return essence[0].decode("ascii").lower()


def refused_content(request: Request, accepted: Sequence[str], advice: Headers) -> Response | None:
    """The 415 or 400 for content that is not read here, else None. `advice` tells a 415 what would be accepted."""
    codings = b",".join(value for name, value in request.headers if name.lower() == b"content-encoding")
    if codings and codings.strip().lower() != b"identity":
        refusal = ((b"Accept-Encoding", b"identity"),)
        return problem(415, "Content is read in no coding but identity (RFC 9110 section 15.5.16).", refusal)
    if media_type_of(request) not in accepted:
        return problem(415, f"Content-Type must be {' or '.join(accepted)}, in UTF-8.", advice)
    if request.header(b"content-range") is not None:
        return problem(400, "Content-Range has no meaning here (RFC 9110 section 14.4).")
    return None
