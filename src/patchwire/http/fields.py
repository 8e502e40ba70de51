"""The grammar of field values (RFC 9110 section 5.6): small functions that take a position and return the next.

Field values are text here, one character for each octet (Latin-1), so that no octet is lost.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

from patchwire.errors import RemoteProtocolError

LONGEST_PAUSE: Final = 2.0**31
"""Seconds; what Retry-After asks beyond it counts as this much."""

_token = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+").match
_quoted_string = re.compile(r'"((?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t \x21-\x7e\x80-\xff])*+)"').match
_quoted_pair = re.compile(r"\\(.)", re.DOTALL)
_blanks = re.compile(r"[ \t]*").match
_separators = re.compile(r"[ \t,]*").match
_delay = re.compile(rb"[0-9]+").fullmatch

_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_TIME: Final = r"(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2}):(?P<second>[0-9]{2})"
_MONTH: Final = rf"(?P<month>{'|'.join(_MONTHS)})"
_date_forms: Final = tuple(
    re.compile(form).fullmatch
    for form in (
        rf"[A-Z][a-z]{{2}}, (?P<day>[0-9]{{2}}) {_MONTH} (?P<year>[0-9]{{4}}) {_TIME} GMT",
        rf"[A-Z][a-z]+day, (?P<day>[0-9]{{2}})-{_MONTH}-(?P<short_year>[0-9]{{2}}) {_TIME} GMT",
        rf"[A-Z][a-z]{{2}} {_MONTH} (?P<day>[0-9 ][0-9]) {_TIME} (?P<year>[0-9]{{4}})",
    )
)


class FieldSyntaxError(RemoteProtocolError):
    """A field value is not what its grammar demands. `position` counts characters from 0."""

    def __init__(self, expected: str, position: int) -> None:
        super().__init__(f"{expected} expected at {position}")
        self.expected = expected
        self.position = position


def token(text: str, position: int) -> tuple[str, int]:
    """The token at `position` and the position behind it. FieldSyntaxError where there is none."""
    match = _token(text, position)
    if match is None:
        raise FieldSyntaxError("token", position)
    return match[0], match.end()


def quoted_string(text: str, position: int) -> tuple[str, int]:
    """The value of the quoted-string at `position`, its quoted-pairs undone once, and the position behind it."""
    match = _quoted_string(text, position)
    if match is None:
        raise FieldSyntaxError("terminated quoted-string", position)
    return _quoted_pair.sub(r"\1", match[1]), match.end()


def token_or_quoted_string(text: str, position: int) -> tuple[str, int]:
    """The value of a parameter, in either form."""
    return quoted_string(text, position) if text[position : position + 1] == '"' else token(text, position)


def skip_blanks(text: str, position: int) -> int:
    """The position behind optional whitespace."""
    match = _blanks(text, position)
    return match.end() if match else position


def skip_separators(text: str, position: int) -> int:
    """The position behind whitespace and commas: empty list elements mean nothing (RFC 9110 section 5.6.1)."""
    match = _separators(text, position)
    return match.end() if match else position


def http_date(text: str, now: float) -> float | None:
    """Unix seconds of an HTTP-date in any of its three forms (RFC 9110 section 5.6.7), None where it is none.

    A year of two digits that seems more than 50 years ahead of `now` is the last one that ended so.
    """
    for form in _date_forms:
        match = form(text)
        if match is not None:
            return _unix_seconds(match.groupdict(), now)
    return None


def retry_after(value: bytes, now: float) -> float | None:
    """Seconds to wait from `now`, never below 0 nor above LONGEST_PAUSE; None where the value is malformed.

    RFC 9110 section 10.2.3.
    """
    if _delay(value):
        return LONGEST_PAUSE if len(value) > 10 else min(float(value), LONGEST_PAUSE)
    date = http_date(value.decode("latin-1"), now)
    return None if date is None else min(max(0.0, date - now), LONGEST_PAUSE)


def _unix_seconds(parts: dict[str, str], now: float) -> float | None:
    if "short_year" in parts:
        this_year = datetime.fromtimestamp(now, UTC).year
        year = this_year - this_year % 100 + int(parts["short_year"])
        year -= 100 if year > this_year + 50 else 0
    else:
        year = int(parts["year"])
    leap_second = parts["second"] == "60"
    try:
        moment = datetime(
            year,
            _MONTHS.index(parts["month"]) + 1,
            int(parts["day"]),
            int(parts["hour"]),
            int(parts["minute"]),
            59 if leap_second else int(parts["second"]),
            tzinfo=UTC,
        )
    except ValueError:
        return None
    return moment.timestamp() + leap_second
