from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from patchwire.auth.bearer import is_token
from patchwire.auth.oauth2_answer import LONGEST, error_in, is_passing, members_of, token_in
from patchwire.auth.quoting import hiding
from patchwire.auth.token import Token
from patchwire.auth.token_keeping import Kept, kept_in
from patchwire.errors import TokenError
from patchwire.http.message import Response, request_to
from tests.support.oauth2 import JSON, NOW, SERVER, answer, issued, refused
from tests.support.vectors import VECTORS, load, needs_vectors

REQUEST = request_to("POST", f"{SERVER}/token?tenant=1")
HTML = ((b"Content-Type", b"text/html; charset=utf-8"),)
TEXT = ((b"Content-Type", b"text/plain"),)


def token_of(response: Response) -> Token:
    return token_in(response, REQUEST, NOW)


def fault_of(response: Response) -> TokenError:
    with pytest.raises(TokenError) as caught:
        token_of(response)
    return caught.value


# --- tokens


def cases() -> list[dict[str, Any]]:
    given: list[dict[str, Any]] = load("oauth2/vectors.json")["token_responses"] if VECTORS else []
    return given


@needs_vectors
@pytest.mark.parametrize("case", cases(), ids=lambda case: case["body"] or "empty")
def test_every_answer_of_the_vectors_is_taken_as_they_say(case: dict[str, Any]) -> None:
    fields = [(name.encode(), value.encode()) for name, value in case.get("headers", {}).items()]
    fields.append((b"Content-Type", case.get("content_type", "application/json").encode()))
    response, expected = Response(case["status"], tuple(fields), case["body"].encode()), case["expect"]
    if expected.startswith(("ok", "deviation")):
        given = json.loads(case["body"])
        token = token_of(response)
        assert token.access_token == given["access_token"]
        assert token.scope == given.get("scope")
        assert token.lifetime == (3600 if "expires_in" in given else None)
        return
    error = fault_of(response)
    said = json.loads(case["body"]) if case["body"].startswith("{") else {}
    assert error.code == said.get("error", "")
    assert error.status == case["status"]
    assert error.origin == SERVER


def test_o17_a_token_is_what_the_server_says_of_it() -> None:
    response = issued("a-1", expires_in=3600, refresh_token="r-1", scope="read", id_token="x")
    assert token_of(response) == Token("a-1", NOW + 3600, 3600.0, "r-1", "read", {"id_token": "x"})


@pytest.mark.parametrize("kind", ["Bearer", "bearer", "BEARER"])
def test_o17_the_type_of_a_token_is_known_in_any_case(kind: str) -> None:
    assert token_of(issued("a", token_type=kind)) == Token("a")


@pytest.mark.parametrize(
    ("members", "said"),
    [({"token_type": None}, "does not say of what type its token is"),
     ({"token_type": 1}, "does not say of what type its token is"),
     ({"token_type": "DPoP"}, "gave a token of type DPoP, which is not known here"),
     ({"token_type": "\x1b[31m"}, "gave a token of type \\x1b[31m, which")],
)  # fmt: skip
def test_o17_a_token_of_a_type_that_is_not_known_is_refused(members: dict[str, object], said: str) -> None:
    assert str(fault_of(issued("canary-access", **members))).startswith(f"{SERVER}/token {said}")
    assert "canary" not in str(fault_of(issued("canary-access", **members)))


@pytest.mark.parametrize("text", ["", "canary token", "canary\r\nX: y", "can\u00e4ry", "canary,", 7, None, ["canary"]])
def test_o27_a_token_that_no_field_can_carry_is_refused_unseen(text: Any) -> None:
    error = fault_of(issued(text))
    assert "gave an access token with a character that no token may have" in str(error)
    assert "canary" not in str(error)


