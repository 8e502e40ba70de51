from __future__ import annotations

from collections.abc import Generator
from contextlib import suppress

import pytest
from msgspec.structs import replace

from patchwire.auth.flow import Answer, Ask, Load, Step, Wait
from patchwire.auth.oauth2_exchange import TRIES
from patchwire.auth.oauth2_session import LEAST, TokenSession
from patchwire.auth.oauth2_source import TokenSource
from patchwire.auth.oauth2_terms import Before, GrantType, JwtTerms, Terms
from patchwire.auth.secret import Secret
from patchwire.auth.token import PAUSE, TokenState
from patchwire.auth.token_keeping import Kept, TokenKeeping, fingerprint
from patchwire.errors import ConnectError, CredentialsError, StorageError, TokenError, UnreadableTokenError
from patchwire.http.message import Request, Response
from tests.support.oauth2 import (
    API,
    NOW,
    SERVER,
    AuthorizationServer,
    Clock,
    Driver,
    MemoryStore,
    exchange,
    form_of,
    issued,
    refused,
    terms,
    token,
)

HOUR = 3600.0
OLD = token("canary-old", HOUR, "refresh-0")
KEPT = Kept(OLD, "read")
SPENT = "invalid_grant"
PERSON: list[GrantType] = ["authorization_code", "device_code"]
NOBODY: list[GrantType] = ["client_credentials", "password", "jwt_bearer"]
JWT = JwtTerms(Secret("canary-key-of-thirty-two-octets-and-more"), "HS256")
UNREACHABLE = ConnectError("nobody is there", origin=SERVER)
Steps = Generator[Step, Answer, TokenState]


class World:
    """A store and a server that outlive sessions, each of which stands for a process."""

    def __init__(self, kept: Kept | None = None, *script: Response | Exception, has_store: bool = True) -> None:
        self.clock = Clock()
        self.server = AuthorizationServer(*script)
        self.store = MemoryStore(kept)
        self.driver = Driver(self.clock, self.server)
        self._has_store = has_store

    def session(self, of: Terms | GrantType = "authorization_code", before: Before | None = None) -> TokenSession:
        given = terms(of, jwt=JWT) if isinstance(of, str) else of
        keeping = TokenKeeping(self.store if self._has_store else None)
        return TokenSession(TokenSource(exchange(given, self.clock), keeping, API, before))

    def token(self, session: TokenSession) -> str:
        """The access token that is in force."""
        state = self.driver.run(session.current())
        assert state.token is not None
        assert session.is_current(state.generation)
        assert not self.store.is_locked
        return state.token.access_token

    def failure(self, session: TokenSession, kind: type[Exception] = CredentialsError) -> str:
        with pytest.raises(kind) as said:
            self.driver.run(session.current())
        assert not self.store.is_locked
        assert "canary" not in str(said.value)
        return str(said.value)

    def until(self, steps: Steps, kind: type[Step]) -> Step:
        """The first step of that kind."""
        step = next(steps)
        while not isinstance(step, kind):
            step = self.driver.resumed(steps, step)
        return step

    def finished(self, steps: Steps, step: Step) -> TokenState:
        with pytest.raises(StopIteration) as stop:
            while True:
                step = self.driver.resumed(steps, step)
        state = stop.value.value
        assert isinstance(state, TokenState)
        return state


def settings(**secrets: str) -> Terms:
    return terms("authorization_code", **{name: Secret(text) for name, text in secrets.items()})


# --- from where a token comes


@pytest.mark.parametrize("grant", NOBODY)
def test_a_grant_that_needs_nobody_is_asked_for_a_token_which_serves_all_requests(grant: GrantType) -> None:
    world = World()
    session = world.session(grant)
    assert session.at_hand() is None
    assert [world.token(session) for _ in range(3)] == ["access-1"] * 3
    assert len(world.server.asked) == 1
    assert session.at_hand() is session.state
    assert world.store.kept.token.access_token == "access-1"
    named = {"jwt_bearer": "urn:ietf:params:oauth:grant-type:jwt-bearer"}
    assert world.server.grants == [named.get(grant, grant)]


@pytest.mark.parametrize("grant", PERSON)
def test_a_grant_that_needs_a_person_is_not_asked_for_and_the_error_names_what_to_do(grant: GrantType) -> None:
    world = World()
    assert world.failure(world.session(grant)) == (
        "there is no token yet: run patchwire authorize with this connection"
    )
    assert world.server.asked == []


