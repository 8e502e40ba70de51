"""That tokens of oidc-provider are obtained by people in a real browser and by machines, and renewed, each in turn."""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from tests.support.chromium import StandIn, Visit, browser_stand_in, needs_chromium, visit
from tests.support.commands import running, without_traceback
from tests.support.holding import Holder, holder
from tests.support.jws_keys import ec_key, pem_of
from tests.support.oidc_provider import (
    BASIC,
    DEVICE_CODE,
    NATIVE,
    POST,
    PRIVATE_KEY_JWT,
    SCOPE,
    SECRET_JWT,
    WRITE,
    OAuthClient,
    OidcProvider,
    needs_oidc_provider,
    oidc_provider,
    public_jwk,
)
from tests.support.password_batches import assert_applied
from tests.support.pasting import authorized_by_pasting
from tests.support.token_batches import BODY, TokenFiles, said_of

pytestmark = [needs_oidc_provider, pytest.mark.peer]

GRANTED = "Access granted"
REFUSED = "No access"
OFFLINE = {"authorization_parameters": {"prompt": "consent"}}
"""Without it, OpenID Connect has no refresh token (Core, section 11)."""
LIFETIME = 2
ENDED = LIFETIME + 0.1
WELL_KNOWN = "/.well-known/oauth-authorization-server"
OPENID = "/.well-known/openid-configuration"


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OidcProvider]:
    with oidc_provider(
        tmp_path_factory.mktemp("oidc"), device_interval=1, jwk=public_jwk(ec_key("P-256").public_key(), "of 2026")
    ) as server:
        yield server


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OidcProvider]:
    """One whose access tokens live for LIFETIME seconds."""
    with oidc_provider(tmp_path_factory.mktemp("hasty"), lifetime=LIFETIME) as server:
        yield server


def connection(
    directory: Path,
    server: OidcProvider,
    client: OAuthClient,
    grant: str,
    *,
    well_known: str = WELL_KNOWN,
    scope: str = SCOPE,
    **more: Any,
) -> TokenFiles:
    """Endpoints are those of the metadata; the client authenticates as it is registered."""
    how = {"client_secret_basic": "basic", "client_secret_post": "body"}.get(client.method, client.method)
    secret = {} if client.secret is None else {"client_secret": f"literal:{client.secret}"}
    oauth2 = {
        "grant_type": grant,
        "client_id": client.client_id,
        **secret,
        "client_authentication": how,
        "metadata_url": server.issuer + well_known,
        "scope": scope,
        **(OFFLINE if grant == "authorization_code" else {}),
        **more,
    }
    return TokenFiles(directory, server.api, {name: value for name, value in oauth2.items() if value != ""})


def in_browser(files: TokenFiles, browser: StandIn, *options: str) -> tuple[subprocess.CompletedProcess[str], Visit]:
    """`patchwire authorize` with a real browser, and the page that this ended at."""
    done = files.authorize(*options, **browser.variables)
    return done, browser.visit()


def things(count: int, start: int = 0) -> list[dict[str, Any]]:
    return [{"path": f"/things/{n}", "body": {"n": n}} for n in range(start, start + count)]


def asked_since(server: OidcProvider, start: int) -> list[tuple[str, int]]:
    """Token requests behind so many: grant type and status."""
    return [(parse_qs(each.body.decode())["grant_type"][0], each.status) for each in server.token_requests()[start:]]


# --- the authorization code, in Chromium


