"""Host names beyond ASCII, as people write them, and the A-labels that DNS, TLS and HTTP know them by (RFC 5890).

The idna package maps and checks them (UTS 46, non-transitional, on IDNA 2008). It is loaded only where one occurs.
"""

from __future__ import annotations

import re
from urllib.parse import quote

from patchwire.errors import LocalProtocolError

_host_in = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*://([^/?#:\[\]]*)").match


def ascii_url(url: str) -> str:
    """The absolute URL with its host in A-labels; the same where it is ASCII already.

    LocalProtocolError where the host is no name, or where anything but it holds a character beyond ASCII, which a URL
    has percent-encoded (RFC 3986 section 2.1).
    """
    if url.isascii():
        return url
    found = _host_in(url)
    start, end = found.span(1) if found else (0, 0)
    if "@" in url[start:end] or "@" in re.split(r"[/?#]", url[end:], maxsplit=1)[0]:
        raise LocalProtocolError("a URL must not hold user and password")
    for place, character in enumerate(url):
        if not character.isascii() and not start <= place < end:
            written = quote(character, errors="replace")
            problem = f"character {place + 1}, {character!r}, must be percent-encoded there: {written}"
            raise LocalProtocolError(f"{url!r} is no URL: {problem}")
    return url[:start] + ascii_host(url[start:end]) + url[end:]


def ascii_host(host: str) -> str:
    """The host name in A-labels, for example xn--bcher-kva.example, in lower case. LocalProtocolError says why it
    is none.
    """
    import idna

    try:
        return idna.encode(host, uts46=True, std3_rules=True, transitional=False).decode("ascii")
    except UnicodeError as error:
        reason = str(error)
        problem = f"{host!r} is no host name: {reason[:1].lower()}{reason[1:]} (RFC 5891 section 5.4)"
        raise LocalProtocolError(problem) from None


def readable_host(name: str) -> str | None:
    """The name with its A-labels as people write them, or None where it has none that can be read.

    A `*` may stand before it. What no terminal shows is escaped.
    """
    if "xn--" not in name.lower():
        return None
    import idna

    wildcard = "*." if name.startswith("*.") else ""
    try:
        readable = idna.decode(name.removeprefix(wildcard))
    except UnicodeError:
        return None
    return wildcard + "".join(each if each.isprintable() else ascii(each)[1:-1] for each in readable)
