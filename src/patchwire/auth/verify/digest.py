"""Verifying Digest credentials (RFC 7616), and proving to the client that this server knows the password too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hmac import compare_digest
from typing import Final
from urllib.parse import unquote_to_bytes

from msgspec import Struct

from patchwire.auth.challenge import Challenge
from patchwire.auth.credentials import Credentials, encode
from patchwire.auth.digest import QOPS, Algorithm, Qop, Session, Terms, algorithm_named, known_algorithm
from patchwire.auth.verify.credentials import UNREADABLE, credentials_in
from patchwire.auth.verify.nonces import Finding, ServerNonces
from patchwire.auth.verify.verdict import Admitted, Refused, Verdict
from patchwire.errors import LocalProtocolError
from patchwire.http.fields import quote
from patchwire.http.message import Request, Response

DEFAULT_ALGORITHMS: Final = ("SHA-256", "MD5")
DEFAULT_QOPS: Final[tuple[Qop, ...]] = ("auth",)
RENEWED_AT = 0.5
"""The part of its life after which a nonce is replaced, with nextnonce."""
_REQUIRED = ("realm", "nonce", "uri", "response")


class DigestDemands(Struct, frozen=True, kw_only=True):
    """What a server demands: a challenge for each of `algorithms`, best first; `qops` empty for RFC 2069."""

    realm: str
    algorithms: tuple[str, ...] = DEFAULT_ALGORITHMS
    qops: tuple[Qop, ...] = DEFAULT_QOPS
    userhash: bool = False
    utf8: bool = True
    opaque: str | None = "patchwire"
    domain: str | None = None


class _Answer(Struct, frozen=True):
    """What a request's credentials say, and the session that its right answer comes from."""

    session: Session
    user: str
    count: int
    qop: Qop | None


class _Admitted(Admitted, frozen=True, kw_only=True):
    """Answers with rspauth wherever a qop is used, with nextnonce when a nonce has grown old or was for one use."""

    answer: _Answer
    target: bytes
    nonces: ServerNonces

    def signed(self, response: Response, now: float) -> Response:
        """The response with Authentication-Info (RFC 7616 section 3.5)."""
        answer, session = self.answer, self.answer.session
        parts = []
        if answer.qop is not None:
            body_hash = session.terms.algorithm.hash(response.body) if answer.qop == "auth-int" else None
            proof = session.rspauth(self.target, answer.count, body_hash)
            cnonce = quote(session.cnonce.decode("latin-1"))
            parts.append(f'qop={answer.qop}, rspauth="{proof}", cnonce={cnonce}, nc={answer.count:08x}')
        if self.nonces.uses == "once" or self.nonces.age(session.terms.nonce, now) > RENEWED_AT:
            parts.append(f'nextnonce="{self.nonces.make(now).decode("ascii")}"')
        if not parts:
            return response
        line = (b"Authentication-Info", ", ".join(parts).encode("latin-1"))
        return Response(response.status, (*response.headers, line), response.body, response.reason, response.error)