@pytest.mark.parametrize("grant", [*PERSON, *NOBODY])
def test_a_token_that_is_kept_serves_without_a_question(grant: GrantType) -> None:
    world = World(KEPT)
    assert world.token(world.session(grant)) == "canary-old"
    assert (world.server.asked, world.store.written) == ([], [])


def test_without_a_store_a_token_lives_as_long_as_the_session() -> None:
    world = World(has_store=False)
    session = world.session("client_credentials")
    assert (world.token(session), world.token(session)) == ("access-1", "access-1")
    assert world.token(world.session("client_credentials")) == "access-2"


@pytest.mark.parametrize("grant", PERSON)
def test_o21_a_token_that_has_ended_is_refreshed_and_its_refresh_token_replaced(grant: GrantType) -> None:
    world = World(KEPT)
    world.server.rotates = True
    session = world.session(grant)
    for number in (1, 2):
        world.clock.now += HOUR + 1
        assert world.token(session) == f"access-{number}"
        assert world.server.forms[-1] == {"grant_type": "refresh_token", "refresh_token": f"refresh-{number - 1}"}
        assert world.store.kept.token.refresh_token == f"refresh-{number}"


def test_o21_a_refresh_token_that_the_server_does_not_replace_stays() -> None:
    world = World(KEPT)
    world.clock.now += HOUR
    assert world.token(world.session()) == "access-1"
    assert world.store.kept.token.refresh_token == "refresh-0"


def test_o21_a_refresh_names_no_scope_where_it_is_the_same() -> None:
    world = World(replace(KEPT, scope="b a"))
    world.clock.now += HOUR
    world.token(world.session(terms("authorization_code", scope="a b")))
    assert "scope" not in world.server.forms[0]


@pytest.mark.parametrize("grant", ["client_credentials", "jwt_bearer"])
def test_where_the_grant_itself_can_be_asked_for_a_refresh_token_is_not_used(grant: GrantType) -> None:
    """RFC 6749 section 4.4.3: there should be none."""
    world = World(KEPT)
    world.clock.now += HOUR
    world.token(world.session(grant))
    assert "refresh_token" not in world.server.grants


def test_a_token_that_has_ended_and_has_no_refresh_token_needs_a_person() -> None:
    world = World(replace(KEPT, token=token("canary-old")))
    session = world.session()
    world.token(session)
    world.clock.now += HOUR
    assert "the token has ended, and there is no refresh token: run patchwire authorize" in world.failure(session)
    world.clock.now = NOW
    rejected = World(replace(KEPT, token=token("canary-old")))
    session = rejected.session()
    rejected.token(session)
    session.reject(1)
    assert "the token was rejected, and there is no refresh token" in rejected.failure(session)


def test_o19_the_scope_of_the_answer_is_kept() -> None:
    world = World(None, issued("a", scope="less"))
    world.token(world.session("client_credentials"))
    assert (world.store.kept.token.scope, world.store.kept.scope) == ("less", "read")


# --- one flight for all


@pytest.mark.parametrize("grant", ["authorization_code", "client_credentials"])
def test_o22_any_number_of_flows_wait_for_one_question_and_all_get_its_token(grant: GrantType) -> None:
    world = World(KEPT)
    session = world.session(grant)
    world.token(session)
    world.clock.now += HOUR
    flows = [session.current() for _ in range(200)]
    waiting: dict[int, Step] = {}
    asking = world.until(flows[0], Ask)
    for index, flow in enumerate(flows[1:], 1):
        waiting[index] = next(flow)
        assert waiting[index] == Wait(session.generation)
    before = session.generation
    assert world.finished(flows[0], asking).token is not None
    assert session.generation > before, "who waits would never wake"
    for index in waiting:
        with pytest.raises(StopIteration) as stop:
            flows[index].send(None)
        assert stop.value.value is session.state
    assert len(world.server.asked) == 1


def test_o22_what_fails_for_who_asks_fails_for_all_who_wait_and_is_not_asked_again_for_each() -> None:
    world = World(KEPT, refused(SPENT))
    session = world.session()
    world.clock.now += HOUR
    first, *others = [session.current() for _ in range(200)]
    step = world.until(first, Ask)
    for each in others:
        assert isinstance(next(each), Wait)
    with pytest.raises(TokenError) as said:
        world.finished(first, step)
    for each in others:
        with pytest.raises(TokenError) as theirs:
            each.send(None)
        assert theirs.value is not said.value
        assert (str(theirs.value), theirs.value.code) == (str(said.value), SPENT)
    assert len(world.server.asked) == 1


