from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchwire.auth.oauth2_code import at_port, authorization_url, check_redirect_uri, code_in, is_callback
from patchwire.errors import CallbackError, LocalProtocolError, PatchwireError
from tests.support.vectors import load, needs_vectors

ENDPOINT = "https://server.example.com/authorize"
REDIRECT = "http://127.0.0.1:8080/callback"
ISSUER = "https://honest.example"
STATE = "canary-state-af0ifjsldkj"
VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


def request_url(endpoint: str = ENDPOINT, parameters: dict[str, str] | None = None, **changed: str) -> str:
    parts = {"client_id": "s6BhdRkqt3", "redirect_uri": REDIRECT, "scope": "", "state": STATE, "verifier": VERIFIER}
    return authorization_url(endpoint, parameters=parameters or {}, **parts | changed)


def answer(query: str, *, issuer: str | None = None, requires_issuer: bool = False, state: str = STATE) -> str:
    target = f"/callback?{query}"
    return code_in(target, redirect_uri=REDIRECT, state=state, issuer=issuer, requires_issuer=requires_issuer)


def refusal(query: str, **terms: Any) -> CallbackError:
    with pytest.raises(CallbackError) as caught:
        answer(query, **terms)
    assert "canary" not in str(caught.value)
    assert str(caught.value).isprintable()
    return caught.value


# --- the request


def test_the_request_has_the_parameters_of_rfc_6749_and_rfc_7636_in_this_order() -> None:
    assert request_url(scope="read write", parameters={"audience": "é&=+"}) == (
        f"{ENDPOINT}?response_type=code&client_id=s6BhdRkqt3"
        "&redirect_uri=http%3A%2F%2F127.0.0.1%3A8080%2Fcallback&scope=read%20write"
        f"&state={STATE}&code_challenge={CHALLENGE}&code_challenge_method=S256&audience=%C3%A9%26%3D%2B"
    )


def test_o01_o02_every_request_has_a_challenge_with_s256_and_never_the_verifier() -> None:
    parameters = dict(parse_qsl(request_url().partition("?")[2]))
    assert (parameters["code_challenge"], parameters["code_challenge_method"]) == (CHALLENGE, "S256")
    assert VERIFIER not in request_url()


@pytest.mark.parametrize("verifier", ["", "a" * 42, "canary" * 50])
def test_o01_there_is_no_request_without_a_verifier(verifier: str) -> None:
    with pytest.raises(LocalProtocolError, match="RFC 7636 section 4.1") as caught:
        request_url(verifier=verifier)
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("name", ["client_id", "state"])
@pytest.mark.parametrize("value", ["", "canary\n", "canaryé"])
def test_o05_there_is_none_without_state_or_client_either(name: str, value: str) -> None:
    with pytest.raises(LocalProtocolError, match=f"{name} must be printable ASCII, and not empty") as caught:
        request_url(**dict[str, Any]([(name, value)]))
    assert "canary" not in str(caught.value)


def test_an_empty_scope_is_left_out() -> None:
    assert "scope" not in dict(parse_qsl(request_url(), keep_blank_values=True))


@pytest.mark.parametrize(
    ("endpoint", "start"),
    [
        (ENDPOINT, f"{ENDPOINT}?response_type=code&"),
        (f"{ENDPOINT}?", f"{ENDPOINT}?response_type=code&"),
        (f"{ENDPOINT}?tenant=a%20b&c", f"{ENDPOINT}?tenant=a%20b&c&response_type=code&"),
        ("http://localhost:1/?a=?", "http://localhost:1/?a=?&response_type=code&"),
    ],
)
def test_the_endpoints_own_query_is_kept(endpoint: str, start: str) -> None:
    assert request_url(endpoint).startswith(start)


OURS = ["response_type", "client_id", "redirect_uri", "scope", "state", "code_challenge", "code_challenge_method"]


@pytest.mark.parametrize("name", OURS)
@pytest.mark.parametrize("value", ["", "token"])
def test_o09_no_parameter_can_override_one_of_ours(name: str, value: str) -> None:
    with pytest.raises(LocalProtocolError, match=f"the parameter '{name}' is not to be set"):
        request_url(parameters={"prompt": "login", name: value})
    with pytest.raises(LocalProtocolError, match=f"own query must not hold '{name}'"):
        request_url(f"{ENDPOINT}?{name}={value}")


