"""How long a connection may lie idle before it is used again: what its server says in Keep-Alive, with a margin.

The field has no standard of its own (RFC 2068 section 19.7.1 had it); Apache, Node.js and others send it. A request
that meets a server's close on its way is one whose fate is unknown: a connection is given up before that.
"""

from __future__ import annotations

import re
from typing import Final

from patchwire.http.message import Headers

UNTOLD: Final = 30.0
"""Seconds that an idle connection is trusted whose server says nothing."""
MARGIN: Final = 1.0

_timeout = re.compile(rb"(?:^|[,\s])timeout\s*=\s*\"?([0-9]{1,9})", re.IGNORECASE).search
_max = re.compile(rb"(?:^|[,\s])max\s*=\s*\"?([0-9]{1,9})", re.IGNORECASE).search


def idle_until(headers: Headers, now: float) -> float:
    """Until when the connection that brought a response with these fields may be used again, on the clock of `now`.

    A second before the server's own timeout, or at half of it where that is later; at once where its `max` allows one
    more request or none.
    """
    for name, value in headers:
        if len(name) == 10 and name.lower() == b"keep-alive":
            most = _max(value)
            if most is not None and int(most[1]) <= 1:
                return now
            timeout = _timeout(value)
            if timeout is not None:
                seconds = int(timeout[1])
                return now + max(seconds - MARGIN, seconds / 2)
    return now + UNTOLD