@pytest.mark.parametrize("kind", [CredentialsError, StorageError])
def test_every_failure_reaches_who_waits_as_what_it_is(kind: type[Exception]) -> None:
    world = World(KEPT, *[UNREACHABLE] * TRIES)
    world.clock.now += HOUR
    if kind is StorageError:
        world.store.broken = {"write"}
    session = world.session()
    first, second = session.current(), session.current()
    step, _ = next(first), next(second)
    with pytest.raises(kind):
        world.finished(first, step)
    with pytest.raises(kind) as said:
        second.send(None)
    assert type(said.value) is kind


def test_an_old_failure_is_not_that_of_who_waits_for_another_try() -> None:
    world = World(KEPT, *[UNREACHABLE] * TRIES)
    world.clock.now += HOUR
    session = world.session()
    world.failure(session)
    first, second = session.current(), session.current()
    step, _ = next(first), next(second)
    world.finished(first, step)
    with pytest.raises(StopIteration) as stop:
        second.send(None)
    assert stop.value.value is session.state


def test_who_is_slow_to_hear_of_a_failure_takes_the_token_that_has_come_since() -> None:
    world = World(KEPT, *[Response(503)] * 4)
    world.clock.now += HOUR
    session = world.session()
    first, second = session.current(), session.current()
    step, _ = next(first), next(second)
    with pytest.raises(TokenError):
        world.finished(first, step)
    assert world.token(session) == "access-5"
    with pytest.raises(StopIteration) as stop:
        second.send(None)
    assert stop.value.value is session.state


def test_who_waits_for_one_who_gives_up_asks_itself() -> None:
    world = World(KEPT)
    world.clock.now += HOUR
    session = world.session()
    first, second = session.current(), session.current()
    next(first)
    wait = next(second)
    assert isinstance(wait, Wait)
    first.close()
    assert session.generation != wait.generation
    step = second.send(None)
    assert world.finished(second, step).token is not None


# --- ahead of its end


def test_o22_a_token_is_renewed_ahead_of_its_end_while_the_old_one_serves_the_others() -> None:
    world = World(KEPT)
    session = world.session()
    world.token(session)
    world.clock.now += HOUR - 30
    first = session.current()
    step = world.until(first, Ask)
    serving = session.at_hand()
    assert serving is not None
    assert serving.token == OLD
    assert session.is_current(1)
    new = world.finished(first, step)
    assert new.token is not None
    assert new.token.access_token == "access-1"
    assert not session.is_current(1)


def test_an_early_renewal_that_fails_is_told_and_the_old_token_goes_on_until_it_is_tried_again() -> None:
    world = World(KEPT, *[UNREACHABLE] * TRIES)
    session = world.session()
    world.token(session)
    world.clock.now += HOUR - 50
    assert world.token(session) == "canary-old"
    assert world.driver.told[-1] == (
        "the token that is about to end could not be renewed: no answer from the authorization server: nobody is there"
    )
    asked = len(world.server.asked)
    assert world.token(session) == "canary-old"
    assert len(world.server.asked) == asked
    world.clock.now += PAUSE
    assert world.token(session).startswith("access-")


def test_an_early_renewal_that_is_refused_for_good_is_not_tried_again_until_a_person_helps() -> None:
    world = World(KEPT, refused(SPENT))
    session = world.session()
    world.token(session)
    for _ in range(3):
        world.clock.now = max(world.clock.now + PAUSE, NOW + HOUR - 50)
        assert world.token(session) == "canary-old"
    assert len(world.server.asked) == 1
    world.clock.now = NOW + HOUR
    assert "not asked for a token again" in world.failure(session)
    world.store.write(Kept(token("canary-new", 2 * HOUR, "refresh-new"), "read"))
    assert world.token(session) == "canary-new"


def test_a_server_that_is_slower_than_its_tokens_live_is_asked_once_for_each() -> None:
    world = World()
    world.server.members = {"expires_in": 10}
    answered = world.server

    def slow(request: Request) -> Response:
        world.clock.now += 9.5
        return answered(request)

    world.driver.server = slow
    assert world.token(world.session("client_credentials")) == "access-1"


# --- rejected


def test_o26_a_token_that_is_rejected_is_replaced_and_never_sent_again() -> None:
    world = World(KEPT)
    session = world.session()
    assert world.token(session) == "canary-old"
    before = session.generation
    session.reject(1)
    assert session.generation > before
    assert not session.is_current(1)
    assert session.at_hand() is None
    assert world.token(session) == "access-1"


