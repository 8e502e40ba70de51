from __future__ import annotations

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from patchwire.auth import nonces
from patchwire.auth.challenge import Challenge
from patchwire.auth.credentials import Credentials
from patchwire.auth.digest import Session, understand
from patchwire.auth.nonces import Claim, End, NonceLedger, NonceMemory, Use

SVC = Credentials("svc", "pw")


def session(nonce: str) -> Session:
    return Session(understand(Challenge("digest", (("realm", "r"), ("nonce", nonce), ("qop", "auth")))), SVC, b"c")


def ledger(use: Use = Use.PARALLEL, memory: NonceMemory | None = None) -> NonceLedger:
    return NonceLedger(NonceMemory() if memory is None else memory, use)


def brought(of: NonceLedger, nonce: str = "n") -> Claim:
    claim = of.bring(session(nonce))
    assert claim is not None
    return claim


def claimed(of: NonceLedger) -> Claim:
    claim = of.claim()
    assert claim is not None
    return claim


def name(claim: Claim) -> tuple[str, int]:
    return claim.session.terms.nonce.decode(), claim.count


def accept(of: NonceLedger, nonce: str = "n") -> None:
    of.settle(brought(of, nonce), End.ACCEPTED)


def test_a_nonce_that_has_just_come_is_its_bringers_alone_until_it_is_accepted() -> None:
    of = ledger()
    claim = brought(of)
    assert (name(claim), claim.is_fresh, of.claim()) == (("n", 1), True, None)
    of.settle(claim, End.ACCEPTED)
    assert [name(claimed(of)) for _ in range(3)] == [("n", 2), ("n", 3), ("n", 4)]


def test_a_nonce_in_order_serves_one_request_at_a_time() -> None:
    of = ledger(Use.ORDERED)
    accept(of)
    first = claimed(of)
    assert (name(first), of.claim()) == (("n", 2), None)
    of.settle(first, End.ACCEPTED)
    assert name(claimed(of)) == ("n", 3)


def test_a_nonce_for_one_request_serves_one() -> None:
    of = ledger(Use.ONCE)
    claim = brought(of)
    of.renew(claim, session("next"))
    of.settle(claim, End.ACCEPTED)
    assert (name(claimed(of)), of.claim()) == (("next", 1), None)


def test_the_next_nonce_takes_the_place_of_its_forerunner() -> None:
    of = ledger()
    accept(of)
    claim = claimed(of)
    of.renew(claim, session("next"))
    of.renew(claim, session("next"))
    of.settle(claim, End.ACCEPTED)
    assert [name(claimed(of)) for _ in range(2)] == [("next", 1), ("next", 2)]
    in_order = ledger(Use.ORDERED)
    claim = brought(in_order)
    in_order.renew(claim, session("next"))
    in_order.settle(claim, End.ACCEPTED)
    assert (name(claimed(in_order)), in_order.claim()) == (("next", 1), None)


def test_claims_on_a_nonce_that_was_replaced_stay_good() -> None:
    of = ledger()
    accept(of)
    first, second = claimed(of), claimed(of)
    of.renew(first, session("next"))
    of.settle(first, End.ACCEPTED)
    assert second.nonce.is_good()
    assert name(claimed(of)) == ("next", 1)
    of.settle(second, End.ACCEPTED)
    assert name(claimed(of)) == ("next", 2)


def test_what_was_replaced_makes_room_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nonces, "MAX_NONCES", 4)
    memory = NonceMemory()
    of = ledger(memory=memory)
    accept(of, "0")
    for number in range(1, 50):
        claim = claimed(of)
        of.renew(claim, session(str(number)))
        of.settle(claim, End.ACCEPTED)
    assert len(memory) == 4
    assert name(claimed(of)) == ("49", 1)


def test_a_nonce_that_is_offered_again_goes_on_counting() -> None:
    of = ledger()
    accept(of)
    claim = claimed(of)
    of.settle(claim, End.STALE)
    assert of.claim() is None
    again = brought(of)
    assert (name(again), again.is_fresh) == (("n", 3), False)
    in_order = ledger(Use.ORDERED)
    claim = brought(in_order)
    assert in_order.bring(session("n")) is None
    in_order.settle(claim, End.ACCEPTED)
    assert name(brought(in_order)) == ("n", 2)


