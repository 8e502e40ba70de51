"""Challenges: what WWW-Authenticate and Proxy-Authenticate offer (RFC 9110 section 11.6.1), and the parameters that
Authentication-Info carries. Credentials in Authorization have the form of one challenge, and are read as one.

One positional grammar for several challenges in one field line and over several lines. In
`Basic , realm="x"` the parameter belongs to Basic, in `Basic, realm="x"` it does not: a blank behind the scheme
begins its parameters. A tab is taken for a blank there as elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from msgspec import Struct

from patchwire.http.fields import (
    FieldSyntaxError,
    element_end,
    skip_blanks,
    skip_separators,
    token,
    token_or_quoted_string,
)

_token68 = re.compile(r"([A-Za-z0-9\-._~+/]++=*+)[ \t]*+(?=,|\Z)").match
_TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"  # noqa: S105
_parameter_ahead = re.compile(rf"{_TOKEN}[ \t]*+=").match
# Where a malformed challenge ends at the latest: behind a comma, a scheme with its first parameter. Quoted values are
# passed over, well-formed or not, lest their text become a challenge that the server never made.
_landmarks = re.compile(
    rf"""=[ \t]*+"(?:[^"\\]|\\.)*+"|,[ \t]*+(?P<scheme>(?={_TOKEN}[ \t]++{_TOKEN}[ \t]*+=))""", re.DOTALL
).finditer


class Challenge(Struct, frozen=True):
    """One challenge. The scheme is in lower case; it has either a token68 or parameters, or neither."""

    scheme: str
    parameters: tuple[tuple[str, str], ...] = ()
    """Names in lower case, each once; values unquoted, one character for each octet."""
    token68: str | None = None

    @property
    def realm(self) -> str | None:
        """The protection space that the challenge names (RFC 9110 section 11.5), or None."""
        return self.get("realm")

    def get(self, name: str) -> str | None:
        """The value of a parameter, or None. `name` in lower case."""
        for each, value in self.parameters:
            if each == name:
                return value
        return None


def parse(field_values: Sequence[bytes]) -> list[Challenge]:
    """Every well-formed challenge in the field lines, in their order.

    A malformed one is left out and hides no good one beside it: reading goes on at the next scheme.
    """
    challenges: list[Challenge] = []
    for value in field_values:
        text = value.decode("latin-1")
        position = skip_separators(text, 0)
        while position < len(text):
            try:
                challenge, position = _challenge(text, position)
                challenges.append(challenge)
            except _DuplicateError as error:
                position = error.position
            except FieldSyntaxError:
                position = _next_challenge(text, position)
            position = skip_separators(text, position)
    return challenges


def parse_strictly(field_value: bytes) -> list[Challenge]:
    """The challenges of one field line. FieldSyntaxError, with the position, where any part of it is malformed."""
    text = field_value.decode("latin-1")
    challenges: list[Challenge] = []
    position = skip_separators(text, 0)
    while position < len(text):
        challenge, position = _challenge(text, position)
        challenges.append(challenge)
        position = skip_separators(text, position)
    return challenges


def parameters(field_values: Sequence[bytes]) -> dict[str, str]:
    """The parameters of Authentication-Info or Proxy-Authentication-Info (RFC 9110 section 11.6.3), names in lower
    case, values unquoted. FieldSyntaxError, with the position in its line, where a line is malformed or a name stands
    twice.
    """
    found: dict[str, str] = {}
    for value in field_values:
        text = value.decode("latin-1")
        pairs, end = _parameters(text, 0)
        position = skip_separators(text, end)
        if position < len(text):
            raise FieldSyntaxError("parameter", position)
        before = len(found)
        found |= pairs
        if len(found) < before + len(pairs):
            raise FieldSyntaxError("each parameter once", end)
    return found


class _DuplicateError(FieldSyntaxError):
    """A parameter stands twice, which makes its challenge malformed (RFC 9110 section 11.2), but not its line."""

    def __init__(self, scheme: str, position: int) -> None:
        super().__init__(f"each parameter of {scheme} once", position)


def _next_challenge(text: str, position: int) -> int:
    """Where reading goes on behind a malformed challenge at `position`: at a scheme with a parameter, or the end."""
    for landmark in _landmarks(text, position):
        if landmark["scheme"] is not None:
            return landmark.end()
    return len(text)


def _challenge(text: str, position: int) -> tuple[Challenge, int]:
    """The challenge at `position`, and the position of the comma behind it or of the end."""
    scheme, position = token(text, position)
    scheme = scheme.lower()
    start = skip_blanks(text, position)
    if start == position or start == len(text):
        return Challenge(scheme), element_end(text, start)
    blob = _token68(text, start)
    if blob is not None:
        return Challenge(scheme, token68=blob[1]), blob.end()
    if text[start] != "," and not _parameter_ahead(text, start):
        raise FieldSyntaxError("token68 or parameter", start)
    parameters, position = _parameters(text, start)
    if len({name for name, _ in parameters}) < len(parameters):
        raise _DuplicateError(scheme, position)
    return Challenge(scheme, tuple(parameters)), position


def _parameters(text: str, position: int) -> tuple[list[tuple[str, str]], int]:
    """The parameters, to where no further one follows: there the next challenge begins, or the line ends."""
    parameters = []
    end = position
    position = skip_separators(text, position)
    while _parameter_ahead(text, position):
        name, position = token(text, position)
        position = skip_blanks(text, skip_blanks(text, position) + 1)
        value, position = token_or_quoted_string(text, position)
        parameters.append((name.lower(), value))
        end = element_end(text, position)
        position = skip_separators(text, end)
    return parameters, end
