"""Redirects: where a request goes next, with its method and its body, and where it does not go.

To turn a PATCH into a GET, as browsers do with POST, would lose the change and look like success.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final
from urllib.parse import urljoin

from msgspec import Struct

from patchwire.errors import LocalProtocolError
from patchwire.http.message import Origin, Request, Response, split_url, target_fault

FOLLOWABLE: Final = (301, 302, 307, 308)
"""Statuses that name another place for the same request. 303 names another resource, to be read."""


_LOCALHOST: Final = Origin("http", "localhost", 80)


class Redirects(Struct, frozen=True, forbid_unknown_fields=True):
    """`follow`: statuses that are followed; 301 and 302, which some servers mean as 303 does, only if they are named.
    `other_origins`: whether also to another origin, which gets no credentials. `limit`: how often for one request.
    """

    follow: tuple[int, ...] = (307, 308)
    other_origins: bool = False
    limit: int = 5


def redirected(
    request: Request, response: Response, redirects: Redirects, secret_fields: Collection[bytes]
) -> Request | str | None:
    """The request as the redirect asks for it, or why it is not followed; None where the response is no redirect.

    RFC 9110 section 15.4. To another origin it goes without the fields in `secret_fields` (lower case), and never
    from https to http. No Location leads to a Unix socket: what listens there trusts whoever can reach it. The server
    on one that names http://localhost, which is all that Host has told it, means itself.
    """
    if response.status not in FOLLOWABLE:
        return None
    location = response.header(b"location")
    if location is None:
        return f"{response.status} names no Location"
    try:
        url = urljoin(_url_of(request), location.decode("ascii"))  # no charset is agreed
        origin, target = split_url(url.partition("#")[0])
    except (LocalProtocolError, ValueError):
        return f"{response.status} names a Location that cannot be followed"
    if target_fault(target) is not None:
        return f"{response.status} names a Location with a character that is not allowed there"
    place = origin.url(target.partition(b"?")[0].decode("ascii"))
    if origin.socket_path is not None:
        return f"{response.status} to {place} is not followed: it names a Unix socket"
    if origin == _LOCALHOST and request.origin.socket_path is not None:
        origin = request.origin
    if response.status not in redirects.follow:
        return f"{response.status} to {place} is not followed (redirects.follow)"
    if not request.target.startswith(b"/"):
        target = origin.url(target.decode("ascii")).encode("ascii")
    if origin == request.origin:
        return Request(request.method, origin, target, request.headers, request.body)
    if not redirects.other_origins:
        return f"{response.status} to another origin, {place}, is not followed (redirects.other_origins)"
    if request.origin.scheme == "https" and origin.scheme != "https":
        return f"{response.status} to {place} is not followed: from https to http"
    dropped = {b"host", *secret_fields}
    kept = tuple(line for line in request.headers if line[0].lower() not in dropped)
    return Request(request.method, origin, target, kept, request.body)


def _url_of(request: Request) -> str:
    target = request.target.decode("ascii")
    origin = request.origin if request.origin.socket_path is None else _LOCALHOST
    return origin.url(target) if target.startswith("/") else target
