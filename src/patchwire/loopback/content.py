"""What a request's content claims to be (RFC 9110 section 8)."""

from __future__ import annotations

from collections.abc import Sequence

from patchwire.http.fields import FieldSyntaxError, media_type
from patchwire.http.message import Headers, Request, Response
from patchwire.loopback.responses import problem


def media_type_of(request: Request) -> str | None:
    """The media type in lower case, without parameters, of which none but a foreign charset matters.

    None where Content-Type is missing, repeated or malformed, or says that the text is not in UTF-8, which JSON
    always is (RFC 8259 section 8.1).
    """
    values = request.all_values(b"content-type")
    if len(values) != 1:
        return None
    value = values[0]
    if value in (b"application/merge-patch+json", b"application/json-patch+json"):
        return value.decode("ascii")
    try:
        essence, parameters = media_type(value)
    except FieldSyntaxError:
        return None
    return essence if parameters.get("charset", "utf-8").lower() == "utf-8" else None


def refused_content(request: Request, accepted: Sequence[str], advice: Headers) -> Response | None:
    """The 415 or 400 for content that is not read here, else None. `advice` tells a 415 what would be accepted."""
    codings = b",".join(request.all_values(b"content-encoding"))
    if codings and codings.strip().lower() != b"identity":
        refusal = ((b"Accept-Encoding", b"identity"),)
        return problem(415, "Content is read in no coding but identity (RFC 9110 section 15.5.16).", refusal)
    if media_type_of(request) not in accepted:
        return problem(415, f"Content-Type must be {' or '.join(accepted)}, in UTF-8.", advice)
    if request.header(b"content-range") is not None:
        return problem(400, "Content-Range has no meaning here (RFC 9110 section 14.4).")
    return None