def test_o26_a_rejection_of_an_older_token_changes_nothing() -> None:
    world = World(KEPT)
    session = world.session()
    world.token(session)
    session.reject(1)
    world.token(session)
    before = session.generation
    for generation in (0, 1, 3):
        session.reject(generation)
    assert session.generation == before
    assert world.token(session) == "access-1"
    assert len(world.server.asked) == 1


def test_a_kept_token_that_was_rejected_is_not_taken_again_once_that_of_the_settings_is_too() -> None:
    world = World(KEPT)
    of = settings(access_token="canary-of-an-override")
    session = world.session(of, Before(None, "read"))
    assert world.token(session) == "canary-old"
    session.reject(session.state.generation)
    assert world.token(session) == "canary-of-an-override"
    session.reject(session.state.generation)
    assert world.token(session) == "access-1"


# --- kept


def test_what_is_given_is_written_before_it_is_used_and_that_it_is_asked_for_before_that() -> None:
    world = World(KEPT)
    world.server.rotates = True
    world.clock.now += HOUR
    session = world.session()
    steps = session.current()
    step = world.until(steps, Ask)
    (marked,) = world.store.written
    assert marked == replace(KEPT, spending_since=world.clock.now)
    step = world.driver.resumed(steps, step)
    assert isinstance(step, Load)
    assert session.at_hand() is None
    assert not session.state.serves(world.clock.now)
    state = world.finished(steps, step)
    assert state.token == world.store.kept.token
    assert world.store.kept.spending_since is None


@pytest.mark.parametrize("grant", PERSON)
def test_a_refresh_that_was_cut_off_is_named_where_the_grant_is_spent(grant: GrantType) -> None:
    world = World(KEPT, issued("canary-lost", refresh_token="canary-lost"), refused(SPENT))
    world.clock.now += HOUR
    steps = world.session(grant).current()
    asked = world.until(steps, Ask)
    world.driver.take(asked)  # the server has acted, and the process is killed: nothing of it runs any more
    world.store.is_locked = False
    said = world.failure(world.session(grant), TokenError)
    assert said == (
        f"{SERVER}/token answered 400: invalid_grant; a refresh that began at 2027-01-15 09:00:00 UTC was cut off, "
        "and may have spent the grant: run patchwire authorize with this connection"
    )
    del steps


def test_a_refresh_of_the_settings_own_token_that_was_cut_off_is_named_too() -> None:
    world = World(None, issued("canary-lost", refresh_token="canary-lost"), refused(SPENT))
    steps = world.session(settings(refresh_token="canary-given")).current()
    world.driver.take(world.until(steps, Ask))
    world.store.is_locked = False
    said = world.failure(world.session(settings(refresh_token="canary-given")), TokenError)
    assert "was cut off, and may have spent the grant" in said
    assert world.server.forms[1]["refresh_token"] == "canary-given"


def test_a_refresh_that_was_refused_was_not_cut_off() -> None:
    world = World(KEPT, refused(SPENT), refused(SPENT))
    world.clock.now += HOUR
    for _ in range(2):
        said = world.failure(world.session(), TokenError)
        assert "cut off" not in said
        assert said.endswith("invalid_grant: run patchwire authorize with this connection")


def test_a_refresh_that_nobody_has_answered_counts_as_cut_off() -> None:
    world = World(KEPT, *[UNREACHABLE] * TRIES, refused(SPENT))
    world.clock.now += HOUR
    session = world.session()
    world.failure(session)
    assert "was cut off" in world.failure(session, TokenError)


def test_the_newer_token_of_another_process_is_taken_without_a_question() -> None:
    world = World(KEPT)
    session, other = world.session(), world.session()
    world.token(session)
    world.clock.now += HOUR
    assert world.token(other) == "access-1"
    assert world.token(session) == "access-1"
    session.reject(session.state.generation)
    other.reject(other.state.generation)
    assert (world.token(session), world.token(other)) == ("access-2", "access-2")
    assert len(world.server.asked) == 2


def test_a_token_that_another_process_gets_while_one_waits_for_it_is_taken() -> None:
    world = World(KEPT)
    world.clock.now += HOUR
    world.store.is_locked_elsewhere = True
    session = world.session()
    steps = session.current()
    step = next(steps)
    for _ in range(6):
        step = world.driver.resumed(steps, step)
    world.store.write(Kept(token("canary-theirs", 2 * HOUR, "refresh-9"), "read"))
    world.store.is_locked_elsewhere = False
    state = world.finished(steps, step)
    assert state.token is not None
    assert state.token.access_token == "canary-theirs"
    assert not world.store.is_locked
    assert world.server.asked == []


