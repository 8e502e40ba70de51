from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from patchwire.auth.token import (
    MARGIN,
    PAUSE,
    Began,
    Event,
    Failed,
    Obtained,
    Phase,
    Rejected,
    Token,
    TokenState,
    step,
)

NOW = 1_800_000_000.0
HOUR = Token("canary-access", NOW + 3600, 3600.0, "canary-refresh")
FOREVER = Token("canary-access")


def having(token: Token, **more: float | bool) -> TokenState:
    return replace(step(TokenState(), Obtained(token), NOW), **more)


def test_o42_a_token_does_not_print_itself() -> None:
    assert repr(HOUR) == f"Token(access_token=***, refresh_token=***, expires_at={NOW + 3600})"
    assert repr(FOREVER) == "Token(access_token=***, expires_at=None)"
    assert "canary" not in repr(having(HOUR))


def test_a_token_serves_until_its_end_and_one_without_an_end_for_good() -> None:
    assert HOUR.serves(NOW + 3599.9)
    assert not HOUR.serves(NOW + 3600)
    assert FOREVER.serves(NOW + 1e9)
    assert FOREVER.is_fresh(NOW + 1e9)


@pytest.mark.parametrize(
    ("lifetime", "margin"), [(3600.0, MARGIN), (300.0, MARGIN), (100.0, 20.0), (1.0, 0.2), (None, MARGIN)]
)
def test_another_token_is_due_ahead_of_its_end_by_a_margin_that_a_short_life_shortens(
    lifetime: float | None, margin: float
) -> None:
    state = having(Token("a", NOW + 1000, lifetime))
    assert state.phase(NOW + 1000 - margin - 0.1) is Phase.FRESH
    assert not state.is_due(NOW + 1000 - margin - 0.1)
    assert state.phase(NOW + 1000 - margin + 0.1) is Phase.EXPIRING
    assert state.is_due(NOW + 1000 - margin + 0.1)
    assert state.serves(NOW + 1000 - margin + 0.1)


def test_where_there_is_no_token_or_none_that_serves_another_is_due() -> None:
    for state, now, phase in (
        (TokenState(), NOW, Phase.ABSENT),
        (having(HOUR), NOW + 3600, Phase.EXPIRED),
        (step(having(HOUR), Rejected(1), NOW), NOW, Phase.REJECTED),
    ):
        assert state.phase(now) is phase
        assert state.is_due(now)
        assert not state.serves(now)


def test_while_one_is_asked_for_nobody_else_asks_and_the_old_one_serves() -> None:
    state = step(having(HOUR), Began(), NOW + 3550)
    assert state.phase(NOW + 3550) is Phase.REFRESHING
    assert not state.is_due(NOW + 3550)
    assert state.serves(NOW + 3550)
    assert not state.serves(NOW + 3600)


def test_a_new_token_ends_all_that_was_said_of_the_old_one() -> None:
    state = step(step(step(having(HOUR), Began(), NOW), Rejected(1), NOW), Obtained(FOREVER), NOW)
    assert (state.token, state.generation, state.is_refreshing, state.is_rejected) == (FOREVER, 2, False, False)


def test_a_token_that_cannot_be_renewed_goes_on_serving_and_is_due_again_after_a_pause() -> None:
    then = NOW + 3560
    state = step(step(having(HOUR), Began(), then), Failed(), then)
    assert state.serves(then)
    assert state.phase(then) is Phase.EXPIRING
    assert not state.is_due(then)
    assert not state.is_due(then + PAUSE - 0.1)
    assert state.is_due(then + PAUSE)
    assert state.is_due(then - PAUSE - 0.1), "a clock that was set back does not lengthen the pause"


@pytest.mark.parametrize(("left", "pause"), [(100.0, PAUSE), (8.0, 2.0), (0.0, 0.0), (-9.0, 0.0)])
def test_the_pause_leaves_time_for_another_try_before_the_end(left: float, pause: float) -> None:
    assert step(having(HOUR), Failed(), NOW + 3600 - left).retry_at == NOW + 3600 - left + pause
    assert step(having(FOREVER), Failed(), NOW).retry_at == NOW + PAUSE
    assert step(TokenState(), Failed(), NOW).retry_at == NOW + PAUSE


def test_what_has_ended_is_asked_for_again_without_a_pause() -> None:
    assert step(step(TokenState(), Began(), NOW), Failed(), NOW).is_due(NOW)
    assert step(having(HOUR), Failed(), NOW + 3599).is_due(NOW + 3600)


def test_a_rejection_counts_for_the_token_that_was_rejected_and_for_no_later_one() -> None:
    state = having(HOUR)
    assert step(state, Rejected(0), NOW) is state
    assert step(state, Rejected(2), NOW) is state
    assert step(state, Rejected(1), NOW).is_rejected


def test_a_token_that_is_about_to_end_as_soon_as_it_comes_is_used_before_another_is_asked_for() -> None:
    """Else a server that is slower than its tokens live would be asked for ever, and none of them sent."""
    state = step(TokenState(), Obtained(Token("a", NOW + 1, 10.0)), NOW)
    assert state.phase(NOW) is Phase.EXPIRING
    assert not state.is_due(NOW)
    assert state.is_due(NOW + 0.25)


moments = st.floats(NOW - 100, NOW + 4000)
tokens = st.builds(Token, st.just("a"), st.none() | st.floats(NOW - 10, NOW + 4000), st.none() | st.floats(0.1, 4000))
events = st.one_of(
    st.builds(Began), st.builds(Obtained, tokens), st.builds(Failed), st.builds(Rejected, st.integers(0, 5))
)


@given(st.lists(st.tuples(events, moments)), moments)
def test_whatever_happens_no_rejected_token_serves_one_asks_at_a_time_and_no_generation_comes_twice(
    happened: list[tuple[Event, float]], later: float
) -> None:
    state, rejected, asking = TokenState(), set[int](), 0
    for event, now in happened:
        if isinstance(event, Began) and not state.is_due(now):
            continue  # nobody begins then
        before, state = state, step(state, event, now)
        match event:
            case Began():
                asking += 1
            case Obtained() | Failed():
                asking = 0
            case Rejected(generation=generation) if generation == state.generation:
                rejected.add(generation)
        assert asking <= 1
        assert state.is_refreshing == (asking == 1)
        assert state.generation == before.generation + isinstance(event, Obtained)
        assert state.generation not in rejected or not state.serves(later)
        assert not (state.is_refreshing and state.is_due(later))
        if state.token is not None and not state.is_refreshing and not state.serves(later):
            assert state.is_due(later), "nobody would ever ask for another"


@given(st.lists(st.tuples(events, moments)), moments)
def test_what_serves_has_not_ended(happened: list[tuple[Event, float]], later: float) -> None:
    state = TokenState()
    for event, now in happened:
        state = step(state, event, now)
    if state.serves(later):
        assert state.token is not None
        assert state.token.expires_at is None or later < state.token.expires_at
