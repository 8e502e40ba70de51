"""Digest for many requests side by side: the nonces, realms and protection spaces of one origin are remembered."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from patchwire.auth.credentials import Credentials
from patchwire.auth.digest import ALGORITHMS, PROTECTIONS, Protection, Session, Terms, known_algorithm
from patchwire.auth.digest_choice import stronger
from patchwire.auth.digest_conversation import Conversation
from patchwire.auth.flow import Body, Flow, as_a_stranger
from patchwire.auth.nonces import NonceLedger, NonceMemory, Use
from patchwire.auth.protection import MAX_SPACES, ProtectionSpaces, directory_of, path_of
from patchwire.auth.role import SERVER, Role
from patchwire.errors import LocalProtocolError
from patchwire.http.message import Origin, Request, split_url

MAX_REALMS: Final = 16
"""Realms remembered; the oldest goes first, with its nonces."""


class DigestAuthentication:
    """Credentials go to `origin` alone; for a proxy, `origin` is None and `role` says so.

    `cnonce` gives visible ASCII that nobody can foresee, at least 64 bits of it. `algorithms` are those allowed, in
    order of preference; a name without -sess stands for both forms. With `preemptive` a remembered nonce serves the
    whole origin, else the spaces that the server has named. LocalProtocolError where nothing would be allowed.
    """

    def __init__(
        self,
        credentials: Credentials,
        origin: Origin | None,
        cnonce: Callable[[], str],
        *,
        preemptive: bool = False,
        algorithms: Sequence[str] = ALGORITHMS,
        qops: tuple[Protection, ...] = PROTECTIONS,
        role: Role = SERVER,
        use: Use = Use.PARALLEL,
    ) -> None:
        if not algorithms or not qops:
            raise LocalProtocolError("at least one Digest algorithm and one qop must be allowed")
        for name in algorithms:
            known_algorithm(name)
        self._credentials = credentials
        self.user = credentials.user
        self.role = role
        self._origin = origin
        self._cnonce = cnonce
        self._preemptive = preemptive or origin is None
        self.algorithms = tuple(algorithms)
        self.qops = qops
        self._use = use
        self._memory = NonceMemory()
        self._realms: dict[bytes, NonceLedger] = {}
        self._spaces: ProtectionSpaces[NonceLedger] = ProtectionSpaces()
        self._last: NonceLedger | None = None
        self.best: Terms | None = None
        """The strongest that the origin has accepted."""
        self.unheard: NonceLedger | None = NonceLedger(self._memory)
        """Where every request belongs until something has been heard of what the origin asks for: the first goes
        alone, lest all are turned away.
        """

    @property
    def generation(self) -> int:
        """It grows whenever a nonce may have become free."""
        return self._memory.changes

    def flow(self, request: Request, body: Body = Body.IN_REQUEST) -> Flow:
        """The conversation for one request: at most one attempt with a remembered nonce, one with the nonce that came
        with its rejection, and MAX_REJECTIONS with nonces that were asked for without credentials.
        """
        if self._origin is not None and request.origin != self._origin:
            return as_a_stranger(request)
        return Conversation(self, request, body).hold()

    def realm_for(self, request: Request) -> NonceLedger | None:
        """The protection space that the request is known to be in."""
        found = self._spaces.find(request)
        if found is None and self._preemptive:
            found = self._last
        return self.unheard if found is None else found

    def session(self, terms: Terms) -> Session:
        """A session for a nonce that has just come."""
        return Session(terms, self._credentials, self._cnonce().encode("ascii"))

    def realm_of(self, terms: Terms, request: Request) -> NonceLedger:
        """The realm of a challenge to this request, from now on that of the space which the challenge names."""
        self._last = realm = self.ledger_of(terms)
        if self._origin is not None:
            for prefix in _space(terms, self._origin) if terms.domain else (b"/", directory_of(request)):
                self._spaces.add(prefix, realm)
        return realm

    def accept(self, terms: Terms, request: Request, realm: NonceLedger) -> None:
        """The server has let in this request with a nonce of these terms that had just come."""
        self.unheard = None
        self.best = terms if self.best is None else stronger(self.best, terms, self.algorithms)
        if self._origin is not None and self._spaces.find(request) is not realm:
            # The space that it names does not cover its own challenge, as behind a proxy that rewrites paths.
            directory = directory_of(request)
            self._spaces.add(path_of(request) if directory == b"/" else directory, realm)

    def ledger_of(self, terms: Terms) -> NonceLedger:
        """The nonces of the realm that a challenge names."""
        realm = self._realms.get(terms.realm)
        if realm is None:
            if len(self._realms) >= MAX_REALMS:
                del self._realms[next(iter(self._realms))]
            realm = self._realms[terms.realm] = NonceLedger(self._memory, self._use)
        return realm

    def end_renewal(self, realm: NonceLedger) -> None:
        """Who was about to bring a nonce has brought it, or given up: others may go on."""
        realm.renewing -= 1
        self._memory.changes += 1


def _space(terms: Terms, origin: Origin) -> list[bytes]:
    """The paths of the origin's that the challenge names as its protection space (RFC 7616 section 3.3)."""
    paths = []
    for uri in terms.domain[:MAX_SPACES]:
        if uri.startswith("/") and not uri.startswith("//"):
            paths.append(uri.partition("?")[0].encode("latin-1"))
            continue
        try:
            named, target = split_url(uri) if uri.isascii() else (None, b"")
        except LocalProtocolError:
            continue
        if named == origin:
            paths.append(target.partition(b"?")[0])
    return paths