def test_o09_none_repeats_one_of_the_endpoints_query() -> None:
    with pytest.raises(LocalProtocolError, match="the parameter 'tenant' is not to be set"):
        request_url(f"{ENDPOINT}?tenant=a", {"tenant": "b"})


def test_a_parameter_that_is_no_text_is_refused() -> None:
    with pytest.raises(LocalProtocolError, match="no text that UTF-8 can hold"):
        request_url(parameters={"a": "\ud800"})


def test_o16_the_endpoint_is_https() -> None:
    with pytest.raises(LocalProtocolError, match="must begin with https"):
        request_url("http://server.example.com/authorize")


# --- the redirect URI

REDIRECTS = [
    "http://127.0.0.1/", "http://127.0.0.1:8080", "http://[::1]:61023/callback", "http://localhost:3000/a?b=c",
    "https://client.example.com/callback", "https://client.example.com/@me?a=%20", "HTTPS://h/",
    "com.example.app:/oauth2redirect/example-provider", "com.example.app://callback",
]  # fmt: skip


@pytest.mark.parametrize("uri", REDIRECTS)
def test_o10_the_redirect_uri_is_sent_exactly_as_it_is(uri: str) -> None:
    check_redirect_uri(uri)
    assert f"&redirect_uri={quote(uri, safe='')}&" in request_url(redirect_uri=uri)


@pytest.mark.parametrize("uri", [f"{REDIRECT}#", "https://h/#a", "com.example.app:/a#b"])
def test_o10_it_holds_no_fragment(uri: str) -> None:
    with pytest.raises(LocalProtocolError, match="must not hold a fragment"):
        check_redirect_uri(uri)


@pytest.mark.parametrize(
    "uri", ["myapp:/callback", "myapp://callback", "urn:ietf:wg:oauth:2.0:oob", "javascript:a.b()"]
)
def test_o13_a_scheme_of_the_clients_own_has_a_dot(uri: str) -> None:
    with pytest.raises(LocalProtocolError, match="must have a dot .RFC 8252 section 7.1."):
        check_redirect_uri(uri)


@pytest.mark.parametrize("uri", ["http://client.example.com/", "http://127.0.0.1.example.com/", "http://10.0.0.1/"])
def test_http_to_another_machine_is_refused(uri: str) -> None:
    with pytest.raises(LocalProtocolError, match="must be https, or http to 127.0.0.1"):
        check_redirect_uri(uri)


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("", "no absolute URI"),
        ("/callback", "no absolute URI"),
        ("127.0.0.1:8080/callback", "no absolute URI"),
        ("https://h/a b", "no absolute URI"),
        ("https://h/\n", "no absolute URI"),
        ("https://h/100%", "no absolute URI"),
        ("com.example.app:", "no absolute URI"),
        ("https:callback", "names no host"),
        ("http:callback", "names no host"),
        ("https://[h/", "is no URL"),
        ("https://h/" + "a" * 2048, "more than 2,048"),
        ("https://me:canary@h/", "user and password"),
        ("com.example.app://canary@h/", "user and password"),
    ],
)
def test_what_is_no_redirect_uri_is_refused(uri: str, reason: str) -> None:
    with pytest.raises(LocalProtocolError, match=reason) as caught:
        check_redirect_uri(uri)
    assert "canary" not in str(caught.value)
    with pytest.raises(LocalProtocolError, match=reason):
        request_url(redirect_uri=uri)


# --- what comes to it


@pytest.mark.parametrize(
    ("target", "redirect_uri"),
    [
        ("/callback?code=x", REDIRECT),
        (b"/callback?code=x", REDIRECT),
        ("/callback", f"{REDIRECT}?a=b"),
        (f"{REDIRECT}?code=x", REDIRECT),
        (f"{REDIRECT}?code=x#_=_", REDIRECT),
        ("HTTP://127.0.0.1:8080/callback?code=x", REDIRECT),
        ("/?code=x", "http://127.0.0.1:8080"),
        ("http://localhost/?code=x", "http://LOCALHOST:80"),
        ("com.example.app:/a?code=x", "com.example.app:/a"),
    ],
)
def test_a_target_or_url_with_the_path_of_the_redirect_uri_is_a_callback(
    target: str | bytes, redirect_uri: str
) -> None:
    assert is_callback(target, redirect_uri)


