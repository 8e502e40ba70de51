"""Which of the challenges in a response is answered, and what is said of those that are not."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from patchwire.auth.challenge import parse
from patchwire.auth.digest import Protection, Terms, UnusableChallengeError, strongest, understand
from patchwire.auth.flow import some_of
from patchwire.auth.nonces import End
from patchwire.auth.role import Role
from patchwire.http.message import Response


class Challenged(Struct, frozen=True):
    """What a response asks for: Digest that can be answered, Digest that cannot, with the reasons, other schemes."""

    response: Response
    offers: list[Terms]
    faults: list[str]
    others: list[str]

    def end(self, terms: Terms) -> End:
        """What it says of credentials for these terms."""
        offers = [each for each in self.offers if each.realm == terms.realm]
        if not offers:
            return End.LOST  # it asks for others
        return End.STALE if any(each.stale for each in offers) else End.REJECTED


def read(response: Response, role: Role, qops: tuple[Protection, ...]) -> Challenged:
    """What a response asks for."""
    challenged = Challenged(response, [], [], [])
    for challenge in parse(response.all_values(role.challenge)):
        if challenge.scheme != "digest":
            challenged.others.append(challenge.scheme.title())
            continue
        try:
            challenged.offers.append(understand(challenge, qops))
        except UnusableChallengeError as error:
            challenged.faults.append(str(error))
    return challenged


def choose(challenged: Challenged, algorithms: Sequence[str], best: Terms | None) -> Terms | str:
    """The terms to answer: those of the most preferred algorithm. Else what is offered, and why that is no use.

    `best` is what the origin has accepted before: a weaker offer is refused, since an attacker may have put it in the
    place of the server's own.
    """
    terms = strongest(challenged.offers, algorithms)
    if terms is None:
        return f"{_what_there_is(challenged)}, this connection has Digest"
    if best is None or stronger(terms, best, algorithms) is terms:
        return terms
    return f"only Digest {_named(terms)}, where {_named(best)} was accepted before"


def stronger(first: Terms, second: Terms, algorithms: Sequence[str]) -> Terms:
    """The stronger of two: that of the more preferred algorithm, and then the one with a qop; else the first."""
    if first.algorithm.family != second.algorithm.family:
        return strongest([first, second], algorithms) or first
    return second if first.qop is None and second.qop is not None else first


def story(challenged: Challenged, terms: Terms) -> str:
    """What was offered, and what was chosen, for the log."""
    offers = [f"Digest {each.algorithm.name}" for each in challenged.offers] + challenged.others
    faults = [f"Digest that cannot be answered ({fault})" for fault in challenged.faults]
    chosen = f"Digest {_named(terms)}, realm {_shown(terms)}"
    return f"{some_of(offers + faults)}; chosen: {chosen}, as the most preferred"


def rejection(role: Role, user: str, terms: Terms, *, is_stale: bool) -> str:
    """What is said of credentials that were rejected."""
    where = f"(Digest {terms.algorithm.name}, realm {_shown(terms)})"
    if is_stale:
        return f"{role.owner} calls every nonce stale, also one that has just come {where}, for user {user!r}"
    return f"user {user!r} or its password was rejected{role.by} {where}"


def _named(terms: Terms) -> str:
    return f"{terms.algorithm.name} with {'no qop' if terms.qop is None else f'qop {terms.qop}'}"


def _what_there_is(challenged: Challenged) -> str:
    found = [f"Digest {terms.algorithm.name} (not in digest.algorithms)" for terms in challenged.offers]
    found += [f"Digest that cannot be answered ({fault})" for fault in challenged.faults]
    return some_of(found + challenged.others) or "no scheme at all"


def _shown(terms: Terms) -> str:
    return repr(terms.realm[:80].decode("latin-1"))
