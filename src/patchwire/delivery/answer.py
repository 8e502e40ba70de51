"""A response as it is kept beside its outcome: fields by name, and the body as text."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Set

from msgspec import Struct

from patchwire.http.message import Response


class Answer(Struct, frozen=True):
    """What stands in an outcome of its response."""

    headers: dict[str, str]
    """Values by names in lower case; those of several fields of one name are joined by commas."""
    body: str
    encoding: str | None
    """`base64`, where the body is not UTF-8."""


def answer_of(response: Response, hidden: Set[bytes]) -> Answer:
    """The response to be kept; the values of fields that are `hidden`, in lower case, as ***."""
    headers: dict[str, str] = {}
    for raw_name, raw_value in response.headers:
        name, value = raw_name.lower(), raw_value.decode("latin-1")
        shown = "***" if name in hidden else value
        key = name.decode("latin-1")
        headers[key] = f"{headers[key]}, {shown}" if key in headers else shown
    try:
        return Answer(headers, response.body.decode("utf-8"), None)
    except UnicodeDecodeError:
        return Answer(headers, b64encode(response.body).decode("ascii"), "base64")
