"""The authorization code grant as the client's browser sees it: the URL to open, and what comes back (RFC 6749 section
4.1, with PKCE of RFC 7636, the issuer of RFC 9207, and the advice of RFC 9700 and RFC 8252).
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from patchwire.auth.oauth2_endpoint import check_endpoint, check_text, is_loopback
from patchwire.auth.pkce import METHOD, challenge_of
from patchwire.errors import CallbackError, LocalProtocolError
from patchwire.http.message import Origin, split_url

SHOWN: Final = 200
"""Characters of each of the server's words that an error shows."""

OF_AN_AUTHORIZATION_REQUEST: Final = (
    "response_type", "client_id", "redirect_uri", "scope", "state", "code_challenge", "code_challenge_method",
)  # fmt: skip
_ANSWER: Final = ("code", "state", "iss", "error", "error_description", "error_uri")
"""Parameters of an answer that have a meaning; RFC 6749 section 3.1 lets none of them stand there twice."""

_printable_ascii = re.compile(r"[\x20-\x7e]+").fullmatch
_uri = re.compile(r"([A-Za-z][A-Za-z0-9+\-.]*):(?:[A-Za-z0-9\-._~!$&'()*+,;=:@/?\[\]]|%[0-9A-Fa-f]{2})+").fullmatch


def authorization_url(
    endpoint: str,
    *,
    client_id: str,
    redirect_uri: str,
    scope: str,
    state: str,
    verifier: str,
    parameters: Mapping[str, str],
) -> str:
    """The URL that the user opens in a browser (RFC 6749 section 4.1.1); it holds the verifier's challenge alone.

    `state` and `verifier` are random, new for each request, and kept for its answer. An empty scope is left out. The
    endpoint's own query stays in front; `parameters` come last. LocalProtocolError where one of the parts is not valid
    or a parameter would stand there twice.
    """
    check_endpoint(endpoint)
    check_redirect_uri(redirect_uri)
    _check_visible(client_id=client_id, state=state)
    ours = {
        "response_type": "code",
        "client_id": client_id,
        "redirect_uri": redirect_uri,
        "scope": scope,
        "state": state,
        "code_challenge": challenge_of(verifier),
        "code_challenge_method": METHOD,
    }
    query = endpoint.partition("?")[2]
    _check_names(query, parameters)
    added = _encoded({name: value for name, value in ours.items() if value} | dict(parameters))
    return f"{endpoint.partition('?')[0]}?{query}{'&' if query else ''}{added}"


def check_redirect_uri(uri: str) -> None:
    """LocalProtocolError unless an answer can come there safely (RFC 6749 section 3.1.2, RFC 8252 section 7): https,
    http to this machine, or a scheme of the client's own, with a dot as a reversed domain name has. No fragment.
    """
    check_text(uri)
    if "#" in uri:
        raise LocalProtocolError(f"the redirect URI {uri!r} must not hold a fragment (RFC 6749 section 3.1.2)")
    found = _uri(uri)
    if not found:
        raise LocalProtocolError(f"the redirect URI {uri!r} is no absolute URI (RFC 6749 section 3.1.2)")
    scheme = found[1].lower()
    if scheme not in ("http", "https") and "." not in scheme:
        raise LocalProtocolError(f"the scheme of the redirect URI {uri!r} must have a dot (RFC 8252 section 7.1)")
    if scheme == "https":
        split_url(uri)
    if scheme == "http" and not is_loopback(uri):
        raise LocalProtocolError(f"the redirect URI {uri!r} must be https, or http to 127.0.0.1, [::1] or localhost")


def at_port(uri: str, port: int) -> str:
    """The redirect URI with this port in place of none: an authorization server must take any for this machine (RFC
    8252 section 7.3).
    """
    parts = urlsplit(uri)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return urlunsplit(parts._replace(netloc=f"{host}:{port}"))


def is_callback(target: str | bytes, redirect_uri: str) -> bool:
    """Whether a URL or request target leads to the redirect URI; a browser asks for others too, as /favicon.ico.

    Of a request target it is the path that counts, and of a URL the origin as well; they are compared as they are.
    """
    text = _text(target)
    (origin, path), (our_origin, our_path) = _place(text), _place(redirect_uri)
    return path == our_path and (origin == our_origin or text.startswith("/"))


