from __future__ import annotations

import pytest

from patchwire.auth.flow import Load
from patchwire.auth.token_keeping import LOOK, PATIENCE, Kept, TokenKeeping, fingerprint, kept_in
from patchwire.errors import CredentialsError, StorageError, UnreadableTokenError
from tests.support.oauth2 import API, AuthorizationServer, Clock, Driver, MemoryStore, token

KEPT = Kept(token("canary-access", refresh_token="canary-refresh"), "read write", "https://as", "f", ("g",), 5.0)


def driver() -> Driver:
    return Driver(Clock(), AuthorizationServer())


def test_an_entry_is_read_as_it_was_written() -> None:
    store = MemoryStore()
    keeping = TokenKeeping(store)
    assert driver().run(keeping.read()) is None
    driver().run(keeping.keep(KEPT))
    assert driver().run(keeping.read()) == KEPT
    assert "canary" not in repr(KEPT)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"{}", b'{"token": {}}', b'{"token": {"access_token": 1}}', b"\xff", b'{"token": "a"}'],
)
def test_an_entry_of_another_form_is_not_readable(content: bytes) -> None:
    with pytest.raises(UnreadableTokenError, match="of a form that is not known here"):
        kept_in(content)


def test_an_entry_with_members_of_a_later_version_is_read() -> None:
    assert kept_in(b'{"token": {"access_token": "a", "new": 1}, "other": []}').token.access_token == "a"


@pytest.mark.parametrize(
    ("asked", "wanted", "same"),
    [("a b", "b a", True), ("", "", True), ("a", "a b", False), ("a", "", False), ("a a", "a", False)],
)
def test_a_scope_is_the_same_in_whatever_order(asked: str, wanted: str, same: bool) -> None:
    assert Kept(token("a"), asked).is_for(wanted) is same


def test_a_refresh_token_gives_what_was_granted_also_behind_a_narrower_token() -> None:
    assert Kept(token("a"), "a b").can_give("b a")
    assert Kept(token("a"), "a", granted="a b").can_give("b a")
    assert not Kept(token("a"), "a", granted="a b").can_give("a")


def test_a_fingerprint_tells_secrets_apart_and_does_not_hold_them() -> None:
    assert fingerprint("canary-1") != fingerprint("canary-2")
    assert "canary" not in fingerprint("canary-1\u20ac")


def test_without_a_store_nothing_is_kept_and_nobody_waited_for() -> None:
    keeping, by = TokenKeeping(None), driver()
    assert by.run(keeping.read()) is None
    by.run(keeping.lock(API))
    by.run(keeping.mark(KEPT))
    by.run(keeping.keep(KEPT))
    keeping.unlock()
    assert (by.pauses, by.told) == ([], [])


def test_the_lock_is_waited_for_and_given_up() -> None:
    store, by = MemoryStore(), driver()
    keeping = TokenKeeping(store)
    by.run(keeping.lock(API))
    assert store.is_locked
    keeping.unlock()
    assert not store.is_locked
    assert by.pauses == []


def test_who_finds_it_locked_looks_again_until_it_is_free() -> None:
    store, by = MemoryStore(), driver()
    store.is_locked_elsewhere = True
    steps = TokenKeeping(store).lock(API)
    step = next(steps)
    for _ in range(1 + 2 * 3):
        step = by.resumed(steps, step)
    store.is_locked_elsewhere = False
    assert isinstance(step, Load)
    assert step.is_brief, "who is cancelled meanwhile must not leave a lock behind"
    with pytest.raises(StopIteration):
        by.resumed(steps, step)
    assert by.pauses == [LOOK] * 3
    assert store.is_locked


def test_who_waits_too_long_for_the_lock_is_told_why() -> None:
    store, by = MemoryStore(), driver()
    store.is_locked_elsewhere = True
    with pytest.raises(CredentialsError, match="another process has been renewing this token for 120 seconds") as said:
        by.run(TokenKeeping(store).lock(API))
    assert said.value.origin == API
    assert sum(by.pauses) == pytest.approx(PATIENCE, abs=2 * LOOK)


def test_what_was_given_is_written_patiently_and_what_is_only_to_be_asked_for_is_not() -> None:
    store, by = MemoryStore(), driver()
    by.run(TokenKeeping(store).mark(KEPT))
    by.run(TokenKeeping(store).keep(KEPT))
    assert (store.patience, store.kept) == ([False, True], KEPT)
    store.broken = {"write"}
    for steps in (TokenKeeping(store).mark(KEPT), TokenKeeping(store).keep(KEPT)):
        with pytest.raises(StorageError, match="the disk is full"):
            by.run(steps)


def test_what_may_take_long_is_done_before_the_lock_is_taken() -> None:
    store, by = MemoryStore(), driver()
    steps = TokenKeeping(store).lock(API)
    first = next(steps)
    assert isinstance(first, Load)
    assert (first.read, first.is_brief) == (store.prepare, False)
    second = by.resumed(steps, first)
    assert isinstance(second, Load)
    assert (second.read, second.is_brief) == (store.try_lock, True)


def test_what_is_written_before_something_is_sent_is_tried_once() -> None:
    store, by = MemoryStore(), driver()
    store.broken = {"write"}
    with pytest.raises(StorageError):
        by.run(TokenKeeping(store).mark(KEPT))
    assert by.pauses == []
    store.broken = set()
    steps = TokenKeeping(store).mark(KEPT)
    step = next(steps)
    assert isinstance(step, Load)
    assert step.is_brief
    steps.close()