@pytest.mark.parametrize(
    ("given", "lifetime"),
    [(3600, 3600.0), ("3600", 3600.0), (0.5, 0.5), (1e300, 1e10), ("inf", 1e10), (0, None), (-5, None), ("soon", None),
     (None, None), (True, None), ([], None), ("nan", None), (10**18, 1e10), ("9" * 400, 1e10)],
)  # fmt: skip
def test_o18_a_lifetime_is_read_however_it_is_written_and_what_is_none_is_unknown(
    given: object, lifetime: float | None
) -> None:
    token = token_of(issued("a", expires_in=given))
    assert token.lifetime == lifetime
    assert token.expires_at == (None if lifetime is None else NOW + lifetime)


@pytest.mark.parametrize("given", ["", 7, None, {}])
def test_o18_a_refresh_token_that_is_none_counts_as_left_out(given: object) -> None:
    assert token_of(issued("a", refresh_token=given)).refresh_token is None


@pytest.mark.parametrize(
    ("given", "scope"), [("read write", "read write"), (["read", "write"], "read write"), ([1], None), (7, None)]
)
def test_o19_the_scope_that_was_granted_is_kept_also_as_a_list(given: object, scope: str | None) -> None:
    assert token_of(issued("a", scope=given)).scope == scope


def test_a_token_in_a_form_is_taken_too() -> None:
    form = urlencode({"access_token": "a-1", "token_type": "bearer", "scope": "read", "expires_in": "60"})
    assert token_of(Response(200, (), f"{form}\n".encode())) == Token("a-1", NOW + 60, 60.0, scope="read")


@pytest.mark.parametrize(
    "body", [b"access_token=a&access_token=b&token_type=bearer", b"x=1", b"access_token", b"\xff=1", b"", b"[1]", b"7"]
)
def test_what_is_neither_an_object_nor_a_form_that_can_be_relied_on_has_no_members(body: bytes) -> None:
    assert members_of(Response(200, (), body)) == {}


# --- errors


def test_o20_an_error_is_known_by_its_code_and_its_description_is_for_people() -> None:
    error = fault_of(refused("invalid_grant", error_description="it is\nspent."))
    assert (error.code, error.status, error.origin) == ("invalid_grant", 400, SERVER)
    assert str(error) == f"{SERVER}/token answered 400: invalid_grant: it is\\nspent"


@pytest.mark.parametrize(
    ("response", "said"),
    [(Response(400, HTML, b"<html>canary"), "answered 400: no reason given (text/html)"),
     (Response(500), "answered 500: no reason given (no media type)"),
     (Response(403, TEXT, b"go  away."), "answered 403: go away"),
     (Response(403, TEXT, b"<b>canary"), "answered 403: no reason given (text/plain)"),
     (Response(403, JSON, b'{"message": "canary"}'), "answered 403: no reason given (application/json)"),
     (Response(200, HTML, b"<html>canary"), "answered with text/html, and no token: is that its address?"),
     (Response(200, JSON, b"{}"), "answered with application/json, and no token: is that its address?"),
     (answer({"error_description": "canary"}), "answered with application/json, and no token: is that"),
     (answer({"error": 7, "error_description": "no"}, 400), "answered 400: no"),
     (Response(400, ((b"Content-Type", b"\xffx\x1b"[:2]),)), "answered 400: no reason given (\xffx)")],
)  # fmt: skip
def test_o20_an_error_in_no_form_or_any_other_is_an_error_without_a_code(response: Response, said: str) -> None:
    error = fault_of(response)
    assert str(error).startswith(f"{SERVER}/token {said}")
    assert error.code == ""


def test_an_error_with_the_status_of_success_is_an_error_even_beside_a_token() -> None:
    assert fault_of(answer({"error": "invalid_request"})).code == "invalid_request"
    assert fault_of(issued("a", error="invalid_request")).code == "invalid_request"


def test_members_that_are_null_count_as_left_out() -> None:
    """As servers write them that name every member they know."""
    nothing = dict.fromkeys(["error", "error_description", "expires_in", "refresh_token", "scope"])
    assert token_of(issued("a", **nothing)) == Token("a", extra={"error": None, "error_description": None})


