"""Digest authentication as pure functions (RFC 7616): what a challenge demands, and what answers it.

Realm, nonce and opaque are octets of the server's: they are hashed and sent back as they came.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from hmac import compare_digest
from typing import Any, Final, Literal
from urllib.parse import quote as percent_encoded

from msgspec import Struct

from patchwire.auth.challenge import Challenge
from patchwire.auth.credentials import Credentials
from patchwire.errors import LocalProtocolError, RemoteProtocolError
from patchwire.http.fields import quote

Qop = Literal["auth", "auth-int"]
Protection = Literal["auth", "auth-int", "none"]
QOPS: Final[tuple[Qop, ...]] = ("auth", "auth-int")
PROTECTIONS: Final[tuple[Protection, ...]] = (*QOPS, "none")
"""What may be used, in order of preference; "none" is RFC 2069, for challenges without qop."""
MAX_PARAMETER: Final = 4096
"""Octets of a realm, nonce or opaque: they are remembered."""

_HASHES: Final = {"SHA-512-256": "sha512_256", "SHA-256": "sha256", "MD5": "md5", "SHA-512": "sha512"}
ALGORITHMS: Final = tuple(_HASHES)
"""Hashes in order of preference. SHA-512 is in no registry: it is taken where a server offers nothing else. Each is
there in a form with -sess too.
"""
_ATTR_CHAR: Final = "!#$&+-.^_`|~"


class UnusableChallengeError(RemoteProtocolError):
    """A Digest challenge that cannot be answered, and why."""


class Algorithm(Struct, frozen=True):
    """A hash, and whether its keys are made for a session. `name` as it is registered (RFC 7616 section 6.1)."""

    name: str
    hash_name: str
    """As hashlib calls it."""
    is_session: bool

    @property
    def family(self) -> str:
        """The name without -sess."""
        return self.name.removesuffix("-sess")

    def hash(self, octets: bytes) -> bytes:
        """The hash in lower-case hexadecimal digits."""
        return bytes(_constructor(self.hash_name)(octets).hexdigest(), "ascii")


class Terms(Struct, frozen=True):
    """What a Digest challenge demands of its answers."""

    realm: bytes
    nonce: bytes
    opaque: bytes | None
    algorithm: Algorithm
    names_algorithm: bool
    """Whether the challenge names it; it is MD5 else, and answers do not name it either."""
    qop: Qop | None
    """The one that answers use: that of our preference; None without qop (RFC 2069)."""
    userhash: bool
    utf8: bool
    stale: bool
    domain: tuple[str, ...]


class Session:
    """The terms of one nonce with the credentials: it answers requests and holds responses against them.

    `cnonce` stays the same for the nonce, as -sess demands of those who compute the key once and allows to others.
    """

    __slots__ = ("_hash", "_key", "_opening", "_rest", "_tail", "cnonce", "terms")

    def __init__(self, terms: Terms, credentials: Credentials, cnonce: bytes) -> None:
        self.terms = terms
        self.cnonce = cnonce
        user, password = credentials.octets(utf8=terms.utf8)
        hashed = terms.algorithm.hash
        key = hashed(b"%b:%b:%b" % (user, terms.realm, password))
        if terms.algorithm.is_session:
            key = hashed(b"%b:%b:%b" % (key, terms.nonce, cnonce))
        self._hash = _constructor(terms.algorithm.hash_name)
        self._key = b"%b:%b:" % (key, terms.nonce)
        nonce, realm = _quoted(terms.nonce), _quoted(terms.realm)
        self._opening = f"Digest {_username(terms, user)}, realm={realm}, nonce={nonce}, uri="
        tail = f", algorithm={terms.algorithm.name}" if terms.names_algorithm else ""
        if terms.opaque is not None:
            tail += f", opaque={_quoted(terms.opaque)}"
        if terms.qop is not None:
            tail += f", cnonce={_quoted(cnonce)}, qop={terms.qop}, nc="
        self._tail = tail
        self._rest = ", userhash=true" if terms.userhash else ""

    def authorization(self, method: str, target: bytes, nonce_count: int, body_hash: bytes | None) -> str:
        """The value of Authorization, one character for each octet (RFC 7616 section 3.4).

        `body_hash` is needed for qop=auth-int: the hash of the body, in hexadecimal digits.
        """
        response = self.response(method, target, nonce_count, body_hash)
        uri = quote(target.decode("latin-1"))
        count = f"{nonce_count:08x}" if self.terms.qop is not None else ""
        return f'{self._opening}{uri}, response="{response}"{self._tail}{count}{self._rest}'

    def response(self, method: str, target: bytes, nonce_count: int, body_hash: bytes | None) -> str:
        """What answers the challenge, in hexadecimal digits (RFC 7616 section 3.4.1)."""
        return self._hashed(method.encode("latin-1"), target, nonce_count, body_hash)

    def rspauth(self, target: bytes, nonce_count: int, body_hash: bytes | None) -> str:
        """What proves that the server knows the password too (RFC 7616 section 3.5)."""
        return self._hashed(b"", target, nonce_count, body_hash)

    def _hashed(self, method: bytes, target: bytes, nonce_count: int, body_hash: bytes | None) -> str:
        qop = self.terms.qop
        hashed = self._hash
        a2 = b"%b:%b" % (method, target)
        if qop == "auth-int":
            assert body_hash is not None  # noqa: S101 - the caller has seen that qop is auth-int
            a2 = b"%b:%b" % (a2, body_hash)
        data = hashed(a2).hexdigest().encode("ascii")
        if qop is not None:
            data = b"%08x:%b:%b:%b" % (nonce_count, self.cnonce, qop.encode("ascii"), data)
        digest: str = hashed(self._key + data).hexdigest()
        return digest

    def __repr__(self) -> str:
        """Never shows the key."""
        return f"<Session {self.terms.algorithm.name} of realm {self.terms.realm!r}>"


def authorization(
    challenge: Challenge,
    credentials: Credentials,
    *,
    method: str,
    target: bytes,
    body: bytes = b"",
    cnonce: str,
    nonce_count: int,
) -> str:
    """The value of Authorization that answers a challenge, one character for each octet (RFC 7616 section 3.4).

    `target` is the request target as it is sent; `nonce_count` counts the requests with this nonce from 1.
    UnusableChallengeError where the challenge cannot be answered.
    """
    terms = understand(challenge)
    body_hash = terms.algorithm.hash(body) if terms.qop == "auth-int" else None
    return Session(terms, credentials, cnonce.encode("latin-1")).authorization(method, target, nonce_count, body_hash)


@lru_cache(maxsize=64)
def understand(challenge: Challenge, allowed: tuple[Protection, ...] = PROTECTIONS) -> Terms:
    """What a challenge demands (RFC 7616 section 3.3). `allowed` are the qops to use, in order of preference.

    UnusableChallengeError says why it cannot be answered.
    """
    parameters = dict(challenge.parameters)
    nonce = parameters.get("nonce")
    if nonce is None:
        raise UnusableChallengeError("it has no nonce")
    for name in ("realm", "nonce", "opaque"):
        if len(parameters.get(name, "")) > MAX_PARAMETER:
            raise UnusableChallengeError(f"its {name} is over {MAX_PARAMETER} octets")
    named = parameters.get("algorithm")
    algorithm = algorithm_named("MD5" if named is None else named)
    if algorithm is None:
        raise UnusableChallengeError(f"its algorithm {(named or '')[:80]!r} is unknown")
    try:
        algorithm.hash(b"")
    except ValueError:
        raise UnusableChallengeError(f"this machine has no {algorithm.family}") from None
    offered = [each.strip(" \t").lower() for each in parameters.get("qop", "").split(",")]
    qop = next((each for each in allowed if each != "none" and each in offered), None)
    if any(offered) and qop is None:
        known = any(each in offered for each in QOPS)
        why = "is not in digest.qop" if known else "is unknown"
        raise UnusableChallengeError(f"its qop {parameters['qop'][:80]!r} {why}")
    if qop is None and "none" not in allowed:
        raise UnusableChallengeError("it has no qop, and digest.qop has no none")
    if algorithm.is_session and qop is None:
        raise UnusableChallengeError(f"its algorithm {algorithm.name} needs a qop")
    opaque = parameters.get("opaque")
    return Terms(
        realm=parameters.get("realm", "").encode("latin-1"),
        nonce=nonce.encode("latin-1"),
        opaque=None if opaque is None else opaque.encode("latin-1"),
        algorithm=algorithm,
        names_algorithm=named is not None,
        qop=qop,
        userhash=_is_true(parameters, "userhash"),
        utf8=parameters.get("charset", "").lower() == "utf-8",
        stale=_is_true(parameters, "stale"),
        domain=tuple(parameters.get("domain", "").split()),
    )


def algorithm_named(name: str) -> Algorithm | None:
    """The algorithm of this name, in any case; None where it is unknown."""
    family, dash, session = name.upper().partition("-SESS")
    hash_name = _HASHES.get(family)
    if hash_name is None or session:
        return None
    return Algorithm(family + ("-sess" if dash else ""), hash_name, bool(dash))


def known_algorithm(name: str) -> Algorithm:
    """The algorithm of this name, in any case. LocalProtocolError where it is unknown."""
    algorithm = algorithm_named(name)
    if algorithm is None:
        raise LocalProtocolError(f"{name!r} is no Digest algorithm; known are {', '.join(ALGORITHMS)}")
    return algorithm


def fault_of_proof(
    info: Mapping[str, str],
    session: Session,
    target: bytes,
    nonce_count: int,
    body: bytes | None,
) -> str | None:
    """Why the rspauth of Authentication-Info does not prove that the server knows the password (RFC 7616 section
    3.5); None where it does, or where there is none. `body` is that of the response, None where it is not whole.
    """
    proof = info.get("rspauth")
    if proof is None:
        return None
    count, cnonce = f"{nonce_count:08x}", session.cnonce.decode("latin-1")
    qop = session.terms.qop
    if qop is not None and (info.get("nc", count).lower() != count or info.get("cnonce", cnonce) != cnonce):
        return "its nc or cnonce is not that of the request"
    if info.get("qop", qop or "").lower() != (qop or ""):
        return "its qop is not that of the request"
    body_hash = None
    if qop == "auth-int":
        if body is None:
            return "it covers a body that did not come whole"
        body_hash = session.terms.algorithm.hash(body)
    expected = session.rspauth(target, nonce_count, body_hash)
    return None if compare_digest(expected.encode("ascii"), proof.lower().encode("latin-1")) else "it is wrong"


def strongest(offers: Sequence[Terms], allowed: Sequence[str] = ALGORITHMS) -> Terms | None:
    """The first of the most preferred algorithm. A name in `allowed` without -sess stands for both forms.

    None where no offer's algorithm is allowed.
    """
    for name in allowed:
        for terms in offers:
            if name in (terms.algorithm.name, terms.algorithm.family):
                return terms
    return None


@lru_cache(maxsize=8)
def _constructor(hash_name: str) -> Callable[[bytes], Any]:
    """ValueError where this machine's policy knows no such hash."""
    hashlib.new(hash_name, usedforsecurity=False)
    direct = getattr(hashlib, hash_name, None)
    if direct is not None and hash_name != "md5":
        return direct  # type: ignore[no-any-return]
    return lambda octets: hashlib.new(hash_name, octets, usedforsecurity=False)


def _username(terms: Terms, user: bytes) -> str:
    if terms.userhash:
        return f"username={_quoted(terms.algorithm.hash(b'%b:%b' % (user, terms.realm)))}"
    if terms.utf8 and not user.isascii():
        return f"username*=UTF-8''{percent_encoded(user, safe=_ATTR_CHAR)}"
    return f"username={_quoted(user)}"


def _quoted(octets: bytes) -> str:
    return quote(octets.decode("latin-1"))


def _is_true(parameters: Mapping[str, str], name: str) -> bool:
    return parameters.get(name, "").lower() == "true"