@pytest.mark.parametrize(("use", "is_left"), [(Use.PARALLEL, True), (Use.ORDERED, False)])
def test_a_count_that_is_lost_ends_its_nonce_where_order_matters(use: Use, is_left: bool) -> None:
    of = ledger(use)
    accept(of)
    of.settle(claimed(of), End.LOST)
    assert (of.claim() is not None) is is_left
    fresh = ledger(use)
    fresh.settle(brought(fresh), End.LOST)
    assert fresh.claim() is None


def test_a_refused_count_of_a_young_nonce_puts_requests_in_order() -> None:
    of = ledger()
    accept(of)
    second, third = claimed(of), claimed(of)
    of.settle(third, End.REJECTED)
    of.settle(second, End.REJECTED)
    assert of.use is Use.ORDERED


def test_what_ends_a_nonce_that_served_one_after_the_other_says_nothing_of_their_order() -> None:
    of = ledger()
    for number in range(10):
        accept(of, str(number))
        of.settle(claimed(of), End.ACCEPTED)
        of.settle(claimed(of), End.REJECTED if number % 2 else End.STALE)
    assert of.use is Use.PARALLEL


def test_where_order_has_come_to_matter_a_crowded_nonce_is_free_when_the_last_has_left_it() -> None:
    of = ledger()
    accept(of)
    first, second = claimed(of), claimed(of)
    of.use = Use.ORDERED
    of.settle(first, End.ACCEPTED)
    assert of.claim() is None
    of.settle(second, End.ACCEPTED)
    assert name(claimed(of)) == ("n", 4)


def test_who_waits_for_a_nonce_that_all_have_is_told_when_the_last_has_left_it() -> None:
    memory = NonceMemory()
    of = ledger(memory=memory)
    accept(of)
    first, second = claimed(of), claimed(of)
    of.settle(first, End.REJECTED)
    assert of.bring(session("n")) is None
    before = memory.changes
    of.settle(second, End.ACCEPTED)
    assert memory.changes > before
    assert name(brought(of)) == ("n", 4)


def test_three_nonces_that_are_stale_early_put_requests_in_order_and_three_more_give_each_its_own() -> None:
    of = ledger()
    uses = []
    for number in range(6):
        accept(of, str(number))
        first, second = claimed(of), of.claim()
        of.settle(first, End.STALE)
        if second is not None:
            of.settle(second, End.STALE)
        uses.append(of.use)
    assert uses == [Use.PARALLEL, Use.PARALLEL, Use.ORDERED, Use.ORDERED, Use.ORDERED, Use.ONCE]
    accept(of, "six")
    assert of.claim() is None


def test_an_ordinary_end_of_a_nonce_changes_nothing() -> None:
    of = ledger()
    for number in range(10):
        accept(of, str(number))
        for _ in range(nonces.PROVEN):
            of.settle(claimed(of), End.ACCEPTED)
        of.settle(claimed(of), End.REJECTED if number % 2 else End.STALE)
    assert of.use is Use.PARALLEL
    in_order = ledger(Use.ORDERED)
    for number in range(10):
        accept(in_order, str(number))
        in_order.settle(claimed(in_order), End.ACCEPTED)
        in_order.settle(claimed(in_order), End.STALE)
    assert in_order.use is Use.ORDERED


def test_a_rejected_fresh_nonce_says_nothing_of_the_use() -> None:
    of = ledger()
    for number in range(10):
        of.settle(brought(of, str(number)), End.REJECTED)
    assert of.use is Use.PARALLEL


def test_nonces_are_bounded_and_an_evicted_one_is_not_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nonces, "MAX_NONCES", 10)
    memory = NonceMemory()
    of = ledger(Use.ORDERED, memory)
    for number in range(30):
        accept(of, str(number))
    assert len(memory) == 10
    names = set()
    while (claim := of.claim()) is not None:
        names.add(claim.session.terms.nonce.decode())
    assert names == {str(number) for number in range(20, 30)}
    assert memory.find(b"0") is None