@pytest.mark.parametrize(
    ("target", "redirect_uri"),
    [
        ("/favicon.ico", REDIRECT),
        ("/", REDIRECT),
        ("", REDIRECT),
        ("/callback/?code=x", REDIRECT),
        ("/Callback?code=x", REDIRECT),
        ("/call%62ack?code=x", REDIRECT),
        ("//callback?code=x", REDIRECT),
        (b"/callback\xff", REDIRECT),
        ("*", REDIRECT),
        ("code=x&state=y", REDIRECT),
        ("http://127.0.0.1:8081/callback?code=x", REDIRECT),
        ("https://127.0.0.1:8080/callback?code=x", REDIRECT),
        ("http://evil.example/callback?code=x", REDIRECT),
        ("http://[/callback", REDIRECT),
        ("com.example.app:/b?code=x", "com.example.app:/a"),
        ("com.example.other:/a?code=x", "com.example.app:/a"),
        ("/a?code=x", "com.example.app:/a"),
    ],
)
def test_nothing_else_is(target: str | bytes, redirect_uri: str) -> None:
    assert not is_callback(target, redirect_uri)
    with pytest.raises(CallbackError, match="did not come to the redirect URI"):
        code_in(target, redirect_uri=redirect_uri, state=STATE, issuer=None, requires_issuer=False)


@pytest.mark.parametrize("callback", [f"{REDIRECT}?code=x&state={STATE}", f"/callback?code=x&state={STATE}".encode()])
def test_the_code_is_read_from_a_url_and_from_a_request_target(callback: str | bytes) -> None:
    terms = {"redirect_uri": REDIRECT, "state": STATE}
    assert code_in(callback, **terms, issuer=None, requires_issuer=False) == "x"


def test_the_code_is_form_decoded() -> None:
    assert answer(f"code=a%2Bb+c%26~&state={STATE}") == "a+b c&~"


# --- state


@pytest.mark.parametrize(
    "query", ["code=canary", "code=canary&state=", "code=canary&state", "error=access_denied", ""]
)
def test_o05_an_answer_without_state_is_refused(query: str) -> None:
    assert "holds no state" in str(refusal(query))
    assert refusal(query).code == ""


@pytest.mark.parametrize("state", ["other", STATE[:-1], f"{STATE}a", STATE.upper(), "%C3%A9", "%FF", "%ED%A0%80"])
def test_o05_a_state_that_differs_in_one_character_is_refused(state: str) -> None:
    for query in (f"code=canary&state={state}", f"error=access_denied&state={state}"):
        assert "is of another request" in str(refusal(query))
        assert refusal(query).code == ""


def test_o05_an_answer_to_no_request_is_refused() -> None:
    assert "holds no state" in str(refusal("code=canary&state=", state=""))
    assert "is of another request" in str(refusal("code=canary&state=\ud800", state=""))


# --- issuer


def test_o06_the_expected_issuer_is_taken() -> None:
    query = f"code=x&state={STATE}&iss=https%3A%2F%2Fhonest.example"
    assert answer(query, issuer=ISSUER) == answer(query, issuer=ISSUER, requires_issuer=True) == "x"


@pytest.mark.parametrize("what", ["code=canary", "error=access_denied", "error=server_error&error_description=a"])
@pytest.mark.parametrize("iss", ["https://evil.example", f"{ISSUER}/", "https://HONEST.example", f"{ISSUER}:443"])
@pytest.mark.parametrize("requires_issuer", [True, False])
def test_o06_o08_another_issuer_is_refused_also_where_it_is_an_error(
    what: str, iss: str, requires_issuer: bool
) -> None:
    query = f"{what}&state={STATE}&{urlencode({'iss': iss})}"
    found = refusal(query, issuer=ISSUER, requires_issuer=requires_issuer)
    assert ("names another issuer" in str(found), found.code) == (True, "")


@pytest.mark.parametrize("what", ["code=canary", "error=access_denied"])
@pytest.mark.parametrize("iss", ["", "&iss=", "&iss"])
def test_o07_an_answer_without_the_issuer_that_was_promised_is_refused(what: str, iss: str) -> None:
    found = refusal(f"{what}&state={STATE}{iss}", issuer=ISSUER, requires_issuer=True)
    assert ("does not name its issuer" in str(found), found.code) == (True, "")


