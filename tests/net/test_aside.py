from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Generator

import pytest
import trio
import trio.testing

from patchwire.auth.flow import Answer, Ask, Load, Pause, Step, Tell
from patchwire.errors import ConnectError, IncompleteResponseError, LocalProtocolError, PatchwireError, Sent
from patchwire.http.message import Request, Response, request_to
from patchwire.net.aside import GRACE, Aside
from patchwire.net.connection import Reply

ASKED = request_to("POST", "https://as/token", body=b"grant_type=client_credentials")
GIVEN = Response(200, body=b"{}")


def reply(response: Response | None, error: PatchwireError | None = None) -> Reply:
    return Reply(response, Sent.YES if response else Sent.NO, error, 1, 1, False)


def answering(answer: Reply) -> Callable[[Request], Awaitable[Reply]]:
    async def ask(request: Request) -> Reply:
        assert request is ASKED
        await trio.lowlevel.checkpoint()
        return answer

    return ask


def taken(aside: Aside, step: Load | Ask | Pause) -> tuple[Answer, Exception | None]:
    return trio.run(aside.take, step)


# --- asking


def test_a_question_is_answered_with_the_response() -> None:
    assert taken(Aside(answering(reply(GIVEN))), Ask(ASKED)) == (GIVEN, None)


def test_where_there_is_no_response_the_reason_for_it_is_thrown_in() -> None:
    error = ConnectError("refused", origin="https://as")
    assert taken(Aside(answering(reply(None, error))), Ask(ASKED)) == (None, error)
    answer, failure = taken(Aside(answering(reply(None))), Ask(ASKED))
    assert answer is None
    assert isinstance(failure, PatchwireError)


def test_a_response_that_is_cut_is_no_answer() -> None:
    answer, failure = taken(Aside(answering(reply(Response(200, body=b'{"acc', error="cut")))), Ask(ASKED))
    assert answer is None
    assert isinstance(failure, IncompleteResponseError)
    assert (str(failure), failure.sent) == ("https://as: cut", Sent.MAYBE)


def test_who_has_nobody_to_ask_says_so_without_what_was_to_be_asked() -> None:
    with pytest.raises(LocalProtocolError) as caught:
        taken(Aside.that_asks_nobody(), Ask(ASKED))
    assert "grant_type" not in str(caught.value)


class StoppedError(Exception):
    pass


def test_what_refuses_to_ask_or_to_pause_is_raised_and_not_thrown_into_the_flow() -> None:
    async def refuse(_: object) -> Reply:
        raise StoppedError

    async def refuse_pause(seconds: float) -> None:
        raise StoppedError

    aside = Aside(refuse, refuse_pause)
    for step in (Ask(ASKED), Pause(1.0)):
        with pytest.raises(StoppedError):
            taken(aside, step)


# --- cancellation


async def cancelled_while_asking(answers_after: float) -> tuple[list[object], bool, float]:
    """What somebody got who was cancelled after a second, whether the exchange came to its end, and when."""
    got: list[object] = []
    is_done = False

    async def ask(request: Request) -> Reply:
        nonlocal is_done
        await trio.sleep(answers_after)
        is_done = True
        return reply(GIVEN)

    started = trio.current_time()
    with trio.move_on_after(1.0):
        got.append(await Aside(ask).take(Ask(ASKED)))
        await trio.lowlevel.checkpoint()
        got.append("went on")
    return got, is_done, trio.current_time() - started


def test_who_is_cancelled_waits_for_an_answer_that_may_not_be_given_again() -> None:
    got, is_done, seconds = trio.run(cancelled_while_asking, 3.0, clock=trio.testing.MockClock(autojump_threshold=0))
    assert got == [(GIVEN, None)], "the answer is handed over, and nothing more is waited for"
    assert (is_done, seconds) == (True, 3.0)


def test_who_is_cancelled_does_not_wait_for_ever() -> None:
    got, is_done, seconds = trio.run(cancelled_while_asking, 99.0, clock=trio.testing.MockClock(autojump_threshold=0))
    assert (got, is_done, seconds) == ([], False, 1.0 + GRACE)


def test_who_is_cancelled_already_asks_nothing() -> None:
    async def ask(request: Request) -> Reply:
        raise AssertionError("nothing is to be asked")

    async def main() -> bool:
        with trio.CancelScope() as scope:
            scope.cancel()
            await Aside(ask).take(Ask(ASKED))
        return scope.cancelled_caught

    assert trio.run(main)


def test_a_brief_reading_comes_to_its_end_where_its_reader_is_cancelled() -> None:
    begun, go_on = threading.Event(), threading.Event()
    written: list[str] = []

    def write() -> str:
        begun.set()
        assert go_on.wait(10)
        written.append("kept")
        return "kept"

    async def main() -> tuple[object, bool]:
        got: list[object] = []
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:

                async def cancel() -> None:
                    await trio.to_thread.run_sync(begun.wait)
                    scope.cancel()
                    go_on.set()

                nursery.start_soon(cancel)
                got.append(await Aside.that_asks_nobody().take(Load(write, is_brief=True)))
        return got, scope.cancelled_caught

    got, _ = trio.run(main)
    assert (got, written) == ([("kept", None)], ["kept"])


def test_a_reading_that_may_take_long_is_given_up() -> None:
    go_on = threading.Event()

    async def main() -> bool:
        with trio.move_on_after(0.01) as scope:
            await Aside.that_asks_nobody().take(Load(lambda: go_on.wait(10)))
        go_on.set()
        return scope.cancelled_caught

    assert trio.run(main)


def test_what_a_reading_raises_is_thrown_into_the_flow() -> None:
    def fail() -> None:
        raise OSError("gone")

    answer, failure = taken(Aside.that_asks_nobody(), Load(fail))
    assert answer is None
    assert isinstance(failure, OSError)


# --- driving steps that are part of no request


def test_steps_are_driven_to_their_end_and_told_what_came_of_each() -> None:
    paused: list[float] = []
    told: list[str] = []

    async def pause(seconds: float) -> None:
        await trio.lowlevel.checkpoint()
        paused.append(seconds)

    def steps() -> Generator[Step, Answer, tuple[object, ...]]:
        read = yield Load(lambda: "read")
        yield Pause(5.0)
        yield Tell("told")
        response = yield Ask(ASKED)
        return read, response

    end = trio.run(Aside(answering(reply(GIVEN)), pause).drive, steps(), lambda step: told.append(step.text))
    assert end == ("read", GIVEN)
    assert (paused, told) == ([5.0], ["told"])


def test_steps_that_fail_are_closed_and_their_error_is_raised() -> None:
    left: list[str] = []

    def steps() -> Generator[Step, Answer, None]:
        try:
            yield Ask(ASKED)
        finally:
            left.append("closed")

    error = ConnectError("refused", origin="https://as")
    with pytest.raises(ConnectError):
        trio.run(Aside(answering(reply(None, error))).drive, steps(), print)
    assert left == ["closed"]