def test_what_is_in_use_is_evicted_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nonces, "MAX_NONCES", 3)
    memory = NonceMemory()
    of = ledger(memory=memory)
    accept(of, "shared")
    of.settle(claimed(of), End.ACCEPTED)
    for number in range(10):
        of.settle(brought(of, str(number)), End.REJECTED)
    assert (len(memory), name(claimed(of))) == (3, ("shared", 3))
    for number in range(10):
        brought(of, f"flying {number}")
    assert len(memory) == 3


def test_a_nonce_that_two_realms_show_counts_once() -> None:
    memory = NonceMemory()
    first, second = ledger(memory=memory), ledger(memory=memory)
    assert [name(brought(of)) for of in (first, second, first)] == [("n", 1), ("n", 2), ("n", 3)]


def test_a_nonce_that_has_ended_and_comes_back_is_shared_again() -> None:
    of = ledger()
    accept(of)
    of.settle(claimed(of), End.STALE)
    of.settle(brought(of), End.ACCEPTED)
    assert [name(claimed(of)) for _ in range(3)] == [("n", 4), ("n", 5), ("n", 6)]


def test_a_claim_whose_nonce_has_ended_meanwhile_is_no_longer_good() -> None:
    of = ledger()
    accept(of)
    first, second = claimed(of), claimed(of)
    assert second.nonce.is_good()
    of.settle(first, End.STALE)
    assert not second.nonce.is_good()


@pytest.mark.parametrize("is_strict", [True, False])
def test_after_some_requests_with_a_nonce_each_one_is_used_again_to_see(is_strict: bool) -> None:
    of = ledger(Use.ONCE)
    refused = served = 0
    for number in range(3000):
        claim = of.claim()
        if claim is not None and (claim.count == 1 or (not is_strict and number > 50)):
            of.settle(claim, End.ACCEPTED)
            served += 1
            continue
        if claim is not None:
            of.settle(claim, End.STALE)
            refused += 1
        accept(of, str(number))
    assert of.use is (Use.ONCE if is_strict else Use.ORDERED)
    assert refused < 20
    assert served == 0 if is_strict else served > 2500


class Ledgers(RuleBasedStateMachine):
    """Any history of claims, and of what becomes of them."""

    def __init__(self) -> None:
        super().__init__()
        self.memory = NonceMemory()
        self.of = ledger(memory=self.memory)
        self.given: set[tuple[str, int]] = set()
        self.last: dict[str, int] = {}
        self.flying: list[Claim] = []

    @initialize(use=st.sampled_from(Use))
    def begin(self, use: Use) -> None:
        self.of = ledger(use, self.memory)

    def take(self, claim: Claim | None) -> None:
        if claim is None:
            return
        nonce, count = name(claim)
        assert (nonce, count) not in self.given
        assert count == self.last.get(nonce, 0) + 1
        others = [each for each in self.flying if each.nonce is claim.nonce]
        assert not others or self.of.use is Use.PARALLEL
        assert not claim.is_fresh or (count == 1 and not others)
        self.given.add((nonce, count))
        self.last[nonce] = count
        self.flying.append(claim)

    @rule()
    def claim(self) -> None:
        self.take(self.of.claim())

    @rule(nonce=st.sampled_from("abcdef"))
    def bring(self, nonce: str) -> None:
        self.take(self.of.bring(session(nonce)))

    @precondition(lambda self: self.flying)
    @rule(data=st.data(), end=st.sampled_from(End))
    def settle(self, data: st.DataObject, end: End) -> None:
        claim = self.flying.pop(data.draw(st.integers(0, len(self.flying) - 1)))
        self.of.settle(claim, end)

    @precondition(lambda self: self.flying)
    @rule(data=st.data(), nonce=st.sampled_from("abcdefgh"))
    def renew(self, data: st.DataObject, nonce: str) -> None:
        self.of.renew(data.draw(st.sampled_from(self.flying)), session(nonce))

    @invariant()
    def what_flies_is_counted(self) -> None:
        for claim in self.flying:
            assert claim.nonce.flying == sum(each.nonce is claim.nonce for each in self.flying)
        assert len(self.memory) <= 8


Ledgers.TestCase.settings = hypothesis_settings(max_examples=200, stateful_step_count=40)
test_no_count_is_ever_given_twice_whatever_becomes_of_them = Ledgers.TestCase
