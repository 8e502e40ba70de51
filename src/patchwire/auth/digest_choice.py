"""Which of the challenges in a response is answered, and what is said of those that are not."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec import Struct

from patchwire.auth.challenge import parse
from patchwire.auth.digest import Qop, Terms, UnusableChallengeError, strongest, understand
from patchwire.auth.nonces import End
from patchwire.auth.role import Role
from patchwire.http.message import Response

_SHOWN = 4


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


def read(response: Response, role: Role, qops: tuple[Qop, ...]) -> Challenged:
    """What a response asks for."""
    challenged = Challenged(response, [], [], [])
    for challenge in parse(response.all_values(role.challenge)):
        if challenge.scheme != "digest":
            challenged.others.append(challenge.scheme)
            continue
        try:
            challenged.offers.append(understand(challenge, qops))
        except UnusableChallengeError as error:
            challenged.faults.append(str(error))
    return challenged


def choose(
    challenged: Challenged, algorithms: Sequence[str], accepted: Callable[[bytes], Terms | None]
) -> Terms | str:
    """The terms to answer: those of the most preferred algorithm. Else what is offered, and why that is no use.

    `accepted` gives the terms that a realm has accepted before: a weaker algorithm than theirs is refused, since an
    attacker may have put it in place of the server's own.
    """
    terms = strongest(challenged.offers, algorithms)
    if terms is None:
        return f"{_what_there_is(challenged, algorithms)}, this connection has Digest"
    before = accepted(terms.realm)
    if before is not None and strongest([terms, before], algorithms) is not terms:
        return f"only Digest {terms.algorithm.name}, where {before.algorithm.name} was accepted before"
    return terms


def story(challenged: Challenged, terms: Terms) -> str:
    """What was offered, and what was chosen, for the log."""
    offers = [f"Digest {each.algorithm.name}" for each in challenged.offers] + challenged.others
    faults = [f"Digest that cannot be answered ({fault})" for fault in challenged.faults]
    qop = "no qop" if terms.qop is None else f"qop {terms.qop}"
    return (
        f"{_some(offers + faults)}; chosen: Digest {terms.algorithm.name} with {qop}, realm {_shown(terms)}, "
        f"as the most preferred"
    )


def rejection(user: str, terms: Terms) -> str:
    """What is said of credentials that were rejected."""
    return f"user {user!r} or its password was rejected (Digest {terms.algorithm.name}, realm {_shown(terms)})"


def _what_there_is(challenged: Challenged, algorithms: Sequence[str]) -> str:
    allowed = ", ".join(algorithms)
    found = [f"Digest {terms.algorithm.name}, not among {allowed}" for terms in challenged.offers]
    found += [f"Digest that cannot be answered ({fault})" for fault in challenged.faults]
    return _some(found + challenged.others) or "no scheme at all"


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(name[:120] for name in names[:_SHOWN]) + more


def _shown(terms: Terms) -> str:
    return repr(terms.realm[:80].decode("latin-1"))
