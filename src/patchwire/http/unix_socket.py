"""The URL of an HTTP server that listens on a Unix socket, as nginx writes it: "unix:/run/app.sock:/v1/people?x=1".

No RFC has it. The socket's path ends at a colon, behind which stand path and query of the request. A colon that is
part of the socket's path, and all that a URL may not hold, is percent-encoded there.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import quote, unquote_to_bytes

from patchwire.errors import LocalProtocolError

SCHEME: Final = "unix"
LONGEST: Final = 107
"""Octets of a socket's path: what Linux has room for (unix(7)); macOS has for 103."""
_FORM: Final = 'write "unix:/run/app.sock:/v1", with the path of HTTP behind a second colon'
_UNENCODED: Final = "/!$&'()*+,;=@"


def is_unix(url: str) -> bool:
    """Whether the URL is one of a Unix socket, or meant as one: some write http:// in front."""
    return url[:5].lower() == "unix:" or _misspelt(url) != ""


def split_unix(url: str) -> tuple[str, str]:
    """The socket's path as the host of an Origin holds it, percent-encoded, and the request target.

    `url` is printable ASCII for which `is_unix` holds. LocalProtocolError says what is wrong with it.
    """
    if _misspelt(url):
        problem = "TLS is not spoken over a Unix socket" if _misspelt(url) == "https" else "it must begin with unix:"
        raise LocalProtocolError(f"{url!r}: {problem}; {_FORM}")
    rest = url[5:]
    if "#" in url:
        raise LocalProtocolError(f"{url!r} holds a fragment, which is never sent")
    if rest.startswith("///"):  # as a URI with an empty authority has it
        rest = rest[2:]
    path, _, target = rest.partition(":")
    if not path.startswith("/") or path.startswith("//"):
        raise LocalProtocolError(f"{url!r}: the path of a Unix socket must be absolute; {_FORM}")
    if "?" in path:
        raise LocalProtocolError(f"{url!r}: a query belongs to the path of HTTP; {_FORM}")
    if target and not target.startswith("/"):
        raise LocalProtocolError(f"{url!r}: the path of HTTP must begin with a slash; {_FORM}")
    octets = unquote_to_bytes(path)
    if b"\0" in octets:
        raise LocalProtocolError(f"{url!r}: the path of a Unix socket must not hold a zero octet")
    if len(octets) > LONGEST:
        problem = f"the path of a Unix socket has at most {LONGEST} octets, this one has {len(octets)}"
        raise LocalProtocolError(f"{url!r}: {problem}; a symbolic link may shorten it")
    return quote(octets, safe=""), target or "/"


def shown(host: str) -> str:
    """The URL of the socket alone, of the host as `split_unix` gives it."""
    return f"{SCHEME}:{quote(unquote_to_bytes(host), safe=_UNENCODED)}"


def _misspelt(url: str) -> str:
    """The scheme that stands in front of "unix:" and belongs to the network; a host named unix has a port or none."""
    scheme, separator, rest = url.lower().partition("://")
    return scheme if separator and scheme in ("http", "https") and rest.startswith("unix:/") else ""
