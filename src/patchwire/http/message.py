"""Frozen HTTP messages. What is valid is decided once, here: nothing later can inject a line."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import unquote, urlsplit

from msgspec import Struct
from msgspec.structs import force_setattr

from patchwire.errors import LocalProtocolError
from patchwire.http.fields import http_date, retry_after
from patchwire.http.idn import ascii_url
from patchwire.http.unix_socket import SCHEME as UNIX
from patchwire.http.unix_socket import is_unix, shown, split_unix

Headers = tuple[tuple[bytes, bytes], ...]
"""Field lines in the order they stand on the wire: (name, value), names in the case they were written."""

DEFAULT_PORTS = {"http": 80, "https": 443}
STANDARD_METHODS = frozenset(
    {"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"},
)

_token = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+").fullmatch
# RFC 9110 section 5.5: visible octets, with blanks only between them.
_FIELD_OCTETS = bytes(octet for octet in range(256) if octet == 0x09 or (octet >= 0x20 and octet != 0x7F))
_BLANKS = (b" ", b"\t")
_TARGET_CHARACTER = rb"(?:[A-Za-z0-9\-._~!$&'()*+,;=:@/?]|%[0-9A-Fa-f]{2})"
_origin_form = re.compile(rb"/" + _TARGET_CHARACTER + rb"*").fullmatch
_valid_start = re.compile(_TARGET_CHARACTER + rb"*").match
_proof_in_query = re.compile(r"(X-Amz-(?:Signature|Security-Token))=[^&\s]*", re.IGNORECASE).sub
# Absolute form, for proxies, and authority form, for CONNECT, may hold an IPv6 address in brackets.
_other_form = re.compile(
    rb"(?:[A-Za-z][A-Za-z0-9+\-.]*://)?(?:\[[0-9A-Fa-f:.]+\])?" + _TARGET_CHARACTER + rb"*"
).fullmatch


# A reg-name or IPv4 address; an IPv6 address, with its zone (RFC 3986 section 3.2.2, RFC 6874).
_host = re.compile(r"[A-Za-z0-9\-._~!$&'()*+,;=%]+|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*(?:%[A-Za-z0-9\-._~%]+)?").fullmatch


class Origin(Struct, frozen=True, order=True):
    """Scheme, host and port: what a connection leads to (RFC 9110 section 4.3.1). IPv6 hosts stand unbracketed.

    Of a Unix socket the scheme is "unix", the host its path, percent-encoded, and the port 0.
    """

    scheme: str
    host: str
    port: int

    def __post_init__(self) -> None:
        if not _host(self.host):
            raise LocalProtocolError(f"{self.host!r} is no host (RFC 3986 section 3.2.2)")

    @property
    def authority(self) -> str:
        """What the Host field says: the port only where it is not the scheme's default; localhost for a socket."""
        if self.scheme == UNIX:
            return "localhost"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if DEFAULT_PORTS.get(self.scheme) == self.port else f"{host}:{self.port}"

    @property
    def socket_path(self) -> str | None:
        """Where the Unix socket lies, in the file system's encoding; None for what is reached over the network."""
        return unquote(self.host, errors="surrogateescape") if self.scheme == UNIX else None

    def url(self, target: str) -> str:
        """The URL of a request target that begins with a slash."""
        return f"{self}:{target}" if self.scheme == UNIX else f"{self}{target}"

    def __str__(self) -> str:
        return shown(self.host) if self.scheme == UNIX else f"{self.scheme}://{self.authority}"


class Request(Struct, frozen=True):
    """One request. `target` is what goes on the wire, octet for octet, and what a signature covers.

    The exchange adds Host, where no field names it, and Content-Length; a field that frames the body is refused.
    Raises LocalProtocolError where RFC 9110 or RFC 9112 would not let it pass.
    """

    method: str
    origin: Origin
    target: bytes
    headers: Headers = ()
    body: bytes = b""

    def __post_init__(self) -> None:
        method = self.method
        if method not in STANDARD_METHODS:
            check_method(method)
        if not _origin_form(self.target):
            _check_other_target(method, self.target)
        for name, value in self.headers:
            check_field(name, value)

    def __repr__(self) -> str:
        """Names no field, since any may hold a secret."""
        url = self.origin.url(shown_target(self.target.decode("latin-1")))
        return f"<Request {self.method} {url}, {len(self.headers)} fields, {len(self.body)} bytes>"

    def with_header(self, name: bytes, value: bytes) -> Request:
        """The same request with this field in place of any of its name."""
        check_field(name, value)
        return self._with_headers((*self._headers_but(name), (name, value)))

    def with_valid_fields(self, lines: Headers) -> Request:
        """The same request with these field lines behind its own, none of which has one of their names. They are not
        checked: who gives them has made them of parts that were.
        """
        return self._with_headers(self.headers + lines)

    def without_header(self, name: bytes) -> Request:
        """The same request without any field of this name."""
        return self._with_headers(self._headers_but(name))

    def _headers_but(self, name: bytes) -> Headers:
        lower = name.lower()
        return tuple([line for line in self.headers if line[0].lower() != lower])

    def _with_headers(self, headers: Headers) -> Request:
        """The same request with fields that were checked; the rest was, when it was made."""
        request: Request = self.__copy__()  # type: ignore[attr-defined]  # which every Struct has
        force_setattr(request, "headers", headers)
        return request

    def header(self, name: bytes) -> bytes | None:
        """The first value of the field, or None. `name` in lower case."""
        return first_value(self.headers, name)

    def all_values(self, name: bytes) -> list[bytes]:
        """Every value of the field, in their order. `name` in lower case."""
        return all_values(self.headers, name)