def test_one_who_waits_for_another_process_in_vain_is_told() -> None:
    world = World(KEPT)
    world.clock.now += HOUR
    world.store.is_locked_elsewhere = True
    session = world.session()
    assert "another process has been renewing this token for 120 seconds" in world.failure(session)
    world.store.is_locked_elsewhere = False
    assert world.token(session) == "access-1"


# --- giving up


class StrictServer:
    """Gives each refresh token once, and refuses one that has been spent."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.valid = 0
        self.tries = 0

    def __call__(self, request: Request) -> Response:
        self.tries += 1
        if self.tries == 1:
            return Response(503)
        if form_of(request).get("refresh_token", f"refresh-{self.valid}") != f"refresh-{self.valid}":
            return refused(SPENT)
        self.valid += 1
        return issued(f"access-{self.valid}", expires_in=HOUR, refresh_token=f"refresh-{self.valid}")


class Hindered(MemoryStore):
    """Locked elsewhere at first."""

    def __init__(self, kept: Kept) -> None:
        super().__init__(kept)
        self.looks = 0

    def try_lock(self) -> bool:
        self.looks += 1
        return super().try_lock() if self.looks > 2 else False


def interrupted(
    grant: GrantType, count: int, *, is_taken: bool
) -> tuple[World, StrictServer, TokenSession, Step] | None:
    """A world in which a flow was closed at that many of its steps; None where it has not as many."""
    world = World()
    world.store = Hindered(KEPT)
    server = StrictServer(world.clock)
    world.driver.server = server
    world.clock.now += HOUR
    session = world.session(grant)
    steps = session.current()
    step = next(steps)
    try:
        for _ in range(count):
            step = world.driver.resumed(steps, step)
    except StopIteration:
        return None
    before = session.generation
    if is_taken:
        with suppress(StorageError):
            world.driver.take(step)
    steps.close()
    assert session.generation > before, "who waits would never wake"
    return world, server, session, step


def all_interruptions(grant: GrantType) -> list[tuple[int, bool]]:
    found: list[tuple[int, bool]] = []
    while interrupted(grant, len(found) // 2, is_taken=False) is not None:
        found += [(len(found) // 2, False), (len(found) // 2, True)]
    return found


@pytest.mark.parametrize(
    ("grant", "count", "is_taken"),
    [(grant, *each) for grant in ("authorization_code", "password") for each in all_interruptions(grant)],
)
def test_who_gives_up_at_whatever_step_leaves_no_lock_no_claim_and_no_token_behind(
    grant: GrantType, count: int, is_taken: bool
) -> None:
    state = interrupted(grant, count, is_taken=is_taken)
    assert state is not None
    world, server, session, step = state
    assert not world.store.is_locked
    assert not session.state.is_refreshing
    if is_taken and isinstance(step, Ask) and server.valid and grant == "authorization_code":
        return  # its answer was thrown away: no client could know of it
    assert world.token(session) == world.store.kept.token.access_token
    assert world.store.kept.token.refresh_token == f"refresh-{server.valid}", "it was lost"
    assert server.valid == 1 or grant == "password"


def test_a_flow_has_many_steps_at_which_it_can_be_given_up() -> None:
    """That the test above has something to do."""
    assert len(all_interruptions("authorization_code")) > 15


# --- stores that fail


@pytest.mark.parametrize("grant", PERSON)
@pytest.mark.parametrize("broken", ["write", "lock", "read", "prepare"])
def test_where_what_it_gives_could_not_be_kept_a_refresh_token_is_not_spent(grant: GrantType, broken: str) -> None:
    world = World(KEPT)
    world.clock.now += HOUR
    world.store.broken = {broken}
    session = world.session(grant)
    assert world.failure(session, StorageError) == "the disk is full"
    assert world.server.asked == []
    world.store.broken = set()
    assert world.token(session) == "access-1"


def test_where_what_it_gives_could_not_be_kept_that_of_the_settings_is_not_spent_either() -> None:
    world = World()
    world.store.broken = {"write"}
    session = world.session(settings(refresh_token="canary-given"))
    assert world.failure(session, StorageError) == "the disk is full"
    assert world.server.asked == []
    world.store.broken = set()
    assert world.token(session) == "access-1"


@pytest.mark.parametrize("grant", NOBODY)
@pytest.mark.parametrize("broken", ["write", "lock", "read", "prepare"])
def test_a_grant_that_needs_nobody_does_without_a_store(grant: GrantType, broken: str) -> None:
    world = World()
    world.store.broken = {broken}
    session = world.session(grant)
    assert world.token(session) == "access-1"
    assert "tokens are not kept: the disk is full" in world.driver.told
    assert world.token(session) == "access-1"


def full_after_the_mark(world: World) -> None:
    """Let the disk be full once the server has answered."""
    server = world.driver.server

    def answered(request: Request) -> Response:
        world.store.broken = {"write"}
        return server(request)

    world.driver.server = answered


def test_a_token_that_cannot_be_kept_is_not_used_and_the_next_flow_keeps_it_first() -> None:
    world = World(KEPT)
    world.server.rotates = True
    world.clock.now += HOUR
    full_after_the_mark(world)
    session = world.session()
    said = "the disk is full; the new token is not used before it is kept, and lost with this process"
    assert world.failure(session, StorageError) == said
    assert world.store.patience[-1]
    assert session.at_hand() is None
    assert world.failure(session, StorageError) == said
    assert len(world.server.asked) == 1
    world.store.broken = set()
    assert world.token(session) == "access-1"
    assert len(world.server.asked) == 1
    assert world.store.kept.token.refresh_token == "refresh-1"


def test_what_could_not_be_kept_is_written_under_the_lock() -> None:
    world = World(KEPT)
    world.clock.now += HOUR
    full_after_the_mark(world)
    session = world.session()
    world.failure(session, StorageError)
    world.store.broken = set()
    steps, was_locked = session.current(), []
    step = next(steps)
    with pytest.raises(StopIteration):
        while True:
            written, locked = len(world.store.written), world.store.is_locked
            step = world.driver.resumed(steps, step)
            if len(world.store.written) > written:
                was_locked.append(locked)
    assert was_locked == [True]


def test_a_token_that_cannot_be_kept_early_leaves_the_old_one_in_force() -> None:
    world = World(KEPT)
    session = world.session()
    world.token(session)
    world.clock.now += HOUR - 30
    full_after_the_mark(world)
    assert world.token(session) == "canary-old"
    assert "lost with this process" in world.driver.told[-1]
    world.store.broken = set()
    world.clock.now += PAUSE
    assert world.token(session) == "access-1"
    assert len(world.server.asked) == 1


@pytest.mark.parametrize("grant", NOBODY)
@pytest.mark.parametrize("how", ["form", "key"])
def test_an_entry_that_cannot_be_read_is_replaced_where_nobody_is_needed(grant: GrantType, how: str) -> None:
    world = World()
    unreadable(world, how)
    assert world.token(world.session(grant)) == "access-1"
    world.store.broken = set()
    assert world.store.kept.token.access_token == "access-1"


@pytest.mark.parametrize("grant", PERSON)
@pytest.mark.parametrize("how", ["form", "key"])
def test_an_entry_that_cannot_be_read_is_an_error_where_a_person_is_needed(grant: GrantType, how: str) -> None:
    world = World()
    unreadable(world, how)
    world.failure(world.session(grant), UnreadableTokenError)
    assert (world.server.asked, world.store.written) == ([], [])


def unreadable(world: World, how: str) -> None:
    world.store.content = b"{}"
    if how == "key":
        world.store.broken = {"read"}
        world.store.error = UnreadableTokenError("written with another key")


# --- what the settings say


def test_the_access_token_of_the_settings_serves_until_it_is_rejected() -> None:
    world = World(KEPT)
    session = world.session(settings(access_token="canary-given"))
    world.clock.now += 10 * HOUR
    assert world.token(session) == "canary-given"
    assert world.store.written == []
    session.reject(1)
    assert world.token(session) == "access-1"
    assert world.store.kept.rejected == (fingerprint("canary-given"),)


def test_what_was_rejected_of_the_settings_is_not_tried_by_the_next_process_until_it_changes() -> None:
    world = World(KEPT)
    session = world.session(settings(access_token="canary-given"))
    world.token(session)
    session.reject(1)
    world.clock.now += HOUR
    world.token(session)
    assert world.token(world.session(settings(access_token="canary-given"))) == "access-1"
    assert world.token(world.session(settings(access_token="canary-another"))) == "canary-another"


def test_a_store_that_cannot_be_read_does_not_matter_while_the_settings_token_serves() -> None:
    world = World()
    world.store.broken = {"read"}
    assert world.token(world.session(settings(access_token="canary-given"))) == "canary-given"


def test_the_refresh_token_of_the_settings_serves_until_it_has_given_another_and_counts_again_when_it_changes() -> (
    None
):
    world = World()
    world.server.rotates = True
    first = settings(refresh_token="canary-given")
    assert world.token(world.session(first)) == "access-1"
    world.clock.now += HOUR
    assert world.token(world.session(first)) == "access-2"
    world.clock.now += HOUR
    assert world.token(world.session(settings(refresh_token="canary-another"))) == "access-3"
    assert [form["refresh_token"] for form in world.server.forms] == ["canary-given", "refresh-1", "canary-another"]
    assert world.store.kept.given == fingerprint("canary-another")


@pytest.mark.parametrize("grant", PERSON)
def test_a_scope_that_has_changed_needs_a_person(grant: GrantType) -> None:
    world = World(KEPT)
    said = world.failure(world.session(terms(grant, scope="write")))
    assert said == "the scope has changed from 'read' to 'write': run patchwire authorize with this connection"
    assert world.server.asked == []


@pytest.mark.parametrize("grant", NOBODY)
def test_a_scope_that_has_changed_is_asked_for_anew_where_nobody_is_needed(grant: GrantType) -> None:
    world = World(KEPT)
    assert world.token(world.session(terms(grant, scope="write", jwt=JWT))) == "access-1"
    assert "the scope has changed from 'read' to 'write': another token is asked for" in world.driver.told
    assert world.server.forms[0]["scope"] == "write"
    assert (world.store.kept.scope, world.server.grants != ["refresh_token"]) == ("write", True)


# --- overrides


def test_an_override_is_in_force_after_the_cached_token() -> None:
    world = World(replace(KEPT, scope="read"))
    of = terms("authorization_code", scope="write", access_token=Secret("canary-of-an-override"))
    session = world.session(of, Before(None, "read"))
    assert world.token(session) == "canary-old"
    session.reject(1)
    assert world.token(session) == "canary-of-an-override"
    session.reject(2)
    assert world.token(session) == "access-1"
    assert world.server.forms[0]["scope"] == "write"
    assert world.store.kept.rejected == (fingerprint("canary-of-an-override"),)


def test_the_settings_token_comes_before_the_cached_one_and_that_before_an_override() -> None:
    world = World(KEPT)
    of = settings(access_token="canary-of-an-override")
    session = world.session(of, Before(Secret("canary-given"), "read"))
    taken = []
    for generation in (1, 2, 3, 4):
        taken.append(world.token(session))
        session.reject(generation)
    assert taken == ["canary-given", "canary-old", "canary-of-an-override", "access-1"]
    rejected = {fingerprint("canary-given"), fingerprint("canary-of-an-override")}
    assert set(world.store.kept.rejected) == rejected


def test_a_cached_token_of_another_scope_does_not_come_before_an_override() -> None:
    world = World(replace(KEPT, scope="old"))
    session = world.session(settings(access_token="canary-of-an-override"), Before(None, "read"))
    assert world.token(session) == "canary-of-an-override"


def test_o21_an_override_that_narrows_the_scope_narrows_every_refresh_and_leaves_the_grant_as_it_was() -> None:
    """RFC 6749 section 6: a refresh without a scope gives all that was granted, whatever the last token had."""
    world = World(replace(KEPT, scope="a b"))
    world.server.rotates = True
    before = Before(None, "a b")
    narrowed = world.session(terms("authorization_code", scope="a"), before)
    for _ in range(2):
        world.clock.now += HOUR
        world.token(narrowed)
        assert (world.server.forms[-1]["scope"], world.store.kept.granted) == ("a", "a b")
    other = world.session(terms("authorization_code", scope="b"), before)
    assert world.token(other) == "access-3"
    assert world.server.forms[-1]["scope"] == "b"
    usual = world.session(terms("authorization_code", scope="a b"))
    assert world.token(usual) == "access-4"
    assert "scope" not in world.server.forms[-1]
    assert world.store.kept.granted is None
    assert world.token(world.session(terms("authorization_code", scope="b a"))) == "access-4"


def test_a_scope_that_was_never_granted_still_needs_a_person_behind_an_override() -> None:
    world = World(replace(KEPT, scope="a", granted="a b"))
    assert "the scope has changed" in world.failure(world.session(terms("authorization_code", scope="c")))


# --- what is not tried again


@pytest.mark.parametrize("code", ["invalid_grant", "invalid_client", "unauthorized_client", "access_denied"])
@pytest.mark.parametrize("grant", ["client_credentials", "jwt_bearer", "password"])
def test_o22_what_was_refused_for_good_is_not_asked_for_again(grant: GrantType, code: str) -> None:
    world = World(None, refused(code))
    session = world.session(grant)
    assert code in world.failure(session, TokenError)
    assert f"not asked for a token again: {SERVER}/token answered 400: {code}" in world.failure(session)
    assert len(world.server.asked) == 1


@pytest.mark.parametrize("code", ["invalid_grant", "invalid_client"])
@pytest.mark.parametrize("grant", PERSON)
def test_o22_a_refresh_token_that_was_refused_for_good_is_not_sent_again(grant: GrantType, code: str) -> None:
    world = World(KEPT, refused(code))
    world.clock.now += HOUR
    session = world.session(grant)
    said = world.failure(session, TokenError)
    assert f"{SERVER}/token answered 400: {code}" in said
    assert world.failure(session) == f"not asked for a token again: {said}"
    assert len(world.server.asked) == 1


def test_what_was_refused_for_the_moment_is_asked_for_again() -> None:
    world = World(KEPT, *[Response(503)] * 4, refused("temporarily_unavailable", 401))
    world.clock.now += HOUR
    session = world.session()
    for _ in range(2):
        world.failure(session, TokenError)
    assert world.token(session) == "access-6"


def test_the_password_grant_falls_back_to_the_password_when_its_refresh_token_is_dead() -> None:
    world = World(KEPT, refused(SPENT))
    world.clock.now += HOUR
    session = world.session("password")
    assert world.token(session) == "access-2"
    assert world.server.grants == ["refresh_token", "password"]
    assert world.driver.told == [f"the refresh token does not serve: {SERVER}/token answered 400: invalid_grant"]
    world.clock.now += HOUR
    assert world.token(session) == "access-3"
    assert world.server.grants[2:] == ["password"]


def test_o42_what_the_server_quotes_of_a_refresh_token_is_in_no_error_and_in_no_log() -> None:
    kept = replace(KEPT, token=token("canary-access-token", HOUR, "canary-refresh-token"))
    quoted = [refused(SPENT, error_description=words) for words in ("no canary-refresh-token", "no canary-password")]
    grants: list[GrantType] = ["authorization_code", "password"]
    for grant in grants:
        world = World(kept, *quoted)
        world.clock.now += HOUR
        session = world.session(grant)
        assert "***" in world.failure(session, TokenError)
        world.failure(session)
        assert "canary" not in "".join(world.driver.told)


# --- what was found wrong


def test_a_token_that_was_long_on_its_way_serves_for_a_moment_all_the_same() -> None:
    world = World()
    server = world.driver.server

    def late(request: Request) -> Response:
        world.clock.now += 20.0
        return server(request)

    world.driver.server = late
    world.server.members = {"expires_in": 5}
    session = world.session("client_credentials")
    assert world.token(session) == "access-1"
    assert len(world.server.asked) == 1
    assert session.state.token is not None
    assert session.state.token.expires_at == world.clock.now + LEAST


def test_what_is_late_to_be_kept_does_not_replace_what_authorize_has_kept_meanwhile() -> None:
    world = World(KEPT)
    world.server.rotates = True
    world.clock.now += HOUR
    full_after_the_mark(world)
    session = world.session("authorization_code")
    assert "lost with this process" in world.failure(session, StorageError)
    world.store.broken = set()
    another = Kept(token("canary-authorized", 2 * HOUR, "refresh-authorized"), KEPT.scope)
    world.store.write(another)
    assert world.token(session) == "canary-authorized"
    assert world.store.kept == another


@pytest.mark.parametrize("status", [400, 401, 403])
def test_a_password_that_is_refused_in_whatever_form_is_not_submitted_again(status: int) -> None:
    world = World()
    plain = ((b"Content-Type", b"text/plain"),)
    world.server.script = [Response(status, plain, b"Bad credentials")]
    session = world.session("password")
    first = world.failure(session, TokenError)
    assert world.failure(session, CredentialsError) == f"not asked for a token again: {first}"
    assert len(world.server.asked) == 1


@pytest.mark.parametrize(
    ("response", "is_told"),
    [
        (refused("invalid_grant"), True),
        (refused("bad_refresh_token", 200), True),
        (refused("invalid_client", 401), False),
        (Response(503), False),
    ],
)
def test_to_authorize_is_advised_where_that_helps(response: Response, is_told: bool) -> None:
    world = World(KEPT)
    world.clock.now += HOUR
    world.server.script = [response] * 4
    said = world.failure(world.session("authorization_code"), TokenError)
    assert said.endswith("run patchwire authorize with this connection") is is_told


def test_a_scope_that_was_granted_otherwise_is_told() -> None:
    world = World()
    world.server.members = {"scope": "read,write"}
    world.token(world.session("client_credentials"))
    assert world.driver.told == ["the scope that was granted is 'read,write', where 'read' was asked for"]