class DigestVerifier:
    """Lets in the users of `passwords`, whose keys are their names.

    LocalProtocolError where `demands` make no sense.
    """

    def __init__(self, demands: DigestDemands, passwords: Mapping[str, str], nonces: ServerNonces) -> None:
        self._demands = demands
        self._nonces = nonces
        self._users = {user: Credentials(user, password) for user, password in passwords.items()}
        self._algorithms = tuple(known_algorithm(name) for name in demands.algorithms)
        if any(algorithm.is_session for algorithm in self._algorithms) and not demands.qops:
            raise LocalProtocolError("an algorithm with -sess needs a qop (RFC 7616 section 3.4.2)")
        self._realm = demands.realm.encode("utf-8")

    def __repr__(self) -> str:
        """Never shows a password."""
        return f"<DigestVerifier of {len(self._users)} users>"

    def judge(self, request: Request, now: float, *, has_body: bool = True) -> Verdict:
        """Whether the answer to a challenge of ours is right, and its nonce count new (RFC 7616 section 3.4)."""
        given = credentials_in(request)
        if given is None or given.scheme not in ("digest", UNREADABLE.scheme):
            return self._asked("This server asks for credentials.", now)
        answer = self._read(given, request)
        if isinstance(answer, str):
            return Refused(400, answer)
        if answer is None:
            return self._asked("These credentials are not accepted.", now)
        if not self._is_right(given, answer, request, has_body=has_body):
            return self._asked("These credentials are not accepted.", now)
        count = answer.count if answer.qop is not None else None
        nonce = answer.session.terms.nonce
        finding = self._nonces.find(nonce, count, now)
        if finding is Finding.STALE:
            return self._asked("The nonce is stale.", now, stale=True)
        if finding is not Finding.GOOD:
            return self._asked("The nonce or its count is not accepted.", now)
        if has_body:
            self._nonces.use(nonce, count)
        provisional = answer.qop == "auth-int" and not has_body
        return _Admitted(answer.user, provisional, answer=answer, target=request.target, nonces=self._nonces)

    def challenges(self, now: float, *, stale: bool = False) -> list[bytes]:
        """The values of WWW-Authenticate, one for each algorithm (RFC 7616 section 3.3)."""
        return [self._challenge(algorithm, self._nonces.make(now), stale) for algorithm in self._algorithms]

    def _challenge(self, algorithm: Algorithm, nonce: bytes, stale: bool) -> bytes:
        demands = self._demands
        parts = [f"realm={quote(demands.realm)}", f'nonce="{nonce.decode("ascii")}"', f"algorithm={algorithm.name}"]
        if demands.qops:
            parts.append(f'qop="{", ".join(demands.qops)}"')
        if demands.opaque is not None:
            parts.append(f"opaque={quote(demands.opaque)}")
        if demands.domain is not None:
            parts.append(f"domain={quote(demands.domain)}")
        if demands.utf8:
            parts.append("charset=UTF-8")
        if demands.userhash:
            parts.append("userhash=true")
        if stale:
            parts.append("stale=true")
        return f"Digest {', '.join(parts)}".encode()

    def _asked(self, reason: str, now: float, *, stale: bool = False) -> Refused:
        fields = tuple((b"WWW-Authenticate", value) for value in self.challenges(now, stale=stale))
        return Refused(401, reason, fields)

    def _read(self, given: Challenge, request: Request) -> _Answer | str | None:
        """What the credentials say; a text where they make no sense, None where they are not to be accepted."""
        parameters = dict(given.parameters)
        missing = [name for name in _REQUIRED if name not in parameters]
        if missing or ("username" in parameters) == ("username*" in parameters):
            return f"The Authorization field lacks {', '.join(missing) or 'username, or has two'}."
        if parameters["uri"].encode("latin-1") != request.target:
            return "The uri of the Authorization field is not the target of the request."
        algorithm = algorithm_named(parameters.get("algorithm", "MD5"))
        qop: Qop | None = next((qop for qop in QOPS if qop == parameters.get("qop", "").lower()), None)
        if qop is None and "qop" in parameters:
            return "The qop of the Authorization field is unknown."
        count = 1
        if qop is not None:
            digits = parameters.get("nc", "")
            if len(digits) != 8 or not _is_hexadecimal(digits) or "cnonce" not in parameters:
                return "The Authorization field lacks cnonce, or its nc is not 8 hexadecimal digits."
            count = int(digits, 16)
        if algorithm not in self._algorithms or (qop is None) != (not self._demands.qops):
            return None
        if (qop is not None and qop not in self._demands.qops) or count < 1:
            return None
        if parameters["realm"].encode("latin-1") != self._realm:
            return None
        if parameters.get("opaque", None if self._demands.opaque is None else "") != self._demands.opaque:
            return None
        user = self._user(parameters, algorithm)
        if user is None:
            return None
        terms = self._terms(algorithm, qop, parameters["nonce"].encode("latin-1"))
        session = Session(terms, self._users[user], parameters.get("cnonce", "").encode("latin-1"))
        return _Answer(session, user, count, qop)

    def _terms(self, algorithm: Algorithm, qop: Qop | None, nonce: bytes) -> Terms:
        return Terms(
            realm=self._realm,
            nonce=nonce,
            opaque=None,
            algorithm=algorithm,
            names_algorithm=True,
            qop=qop,
            userhash=False,
            utf8=True,
            stale=False,
            domain=(),
        )

    def _user(self, parameters: Mapping[str, str], algorithm: Algorithm) -> str | None:
        """The user that is named, in the clear, percent-encoded, or as a hash (RFC 7616 sections 3.4.4 and 4)."""
        name = parameters.get("username")
        if name is None:
            charset, _, encoded = parameters["username*"].partition("'")
            octets = unquote_to_bytes(encoded.partition("'")[2])
            if charset.upper() != "UTF-8":
                return None
        else:
            octets = name.encode("latin-1")
        is_hash = parameters.get("userhash", "").lower() == "true"
        for user in self._users:
            known = encode(user, "UTF-8")
            expected = algorithm.hash(b"%b:%b" % (known, self._realm)) if is_hash else known
            if compare_digest(expected, octets):
                return user
        return None

    def _is_right(self, given: Challenge, answer: _Answer, request: Request, *, has_body: bool) -> bool:
        session = answer.session
        if answer.qop == "auth-int" and not has_body:
            return True  # what is to be hashed is still to come
        body_hash = session.terms.algorithm.hash(request.body) if answer.qop == "auth-int" else None
        expected = session.response(request.method, request.target, answer.count, body_hash)
        return compare_digest(expected.encode("ascii"), (given.get("response") or "").encode("latin-1"))


def _is_hexadecimal(digits: Sequence[str]) -> bool:
    return all(digit in "0123456789abcdefABCDEF" for digit in digits)
