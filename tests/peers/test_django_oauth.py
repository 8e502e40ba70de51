"""That tokens of django-oauth-toolkit are obtained, used, renewed in time and once, and never lost for long."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit

import pytest
import trio
from msgspec import structs

from patchwire import load_connection
from patchwire.auth.token import SHARE
from patchwire.net import PatchClient
from patchwire.net.authentication import SOURCES
from tests.support.commands import running, without_traceback
from tests.support.django_oauth import (
    CREDENTIALS_CLIENT,
    PASSWORD,
    PASSWORD_CLIENT,
    PUBLIC_CLIENT,
    USER,
    DjangoOAuthServer,
    OAuthClient,
    Stats,
    django_oauth_server,
    needs_django_oauth,
)
from tests.support.holding import Holder, holder
from tests.support.password_batches import assert_applied
from tests.support.pasting import authorized_by_pasting
from tests.support.token_batches import BODY, TokenFiles, said_of

pytestmark = [needs_django_oauth, pytest.mark.peer]

WRITING = "read write"
WARNING = "patchwire: warning: the password grant shows this client the user's password, "
LIFETIME = 2


@pytest.fixture(scope="module")
def django(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DjangoOAuthServer]:
    with django_oauth_server(tmp_path_factory.mktemp("django")) as server:
        yield server


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DjangoOAuthServer]:
    """One whose access tokens live for LIFETIME seconds."""
    with django_oauth_server(tmp_path_factory.mktemp("hasty"), expires_in=LIFETIME) as server:
        yield server


def by_client(client: OAuthClient, grant: str, **more: str) -> dict[str, str]:
    """What stands in [oauth2] for this client, but for where the server is."""
    secret = {} if client.secret is None else {"client_secret": f"literal:{client.secret}"}
    return {"grant_type": grant, "client_id": client.client_id, **secret, "scope": WRITING, **more}


def by_password(**more: str) -> dict[str, str]:
    user = {"username": USER, "password": f"literal:{PASSWORD}"}
    return by_client(PASSWORD_CLIENT, "password", **user, **more)


def by_credentials(**more: str) -> dict[str, str]:
    return by_client(CREDENTIALS_CLIENT, "client_credentials", **more)


def connection(
    directory: Path, server: DjangoOAuthServer, oauth2: dict[str, str], *, preemptive: bool = True
) -> TokenFiles:
    return TokenFiles(
        directory, server.base_url, {"access_token_url": server.token_url, **oauth2}, preemptive=preemptive
    )


def things(count: int, start: int = 0) -> list[dict[str, Any]]:
    """Records that change a thing each."""
    return [{"path": DjangoOAuthServer.thing_path(n), "body": {"n": n}} for n in range(start, start + count)]


def applied_once(stats: Stats, count: int, start: int = 0) -> None:
    """Each of the things was changed, and none twice."""
    assert stats.applied == {DjangoOAuthServer.thing_path(n): 1 for n in range(start, start + count)}


def lines_of(done: CompletedProcess[str]) -> list[str]:
    """What the command said, without the advice against the password grant."""
    return [line for line in without_traceback(done) if not line.startswith(WARNING)]


def until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it has not come about"
        time.sleep(0.02)


# --- grants


def test_authorize_keeps_what_the_password_grant_gives_and_send_and_batch_use_it(
    django: DjangoOAuthServer, tmp_path: Path
) -> None:
    files = connection(tmp_path, django, by_password())
    files.write(things(20))
    before = django.stats()
    done = files.authorize()
    (line,) = lines_of(done)
    assert done.returncode == 0, done.stderr
    assert line.startswith("patchwire: access granted: the token is kept, until ")
    assert line.endswith(", and renewed from then on")
    kept = files.kept()
    assert kept is not None
    assert (kept.scope, kept.token.scope, kept.token.lifetime) == (WRITING, WRITING, 3600)
    sent = files.send(django.thing_path(100))
    assert (sent.returncode, lines_of(sent)) == (0, ["patchwire: applied: 200 OK"])
    assert_applied(files.batch(), files, 20)
    stats = django.stats() - before
    assert (stats.tokens, stats.clients, stats.patches) == ({"password": {200: 1}}, {"basic": 1}, {200: 21})
    assert files.kept() == kept


def test_without_authorize_the_first_command_asks_with_the_password_and_the_next_use_its_token(
    django: DjangoOAuthServer, tmp_path: Path
) -> None:
    files = connection(tmp_path, django, by_password())
    files.write(things(20))
    before = django.stats()
    assert_applied(files.batch(), files, 20)
    assert files.send(django.thing_path(100)).returncode == 0
    stats = django.stats() - before
    assert (stats.tokens, stats.patches) == ({"password": {200: 1}}, {200: 21})


@pytest.mark.parametrize("how", ["basic", "body"])
def test_a_client_says_who_it_is_by_a_secret_that_a_form_would_encode(
    django: DjangoOAuthServer, tmp_path: Path, how: str
) -> None:
    files = connection(tmp_path, django, by_credentials(client_authentication=how))
    before = django.stats()
    done = files.send(django.thing_path(1))
    assert (done.returncode, without_traceback(done)) == (0, ["patchwire: applied: 200 OK"])
    stats = django.stats() - before
    assert (stats.tokens, stats.clients) == ({"client_credentials": {200: 1}}, {how: 1})
    kept = files.kept()
    assert kept is not None
    assert kept.token.refresh_token is None


def test_a_public_client_has_its_token_by_an_address_that_is_pasted(django: DjangoOAuthServer, tmp_path: Path) -> None:
    files = connection(tmp_path, django, by_client(PUBLIC_CLIENT, "authorization_code", **authorization(django)))
    before = django.stats()
    done = authorized_by_pasting(files, django.approved)
    assert done.returncode == 0, done.stderr
    assert files.send(django.thing_path(1)).returncode == 0
    django.expire_access_tokens()
    assert files.send(django.thing_path(2)).returncode == 0
    stats = django.stats() - before
    assert stats.tokens == {"authorization_code": {200: 1}, "refresh_token": {200: 1}}
    assert (stats.clients, stats.patches) == ({"none": 2}, {200: 2, 401: 1})


def authorization(server: DjangoOAuthServer) -> dict[str, str]:
    return {"authorization_url": server.authorization_url}


# --- refusals


@pytest.mark.parametrize("how", ["basic", "body"])
def test_a_wrong_client_secret_is_one_clear_line_and_nothing_is_sent(
    django: DjangoOAuthServer, tmp_path: Path, how: str
) -> None:
    oauth2 = by_client(replace(CREDENTIALS_CLIENT, secret="canary-of-a-secret"), "client_credentials")
    files = connection(tmp_path, django, oauth2 | {"client_authentication": how})
    files.write(things(60))
    before = django.stats()
    done = files.batch()
    problem = f"{django.token_url} answered 401: invalid_client"
    remedy = "nothing was changed, correct it and run the same command again"
    said = f"patchwire: {problem}; {remedy}"
    assert (done.returncode, without_traceback(done), files.outcomes()) == (1, [said], [])
    sent = files.send(django.thing_path(1))
    assert (sent.returncode, without_traceback(sent)) == (1, [f"patchwire: {problem}"])
    stats = django.stats() - before
    assert (stats.tokens, stats.patches) == ({"client_credentials": {401: 2}}, {})
    assert "canary" not in said_of(done) + said_of(sent)


def test_a_wrong_password_is_tried_once_and_not_shown(django: DjangoOAuthServer, tmp_path: Path) -> None:
    files = connection(tmp_path, django, by_password() | {"password": "literal:canary-of-a-password"})
    files.write(things(60))
    before = django.stats()
    done = files.batch("--concurrency", "8")
    (line,) = lines_of(done)
    assert (done.returncode, files.outcomes()) == (1, [])
    assert f"{django.token_url} answered 400: invalid_grant: " in line
    stats = django.stats() - before
    assert (stats.tokens, stats.patches) == ({"password": {400: 1}}, {})
    assert "canary" not in said_of(done)


def test_a_scope_that_is_not_enough_is_said_and_no_other_token_asked_for(
    django: DjangoOAuthServer, tmp_path: Path
) -> None:
    files = connection(tmp_path, django, by_credentials(scope="read"))
    before = django.stats()
    done = files.send(django.thing_path(1))
    (line,) = without_traceback(done)
    assert done.returncode == 1
    assert line.startswith("patchwire: rejected: 403 Forbidden; the token's scope is not enough")
    assert "(oauth2.scope)" in line
    stats = django.stats() - before
    assert (stats.tokens, stats.patches) == ({"client_credentials": {200: 1}}, {403: 1})


def test_a_token_endpoint_that_redirects_is_not_followed_with_the_credentials(
    django: DjangoOAuthServer, tmp_path: Path
) -> None:
    url = django.token_url.removesuffix("/")
    files = connection(tmp_path, django, by_credentials(access_token_url=url))
    before = django.stats()
    done = files.send(django.thing_path(1))
    said = f"patchwire: {url} redirects, which is not followed: it would give the credentials away"
    assert (done.returncode, without_traceback(done)) == (1, [said])
    stats = django.stats() - before
    assert (stats.tokens, stats.patches) == ({}, {})


def test_unless_preemptive_a_request_goes_bare_until_the_server_asks_for_a_token(
    django: DjangoOAuthServer, tmp_path: Path
) -> None:
    files = connection(tmp_path, django, by_credentials(), preemptive=False)
    before = django.stats()
    assert files.send(django.thing_path(1)).returncode == 0
    stats = django.stats() - before
    assert (stats.tokens, stats.patches) == ({"client_credentials": {200: 1}}, {401: 1, 200: 1})
    files.write(things(50))
    assert_applied(files.batch("--concurrency", "1"), files, 50)
    stats = django.stats() - before
    assert (stats.tokens, stats.patches) == ({"client_credentials": {200: 1}}, {401: 2, 200: 51})


# --- expiry


@pytest.mark.parametrize(
    ("oauth2", "tokens"),
    [
        pytest.param(by_credentials(), {"client_credentials": {200: 2}}, id="client credentials"),
        pytest.param(by_password(), {"password": {200: 1}, "refresh_token": {200: 1}}, id="password"),
    ],
)
def test_tokens_that_end_in_mid_batch_are_renewed_once_and_each_change_is_made_once(
    django: DjangoOAuthServer, tmp_path: Path, oauth2: dict[str, str], tokens: dict[str, dict[int, int]]
) -> None:
    files = connection(tmp_path, django, oauth2)
    files.write(things(300))
    before = django.stats()
    with running(*files.batch_command("--concurrency", "8"), env=files.environment(), stderr=subprocess.PIPE) as batch:
        until(lambda: len((django.stats() - before).applied) > 50)
        django.expire_access_tokens()
        batch.communicate()
    assert batch.returncode == 0
    stats = django.stats() - before
    assert stats.tokens == tokens
    assert 1 <= stats.unauthorized <= 8
    applied_once(stats, 300)


def test_two_batches_side_by_side_refresh_once_for_each_end_and_no_family_is_revoked(
    django: DjangoOAuthServer, tmp_path: Path
) -> None:
    ends = 3
    first = connection(tmp_path / "first", django, by_password())
    second = connection(tmp_path / "second", django, by_password())
    second.state = first.state
    before = django.stats()
    assert first.authorize().returncode == 0
    with ExitStack() as stack:
        batches = []
        for n, files in enumerate((first, second)):
            files.write(things(600, 1000 * n))
            command = files.batch_command("--concurrency", "4")
            batches.append(stack.enter_context(running(*command, env=files.environment(), stdout=subprocess.DEVNULL)))
        until(lambda: all((django.stats() - before).applied.get(django.thing_path(n)) for n in (20, 1020)))
        for n in range(ends):
            done = (django.stats() - before).patches[200]
            django.expire_access_tokens()
            until(lambda n=n: (django.stats() - before).tokens_given("refresh_token") > n)  # type: ignore[misc]
            until(lambda done=done: (django.stats() - before).patches[200] > done + 20)  # type: ignore[misc]
        assert [batch.wait() for batch in batches] == [0, 0]
    stats = django.stats() - before
    assert stats.tokens == {"password": {200: 1}, "refresh_token": {200: ends}}
    assert stats.applied == {record["path"]: 1 for record in things(600) + things(600, 1000)}
    assert first.kept() == second.kept()


def test_two_batches_side_by_side_share_the_tokens_that_live_for_two_seconds(
    hasty: DjangoOAuthServer, tmp_path: Path
) -> None:
    first = connection(tmp_path / "first", hasty, by_password())
    second = connection(tmp_path / "second", hasty, by_password())
    second.state = first.state
    before = hasty.stats()
    assert first.authorize().returncode == 0
    with ExitStack() as stack:
        batches = []
        for n, files in enumerate((first, second)):
            files.write(things(400, 1000 * n))
            command = files.batch_command("--concurrency", "4")
            batches.append(stack.enter_context(running(*command, env=files.environment(), stdout=subprocess.DEVNULL)))
        assert [batch.wait() for batch in batches] == [0, 0]
    stats = hasty.stats() - before
    refreshed = stats.tokens_given("refresh_token")
    assert stats.tokens == {"password": {200: 1}, "refresh_token": {200: refreshed}}
    one_for_each_end(stats)
    assert stats.applied == {record["path"]: 1 for record in things(400) + things(400, 1000)}


def one_for_each_end(stats: Stats) -> None:
    """The server saw no more tokens asked for than came to their end, or so near it that it was time for another."""
    seconds = stats.given_at[-1] - stats.given_at[0]
    # An answer that comes late shortens the time to the next, as the client counts from when it has asked.
    assert 1 <= len(stats.given_at) - 1 <= seconds / (LIFETIME * (1 - SHARE) - 0.3), stats.given_at


@pytest.mark.parametrize(
    ("oauth2", "count", "renewed_by", "concurrency"),
    [
        pytest.param(by_credentials(), 5_000, "client_credentials", 16, id="client credentials"),
        pytest.param(by_password(), 2_000, "refresh_token", 8, id="password"),
        pytest.param(by_password(), 5_000, "refresh_token", 16, id="password, longer", marks=pytest.mark.long),
    ],
)
def test_a_long_batch_with_tokens_that_live_for_two_seconds_asks_for_one_at_each_end_and_fails_nothing(
    hasty: DjangoOAuthServer,
    tmp_path: Path,
    oauth2: dict[str, str],
    count: int,
    renewed_by: str,
    concurrency: int,
) -> None:
    files = connection(tmp_path, hasty, oauth2)
    files.write(things(count))
    before = hasty.stats()
    assert_applied(files.batch("--concurrency", str(concurrency)), files, count)
    stats = hasty.stats() - before
    first = {} if renewed_by in stats.tokens and len(stats.tokens) == 1 else {"password": {200: 1}}
    assert stats.tokens == {**first, renewed_by: {200: stats.tokens_given(renewed_by)}}
    one_for_each_end(stats)
    applied_once(stats, count)
    # A refresh ends the token before it, which some requests may have left with.
    assert stats.unauthorized <= (len(stats.given_at) - 1) * concurrency


@pytest.mark.parametrize("end", ["by the server", "by the clock"])
@pytest.mark.parametrize(
    ("oauth2", "renewed_by"),
    [
        pytest.param(by_credentials(), "client_credentials", id="client credentials"),
        pytest.param(by_password(), "refresh_token", id="password"),
    ],
)
def test_200_requests_of_one_client_at_the_end_of_its_token_ask_for_another_once(
    django: DjangoOAuthServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    end: str,
    oauth2: dict[str, str],
    renewed_by: str,
) -> None:
    files = connection(tmp_path, django, oauth2)
    for name, value in files.variables.items():
        monkeypatch.setenv(name, value)
    ahead = 0.0
    clocked = structs.replace(SOURCES, clock=lambda: time.time() + ahead)
    monkeypatch.setattr("patchwire.net.authentication.SOURCES", clocked)
    statuses: list[int] = []

    async def change(client: PatchClient, number: int) -> None:
        statuses.append((await client.patch(django.thing_path(number), json={"n": number})).status)

    async def main() -> Stats:
        nonlocal ahead
        async with PatchClient(load_connection(files.connection), max_connections=16) as client:
            await change(client, 0)
            before = await trio.to_thread.run_sync(django.stats)
            if end == "by the server":
                await trio.to_thread.run_sync(django.expire_access_tokens)
            else:
                ahead = 3600.0
            async with trio.open_nursery() as nursery:
                for number in range(1, 201):
                    nursery.start_soon(change, client, number)
        return before

    before = trio.run(main)
    stats = django.stats() - before
    assert statuses == [200] * 201
    assert stats.tokens == {renewed_by: {200: 1}}
    applied_once(stats, 200, 1)
    assert stats.unauthorized <= (16 if end == "by the server" else 0)


# --- kill -9


@pytest.mark.parametrize("held", ["request", "answer"])
def test_after_a_kill_in_the_midst_of_a_refresh_the_password_grant_helps_itself(
    django: DjangoOAuthServer, tmp_path: Path, held: Literal["request", "answer"]
) -> None:
    with holder(django.port, held) as proxy:
        files = connection(tmp_path, django, by_password(access_token_url=f"{proxy.base_url}/o/token/"))
        assert files.authorize().returncode == 0
        before = django.stats()
        killed_while_it_refreshes(files, django, proxy)
        assert files.send(django.thing_path(2)).returncode == 0
        stats = django.stats() - before
    again = {
        "request": {"refresh_token": {200: 1}},
        "answer": {"refresh_token": {200: 1, 400: 1}, "password": {200: 1}},
    }
    assert stats.tokens == again[held]
    applied_once(stats, 1, 2)


@pytest.mark.parametrize("held", ["request", "answer"])
def test_after_a_kill_in_the_midst_of_a_refresh_the_code_grant_goes_on_or_says_whom_to_ask(
    django: DjangoOAuthServer, tmp_path: Path, held: Literal["request", "answer"]
) -> None:
    with holder(django.port, held) as proxy:
        oauth2 = by_client(PUBLIC_CLIENT, "authorization_code", **authorization(django))
        files = connection(tmp_path, django, oauth2 | {"access_token_url": f"{proxy.base_url}/o/token/"})
        assert authorized_by_pasting(files, django.approved).returncode == 0
        before = django.stats()
        killed_while_it_refreshes(files, django, proxy)
        done = files.send(django.thing_path(2))
        if held == "request":
            assert done.returncode == 0, done.stderr
        else:
            (line,) = without_traceback(done)
            assert done.returncode == 1
            assert "answered 400: invalid_grant" in line
            assert "; a refresh that began at 20" in line
            assert line.endswith(
                f" was cut off, and may have spent the grant: run patchwire authorize {files.connection}"
            )
            assert (django.stats() - before).applied == {}
            assert authorized_by_pasting(files, django.approved).returncode == 0
            assert files.send(django.thing_path(2)).returncode == 0
        applied_once(django.stats() - before, 1, 2)


def killed_while_it_refreshes(files: TokenFiles, server: DjangoOAuthServer, proxy: Holder) -> None:
    """A command whose token has ended is killed when it has asked for another."""
    server.expire_access_tokens()
    command = ("send", files.connection, server.thing_path(1), "--body", BODY)
    with running(*command, env=files.environment(), stderr=subprocess.DEVNULL) as process:
        assert proxy.holds.wait(30)
        process.kill()


# --- secrets


def test_nothing_that_is_secret_is_logged(django: DjangoOAuthServer, tmp_path: Path) -> None:
    password = connection(tmp_path / "password", django, by_password())
    code = connection(
        tmp_path / "code", django, by_client(PUBLIC_CLIENT, "authorization_code", **authorization(django))
    )
    pasted: list[str] = []

    def approve(url: str) -> str:
        pasted.append(django.approved(url))
        return pasted[0]

    said = [said_of(password.authorize("-v")), said_of(authorized_by_pasting(code, approve, "-v"))]
    secrets = {
        PASSWORD,
        PASSWORD.replace(" ", "+"),
        str(PASSWORD_CLIENT.secret),
        *parse_qs(urlsplit(pasted[0]).query)["code"],
    }
    for files in (password, code):
        secrets |= files.kept_secrets()
        django.expire_access_tokens()
        done = files.send(django.thing_path(1), "-v")
        assert done.returncode == 0, done.stderr
        said.append(said_of(done))
        secrets |= files.kept_secrets()
    assert len(secrets) == 4 + 2 * 4
    assert [secret for secret in secrets if any(secret in each for each in said)] == []
    assert all("POST /o/token/" in each for each in said)
