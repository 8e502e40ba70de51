from __future__ import annotations

from patchwire.loopback.expiring import Expiring


def memory(*keys: str, most: int = 3) -> Expiring[str]:
    """Each key came a second after the one before it, the first at 0, and is held for ten."""
    held: Expiring[str] = Expiring(10.0, most)
    for now, key in enumerate(keys):
        held.put(key, key.upper(), float(now))
    return held


def test_a_value_is_held_for_its_lifetime() -> None:
    held = memory("a")
    assert (held.get("a", 9.9), held.get("a", 10.0), held.get("b", 0.0)) == ("A", None, None)


def test_what_is_taken_is_no_longer_held() -> None:
    held = memory("a", "b")
    assert (held.take("a", 2.0), held.take("a", 2.0), held.take("b", 99.0), len(held)) == ("A", None, None, 0)


def test_the_oldest_is_forgotten_where_memory_ends() -> None:
    held = memory("a", "b", "c", "d", "e")
    assert [held.get(key, 5.0) for key in "abcde"] == [None, None, "C", "D", "E"]
    assert len(held) == 3


def test_what_is_over_is_forgotten_when_something_new_comes() -> None:
    held = memory("a", "b", most=9)
    held.put("c", "C", 10.5)
    assert (len(held), held.get("b", 10.5), held.get("c", 10.5)) == (2, "B", "C")


def test_neither_keys_nor_values_show() -> None:
    held = memory("canary")
    assert repr(held) == "<Expiring with 1 of 3>"
    assert "canary" not in repr(vars(held))
