from __future__ import annotations

from collections.abc import Callable, Generator

import pytest

from patchwire.auth.aws_credentials import AwsCredentials
from patchwire.auth.aws_session import ENDED, MARGIN, PAUSE, AwsSession
from patchwire.auth.flow import Answer, Load, Step, Tell, Wait
from patchwire.errors import CredentialsError

NOW = 1_000_000.0
ENDING = AwsCredentials("ASIA", "s", "one", expires_at=NOW + 1000)
LATER = AwsCredentials("ASIA", "s", "two", expires_at=NOW + 9000)


def session(
    credentials: AwsCredentials | None = ENDING, load: Callable[[], AwsCredentials] | None = lambda: LATER
) -> AwsSession:
    return AwsSession(credentials, load, "https://h")


def current(of: AwsSession, now: float, loaded: AwsCredentials = LATER) -> tuple[AwsCredentials, int]:
    """The credentials, and how often they were loaded."""
    asking, loads = of.current(lambda: now), 0
    try:
        step = next(asking)
        while True:
            assert isinstance(step, Load)
            loads += 1
            step = asking.send(loaded)
    except StopIteration as stop:
        return stop.value, loads


def begun(of: AwsSession, now: float) -> Generator[Step, Answer, AwsCredentials]:
    asking = of.current(lambda: now)
    assert isinstance(next(asking), Load)
    return asking


def test_credentials_serve_until_they_are_near_their_end_and_are_loaded_then() -> None:
    of = session()
    assert current(of, NOW + 1000 - MARGIN - 1) == (ENDING, 0)
    assert current(of, NOW + 1000 - MARGIN) == (LATER, 1)
    assert current(of, NOW + 1000) == (LATER, 0)


def test_credentials_without_an_end_and_those_of_a_file_are_never_loaded_anew() -> None:
    assert current(session(AwsCredentials("AKIA", "s")), NOW + 1e9)[1] == 0
    assert current(session(load=None), NOW + 999) == (ENDING, 0)


def test_what_is_still_good_serves_while_another_looks_for_later_ones() -> None:
    of = session()
    asking = begun(of, NOW + 900)
    assert current(of, NOW + 900) == (ENDING, 0)
    with pytest.raises(StopIteration):
        asking.send(LATER)
    assert of.at_hand(NOW + 900) is LATER


def test_who_has_nothing_waits_for_who_loads_and_fails_with_it() -> None:
    of = session(None)
    asking, waiting = begun(of, NOW), of.current(lambda: NOW)
    next(waiting)
    with pytest.raises(CredentialsError, match="gone"):
        asking.throw(CredentialsError("gone", origin=""))
    with pytest.raises(CredentialsError, match="gone"):
        waiting.send(None)
    assert current(of, NOW) == (LATER, 1)


def test_who_has_nothing_waits_for_who_loads() -> None:
    of = session(None)
    asking, waiting = begun(of, NOW + 2000), of.current(lambda: NOW + 2000)
    assert next(waiting) == Wait(of.generation)
    before = of.generation
    with pytest.raises(StopIteration):
        asking.send(LATER)
    assert of.generation > before
    with pytest.raises(StopIteration) as stop:
        waiting.send(None)
    assert stop.value.value is LATER


def test_who_gives_up_loading_leaves_it_to_the_next() -> None:
    of = session(None)
    asking, waiting = begun(of, NOW), of.current(lambda: NOW)
    assert next(waiting) == Wait(of.generation)
    asking.close()
    assert isinstance(waiting.send(None), Load)


def test_later_credentials_that_are_not_there_yet_are_looked_for_again_after_a_pause() -> None:
    of = session()
    assert current(of, NOW + 800, ENDING) == (ENDING, 1)
    assert current(of, NOW + 800 + PAUSE - 1, ENDING) == (ENDING, 0)
    assert current(of, NOW + 800 + PAUSE, ENDING) == (ENDING, 1)
    assert current(of, NOW + 750, ENDING) == (ENDING, 1)  # the clock was set back: nobody waits for it


def test_later_credentials_that_cannot_be_had_fail_nobody_while_there_are_others() -> None:
    of = session()
    asking = begun(of, NOW + 900)
    with pytest.raises(StopIteration) as stop:
        told = asking.throw(CredentialsError("gone", origin=""))
        assert told == Tell("the credentials that are about to end could not be renewed: gone")
        asking.send(None)
    assert stop.value.value is ENDING
    assert current(of, NOW + 900 + PAUSE - 1) == (ENDING, 0)
    assert of.reject(ENDING)
    with pytest.raises(CredentialsError, match="gone"):
        begun(of, NOW + 1000).throw(CredentialsError("gone", origin=""))


def test_rejected_keys_are_known_again_whatever_end_they_are_given() -> None:
    of = session()
    assert of.reject(ENDING)
    with pytest.raises(CredentialsError, match=ENDED):
        current(of, NOW, AwsCredentials("ASIA", "s", "one", expires_at=NOW + 5000))


def test_the_service_judges_whether_credentials_have_ended_and_not_our_clock() -> None:
    assert current(session(None), NOW + 2000, ENDING) == (ENDING, 1)
    assert current(session(load=None), NOW + 2000) == (ENDING, 0)


def test_rejected_credentials_are_given_up_once_and_not_taken_again() -> None:
    of = session()
    assert of.reject(ENDING)
    before = of.generation
    assert current(of, NOW) == (LATER, 1)
    assert of.reject(ENDING)  # who was in flight with them
    assert of.generation == before + 1
    assert of.at_hand(NOW) is LATER
    assert of.reject(LATER)
    with pytest.raises(CredentialsError, match=ENDED):
        current(of, NOW)
    assert not session(load=None).reject(ENDING)


def test_nobody_who_has_credentials_waits_for_a_load_that_takes_long() -> None:
    of = session()
    asking, late = begun(of, NOW + 900), of.current(lambda: NOW + 900 + PAUSE)
    with pytest.raises(StopIteration) as stop:
        next(late)
    assert stop.value.value is ENDING
    asking.close()
