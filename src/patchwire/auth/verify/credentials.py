"""Reading the Authorization field, which has the form of one challenge (RFC 9110 section 11.6.2)."""

from __future__ import annotations

from patchwire.auth.challenge import Challenge, parse_strictly
from patchwire.http.fields import FieldSyntaxError
from patchwire.http.message import Request

UNREADABLE = Challenge("")
"""Stands for a field that is malformed, or stands twice."""


def credentials_in(request: Request) -> Challenge | None:
    """Scheme and parameters of the credentials; None where there are none, UNREADABLE where they make no sense."""
    values = request.all_values(b"authorization")
    if not values:
        return None
    try:
        (credentials,) = [each for value in values for each in parse_strictly(value)]
    except (FieldSyntaxError, ValueError):
        return UNREADABLE
    return credentials