def test_a_token_with_another_status_is_none() -> None:
    assert fault_of(answer({"access_token": "canary", "token_type": "Bearer"}, 400)).status == 400


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_o40_a_redirect_is_an_error_whatever_it_holds(status: int) -> None:
    members = {"access_token": "canary", "token_type": "Bearer", "error": "invalid_grant"}
    error = fault_of(answer(members, status, (b"Location", b"https://evil.example/canary")))
    assert str(error).startswith(f"{SERVER}/token redirects, which is not followed")
    assert "canary" not in str(error)
    assert error.code == ""


@pytest.mark.parametrize(
    "response",
    [refused("no", error_description="x" * 190 + " canary-secret"), refused("canary-secret is no code"),
     Response(400, TEXT, b"canary-secret"), refused("no", error_description="canary-secret, canary-secret"),
     issued("a", token_type="canary-secret")],
)  # fmt: skip
def test_o42_what_the_server_quotes_of_a_secret_is_hidden_before_it_is_cut(response: Response) -> None:
    with pytest.raises(TokenError) as caught:
        token_in(response, REQUEST, NOW, hiding(["canary-secret"]))
    assert "canary" not in str(caught.value)
    assert "canary" not in caught.value.code
    assert "***" in str(caught.value)


def test_what_a_server_says_at_length_is_cut() -> None:
    assert len(str(fault_of(refused("x" * 10_000, error_description="y" * 10_000)))) < 600
    assert members_of(Response(200, JSON, b" " * LONGEST + b'{"error": "late"}')) == {}


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_who_is_busy_or_broken_may_fare_better_later(status: int) -> None:
    assert is_passing(Response(status))


def test_a_server_may_say_in_its_own_words_that_it_is_busy() -> None:
    assert is_passing(refused("temporarily_unavailable"))
    assert is_passing(refused("server_error"))
    assert not is_passing(refused("invalid_grant"))
    assert not is_passing(refused("server_error", 401))
    assert not is_passing(issued("a"))


# --- anything


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda each: st.lists(each) | st.dictionaries(st.text(), each),
)
members = st.dictionaries(
    st.sampled_from(["access_token", "token_type", "expires_in", "refresh_token", "scope", "error", "x"]),
    anything | st.sampled_from(["a", "Bearer", "\ud800", "9" * 30, 2**64, -(2**63) - 1, 1e308, "\u20ac"]),
)


def check_any(status: int, body: bytes) -> None:
    response = Response(status, JSON, body)
    hide = hiding(["canary-secret"])
    try:
        token = token_in(response, REQUEST, NOW, hide)
    except TokenError as error:
        assert str(error).isprintable()
        assert isinstance(error_in(response, REQUEST, hide), TokenError)
        return
    assert status == 200
    assert is_token(token.access_token)
    assert token.expires_at is None or NOW < token.expires_at < NOW + 2e10
    assert kept_in(msgspec.json.encode(Kept(token))).token == token, "it cannot be kept"


@given(st.sampled_from([200, 400, 302, 503]), st.binary())
@example(200, b"1" * 5000)
@example(200, b"[" * 100_000)
@example(200, b'{"access_token": "a", "token_type": "bearer", "x": ' + b"[" * 950 + b"]" * 950 + b"}")
@example(200, b'{"access_token": "a", "token_type": "bearer", "x": 1e400}')
@example(200, b'{"access_token": "a", "token_type": "bearer", "x": ' + b"9" * 60 + b"}")
@example(200, b"access_token=a&token_type=bearer&x=%ff%00")
def test_any_octets_are_a_token_that_can_be_sent_and_kept_or_an_error(status: int, body: bytes) -> None:
    check_any(status, body)


@given(st.sampled_from([200, 400]), members)
def test_any_json_is_a_token_that_can_be_sent_and_kept_or_an_error(status: int, said: dict[str, object]) -> None:
    check_any(status, json.dumps(said).encode())


@given(members.map(lambda said: {"access_token": "a", "token_type": "bearer"} | said))
def test_any_members_beside_a_token_make_one_that_can_be_sent_and_kept_or_an_error(said: dict[str, object]) -> None:
    check_any(200, json.dumps(said).encode())
