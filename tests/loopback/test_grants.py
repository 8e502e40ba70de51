from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from patchwire.auth.pkce import challenge_of
from patchwire.loopback.grants import (
    CODE_LIFETIME,
    REFRESH_LIFETIME,
    CodeRequest,
    Found,
    Grant,
    Grants,
    Issued,
)
from patchwire.loopback.oauth_answers import OAuthError
from tests.support.authorization import CALLBACK, VERIFIER, numbered

GRANT = Grant("app", "ada", ("read", "write"))


class Memory:
    """Grants of a server, and what a client does with them."""

    def __init__(self, **options: int) -> None:
        self.grants = Grants(numbered(), **options)

    def code(self, redirect_uri: str | None = CALLBACK, now: float = 0.0) -> str:
        return self.grants.code(CodeRequest(GRANT, redirect_uri, challenge_of(VERIFIER)), now)

    def redeem(
        self, code: str, client: str = "app", uri: str | None = CALLBACK, verifier: str = VERIFIER, now: float = 1.0
    ) -> Issued:
        return self.grants.redeem(code, client, uri, verifier, now)

    def issued(self, now: float = 0.0) -> tuple[str, str]:
        """An access and a refresh token of one grant."""
        issued = self.grants.issue(GRANT, now, refreshable=True)
        assert issued.refresh_token is not None
        return issued.access_token, issued.refresh_token

    def refresh(
        self, token: str, scope: tuple[str, ...] | None = None, client: str = "app", now: float = 1.0
    ) -> Issued:
        return self.grants.refresh(token, client, scope, now)

    def holds(self, token: str | None, now: float = 2.0) -> bool:
        return token is not None and self.grants.find(token, now) is not None


@contextmanager
def refused(code: str = "invalid_grant") -> Iterator[None]:
    with pytest.raises(OAuthError) as caught:
        yield
    assert caught.value.code == code


def test_a_code_gives_tokens_with_the_scope_that_was_accepted() -> None:
    memory = Memory(lifetime=60)
    issued = memory.redeem(memory.code())
    assert (issued.scope, issued.lifetime) == (("read", "write"), 60)
    assert memory.grants.find(issued.access_token, 2.0) == Found(GRANT, 1.0, 61.0, refreshes=False)
    assert memory.holds(issued.refresh_token)


@pytest.mark.parametrize("redirect_uri", [CALLBACK, None])
def test_a_code_is_bound_to_the_redirect_uri_that_it_was_asked_for_with(redirect_uri: str | None) -> None:
    memory = Memory()
    assert memory.redeem(memory.code(redirect_uri), uri=redirect_uri)
    with refused():
        memory.redeem(memory.code(redirect_uri), uri=CALLBACK + "/other")


@pytest.mark.parametrize("verifier", [VERIFIER + "x", "short", "\u00e4" * 50, ""])
def test_a_code_is_bound_to_its_pkce_verifier_which_may_be_guessed_once(verifier: str) -> None:
    memory = Memory()
    code = memory.code()
    for guess in (verifier, VERIFIER):
        with refused():
            memory.redeem(code, verifier=guess)


def test_another_client_cannot_use_a_code_nor_use_it_up() -> None:
    memory = Memory()
    code = memory.code()
    with refused():
        memory.redeem(code, client="other")
    assert memory.redeem(code)


def test_a_code_holds_for_a_minute() -> None:
    memory = Memory()
    code, late = memory.code(), memory.code()
    assert memory.redeem(code, now=CODE_LIFETIME - 0.1)
    with refused():
        memory.redeem(late, now=CODE_LIFETIME)
    with refused():
        memory.redeem("unknown")


def test_a_code_that_comes_again_revokes_what_it_gave_also_when_its_time_is_over() -> None:
    memory = Memory()
    code = memory.code()
    issued = memory.redeem(code)
    renewed = memory.refresh(issued.refresh_token or "")
    assert memory.holds(renewed.access_token)
    with refused():
        memory.redeem(code, now=CODE_LIFETIME + 1)
    assert not any(map(memory.holds, (issued.access_token, renewed.access_token, renewed.refresh_token)))
    with refused():
        memory.refresh(renewed.refresh_token or "")


def test_a_refresh_token_is_replaced_when_it_is_used() -> None:
    memory = Memory()
    access, token = memory.issued()
    renewed = memory.refresh(token)
    assert (memory.holds(token), memory.holds(access), memory.holds(renewed.access_token)) == (False, True, True)
    assert memory.refresh(renewed.refresh_token or "").refresh_token not in (None, token, renewed.refresh_token)


def test_a_refresh_token_that_comes_again_revokes_its_whole_family_and_no_other() -> None:
    memory = Memory()
    access, token = memory.issued()
    other, _ = memory.issued()
    renewed = memory.refresh(token)
    with refused():
        memory.refresh(token)
    assert not any(map(memory.holds, (access, renewed.access_token, renewed.refresh_token)))
    assert memory.holds(other)


def test_a_narrower_scope_is_for_the_access_token_alone_and_a_wider_one_is_refused() -> None:
    memory = Memory()
    _, token = memory.issued()
    with refused("invalid_scope"):
        memory.refresh(token, ("read", "admin"))
    narrow = memory.refresh(token, ("read",))
    found = memory.grants.find(narrow.access_token, 2.0)
    assert found is not None
    assert (narrow.scope, found.grant.scope) == (("read",), ("read",))
    assert memory.refresh(narrow.refresh_token or "").scope == ("read", "write")


def test_a_refresh_token_is_bound_to_its_client_and_ends() -> None:
    memory = Memory()
    _, token = memory.issued()
    with refused():
        memory.refresh(token, client="other")
    with refused():
        memory.refresh(token, now=REFRESH_LIFETIME)
    assert memory.refresh(token)


def test_an_access_token_stands_for_its_user_until_it_expires_and_a_refresh_token_for_nobody() -> None:
    memory = Memory(lifetime=60)
    access, token = memory.issued()
    user_of = memory.grants.user_of
    assert (user_of(access, 59.9), user_of(access, 60.0), user_of(token, 1.0), user_of("x", 1.0)) == (
        "ada", None, None, None
    )  # fmt: skip


def test_what_is_not_refreshable_has_no_refresh_token() -> None:
    assert Memory().grants.issue(GRANT, 0.0, refreshable=False).refresh_token is None


def test_memory_is_bounded_and_the_oldest_go_first() -> None:
    memory = Memory(most=2)
    tokens = [memory.issued() for _ in range(3)]
    codes = [memory.code() for _ in range(3)]
    assert [(memory.holds(access), memory.holds(token)) for access, token in tokens] == [
        (False, False), (True, True), (True, True)
    ]  # fmt: skip
    with refused():
        memory.redeem(codes[0])
    assert memory.redeem(codes[2])


def test_no_code_and_no_token_shows() -> None:
    memory = Memory()
    code = memory.code()
    issued = memory.redeem(code)
    seen = repr((memory.grants, issued, CodeRequest(GRANT, "https://h/?canary", "c"), vars(memory.grants)))
    assert not [
        secret for secret in (code, issued.access_token, issued.refresh_token, "canary") if str(secret) in seen
    ]