@needs_chromium
def test_a_public_client_is_let_in_by_a_user_in_a_browser_which_is_told_so_and_send_uses_the_token(
    provider: OidcProvider, tmp_path: Path
) -> None:
    files = connection(tmp_path, provider, NATIVE, "authorization_code", client_authentication="")
    start = len(provider.token_requests())
    with browser_stand_in(tmp_path / "browser") as browser:
        done, page = in_browser(files, browser)
    assert done.returncode == 0, done.stderr
    *_, waiting, granted, scope = without_traceback(done)
    assert waiting == "patchwire: waiting for the browser"
    assert granted.startswith("patchwire: access granted: the token is kept, until ")
    assert granted.endswith(", and renewed from then on")
    assert scope == f"patchwire: the scope that was granted is '{WRITE}', where '{SCOPE}' was asked for"
    assert page.title == GRANTED
    assert page.text == "Access granted\npatchwire has the token, and keeps it encrypted. You may close this window."
    assert urlsplit(page.url)[1:] == (urlsplit(page.url).netloc, "/patchwire/result", "", "")
    assert browser.screenshot.stat().st_size > 1_000
    sent = files.send("/things/1")
    assert (sent.returncode, without_traceback(sent)) == (0, ["patchwire: applied: 200 OK"])
    (redeemed,) = provider.token_requests()[start:]
    fields = parse_qs(redeemed.body.decode())
    assert (fields["grant_type"], redeemed.status, redeemed.authorization) == (["authorization_code"], 200, "")
    assert len(fields["code_verifier"][0]) >= 43


@needs_chromium
def test_a_confidential_client_is_let_in_by_a_user_in_a_browser(provider: OidcProvider, tmp_path: Path) -> None:
    files = connection(tmp_path, provider, BASIC, "authorization_code")
    start = len(provider.token_requests())
    with browser_stand_in(tmp_path / "browser") as browser:
        done, page = in_browser(files, browser)
    assert (done.returncode, page.title) == (0, GRANTED), done.stderr
    assert files.send("/things/1").returncode == 0
    (redeemed,) = provider.token_requests()[start:]
    assert redeemed.authorization.startswith("Basic ")
    assert "client_secret" not in parse_qs(redeemed.body.decode())


@needs_chromium
def test_consent_that_is_refused_is_said_by_the_page_and_by_the_command(
    provider: OidcProvider, tmp_path: Path
) -> None:
    files = connection(tmp_path, provider, NATIVE, "authorization_code")
    start = len(provider.token_requests())
    with browser_stand_in(tmp_path / "browser", consent=False) as browser:
        done, page = in_browser(files, browser)
    said = "the authorization server refused: access_denied: End-User aborted interaction"
    assert (done.returncode, without_traceback(done)[-1]) == (1, f"patchwire: {said}")
    assert (page.title, page.text) == (REFUSED, f"No access\n{said}. You may close this window.")
    assert urlsplit(page.url).query == ""
    assert (provider.token_requests()[start:], files.kept()) == ([], None)


# --- an address that is pasted


@needs_chromium
def test_without_a_browser_here_the_address_that_one_elsewhere_ends_at_is_pasted(
    provider: OidcProvider, tmp_path: Path
) -> None:
    files = connection(tmp_path, provider, NATIVE, "authorization_code")
    done = authorized_by_pasting(files, lambda url: visit(url).url)
    assert done.returncode == 0, done.stderr
    assert files.send("/things/1").returncode == 0


@pytest.mark.parametrize(
    ("client", "well_known"),
    [(POST, OPENID), (SECRET_JWT, WELL_KNOWN), (PRIVATE_KEY_JWT, OPENID)],
    ids=lambda each: getattr(each, "method", each),
)
def test_any_client_redeems_its_code_at_the_endpoint_that_the_metadata_names(
    provider: OidcProvider, tmp_path: Path, client: OAuthClient, well_known: str
) -> None:
    files = connection(
        tmp_path, provider, client, "authorization_code", well_known=well_known, **key_of(tmp_path, client)
    )
    done = authorized_by_pasting(files, provider.approved)
    assert done.returncode == 0, done.stderr
    assert files.send("/things/1").returncode == 0


