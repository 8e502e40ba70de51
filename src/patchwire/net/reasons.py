"""Why no connection could be opened, in words: what is wrong, and the remedy where it is not plain."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from patchwire.files.read import describe

_OF_NAMES: Final = {
    getattr(socket, name, None): reason
    for name, reason in (
        ("EAI_NONAME", "the name {!r} is not known; check its spelling, and that this machine's resolver knows it"),
        ("EAI_NODATA", "the name {!r} is known but has no address"),
        ("EAI_ADDRFAMILY", "the name {!r} has no address of a kind that this machine can use"),
        ("EAI_AGAIN", "no resolver answers for {!r}; check this machine's network and resolver, or try again"),
        ("EAI_FAIL", "the resolver has failed for {!r}; check this machine's resolver, or name an address"),
    )
}
"""What getaddrinfo(3) says of a name; some systems lack some of them."""

_NO_USABLE_ROUTE: Final = (
    "no usable route: see to the blackholes among this machine's routes; a link-local address needs its interface"
)


def reason_of_host(error: OSError | UnicodeError, host: str) -> str:
    """Why no address of the host could be connected to. Of several addresses each reason is told once."""
    if isinstance(error, UnicodeError):
        return f"{host!r} is no host name: each of its parts has 1 to 63 characters, all of them 253 at most"
    if isinstance(error, socket.gaierror):
        return _OF_NAMES.get(error.errno, "the name {!r} cannot be resolved: " + describe(error)).format(host)
    causes = list(_causes(error))
    reasons = dict.fromkeys(_words(cause) for cause in causes)
    if len(reasons) == 1:
        return next(iter(reasons))
    return f"{host!r} has {len(causes)} addresses: {'; '.join(reasons)}"


def reason_of_socket(error: OSError | UnicodeError, path: str) -> str:
    """Why the Unix socket at `path` could not be connected to."""
    if isinstance(error, FileNotFoundError):
        return "there is no such file; its server makes it when it starts"
    if isinstance(error, PermissionError):
        return "permission denied; this user needs to write to the socket, and to enter the directories above it"
    if isinstance(error, ConnectionRefusedError):  # Linux says this of whatever is no socket, too
        return "connection refused: nobody listens on it" if Path(path).is_socket() else "it is not a socket"
    return _words(error) if isinstance(error, OSError) else str(error)


def _causes(error: BaseException) -> Iterator[OSError]:
    """What is at the bottom of it: trio groups the failures of a host's addresses."""
    below = error.__cause__
    if isinstance(below, BaseExceptionGroup):
        for each in below.exceptions:
            yield from _causes(each)
    elif below is not None:
        yield from _causes(below)
    elif isinstance(error, OSError):
        yield error


def _words(error: OSError) -> str:
    if error.errno == errno.EINVAL:  # the system's "invalid argument" names no remedy
        return _NO_USABLE_ROUTE
    text = os.strerror(error.errno) if error.errno is not None else str(error)
    return text[:1].lower() + text[1:]