class Response(Struct, frozen=True):
    """A final response with its whole body, decoded from its transfer coding but from no content coding.

    `error` says why the body may be cut or missing, or why the response is not what was hoped for; the head is
    complete all the same.
    """

    status: int
    headers: Headers = ()
    body: bytes = b""
    reason: bytes = b""
    error: str | None = None

    def __repr__(self) -> str:
        """Names no field, since any may hold a secret."""
        return f"<Response {self.status}, {len(self.headers)} fields, {len(self.body)} bytes>"

    def header(self, name: bytes) -> bytes | None:
        """The first value of the field, or None. `name` in lower case."""
        return first_value(self.headers, name)

    def all_values(self, name: bytes) -> list[bytes]:
        """Every value of the field, in the order received. `name` in lower case."""
        return all_values(self.headers, name)

    def retry_after(self, now: float) -> float | None:
        """The seconds that it asks to wait (RFC 9110 section 10.2.3), or None.

        A date is held against its own Date, where it has one: its clock and that of `now` may differ.
        """
        value = self.header(b"retry-after")
        if value is None:
            return None
        date = self.header(b"date")
        sent_at = None if date is None else http_date(date.decode("latin-1"), now)
        return retry_after(value, now if sent_at is None else sent_at)


def request_to(method: str, url: str, headers: Iterable[tuple[str, str]] = (), body: bytes = b"") -> Request:
    """A request for an absolute http, https or unix URL, which is neither encoded nor normalised."""
    origin, target = split_url(url)
    lines = tuple((name.encode("latin-1"), value.encode("latin-1")) for name, value in headers)
    return Request(method, origin, target, lines, body)


def split_url(url: str) -> tuple[Origin, bytes]:
    """Origin and request target of an absolute http or https URL, or that of a Unix socket
    ("unix:/run/app.sock:/v1"). A host beyond ASCII becomes its A-labels (RFC 5890).

    LocalProtocolError says what is wrong with it.
    """
    url = ascii_url(url)
    if not url.isprintable() or " " in url:
        raise LocalProtocolError(f"{url!r} is no URL: it may hold only printable ASCII without blanks")
    if is_unix(url):
        path, rest = split_unix(url)
        return Origin(UNIX, path, 0), rest.encode("ascii")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise LocalProtocolError(f"{url!r} is no URL: {error}") from None
    if parts.scheme not in DEFAULT_PORTS:
        raise LocalProtocolError(f"{url!r} must begin with http:// or https://")
    if not parts.hostname:
        raise LocalProtocolError(f"{url!r} names no host")
    if "@" in parts.netloc:
        raise LocalProtocolError("a URL must not hold user and password")
    if "#" in url:
        raise LocalProtocolError(f"{url!r} holds a fragment, which is never sent")
    origin = Origin(parts.scheme, parts.hostname, port if port is not None else DEFAULT_PORTS[parts.scheme])
    target = (parts.path or "/") + (f"?{parts.query}" if "?" in url else "")
    return origin, target.encode("ascii")


def shown_target(text: str) -> str:
    """The text, which holds a request target, without the proofs of a presigned request."""
    return _proof_in_query(r"\1=***", text)


def first_value(headers: Headers, name: bytes) -> bytes | None:
    """The first value of the field `name` (in lower case), or None."""
    length = len(name)
    for line_name, value in headers:
        if len(line_name) == length and line_name.lower() == name:
            return value
    return None


def all_values(headers: Headers, name: bytes) -> list[bytes]:
    """Every value of the field `name` (in lower case), in their order."""
    return [value for line_name, value in headers if line_name.lower() == name]


def check_method(method: str) -> None:
    """LocalProtocolError unless `method` is a token, and no standard method in another case (RFC 9110 section 9.1)."""
    if not method.isascii() or not _token(method.encode("ascii")):
        raise LocalProtocolError(f"{method!r} is no method: a method is a token (RFC 9110 section 9.1)")
    if method.upper() in STANDARD_METHODS and method not in STANDARD_METHODS:
        raise LocalProtocolError(f"method {method!r} is not {method.upper()}: methods are case-sensitive")


def check_field(name: bytes, value: bytes) -> None:
    """LocalProtocolError unless name and value are a field line that cannot become two (RFC 9110 section 5)."""
    if not _token(name):
        raise LocalProtocolError(f"{_show(name)} is no field name: a field name is a token")
    if value.translate(None, _FIELD_OCTETS) or value[:1] in _BLANKS or value[-1:] in _BLANKS:
        where = _first_fault(value)
        raise LocalProtocolError(f"field {_show(name)}: character {where + 1} of its value is not allowed there")
    if name.lower() in (b"content-length", b"transfer-encoding"):
        raise LocalProtocolError(f"field {_show(name)} is not yours to set: the exchange frames the body")


def target_fault(target: bytes) -> int | None:
    """Index of the first octet that RFC 3986 does not allow in a path or query, or None. A bare % counts."""
    match = _valid_start(target)
    end = match.end() if match else 0
    return None if end == len(target) else end


def _check_other_target(method: str, target: bytes) -> None:
    if target == b"*" and method == "OPTIONS":
        return
    if not target or target.startswith(b"/") or not _other_form(target):
        raise LocalProtocolError(f"{_show(target)} is no request target (RFC 9112 section 3.2)")
    if method != "CONNECT" and b"://" not in target:
        raise LocalProtocolError(f"request target {_show(target)} must begin with a slash")


def _first_fault(value: bytes) -> int:
    edges = (0, len(value) - 1)
    return next(
        index
        for index, octet in enumerate(value)
        if (octet < 0x20 and octet != 0x09) or octet == 0x7F or (octet in b" \t" and index in edges)
    )


def _show(octets: bytes) -> str:
    return repr(octets[:80].decode("latin-1"))