def test_an_issuer_that_is_not_promised_may_be_missing() -> None:
    assert answer(f"code=x&state={STATE}", issuer=ISSUER) == answer(f"code=x&state={STATE}&iss=", issuer=ISSUER) == "x"


def test_an_issuer_is_no_matter_where_none_is_known_unless_it_was_promised() -> None:
    query = f"code=x&state={STATE}&iss=https%3A%2F%2Fhonest.example"
    assert answer(query) == "x"
    assert "names another issuer" in str(refusal(query, requires_issuer=True))


# --- parameters


@pytest.mark.parametrize("name", ["code", "state", "iss", "error", "error_description", "error_uri"])
@pytest.mark.parametrize("value", ["", "a"])
def test_o09_a_repeated_parameter_is_refused(name: str, value: str) -> None:
    parameters = [("code", "canary"), ("state", STATE), (name, value), (name, "b")]
    assert f"holds {name!r} more than once" in str(refusal(urlencode(parameters)))


def test_o09_unknown_parameters_are_ignored_and_empty_ones_count_as_left_out() -> None:
    query = f"foo=bar&foo=%FF&&=&session_state&error=&code=x&state={STATE}&error_description=&iss="
    assert answer(query) == "x"


@pytest.mark.parametrize("code", ["", "code=", "code=a%0Ab", "code=%C3%A9", "code=%FF", "code=\ud800"])
def test_an_answer_without_a_code_that_can_be_sent_is_refused(code: str) -> None:
    assert "holds no code" in str(refusal(f"state={STATE}&{code}"))


def test_an_answer_with_code_and_error_is_refused() -> None:
    found = refusal(f"code=canary&error=access_denied&state={STATE}")
    assert ("both a code and an error" in str(found), found.code) == (True, "")


# --- refusals


def test_an_error_has_the_servers_code_and_words() -> None:
    found = refusal(f"error=access_denied&error_description=not+you%21&error_uri=https%3A%2F%2Fa&state={STATE}")
    assert str(found) == "the authorization server refused: access_denied: not you!"
    assert found.code == "access_denied"
    assert isinstance(found, PatchwireError)


def test_an_error_may_have_no_words() -> None:
    assert str(refusal(f"error=server_error&state={STATE}")) == "the authorization server refused: server_error"


def test_what_the_server_says_is_cut_and_made_printable_and_the_state_taken_out() -> None:
    words = {"error": "a\r\nb" + "x" * 500, "error_description": f"\x1b[31m{'y' * 190}{STATE}", "state": STATE}
    found = refusal(urlencode(words))
    assert found.code == r"a\r\nb" + "x" * 196
    assert str(found) == rf"the authorization server refused: {found.code}: \x1b[31m{'y' * 190}***"


@needs_vectors
def test_the_answers_of_the_vectors_are_taken_and_refused() -> None:
    cases = load("oauth2/vectors.json")["authorization_responses"]
    assert len(cases) == 11
    for case in cases:
        terms = {
            "state": case["state"],
            "issuer": case.get("issuer"),
            "requires_issuer": case.get("authorization_response_iss_parameter_supported", False),
        }
        if case["expect"].startswith("ok"):
            assert answer(case["query"], **terms) == dict(parse_qsl(case["query"]))["code"]
        else:
            expected = "access_denied" if case["expect"] == "error access_denied" else ""
            assert refusal(case["query"], **terms).code == expected


@given(st.text() | st.binary() | st.text().map(lambda query: f"/callback?state={STATE}&{query}"))
def test_no_callback_raises_anything_else(callback: str | bytes) -> None:
    try:
        code_in(callback, redirect_uri=REDIRECT, state=STATE, issuer=ISSUER, requires_issuer=False)
    except CallbackError as error:
        assert str(error).isprintable()


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("http://127.0.0.1/callback", "http://127.0.0.1:34567/callback"),
        ("http://localhost", "http://localhost:34567"),
        ("http://localhost/cb?env=test", "http://localhost:34567/cb?env=test"),
        ("http://[::1]:0/cb", "http://[::1]:34567/cb"),
    ],
)
def test_o11_any_port_takes_the_place_of_none_and_the_rest_stays(uri: str, expected: str) -> None:
    assert at_port(uri, 34567) == expected