@pytest.mark.parametrize(
    ("forged", "said"),
    [
        pytest.param(
            {"iss": "http://127.0.0.1:1"},
            "the answer names another issuer than the authorization server that was asked",
            id="of another server",
        ),
        pytest.param(
            {"iss": None},
            "the authorization server's answer does not name its issuer, as its metadata promises",
            id="of no server",
        ),
        pytest.param(
            {"state": "another"},
            "the state of the authorization server's answer is of another request: it may be forged",
            id="to another request",
        ),
        pytest.param(
            {"code": None}, "the authorization server's answer holds no code (RFC 6749 section 4.1.2)", id="none"
        ),
    ],
)
def test_an_answer_that_may_be_forged_is_not_redeemed(
    provider: OidcProvider, tmp_path: Path, forged: dict[str, str | None], said: str
) -> None:
    files = connection(tmp_path, provider, NATIVE, "authorization_code")
    start = len(provider.token_requests())

    def approve(url: str) -> str:
        callback = urlsplit(provider.approved(url))
        fields = {name: value for name, (value,) in parse_qs(callback.query).items()} | forged
        query = urlencode({name: value for name, value in fields.items() if value is not None})
        return callback._replace(query=query).geturl()

    done = authorized_by_pasting(files, approve)
    assert (done.returncode, without_traceback(done)[-1]) == (1, f"patchwire: {said}")
    assert (provider.token_requests()[start:], files.kept()) == ([], None)


def test_metadata_of_another_issuer_are_not_used(provider: OidcProvider, tmp_path: Path) -> None:
    files = connection(tmp_path, provider, BASIC, "client_credentials", scope=WRITE, issuer="http://127.0.0.1:1")
    done = files.send("/things/1")
    (line,) = without_traceback(done)
    assert done.returncode == 1
    assert f"its issuer is '{provider.issuer}' and not 'http://127.0.0.1:1'" in line


# --- grants that need no browser


def key_of(directory: Path, client: OAuthClient) -> dict[str, Any]:
    """What the client signs with, where that is a key in a file."""
    if client is not PRIVATE_KEY_JWT:
        return {}
    directory.joinpath("client.pem").write_text(pem_of(ec_key("P-256")), "ascii")
    return {"jwt": {"key": "file:client.pem", "algorithm": "ES256", "key_id": "of 2026"}}


@pytest.mark.parametrize("client", [BASIC, POST, SECRET_JWT, PRIVATE_KEY_JWT], ids=lambda client: client.method)
def test_a_client_has_a_token_of_its_own_however_it_says_who_it_is(
    provider: OidcProvider, tmp_path: Path, client: OAuthClient
) -> None:
    files = connection(tmp_path, provider, client, "client_credentials", scope=WRITE, **key_of(tmp_path, client))
    files.write(things(50))
    start = len(provider.token_requests())
    assert_applied(files.batch(), files, 50)
    assert files.send("/things/1").returncode == 0
    assert asked_since(provider, start) == [("client_credentials", 200)]


@needs_chromium
def test_a_device_has_its_token_once_somebody_has_typed_its_code(provider: OidcProvider, tmp_path: Path) -> None:
    files = connection(tmp_path, provider, NATIVE, "device_code")
    start = len(provider.token_requests())
    pipe = subprocess.PIPE
    with running("authorize", files.connection, env=files.environment(), stdout=pipe, stderr=pipe) as process:
        assert process.stdout is not None
        address, code = process.stdout.readline().decode().split()
        assert address == f"{provider.issuer}/device"
        page = visit(address, user_code=code)
        _, errors = process.communicate(timeout=60)
    assert page.title == "Sign-in Success"
    lines = errors.decode().splitlines()
    assert process.returncode == 0, lines
    assert lines[:3] == [
        "patchwire: on any device, open this address and type this code:",
        f"patchwire: or open {address}?user_code={code}",
        "patchwire: waiting for somebody to accept",
    ]
    assert lines[3].startswith("patchwire: access granted: the token is kept")
    assert files.send("/things/1").returncode == 0
    asked = asked_since(provider, start)
    assert asked[-1] == (DEVICE_CODE, 200)
    assert set(asked[:-1]) <= {(DEVICE_CODE, 400)}


