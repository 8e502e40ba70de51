"""The grammar of field values (RFC 9110 section 5.6): small functions that take a position and return the next.

Field values are text here, one character for each octet (Latin-1), so that no octet is lost.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final, Literal

from patchwire.errors import RemoteProtocolError

EntityTag = tuple[bool, str]
"""Whether the tag is weak, and its text between the quotes, one character for each octet."""

LONGEST_PAUSE: Final = 2.0**31
"""Seconds; what Retry-After asks beyond it counts as this much."""

_token = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+").match
_quoted_string = re.compile(r'"((?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t \x21-\x7e\x80-\xff])*+)"').match
_quoted_pair = re.compile(r"\\(.)", re.DOTALL)
_blanks = re.compile(r"[ \t]*").match
_separators = re.compile(r"[ \t,]*").match
_delay = re.compile(rb"[0-9]+").fullmatch
_entity_tag = re.compile(r'(W/)?"([\x21\x23-\x7e\x80-\xff]*+)"').match
_next_parameter = re.compile(r"[ \t]*+;[ \t;]*+").match

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


def quote(text: str) -> str:
    """`text` as a quoted-string, which `quoted_string` reads back. It must hold no control character but tab."""
    if '"' in text or "\\" in text:
        text = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


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


def element_end(text: str, position: int) -> int:
    """The position of the comma behind a list's element and its blanks, or of the end.

    FieldSyntaxError where anything else stands.
    """
    position = skip_blanks(text, position)
    if position < len(text) and text[position] != ",":
        raise FieldSyntaxError("comma", position)
    return position


def comma_list(values: Sequence[bytes]) -> list[str]:
    """The tokens of a list over all its field lines, in their order and case (RFC 9110 section 5.6.1).

    FieldSyntaxError, with the position in its own line, where an element is no token.
    """
    tokens = []
    for value in values:
        text = value.decode("latin-1")
        position = skip_separators(text, 0)
        while position < len(text):
            element, position = token(text, position)
            tokens.append(element)
            position = skip_separators(text, element_end(text, position))
    return tokens


def entity_tags(value: bytes) -> list[EntityTag] | Literal["*"]:
    """The entity tags of a list such as If-Match, at least one, or "*" (RFC 9110 sections 8.8.3 and 13.1.1).

    A tag may hold commas, and a backslash in it is an ordinary character. FieldSyntaxError where a tag is malformed.
    """
    text = value.decode("latin-1")
    if text.strip(" \t") == "*":
        return "*"
    tags: list[EntityTag] = []
    position = skip_separators(text, 0)
    while position < len(text) or not tags:
        match = _entity_tag(text, position)
        if match is None:
            raise FieldSyntaxError("entity tag", position)
        tags.append((match[1] is not None, match[2]))
        position = skip_separators(text, element_end(text, match.end()))
    return tags


def media_type(value: bytes) -> tuple[str, dict[str, str]]:
    """Type and subtype in lower case, and the parameters by their names in lower case (RFC 9110 section 8.3.1).

    Of a repeated parameter the first counts. FieldSyntaxError where any part of the value is malformed.
    """
    text = value.decode("latin-1")
    main, position = token(text, 0)
    subtype, position = token(text, _behind("/", text, position))
    parameters: dict[str, str] = {}
    while (separator := _next_parameter(text, position)) and separator.end() < len(text):
        name, position = token(text, separator.end())
        content, position = token_or_quoted_string(text, _behind("=", text, position))
        parameters.setdefault(name.lower(), content)
    if separator is None and skip_blanks(text, position) < len(text):
        raise FieldSyntaxError("semicolon", position)
    return f"{main}/{subtype}".lower(), parameters


def http_date(text: str, now: float) -> float | None:
    """Unix seconds of an HTTP-date in any of its three forms (RFC 9110 section 5.6.7), None where it is none.

    A year of two digits is the latest that ends so and puts the date at most 50 years ahead of `now`.
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
        return LONGEST_PAUSE if len(value.lstrip(b"0")) > 10 else min(float(value), LONGEST_PAUSE)
    date = http_date(value.decode("latin-1"), now)
    return None if date is None else min(max(0.0, date - now), LONGEST_PAUSE)


def _behind(mark: str, text: str, position: int) -> int:
    if not text.startswith(mark, position):
        raise FieldSyntaxError(mark, position)
    return position + 1


def _unix_seconds(parts: dict[str, str], now: float) -> float | None:
    month = _MONTHS.index(parts["month"]) + 1
    day, hour, minute, second = (int(parts[name]) for name in ("day", "hour", "minute", "second"))
    if "short_year" in parts:
        year = _full_year(int(parts["short_year"]), (month, day, hour, minute, second), now)
    else:
        year = int(parts["year"])
    leap_second = second == 60
    try:
        moment = datetime(year, month, day, hour, minute, 59 if leap_second else second, tzinfo=UTC)
    except ValueError:
        return None
    return moment.timestamp() + leap_second


def _full_year(short_year: int, in_year: tuple[int, ...], now: float) -> int:
    """The latest year of these last two digits in which the month, day and time are at most 50 years ahead."""
    today = datetime.fromtimestamp(now, UTC)
    latest = today.year + 50 - (in_year > today.timetuple()[1:6])
    return latest - (latest - short_year) % 100
