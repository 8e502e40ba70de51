from __future__ import annotations

import random
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchwire.auth.verify.nonces import WINDOW, Finding, ServerNonces, Uses

KEY = b"k" * 32
NOW = 1_700_000_000.0


def nonces(uses: Uses = "parallel", most: int = 10, key: bytes = KEY) -> ServerNonces:
    numbers = count(1)
    return ServerNonces(key, lambda size: next(numbers).to_bytes(size, "big"), lifetime=10.0, uses=uses, most=most)


def seen(of: ServerNonces, nonce: bytes, number: int | None, now: float = NOW) -> Finding:
    """What is found of a use, which is remembered where it is good."""
    finding = of.find(nonce, number, now)
    if finding is Finding.GOOD:
        of.use(nonce, number)
    return finding


def test_a_nonce_is_good_from_when_it_is_made_until_its_life_is_over() -> None:
    of = nonces()
    nonce = of.make(NOW)
    assert [of.find(nonce, 1, NOW + after) for after in (-1, 0, 9.9, 10, 1e9)] == [
        Finding.STALE, Finding.GOOD, Finding.GOOD, Finding.STALE, Finding.STALE,
    ]  # fmt: skip
    assert of.age(nonce, NOW + 5) == 0.5
    assert of.age(b"x", NOW) == 1.0


def test_no_two_nonces_are_alike() -> None:
    of = nonces()
    assert len({of.make(NOW) for _ in range(100)}) == 100


@pytest.mark.parametrize("nonce", [b"", b"x", b"!", b"A" * 48, b"\xff" * 48])
def test_what_was_not_made_here_is_foreign(nonce: bytes) -> None:
    assert nonces().find(nonce, 1, NOW) is Finding.FOREIGN


def test_a_nonce_of_another_key_or_with_any_other_octet_is_foreign() -> None:
    of = nonces()
    nonce = of.make(NOW)
    assert nonces(key=b"other").find(nonce, 1, NOW) is Finding.FOREIGN
    for index in range(len(nonce)):
        changed = nonce[:index] + (b"A" if nonce[index : index + 1] != b"A" else b"B") + nonce[index + 1 :]
        assert of.find(changed, 1, NOW) is Finding.FOREIGN
    assert of.find(nonce + b"====", 1, NOW) is Finding.FOREIGN


def test_in_parallel_counts_come_in_any_order_and_once() -> None:
    of = nonces()
    nonce = of.make(NOW)
    numbers = list(range(1, 500))
    random.Random(7).shuffle(numbers)
    assert {seen(of, nonce, number) for number in numbers} == {Finding.GOOD}
    assert {seen(of, nonce, number) for number in numbers} == {Finding.REPLAYED}


def test_counts_far_from_the_highest_are_refused() -> None:
    of = nonces()
    nonce = of.make(NOW)
    assert seen(of, nonce, 5) is Finding.GOOD
    assert seen(of, nonce, 5 + WINDOW) is Finding.REPLAYED
    assert seen(of, nonce, 4 + WINDOW) is Finding.GOOD
    assert seen(of, nonce, 4) is Finding.REPLAYED
    assert seen(of, nonce, 6) is Finding.GOOD
    assert seen(of, nonce, 0xFFFFFFFF) is Finding.REPLAYED


def test_in_order_only_the_next_count_is_good() -> None:
    of = nonces("ordered")
    nonce = of.make(NOW)
    findings = [seen(of, nonce, number) for number in (2, 1, 1, 3, 2, 3)]
    good, replayed = Finding.GOOD, Finding.REPLAYED
    assert findings == [replayed, good, replayed, replayed, good, good]


def test_once_is_once_and_then_stale() -> None:
    of = nonces("once")
    nonce = of.make(NOW)
    assert [seen(of, nonce, number) for number in (2, 1, 1, 2)] == [
        Finding.REPLAYED, Finding.GOOD, Finding.STALE, Finding.STALE,
    ]  # fmt: skip


@pytest.mark.parametrize("uses", ["parallel", "ordered"])
def test_without_counts_a_nonce_is_good_for_its_life(uses: Uses) -> None:
    of = nonces(uses)
    nonce = of.make(NOW)
    assert [seen(of, nonce, None) for _ in range(3)] == [Finding.GOOD] * 3


def test_what_memory_has_lost_is_stale_and_never_good_again() -> None:
    of = nonces(most=4)
    made = [of.make(NOW + number / 1000) for number in range(12)]
    for nonce in made:
        assert seen(of, nonce, 1, NOW + 1) is Finding.GOOD
    assert {seen(of, nonce, 1, NOW + 1) for nonce in made} <= {Finding.STALE, Finding.REPLAYED}
    assert {seen(of, nonce, 2, NOW + 1) for nonce in made[:6]} == {Finding.STALE}


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 40)), max_size=60), st.sampled_from([2, 3, 10]))
def test_no_count_is_good_twice_however_small_the_memory(uses: list[tuple[int, int]], most: int) -> None:
    of = nonces(most=most)
    made = [of.make(NOW + number) for number in range(6)]
    good = [use for use in uses if seen(of, made[use[0]], use[1], NOW + 6) is Finding.GOOD]
    assert len(good) == len(set(good))