def code_in(
    callback: str | bytes,
    *,
    redirect_uri: str,
    state: str,
    issuer: str | None,
    requires_issuer: bool,
) -> str:
    """The authorization code in the URL or request target that the browser was sent back to (RFC 6749 section 4.1.2).

    `state` is that of the request. `issuer` is whom it was sent to, where that is known, and `requires_issuer` says
    that the server names itself in each answer (RFC 9207). CallbackError where there is no code to go on with: the
    server refused, or it is not known that the answer is its own, and to this request.
    """
    if not is_callback(callback, redirect_uri):
        raise CallbackError(f"the answer did not come to the redirect URI of the request, {redirect_uri}")
    answer = _answer(_text(callback).partition("?")[2])
    _check_state(answer.get("state", ""), state)
    _check_issuer(answer.get("iss", ""), issuer, requires_issuer)
    if "error" in answer and "code" in answer:
        raise CallbackError("the authorization server's answer holds both a code and an error")
    if "error" in answer:
        raise _refusal(answer, state)
    code = answer.get("code", "")
    if not _printable_ascii(code):
        raise CallbackError("the authorization server's answer holds no code (RFC 6749 section 4.1.2)")
    return code


# --- the request


def _check_visible(**values: str) -> None:
    for name, value in values.items():
        if not _printable_ascii(value):
            raise LocalProtocolError(f"{name} must be printable ASCII, and not empty (RFC 6749 appendix A)")


def _check_names(query: str, parameters: Mapping[str, str]) -> None:
    """No name twice (RFC 6749 section 3.1): not ours, which protect the user, nor the endpoint's own."""
    own = {name for name, _ in parse_qsl(query, keep_blank_values=True)}
    for name in own.intersection(OF_AN_AUTHORIZATION_REQUEST):
        raise LocalProtocolError(f"the authorization endpoint's own query must not hold {name!r}")
    for name in parameters:
        if name in own or name in OF_AN_AUTHORIZATION_REQUEST:
            raise LocalProtocolError(f"the parameter {name[:SHOWN]!r} is not to be set: it is in the request already")


def _encoded(parameters: Mapping[str, str]) -> str:
    try:
        return urlencode(parameters, quote_via=quote)  # a blank as %20, which is read alike by all
    except UnicodeEncodeError:
        raise LocalProtocolError("a parameter of the authorization request is no text that UTF-8 can hold") from None


# --- the answer


def _text(target: str | bytes) -> str:
    """Without the fragment, which some servers add and no parameter is in."""
    text = target.decode("latin-1") if isinstance(target, bytes) else target
    return text.partition("#")[0]


def _place(uri: str) -> tuple[Origin | None, str]:
    """Origin and path. What is no http or https URL has no origin, and all of it but the query is its path."""
    place = uri.partition("?")[0]
    try:
        origin, target = split_url(place)
    except LocalProtocolError:
        return None, place
    return origin, target.decode("ascii")


def _answer(query: str) -> dict[str, str]:
    """Its parameters; one that is empty counts as left out (RFC 6749 section 3.1)."""
    pairs = parse_qsl(query, keep_blank_values=True)
    names = [name for name, _ in pairs]
    for name in _ANSWER:
        if names.count(name) > 1:
            raise CallbackError(f"the authorization server's answer holds {name!r} more than once")
    return {name: value for name, value in pairs if value}


def _check_state(given: str, state: str) -> None:
    """In constant time, as whoever guesses may see how long it took."""
    if not given:
        raise CallbackError("the authorization server's answer holds no state: it may be forged")
    if not hmac.compare_digest(given.encode("utf-8", "surrogatepass"), state.encode("utf-8", "surrogatepass")):
        raise CallbackError("the state of the authorization server's answer is of another request: it may be forged")


def _check_issuer(given: str, issuer: str | None, requires_issuer: bool) -> None:
    """RFC 9207 section 2.4, by simple comparison; an issuer that is not known is no one's."""
    if not given and requires_issuer:
        raise CallbackError("the authorization server's answer does not name its issuer, as its metadata promises")
    if given and given != issuer and (issuer is not None or requires_issuer):
        raise CallbackError("the answer names another issuer than the authorization server that was asked")


def _refusal(answer: Mapping[str, str], state: str) -> CallbackError:
    """RFC 6749 section 4.1.2.1. The words are for people; of them only the code has a meaning."""
    words = [
        repr(answer[name].replace(state, "***")[:SHOWN])[1:-1]
        for name in ("error", "error_description")
        if name in answer
    ]
    return CallbackError(f"the authorization server refused: {': '.join(words)}", code=words[0])
