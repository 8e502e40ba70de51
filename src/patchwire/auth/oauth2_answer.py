"""What a token endpoint answers: a token, or an error in whatever form it has one (RFC 6749 section 5).

Servers differ in how they say it; what decides what is sent where is held strictly.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec

from patchwire.auth.bearer import is_token
from patchwire.auth.token import Token
from patchwire.errors import TokenError
from patchwire.http.message import Request, Response

LONGEST: Final = 1_048_576
"""Octets of an answer that are looked at."""
_SHOWN: Final = 200
_MEANT: Final = frozenset({"access_token", "token_type", "expires_in", "refresh_token", "scope"})
_LONGEST_LIFETIME: Final = 1e10
_PASSING: Final = frozenset({408, 429, 500, 502, 503, 504})
"""Statuses of who is busy or broken for the moment: the same request may fare better later."""


def is_passing(response: Response) -> bool:
    """Whether the same request may fare better later, by the status or in the server's own words."""
    if response.status in _PASSING:
        return True
    return response.status == 400 and members_of(response).get("error") in ("temporarily_unavailable", "server_error")


def token_in(response: Response, request: Request, now: float, hide: Callable[[str], str] = str) -> Token:
    """The token that the response to `request` gives; `now` is when that was sent, in Unix seconds.

    TokenError says what is there instead; `hide` takes out of the server's words what must not be told.
    """
    members = members_of(response)
    if response.status != 200 or members.get("error") is not None or "access_token" not in members:
        raise error_in(response, request, hide)
    access_token, kind = members["access_token"], members.get("token_type")
    if not isinstance(kind, str):
        raise _fault(response, request, "does not say of what type its token is (RFC 6749 section 5.1)")
    if kind.lower() != "bearer":
        raise _fault(response, request, f"gave a token of type {_shown(kind, hide)}, which is not known here")
    if not isinstance(access_token, str) or not is_token(access_token):
        problem = "gave an access token with a character that no token may have (RFC 6750 section 2.1)"
        raise _fault(response, request, problem)
    lifetime = _lifetime(members.get("expires_in"))
    return Token(
        access_token,
        None if lifetime is None else now + lifetime,
        lifetime,
        _text(members.get("refresh_token")),
        _scope(members.get("scope")),
        {name: value for name, value in members.items() if name not in _MEANT},
    )


def error_in(response: Response, request: Request, hide: Callable[[str], str] = str) -> TokenError:
    """What is said where a token, or whatever was asked for, should be. Its description is for people alone."""
    members = members_of(response)
    code, description = _text(members.get("error")), _text(members.get("error_description"))
    if 300 <= response.status <= 399:
        return _fault(response, request, "redirects, which is not followed: it would give the credentials away")
    if code is None and 200 <= response.status <= 299:
        return _fault(response, request, f"answered with {_kind(response)}, and no token: is that its address?")
    said = [_shown(each, hide) for each in (code, description) if each]
    if not said:
        said = [_plain(response, hide)]
    return _fault(response, request, f"answered {response.status}: {': '.join(said)}", hide(code or ""))


def members_of(response: Response) -> Mapping[str, Any]:
    """The members of a JSON object, or of a form; none where the body is something else."""
    body = response.body[:LONGEST]
    try:
        content: Any = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return _form(body)
    return content if isinstance(content, dict) else {}


def _form(body: bytes) -> Mapping[str, str]:
    """Some servers answer in the form of a request. A repeated name is none of theirs (RFC 6749 section 3.2)."""
    try:
        pairs = parse_qsl(body.decode("utf-8").strip(), strict_parsing=True, max_num_fields=100)
    except ValueError:  # also what is no UTF-8
        return {}
    members = dict(pairs)
    return members if len(members) == len(pairs) and not {"error", "access_token"}.isdisjoint(members) else {}


def _lifetime(given: object) -> float | None:
    """Seconds, however they are written; None where nothing of use is said."""
    try:
        seconds = float(given) if isinstance(given, int | float | str) and not isinstance(given, bool) else math.nan
    except (ValueError, OverflowError):
        return None
    return min(seconds, _LONGEST_LIFETIME) if seconds > 0 else None


def _scope(given: object) -> str | None:
    """Some servers give a list of what RFC 6749 section 3.3 joins with blanks."""
    if isinstance(given, list) and all(isinstance(each, str) for each in given):
        return " ".join(given)
    return given if isinstance(given, str) else None


def _text(given: object) -> str | None:
    return given if isinstance(given, str) and given else None


def _kind(response: Response) -> str:
    media_type = (response.header(b"content-type") or b"no media type").decode("latin-1").partition(";")[0]
    return repr(media_type[:80])[1:-1]


def _plain(response: Response, hide: Callable[[str], str]) -> str:
    """The beginning of a text; of what is made for browsers, its media type alone."""
    text = response.body[:LONGEST].decode("utf-8", "replace").strip()
    if not text or text.startswith("<") or not _kind(response).startswith("text/plain"):
        return f"no reason given ({_kind(response)})"
    return _shown(text, hide)


def _shown(text: str, hide: Callable[[str], str]) -> str:
    """Hidden before it is cut: half a secret is none that would be found."""
    return " ".join(repr(hide(text)[:_SHOWN])[1:-1].split()).rstrip(".")


def _fault(response: Response, request: Request, problem: str, code: str = "") -> TokenError:
    path = request.target.decode("ascii").partition("?")[0]
    origin = str(request.origin)
    return TokenError(f"{origin}{path} {problem}", origin=origin, status=response.status, code=code)
