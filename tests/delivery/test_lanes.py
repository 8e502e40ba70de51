from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchwire.delivery.lanes import Lanes, OnFailure, weight
from patchwire.delivery.outcome import Outcome
from patchwire.delivery.record import Record, RecordParser
from patchwire.settings.connection import parse_connection, resolve

PARSER = RecordParser(resolve("c", parse_connection("c", {"base_url": "http://h"}), {}))


def record(seq: int, lane: str = "a") -> Record:
    return PARSER.parse(f'{{"path": "{lane}?{seq}", "body": {{}}}}'.encode(), seq)


def test_records_of_one_lane_come_one_after_the_other() -> None:
    lanes = Lanes()
    first, second, other = record(0), record(1), record(2, "b")
    for each in (first, second, other):
        assert lanes.add(each) is None
    assert lanes.take() is first
    assert lanes.take() is other
    assert lanes.take() is None
    assert lanes.finish(first, Outcome.REJECTED) == []
    assert lanes.take() is second


def test_an_unknown_record_hands_back_its_successors_and_holds_its_lane() -> None:
    lanes = Lanes()
    records = [record(seq) for seq in range(3)]
    for each in records:
        lanes.add(each)
    assert lanes.take() is records[0]
    assert lanes.finish(records[0], Outcome.UNKNOWN) == records[1:]
    assert lanes.add(record(3)) == "0"
    assert lanes.take() is None
    assert (lanes.waiting, lanes.waiting_bytes) == (0, 0)


def test_the_first_holder_of_a_lane_is_the_one_that_is_named() -> None:
    lanes = Lanes()
    lanes.hold(b"/a", "first")
    lanes.hold(b"/a", "second")
    assert lanes.add(record(0)) == "first"


STEPS = st.lists(
    st.tuples(st.just("add"), st.sampled_from("abc"))
    | st.tuples(st.just("take"), st.just(""))
    | st.tuples(st.just("finish"), st.sampled_from(["applied", "rejected", "not_sent", "unknown"])),
    max_size=60,
)


@given(STEPS)
def test_nothing_is_lost_doubled_or_out_of_order_whatever_happens(steps: list[tuple[str, str]]) -> None:
    lanes = Lanes()
    flying: dict[bytes, Record] = {}
    added: list[Record] = []
    left: list[int] = []
    taken: dict[bytes, list[int]] = {}
    holders: dict[bytes, str] = {}
    for action, argument in [*steps, *[("take", ""), ("finish", "applied")] * len(steps)]:
        if action == "add":
            each = record(len(added), argument)
            added.append(each)
            holder = lanes.add(each)
            assert holder == holders.get(each.lane)
            if holder is not None:
                left.append(each.seq)
        elif action == "take":
            if (each_taken := lanes.take()) is not None:
                assert each_taken.lane not in flying
                assert each_taken.lane not in holders
                flying[each_taken.lane] = each_taken
                taken.setdefault(each_taken.lane, []).append(each_taken.seq)
        elif flying:
            lane, each_flying = next(iter(flying.items()))
            del flying[lane]
            successors = lanes.finish(each_flying, Outcome(argument))
            left.append(each_flying.seq)
            left.extend(successor.seq for successor in successors)
            assert argument == "unknown" or not successors
            if argument == "unknown":
                holders[lane] = each_flying.id
        inside = [each for each in added if each.seq not in left]
        assert lanes.waiting == len(inside)
        assert lanes.waiting_bytes == sum(weight(each) for each in inside)
    assert sorted(left) == list(range(len(added)))
    assert all(order == sorted(order) for order in taken.values())


ACTIONS = st.lists(
    st.tuples(st.just("add"), st.integers(0, 3))
    | st.tuples(st.just("take"), st.just(0))
    | st.tuples(st.sampled_from(["applied", "rejected", "not_sent", "unknown"]), st.integers(0, 9)),
    max_size=60,
)


@given(ACTIONS, st.sets(st.integers(0, 3)))
def test_lanes_do_what_a_queue_for_each_lane_would_do_in_whatever_order_records_come_home(
    actions: list[tuple[str, int]], held_before: set[int]
) -> None:
    lanes = Lanes()
    queues: dict[bytes, list[Record]] = {b"/%d" % lane: [] for lane in range(4)}
    holders: dict[bytes, str] = {}
    flying: list[Record] = []
    for lane in held_before:
        lanes.hold(b"/%d" % lane, "earlier")
        holders[b"/%d" % lane] = "earlier"
    for seq, (action, number) in enumerate(actions):
        if action == "add":
            new = record(seq, str(number))
            assert lanes.add(new) == holders.get(new.lane)
            if new.lane not in holders:
                queues[new.lane].append(new)
        elif action == "take":
            free = [queue[0] for queue in queues.values() if queue and queue[0] not in flying]
            taken = lanes.take()
            assert (taken in free) if free else (taken is None)
            if taken is not None:
                flying.append(taken)
        elif flying:
            home = flying.pop(number % len(flying))
            queue = queues[home.lane]
            assert queue.pop(0) is home
            successors = lanes.finish(home, Outcome(action))
            if action == "unknown":
                assert successors == queue
                queue.clear()
                holders[home.lane] = home.id
            else:
                assert successors == []
        waiting = [each for queue in queues.values() for each in queue]
        assert (lanes.waiting, lanes.waiting_bytes) == (len(waiting), sum(map(weight, waiting)))


def test_a_query_makes_no_lane_of_its_own() -> None:
    one, other = record(0), record(1)
    assert one.request.target != other.request.target
    lanes = Lanes()
    lanes.add(one)
    lanes.add(other)
    assert lanes.take() is one
    assert lanes.take() is None


@pytest.mark.parametrize(
    ("on_failure", "holding"),
    [
        (OnFailure.HOLD_UNKNOWN, {Outcome.UNKNOWN}),
        (OnFailure.HOLD, {Outcome.UNKNOWN, Outcome.REJECTED, Outcome.NOT_SENT}),
        (OnFailure.GO_ON, set()),
    ],
)
@pytest.mark.parametrize("outcome", list(Outcome))
def test_what_holds_a_lane_can_be_chosen(on_failure: OnFailure, holding: set[Outcome], outcome: Outcome) -> None:
    lanes = Lanes(on_failure)
    first, second = record(0), record(1)
    lanes.add(first)
    lanes.add(second)
    assert lanes.take() is first
    assert lanes.holds(outcome) is (outcome in holding)
    assert lanes.finish(first, outcome) == ([second] if outcome in holding else [])
    assert lanes.has_ready is (outcome not in holding)
    assert lanes.add(record(2)) == ("0" if outcome in holding else None)


def test_who_holds_a_lane_is_known() -> None:
    lanes = Lanes()
    lanes.hold(b"/a", "r1")
    lanes.hold(b"/a", "r2")
    assert (lanes.holder(b"/a"), lanes.holder(b"/b")) == ("r1", None)