@needs_chromium
def test_a_device_that_is_refused_is_told_so(provider: OidcProvider, tmp_path: Path) -> None:
    files = connection(tmp_path, provider, NATIVE, "device_code")
    pipe = subprocess.PIPE
    with running("authorize", files.connection, env=files.environment(), stdout=pipe, stderr=pipe) as process:
        assert process.stdout is not None
        address, code = process.stdout.readline().decode().split()
        visit(address, user_code=code, consent=False)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert errors.decode().splitlines()[3:] == [
        f"patchwire: {provider.token_endpoint} answered 400: access_denied: End-User aborted interaction"
    ]
    assert files.kept() is None


def test_a_token_that_is_forgotten_is_missed(provider: OidcProvider, tmp_path: Path) -> None:
    files = connection(tmp_path, provider, NATIVE, "authorization_code")
    assert authorized_by_pasting(files, provider.approved).returncode == 0
    assert files.send("/things/1").returncode == 0
    said = [without_traceback(files.authorize("--forget")) for _ in range(2)]
    assert said == [["patchwire: the kept token is removed"], ["patchwire: there was no kept token"]]
    done = files.send("/things/1")
    missed = f"patchwire: there is no token yet: run patchwire authorize {files.connection}"
    assert (done.returncode, without_traceback(done)) == (1, [missed])


# --- refresh


def test_a_batch_goes_on_with_each_token_that_a_refresh_gives_and_spends_no_refresh_token_twice(
    hasty: OidcProvider, tmp_path: Path
) -> None:
    files = connection(tmp_path, hasty, NATIVE, "authorization_code")
    assert authorized_by_pasting(files, hasty.approved).returncode == 0
    files.write(things(200))
    time.sleep(ENDED)
    start, before = len(hasty.token_requests()), hasty.counts()
    assert_applied(files.batch("--rate", "60"), files, 200)
    requests = hasty.token_requests()[start:]
    spent = [parse_qs(each.body.decode())["refresh_token"][0] for each in requests]
    assert {each.status for each in requests} == {200}
    assert len(set(spent)) == len(spent)
    assert 2 <= len(spent) <= 5  # in three seconds; a token of a server with whole seconds may end within the first
    now = hasty.counts()
    made = {path: count - before.applied.get(path, 0) for path, count in now.applied.items()}
    assert {path: count for path, count in made.items() if count} == {f"/api/things/{n}": 1 for n in range(200)}


def test_a_refresh_token_that_was_spent_ends_the_family_and_the_error_says_whom_to_ask(
    hasty: OidcProvider, tmp_path: Path
) -> None:
    files = connection(tmp_path, hasty, NATIVE, "authorization_code")
    assert authorized_by_pasting(files, hasty.approved).returncode == 0
    shutil.copytree(files.state, tmp_path / "old")
    time.sleep(ENDED)
    assert files.send("/things/1").returncode == 0
    shutil.move(files.state, tmp_path / "new")
    shutil.move(tmp_path / "old", files.state)
    start = len(hasty.token_requests())
    refused = files.send("/things/1")
    remedy = f"run patchwire authorize {files.connection}"
    said = f"{hasty.token_endpoint} answered 400: invalid_grant: grant request is invalid: {remedy}"
    assert (refused.returncode, without_traceback(refused)) == (1, [f"patchwire: {said}"])
    shutil.rmtree(files.state)
    shutil.move(tmp_path / "new", files.state)
    revoked = files.send("/things/1")
    (line,) = without_traceback(revoked)
    assert (revoked.returncode, said in line) == (1, True), line
    assert asked_since(hasty, start) == [("refresh_token", 400)] * 2
    assert authorized_by_pasting(files, hasty.approved).returncode == 0
    assert files.send("/things/1").returncode == 0


