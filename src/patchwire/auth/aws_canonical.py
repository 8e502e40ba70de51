"""The canonical request of AWS Signature Version 4: the one form in which client and service read the same request.

It is made of the octets that go on the wire, which are never changed by it. What AWS documents is
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html; where that is silent, the
services' own behaviour decides, as their test suite (aws-c-auth) has it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import unquote_to_bytes

from msgspec import Struct

UNSIGNED_PAYLOAD: Final = "UNSIGNED-PAYLOAD"
"""Stands in place of the body's hash where the body is not signed."""
NEVER_SIGNED: Final = frozenset(
    b"authorization baggage connection content-length expect forwarded keep-alive proxy-authenticate"
    b" proxy-authorization proxy-connection te traceparent tracestate trailer transfer-encoding upgrade user-agent via"
    b" x-amzn-trace-id x-forwarded-for x-forwarded-host x-forwarded-port x-forwarded-proto".split()
)
"""Fields (lower case) that whoever passes a request on may change, or that are not there yet when it is signed."""

_ENCODED: Final = [b"%%%02X" % octet for octet in range(256)]
_unreserved = re.compile(rb"[A-Za-z0-9\-._~]*").fullmatch
_PLAIN: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/"
_other = re.compile(rb"[^A-Za-z0-9\-._~]").sub
_other_in_path = re.compile(rb"[^A-Za-z0-9\-._~/]").sub


class PathRules(Struct, frozen=True):
    """How the path of a target becomes canonical.

    `normalize` resolves dot segments and drops empty ones. With `encode_again` every octet of the wire's path is
    encoded, so that %20 becomes %2520; without, each is encoded once, as S3 does.
    """

    normalize: bool = True
    encode_again: bool = True


GENERIC: Final = PathRules()
S3: Final = PathRules(normalize=False, encode_again=False)


class CanonicalRequest(Struct, frozen=True):
    """The text that is hashed, and the names of the fields in it, as the SignedHeaders parameter lists them."""

    text: bytes
    signed_headers: bytes

    def __repr__(self) -> str:
        """A session token may stand in the text."""
        return f"<CanonicalRequest of {self.signed_headers.decode('latin-1')}>"


def canonical_request(
    method: str,
    target: bytes,
    headers: Iterable[tuple[bytes, bytes]],
    payload_hash: str,
    rules: PathRules = GENERIC,
) -> CanonicalRequest:
    """The canonical request for a request line and the fields to be signed, Host among them.

    `payload_hash` is the body's SHA-256 in lower-case hexadecimal digits, or UNSIGNED_PAYLOAD.
    """
    fields, names = canonical_fields(headers)
    return CanonicalRequest(canonical_text(method, target, fields, names, payload_hash, rules), names)


def canonical_text(
    method: str, target: bytes, fields: bytes, names: bytes, payload_hash: str, rules: PathRules
) -> bytes:
    """The text of a canonical request whose fields, and their names, are in canonical form already."""
    path, _, query = target.partition(b"?")
    parts = (
        method.encode("ascii"),
        canonical_path(path, rules),
        canonical_query(query) if query else b"",
        fields,
        names,
        payload_hash.encode("ascii"),
    )
    return b"\n".join(parts)


def canonical_path(path: bytes, rules: PathRules = GENERIC) -> bytes:
    """The path of a request target, as it stands on the wire, in its canonical form."""
    if path and not path.translate(None, _PLAIN) and b"/." not in path and b"//" not in path:
        return path
    if rules.normalize:
        path = _normalized(path)
    path = path or b"/"
    if rules.encode_again:
        return _other_in_path(_encode, path)
    # Services decode what came and encode it strictly: what a URL may leave as it is ("=", "!") they have encoded.
    # An encoded slash is kept, for it is none.
    return b"/".join([_strictly_encoded(segment) for segment in path.split(b"/")])


def canonical_query(query: bytes) -> bytes:
    """A query in its canonical form: each name and value decoded and strictly encoded, the pairs in order.

    Repeated and empty parameters stay. A plus sign is a plus sign, not a blank.
    """
    pairs = []
    for parameter in query.split(b"&"):
        if parameter:
            name, _, value = parameter.partition(b"=")
            pairs.append((_strictly_encoded(name), _strictly_encoded(value)))
    pairs.sort()
    return b"&".join([b"%b=%b" % pair for pair in pairs])


def canonical_fields(headers: Iterable[tuple[bytes, bytes]]) -> tuple[bytes, bytes]:
    """The field lines in their canonical form, each with its line end, and their names, with semicolons between.

    Values of fields of the same name are joined by commas in their order; runs of blanks, and folds, become one blank.
    """
    values: dict[bytes, bytes] = {}
    for each, value in headers:
        name, words = each.lower(), b" ".join(value.split())
        values[name] = words if name not in values else values[name] + b"," + words
    names = sorted(values)
    return b"\n".join([name + b":" + values[name] for name in names]) + b"\n", b";".join(names)


def strictly_encoded(octets: bytes) -> bytes:
    """The octets with all but RFC 3986's unreserved characters percent-encoded."""
    return _other(_encode, octets)


def _strictly_encoded(text: bytes) -> bytes:
    """What is encoded already, partly or wholly, with exactly the characters encoded that must be."""
    if _unreserved(text):
        return text
    if b"%" in text:
        text = unquote_to_bytes(text)
    return _other(_encode, text)


def _encode(match: re.Match[bytes]) -> bytes:
    return _ENCODED[match[0][0]]


def _normalized(path: bytes) -> bytes:
    """The path without dot segments and empty segments (RFC 3986 section 5.2.4); a slash at its end stays."""
    kept: list[bytes] = []
    for segment in path.split(b"/"):
        if segment == b"..":
            del kept[-1:]
        elif segment not in (b"", b"."):
            kept.append(segment)
    closing = b"/" if kept and path.endswith(b"/") else b""
    return b"/" + b"/".join(kept) + closing
