"""Digest as a flow: a nonce is remembered and counted, a challenge answered, and the server held to its proof."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence

import msgspec

from patchwire.auth.challenge import parameters
from patchwire.auth.credentials import Credentials
from patchwire.auth.digest import (
    ALGORITHMS,
    QOPS,
    Qop,
    Session,
    Terms,
    algorithm_named,
    fault_of_proof,
)
from patchwire.auth.digest_choice import Challenged, choose, read, rejection, story
from patchwire.auth.flow import Answer, Body, Flow, FlowResult, HashBody, Send, Step, Tell, Wait, send, send_held_back
from patchwire.auth.nonces import Changes, Claim, End, NonceLedger, Use
from patchwire.auth.protection import MAX_SPACES, ProtectionSpaces, directory_of
from patchwire.auth.role import SERVER, Role
from patchwire.errors import LocalProtocolError
from patchwire.http.fields import FieldSyntaxError
from patchwire.http.message import Origin, Request, Response, split_url

MAX_REJECTIONS = 2
"""How often credentials made for a nonce that has just come are sent for one request."""


class Realm:
    """A protection space: its nonces, and the terms that it accepted last."""

    def __init__(self, ledger: NonceLedger) -> None:
        self.ledger = ledger
        self.accepted: Terms | None = None


class DigestAuthentication:
    """Credentials go to `origin` alone; for a proxy, `origin` is None and `role` says so.

    `cnonce` gives visible ASCII that nobody can foresee, at least 64 bits of it. `algorithms` are those allowed, in
    order of preference; a name without -sess stands for both forms. With `preemptive` a remembered nonce serves the
    whole origin, else the spaces that the server has named.
    """

    def __init__(
        self,
        credentials: Credentials,
        origin: Origin | None,
        cnonce: Callable[[], bytes],
        *,
        preemptive: bool = False,
        algorithms: Sequence[str] = ALGORITHMS,
        qops: tuple[Qop, ...] = QOPS,
        role: Role = SERVER,
        use: Use = Use.PARALLEL,
    ) -> None:
        for name in algorithms:
            if algorithm_named(name) is None:
                raise LocalProtocolError(f"{name!r} is no Digest algorithm; known are {', '.join(ALGORITHMS)}")
        self._credentials = credentials
        self.user = credentials.user
        self.role = role
        self._origin = origin
        self._cnonce = cnonce
        self._preemptive = preemptive or origin is None
        self.algorithms = tuple(algorithms)
        self.qops = qops
        self._use = use
        self._changes = Changes()
        self._realms: dict[bytes, Realm] = {}
        self._spaces: ProtectionSpaces[Realm] = ProtectionSpaces()
        self._last: Realm | None = None
        self.unheard: Realm | None = Realm(NonceLedger(self._changes))
        """Where every request belongs until something has been heard of what the origin asks for: the first goes
        alone, lest all are turned away.
        """

    @property
    def generation(self) -> int:
        """It grows whenever a nonce may have become free."""
        return self._changes.number

    def flow(self, request: Request, body: Body = Body.IN_REQUEST) -> Flow:
        """The conversation for one request: at most one attempt with a remembered nonce, and MAX_REJECTIONS with
        nonces that have just come.
        """
        if self._origin is not None and request.origin != self._origin:
            return _as_a_stranger(request)
        return _Conversation(self, request, body).hold()

    def realm_for(self, request: Request) -> Realm | None:
        """The protection space that the request is known to be in."""
        found = self._spaces.find(request)
        if found is None and self._preemptive:
            found = self._last
        return self.unheard if found is None else found

    def session(self, terms: Terms) -> Session:
        """A session for a nonce that has just come."""
        return Session(terms, self._credentials, self._cnonce())

    def realm_of(self, terms: Terms, request: Request) -> Realm:
        """The realm of a challenge to this request, from now on that of the space which the challenge names."""
        realm = self._realms.get(terms.realm)
        if realm is None:
            if len(self._realms) >= MAX_SPACES:
                del self._realms[next(iter(self._realms))]
            realm = self._realms[terms.realm] = Realm(NonceLedger(self._changes, self._use))
        self._last = realm
        if self._origin is not None:
            for prefix in _space(terms, self._origin) if terms.domain else (b"/", directory_of(request)):
                self._spaces.add(prefix, realm)
        return realm

    def accepted(self, realm: bytes) -> Terms | None:
        """The terms that a realm accepted last."""
        known = self._realms.get(realm)
        return None if known is None else known.accepted

    def end_renewal(self, realm: Realm) -> None:
        """Who was about to bring a nonce has brought it, or given up: others may go on."""
        realm.ledger.renewing -= 1
        self._changes.number += 1


def _as_a_stranger(request: Request) -> Flow:
    return FlowResult((yield from send(Send(request))))


class _Conversation:
    """One request's. What it holds of the shared state is given back when it ends, whatever has happened."""

    __slots__ = ("_after_rejection", "_body", "_claim", "_owner", "_realm", "_renewing", "_request")

    def __init__(self, owner: DigestAuthentication, request: Request, body: Body) -> None:
        self._owner = owner
        self._request = request
        self._body = body
        self._realm: Realm | None = None
        self._claim: Claim | None = None
        self._renewing: Realm | None = None
        self._after_rejection = False

    def hold(self) -> Flow:
        """The flow."""
        try:
            claim = self._claimed()
            if claim is not None and self._body is Body.IN_REQUEST and claim.session.terms.qop != "auth-int":
                # What nearly every request does, without the generators that the others need.
                answer = yield self._authorized(claim, None)
                assert isinstance(answer, Response)  # noqa: S101 - what the driver of a flow has promised
                if answer.status != self._owner.role.status:
                    return self._accepted(claim, answer)
                return (yield from self._answer((yield from self._rejected(claim, answer))))
            if claim is None:
                claim = yield from self._remembered()
            if claim is None:
                response = yield from send_held_back(Send(self._request), self._body)
                if not self._owner.role.is_asked_by(response):
                    self._owner.unheard = None
                    return FlowResult(response)
                challenged = read(response, self._owner.role, self._owner.qops)
            else:
                said = yield from self._say(claim)
                if isinstance(said, FlowResult):
                    return said
                challenged = said
            return (yield from self._answer(challenged))
        finally:
            if self._claim is not None:
                self._settle(End.LOST)
            if self._renewing is not None:
                self._owner.end_renewal(self._renewing)

    def _answer(self, challenged: Challenged) -> Generator[Step, Answer, FlowResult]:
        """Answer challenges with the nonces that they bring."""
        owner = self._owner
        for _ in range(MAX_REJECTIONS):
            chosen = choose(challenged, owner.algorithms, owner.accepted)
            if isinstance(chosen, str):
                return FlowResult(challenged.response, f"{owner.role.owner} offers {chosen}")
            yield Tell(f"{owner.role.owner} offers {story(challenged, chosen)}")
            claim = yield from self._brought(chosen)
            said = yield from self._say(claim)
            if isinstance(said, FlowResult):
                return said
            challenged, terms = said, chosen
            if claim.is_fresh and challenged.end(terms) is End.REJECTED:
                break
        return FlowResult(challenged.response, rejection(owner.user, terms))

    def _claimed(self) -> Claim | None:
        """A claim on a nonce that is known and free."""
        self._realm = self._owner.realm_for(self._request)
        return None if self._realm is None else self._realm.ledger.claim()

    def _remembered(self) -> Generator[Step, Answer, Claim | None]:
        """A claim on a nonce that is known. None where there is none, and a challenge must be asked for."""
        while True:
            claim = self._claimed()
            realm = self._realm
            if claim is not None or realm is None or realm.ledger.use is not Use.PARALLEL:
                return claim
            if not realm.ledger.renewing:
                self._renew(realm)
                return None
            yield Wait(self._owner.generation)

    def _renew(self, realm: Realm) -> None:
        if self._renewing is None:
            self._renewing = realm
            realm.ledger.renewing += 1

    def _brought(self, terms: Terms) -> Generator[Step, Answer, Claim]:
        """A claim on the nonce of a challenge that has just come."""
        owner = self._owner
        self._realm = realm = owner.realm_of(terms, self._request)
        self._renew(realm)
        session = owner.session(terms)
        while (claim := realm.ledger.bring(session)) is None:
            yield Wait(owner.generation)
        return claim

    def _say(self, claim: Claim) -> Generator[Step, Answer, FlowResult | Challenged]:
        """Send the request with its credentials: the end of the conversation, or what is asked for instead."""
        terms = claim.session.terms
        body_hash = (yield from self._body_hash(terms)) if terms.qop == "auth-int" else None
        step = self._authorized(claim, body_hash)
        if self._body is Body.ONE_SHOT:
            response = yield from send_held_back(step, self._body)
        else:
            response = yield from send(step)
        if not self._owner.role.is_asked_by(response):
            return self._accepted(claim, response)
        return (yield from self._rejected(claim, response))

    def _authorized(self, claim: Claim, body_hash: bytes | None) -> Send:
        """The request with its credentials."""
        self._claim = claim
        request, session = self._request, claim.session
        value = session.authorization(request.method, request.target, claim.count, body_hash).encode("latin-1")
        authorized = request.with_header(self._owner.role.credentials, value)
        return Send(authorized, session.needs_body, self._after_rejection)

    def _accepted(self, claim: Claim, response: Response) -> FlowResult:
        doubt = self._doubt(claim, response)
        self._settle(End.ACCEPTED if doubt is None else End.LOST)
        return FlowResult(response, doubt=doubt)

    def _rejected(self, claim: Claim, response: Response) -> Generator[Step, Answer, Challenged]:
        assert self._realm is not None  # noqa: S101 - it is where the claim comes from
        owner, ledger = self._owner, self._realm.ledger
        challenged = read(response, owner.role, owner.qops)
        end = challenged.end(claim.session.terms)
        self._after_rejection = end is End.REJECTED
        before = ledger.use
        self._settle(end)
        if end is End.STALE:
            yield Tell(f"the nonce is stale after {claim.nonce.accepted} requests that it has served")
        if ledger.use is not before:
            use = "one request at a time" if ledger.use is Use.ORDERED else "one request"
            yield Tell(f"{owner.role.owner} refuses its nonce counts: from now on a nonce serves {use}")
        return challenged

    def _body_hash(self, terms: Terms) -> Generator[Step, Answer, bytes]:
        if self._body is Body.IN_REQUEST:
            return terms.algorithm.hash(self._request.body)
        answer = yield HashBody(terms.algorithm.hash_name)
        if not isinstance(answer, str):
            raise LocalProtocolError(
                "qop=auth-int covers the body, which comes from a stream and cannot be read beforehand; "
                "give it as bytes or a file"
            )
        return answer.encode("ascii")

    def _doubt(self, claim: Claim, response: Response) -> str | None:
        """Why the response may not be the server's (RFC 7616 section 3.5); takes up the next nonce where it is."""
        values = response.all_values(self._owner.role.info)
        if not values:
            return None
        session = claim.session
        try:
            info = parameters(values)
        except FieldSyntaxError as error:
            if not any(b"rspauth" in value.lower() for value in values):
                return None
            return f"the server's proof that it knows the password (rspauth) cannot be read: {error}"
        body = None if response.error is not None else response.body
        fault = fault_of_proof(info, session, self._request.target, claim.count, body)
        if fault is not None:
            return f"the server does not prove that it knows the password (rspauth): {fault}"
        nonce = info.get("nextnonce")
        if nonce:
            assert self._realm is not None  # noqa: S101 - it is where the claim comes from
            terms = msgspec.structs.replace(session.terms, nonce=nonce.encode("latin-1"), stale=False)
            self._realm.ledger.renew(claim, self._owner.session(terms))
        return None

    def _settle(self, end: End) -> None:
        realm, claim = self._realm, self._claim
        assert realm is not None and claim is not None  # noqa: S101 - who settles has a claim
        self._claim = None
        realm.ledger.settle(claim, end)
        if end is End.ACCEPTED:
            realm.accepted = claim.session.terms
            self._owner.unheard = None


def _space(terms: Terms, origin: Origin) -> list[bytes]:
    """The paths of the origin's that the challenge names as its protection space (RFC 7616 section 3.3)."""
    paths = []
    for uri in terms.domain[:MAX_SPACES]:
        if uri.startswith("/") and not uri.startswith("//"):
            paths.append(uri.partition("?")[0].encode("latin-1"))
            continue
        try:
            named, target = split_url(uri)
        except LocalProtocolError:
            continue
        if named == origin:
            paths.append(target.partition(b"?")[0])
    return paths