@pytest.mark.parametrize("held", ["request", "answer"])
def test_after_a_kill_in_the_midst_of_a_refresh_the_next_goes_on_or_says_whom_to_ask(
    hasty: OidcProvider, tmp_path: Path, held: Literal["request", "answer"]
) -> None:
    with holder(hasty.port, held) as proxy:
        files = behind(proxy, hasty, tmp_path)
        assert authorized_by_pasting(files, hasty.approved).returncode == 0
        time.sleep(ENDED)
        command = ("send", files.connection, "/things/1", "--body", BODY)
        with running(*command, env=files.environment(), stderr=subprocess.DEVNULL) as process:
            assert proxy.holds.wait(30)
            process.kill()
        done = files.send("/things/1")
        if held == "request":
            assert done.returncode == 0, done.stderr
        else:
            (line,) = without_traceback(done)
            assert done.returncode == 1
            assert "/token answered 400: invalid_grant: " in line
            assert "; a refresh that began at 20" in line
            assert line.endswith(f" may have spent the grant: run patchwire authorize {files.connection}")
            assert authorized_by_pasting(files, hasty.approved).returncode == 0
            assert files.send("/things/1").returncode == 0


@pytest.mark.parametrize("interrupted", ["send", "batch"])
def test_who_is_interrupted_in_the_midst_of_a_refresh_keeps_the_token_that_still_comes(
    hasty: OidcProvider, tmp_path: Path, interrupted: str
) -> None:
    with holder(hasty.port, "answer") as proxy:
        files = behind(proxy, hasty, tmp_path)
        files.write(things(20))
        assert authorized_by_pasting(files, hasty.approved).returncode == 0
        time.sleep(ENDED)
        start = len(hasty.token_requests())
        send = ("send", str(files.connection), "/things/1", "--body", BODY)
        command = send if interrupted == "send" else files.batch_command()
        with running(*command, env=files.environment(), stderr=subprocess.DEVNULL) as process:
            assert proxy.holds.wait(30)
            process.send_signal(signal.SIGINT)
            time.sleep(0.5)
            proxy.end.set()
            assert process.wait(30) == 130
        time.sleep(ENDED)
        assert files.send("/things/1").returncode == 0
    assert asked_since(hasty, start) == [("refresh_token", 200)] * 2


def behind(proxy: Holder, server: OidcProvider, directory: Path) -> TokenFiles:
    """A connection that asks for tokens through the proxy; the metadata would name another endpoint."""
    endpoints = {
        "metadata_url": "",
        "authorization_url": server.authorization_endpoint,
        "access_token_url": f"{proxy.base_url}/token",
    }
    return connection(directory, server, NATIVE, "authorization_code", **endpoints)


# --- secrets


@pytest.mark.parametrize("client", [NATIVE, BASIC, POST, PRIVATE_KEY_JWT], ids=lambda client: client.method)
def test_nothing_that_is_secret_is_logged(tmp_path: Path, client: OAuthClient) -> None:
    with oidc_provider(
        tmp_path / "oidc", lifetime=LIFETIME, jwk=public_jwk(ec_key("P-256").public_key(), "of 2026")
    ) as server:
        files = connection(tmp_path, server, client, "authorization_code", **key_of(tmp_path, client))
        said = said_of(authorized_by_pasting(files, server.approved, "-v"))
        secrets = files.kept_secrets()
        files.write(things(150))
        done = files.batch("-v", "--rate", "60", "--responses")
        assert done.returncode == 0, done.stderr
        secrets |= files.kept_secrets()
        answered = server.answered()
    said += said_of(done) + files.output.read_text("utf-8") + files.journal.read_bytes().decode("latin-1")
    for each in answered:
        if each.target == "/token":
            fields = parse_qs(each.body.decode())
            names = ("code", "code_verifier", "refresh_token", "client_secret", "client_assertion")
            secrets |= {fields[name][0] for name in names if name in fields}
        secrets |= {each.authorization.rpartition(" ")[2]} - {""}
    secrets |= {client.secret} if client.secret is not None else set()
    assert len(secrets) >= 6
    assert [secret for secret in secrets if secret in said] == []
    assert "> POST /token" in said
    assert "> Authorization: ***" in said
