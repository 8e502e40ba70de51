"""Where a record's path leads: the base URL and the path, as written, with exactly one slash between them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import quote

from patchwire.errors import LocalProtocolError
from patchwire.http.message import target_fault

_not_allowed = re.compile(rb"%(?![0-9A-Fa-f]{2})|[^A-Za-z0-9\-._~!$&'()*+,;=:@/?%]").sub


def join_target(base_path: bytes, base_query: bytes, path: str, query: Mapping[str, str]) -> bytes:
    """The request target: base path, path, then the queries of base URL, path and `query`, in this order.

    Nothing is normalised, decoded or encoded a second time; only the members of `query` are percent-encoded.
    LocalProtocolError names the first character that RFC 3986 does not allow, and the encoded form.
    """
    octets = _checked(path)
    own_path, mark, own_query = octets.partition(b"?")
    target = base_path.removesuffix(b"/") + b"/" + own_path.removeprefix(b"/") if own_path else base_path
    if base_query or mark or query:
        members = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in query.items())
        target += b"?" + b"&".join(part for part in (base_query, own_query, members.encode()) if part)
    return target


def _checked(path: str) -> bytes:
    octets = path.encode("utf-8", "surrogatepass")
    fault = target_fault(octets)
    if fault is None:
        return octets
    index = len(octets[:fault].decode("utf-8", "surrogatepass"))
    remedy = _not_allowed(lambda match: b"%%%02X" % match[0][0], octets).decode("ascii")
    problem = f"character {index + 1}, {path[index]!r}, is not allowed in a URL; write {remedy!r}"
    raise LocalProtocolError(problem)
