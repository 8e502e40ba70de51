"""What is said for one request that authenticates by Digest, as a generator (RFC 7616)."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Final

import msgspec

from patchwire.auth.challenge import parameters
from patchwire.auth.digest import MAX_PARAMETER, Terms, fault_of_proof
from patchwire.auth.digest_choice import Challenged, choose, read, rejection, story
from patchwire.auth.flow import (
    Answer,
    Body,
    Flow,
    FlowResult,
    HashBody,
    Send,
    Step,
    Tell,
    Wait,
    holding_back,
    send,
    send_held_back,
)
from patchwire.auth.nonces import Claim, End, NonceLedger, Use
from patchwire.errors import LocalProtocolError
from patchwire.http.fields import FieldSyntaxError
from patchwire.http.message import Request, Response

if TYPE_CHECKING:
    from patchwire.auth.digest_flow import DigestAuthentication

MAX_REJECTIONS: Final = 2
"""How often credentials made for a nonce that has just come are sent for one request."""


class Conversation:
    """One request's. What it holds of the shared state is given back when it ends, whatever has happened."""

    __slots__ = ("_after_rejection", "_body", "_claim", "_owner", "_realm", "_renewing", "_request")

    def __init__(self, owner: DigestAuthentication, request: Request, body: Body) -> None:
        self._owner = owner
        self._request = request
        self._body = body
        self._realm: NonceLedger | None = None
        self._claim: Claim | None = None
        self._renewing: NonceLedger | None = None
        self._after_rejection = False

    def hold(self) -> Flow:
        """The flow."""
        try:
            while True:
                claim = self._claimed()
                if claim is None:
                    claim = yield from self._remembered()
                if claim is None:
                    return (yield from self._ask())
                if self._body is not Body.IN_REQUEST or claim.session.terms.qop == "auth-int":
                    said = yield from self._say(claim)
                    return said if isinstance(said, FlowResult) else (yield from self._answer(said))
                # What nearly every request does, without the generators that the others need.
                answer = yield self._authorized(claim, None, is_good=claim.nonce.is_good)
                if answer is None:  # its nonce has ended while it was waiting to be sent
                    self._settle(End.LOST)
                    continue
                assert isinstance(answer, Response)  # noqa: S101 - what the driver of a flow has promised
                if answer.status != self._owner.role.status:
                    return self._accepted(claim, answer)
                return (yield from self._answer((yield from self._rejected(claim, answer))))
        finally:
            if self._claim is not None:
                self._settle(End.LOST)
            if self._renewing is not None:
                self._owner.end_renewal(self._renewing)

    def _ask(self) -> Generator[Step, Answer, FlowResult]:
        """Send the request without credentials, and answer the challenge if one comes: what it brings is new. Again,
        where the server calls it stale all the same: it may have waited until others had tried the credentials.
        """
        owner, rejections = self._owner, 0
        while True:
            said = yield from self._asked()
            if isinstance(said, FlowResult):
                return said
            terms = choose(said, owner.algorithms, owner.best)
            if isinstance(terms, str):
                return self._no_use(said, terms)
            claim = yield from self._brought(said, terms)
            said = yield from self._say(claim)
            if isinstance(said, FlowResult):
                return said
            rejections += 1
            end = said.end(terms)
            if rejections == MAX_REJECTIONS or (claim.is_fresh and end is End.REJECTED):
                return FlowResult(said.response, rejection(owner.role, owner.user, terms, is_stale=end is End.STALE))

    def _answer(self, challenged: Challenged) -> Generator[Step, Answer, FlowResult]:
        """Answer the challenge that came in place of an answer to credentials of a remembered nonce."""
        terms = choose(challenged, self._owner.algorithms, self._owner.best)
        if isinstance(terms, str):
            return self._no_use(challenged, terms)
        if self._is_of_its_own(terms):
            claim = yield from self._brought(challenged, terms)
            said = yield from self._say(claim)
            if isinstance(said, FlowResult):
                return said
            if terms.opaque is None and claim.is_fresh and said.end(terms) is End.REJECTED:
                return FlowResult(said.response, rejection(self._owner.role, self._owner.user, terms, is_stale=False))
        return (yield from self._ask())

    def _is_of_its_own(self, terms: Terms) -> bool:
        """Whether a nonce that came with a rejection can be counted on. A server may tie its nonces to their opaque,
        which it repeats to whoever sends it, and keep only the last of each: there, where many were rejected at once,
        one takes the other's place, and their rejection says nothing of the password.
        """
        return terms.opaque is None or (terms.stale and self._owner.ledger_of(terms).use is Use.PARALLEL)

    def _asked(self) -> Generator[Step, Answer, FlowResult | Challenged]:
        owner = self._owner
        step = Send(self._request, after_rejection=self._after_rejection)
        response = yield from send_held_back(step, self._body)
        if owner.role.is_asked_by(response):
            return read(response, owner.role, owner.qops)
        owner.unheard = None
        return FlowResult(response)

    def _no_use(self, challenged: Challenged, why: str) -> FlowResult:
        return FlowResult(challenged.response, f"{self._owner.role.owner} offers {why}")

    def _claimed(self) -> Claim | None:
        """A claim on a nonce that is known and free."""
        self._realm = self._owner.realm_for(self._request)
        return None if self._realm is None else self._realm.claim()

    def _remembered(self) -> Generator[Step, Answer, Claim | None]:
        """A claim on a nonce that is known. None where there is none, and a challenge must be asked for."""
        while True:
            claim = self._claimed()
            realm = self._realm
            if claim is not None or realm is None or realm.use is not Use.PARALLEL:
                return claim
            if not realm.renewing:
                self._renew(realm)
                return None
            yield Wait(self._owner.generation)

    def _renew(self, realm: NonceLedger) -> None:
        """Others wait from now on, for what this one brings."""
        if self._renewing is not realm:
            realm.renewing += 1
            before, self._renewing = self._renewing, realm
            if before is not None:
                self._owner.end_renewal(before)

    def _brought(self, challenged: Challenged, terms: Terms) -> Generator[Step, Answer, Claim]:
        """A claim on the nonce of a challenge that has just come."""
        owner = self._owner
        yield Tell(f"{owner.role.owner} offers {story(challenged, terms)}")
        return (yield from self._claim_of(terms))

    def _claim_of(self, terms: Terms) -> Generator[Step, Answer, Claim]:
        owner = self._owner
        self._realm = realm = owner.realm_of(terms, self._request)
        self._renew(realm)
        session = owner.session(terms)
        while (claim := realm.bring(session)) is None:
            yield Wait(owner.generation)
        return claim

    def _say(self, claim: Claim, *, expects: bool = True) -> Generator[Step, Answer, FlowResult | Challenged]:
        """Send the request with its credentials: the end of the conversation, or what is asked for instead."""
        terms = claim.session.terms
        body_hash = (yield from self._body_hash(terms)) if terms.qop == "auth-int" else None
        step = self._authorized(claim, body_hash)
        waits = expects and self._body is Body.ONE_SHOT and self._request.header(b"expect") is None
        response = yield from send(holding_back(step) if waits else step)
        if waits and response.status == 417:  # it knows no expectations, and whether it has counted is not known
            self._settle(End.LOST)
            return (yield from self._say((yield from self._claim_of(terms)), expects=False))
        if not self._owner.role.is_asked_by(response):
            return self._accepted(claim, response)
        return (yield from self._rejected(claim, response))

    def _authorized(self, claim: Claim, body_hash: bytes | None, is_good: Callable[[], bool] | None = None) -> Send:
        """The request with its credentials."""
        self._claim = claim
        request, session = self._request, claim.session
        value = session.authorization(request.method, request.target, claim.count, body_hash).encode("latin-1")
        authorized = request.with_header(self._owner.role.credentials, value)
        return Send(authorized, session.terms.qop == "auth-int", self._after_rejection, is_good)

    def _accepted(self, claim: Claim, response: Response) -> FlowResult:
        doubt = self._doubt(claim, response)
        self._settle(End.ACCEPTED if doubt is None else End.LOST)
        return FlowResult(response, doubt=doubt, proves=self._owner.role.proof)

    def _rejected(self, claim: Claim, response: Response) -> Generator[Step, Answer, Challenged]:
        assert self._realm is not None  # noqa: S101 - it is where the claim comes from
        owner, ledger = self._owner, self._realm
        challenged = read(response, owner.role, owner.qops)
        end = challenged.end(claim.session.terms)
        self._after_rejection = self._after_rejection or claim.is_brought or end is not End.STALE
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
            return f"{self._owner.role.owner} does not prove that it knows the password (rspauth): {error}"
        body = None if response.error is not None else response.body
        fault = fault_of_proof(info, session, self._request.target, claim.count, body)
        if fault is not None:
            return f"{self._owner.role.owner} does not prove that it knows the password (rspauth): {fault}"
        nonce = info.get("nextnonce")
        if nonce and len(nonce) <= MAX_PARAMETER:
            assert self._realm is not None  # noqa: S101 - it is where the claim comes from
            terms = msgspec.structs.replace(session.terms, nonce=nonce.encode("latin-1"), stale=False)
            self._realm.renew(claim, self._owner.session(terms))
        return None

    def _settle(self, end: End) -> None:
        realm, claim = self._realm, self._claim
        assert realm is not None and claim is not None  # noqa: S101 - who settles has a claim
        self._claim = None
        realm.settle(claim, end)
        if end is End.ACCEPTED and claim.is_brought:
            self._owner.accept(claim.session.terms, self._request, realm)
