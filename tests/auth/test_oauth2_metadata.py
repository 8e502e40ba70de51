from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchwire.auth.oauth2_metadata import LARGEST, Metadata, check_issuer, metadata_in, metadata_url
from patchwire.errors import LocalProtocolError, RemoteProtocolError
from patchwire.http.message import Response
from tests.support.vectors import load, needs_vectors

ISSUER = "https://server.example.com"
URL = f"{ISSUER}/.well-known/oauth-authorization-server"
OPENID_URL = f"{ISSUER}/.well-known/openid-configuration"
SET_ISSUER = "set oauth2.issuer to the issuer that is expected"


def answer(body: bytes, status: int = 200, media_type: bytes | None = b"application/json") -> Response:
    return Response(status, () if media_type is None else ((b"Content-Type", media_type),), body)


def document(**members: object) -> Response:
    return answer(json.dumps({"issuer": ISSUER, "token_endpoint": f"{ISSUER}/token"} | members).encode())


def refusal(response: Response, url: str = URL, issuer: str | None = None) -> str:
    with pytest.raises(RemoteProtocolError) as caught:
        metadata_in(response, url, issuer)
    text = str(caught.value)
    assert text.isprintable()
    return text.removeprefix(f"{url}: no metadata of an authorization server that can be used: ")


# --- where it is


@pytest.mark.parametrize(
    ("issuer", "url"),
    [
        ("https://example.com", "https://example.com/.well-known/oauth-authorization-server"),
        ("https://example.com/", "https://example.com/.well-known/oauth-authorization-server"),
        ("https://example.com/issuer1", "https://example.com/.well-known/oauth-authorization-server/issuer1"),
        ("https://example.com/a/", "https://example.com/.well-known/oauth-authorization-server/a"),
        ("http://[::1]:8080/a/b", "http://[::1]:8080/.well-known/oauth-authorization-server/a/b"),
    ],
)
def test_o28_the_well_known_name_goes_between_host_and_path(issuer: str, url: str) -> None:
    assert metadata_url(issuer) == url


@needs_vectors
def test_o28_the_urls_of_the_vectors_are_met() -> None:
    cases = load("oauth2/vectors.json")["metadata_urls"]
    assert len(cases) == 5
    for case in cases:
        assert metadata_url(case["issuer"]) == case["url"]


@pytest.mark.parametrize(
    ("issuer", "reason"),
    [
        ("http://example.com", "must begin with https"),
        ("https://example.com?a", "must not hold a query"),
        ("https://example.com/?", "must not hold a query"),
        ("https://example.com/#a", "fragment"),
        ("https://a@example.com", "user and password"),
        ("example.com", "must begin with http"),
    ],
)
def test_o30_an_issuer_is_https_without_query_or_fragment(issuer: str, reason: str) -> None:
    for use in (check_issuer, metadata_url):
        with pytest.raises(LocalProtocolError, match=reason):
            use(issuer)
    assert reason in refusal(document(issuer=issuer))
    assert reason in refusal(document(issuer=issuer), issuer=issuer)


def test_metadata_for_any_tenant_name_none_and_the_remedy_is_told() -> None:
    issuer = "https://login.example/{tenantid}/v2.0"
    assert "is of no single tenant: name yours in oauth2.metadata_url" in refusal(document(issuer=issuer))


@pytest.mark.parametrize("name", ["token_endpoint", "authorization_endpoint", "device_authorization_endpoint"])
def test_metadata_of_another_machine_name_nothing_on_this_one(name: str) -> None:
    said = refusal(document(**{name: "http://127.0.0.1:2375/x"}))
    assert f"its {name} 'http://127.0.0.1:2375/x' is on this machine, and its issuer is not" in said


# --- what it says


def test_the_members_are_read_and_unknown_ones_ignored() -> None:
    found = metadata_in(
        document(
            authorization_endpoint=f"{ISSUER}/authorize?a=b",
            device_authorization_endpoint="https://devices.example/device",
            code_challenge_methods_supported=["plain", "S256"],
            token_endpoint_auth_methods_supported=["private_key_jwt"],
            authorization_response_iss_parameter_supported=True,
            ui_locales_supported=[1, None, {}],
        ),
        URL,
        None,
    )
    assert found == Metadata(
        ISSUER,
        f"{ISSUER}/token",
        f"{ISSUER}/authorize?a=b",
        "https://devices.example/device",
        ("plain", "S256"),
        ("private_key_jwt",),
        True,
    )


def test_members_that_are_missing_or_null_have_their_defaults() -> None:
    expected = Metadata(ISSUER, f"{ISSUER}/token")
    assert metadata_in(document(), URL, None) == expected
    given_as_null = dict.fromkeys(
        (
            "authorization_endpoint",
            "code_challenge_methods_supported",
            "authorization_response_iss_parameter_supported",
        )
    )
    assert metadata_in(document(**given_as_null), URL, None) == expected
    assert not expected.authorization_response_iss_parameter_supported


@pytest.mark.parametrize(
    ("methods", "lacks"), [(None, False), (["S256"], False), (["plain", "S256"], False), (["plain"], True), ([], True)]
)
def test_o04_a_server_that_lists_its_methods_without_s256_lacks_it(methods: list[str] | None, lacks: bool) -> None:
    assert metadata_in(document(code_challenge_methods_supported=methods), URL, None).lacks_s256 is lacks


@pytest.mark.parametrize("name", ["token_endpoint", "authorization_endpoint", "device_authorization_endpoint"])
@pytest.mark.parametrize(
    "url", ["http://server.example.com/a", "https://h/#a", "/a", "", "https://h/\ud800\n", "x" * 5000]
)
def test_o30_its_endpoints_are_https(name: str, url: str) -> None:
    text = refusal(document(**{name: url}))
    assert text.startswith(f"its {name}: ")
    assert len(text) < 200


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({"issuer": 1}, "Expected `str`, got `int` - at `$.issuer`"),
        ({"issuer": None}, "Object missing required field `issuer`"),
        ({"token_endpoint": None}, "Object missing required field `token_endpoint`"),
        ({"code_challenge_methods_supported": "S256"}, "got `str` - at `$.code_challenge_methods_supported`"),
        ({"authorization_response_iss_parameter_supported": "true"}, "Expected `bool`, got `str`"),
    ],
)
def test_a_member_of_another_type_is_refused_by_its_name(members: dict[str, object], reason: str) -> None:
    assert reason in refusal(document(**members))


# --- whose it is


def test_o29_the_issuer_is_the_configured_one_whatever_the_url() -> None:
    assert metadata_in(document(), "https://elsewhere.example/metadata", ISSUER).issuer == ISSUER


@pytest.mark.parametrize(
    "stated", ["https://evil.example", f"{ISSUER}/", ISSUER.upper(), f"{ISSUER}:443", "https://Server.example.com"]
)
def test_o29_an_issuer_that_differs_in_one_character_is_refused(stated: str) -> None:
    text = refusal(document(issuer=stated), issuer=ISSUER)
    assert text == f"its issuer is {stated!r} and not {ISSUER!r}"


@pytest.mark.parametrize("url", [URL, OPENID_URL])
@pytest.mark.parametrize("end", ["", "/"])
def test_o29_without_a_configured_issuer_it_is_the_one_of_the_url(url: str, end: str) -> None:
    assert metadata_in(document(issuer=ISSUER + end), url, None).issuer == ISSUER + end


@pytest.mark.parametrize(
    ("issuer", "url"),
    [
        (f"{ISSUER}/a", f"{ISSUER}/.well-known/oauth-authorization-server/a"),
        (f"{ISSUER}/a", f"{ISSUER}/a/.well-known/openid-configuration"),
        (f"{ISSUER}/a/", f"{ISSUER}/a/.well-known/openid-configuration"),
    ],
)
def test_o29_also_where_that_has_a_path(issuer: str, url: str) -> None:
    assert metadata_in(document(issuer=issuer), url, None).issuer == issuer


@pytest.mark.parametrize("stated", ["https://evil.example", f"{ISSUER}/a", "https://SERVER.example.com"])
@pytest.mark.parametrize("url", [URL, OPENID_URL])
def test_o29_another_one_is_refused_and_what_to_set_is_said(stated: str, url: str) -> None:
    assert refusal(document(issuer=stated), url).endswith(SET_ISSUER)


def test_o29_a_url_of_no_known_form_needs_a_configured_issuer() -> None:
    assert refusal(document(), f"{ISSUER}/metadata.json").endswith(SET_ISSUER)


# --- answers that are none


@pytest.mark.parametrize(
    "media_type", [b"application/json", b"application/json; charset=UTF-8", b"Application/JSON ;a"]
)
def test_o31_an_answer_is_application_json(media_type: bytes) -> None:
    assert metadata_in(answer(document().body, media_type=media_type), URL, None).issuer == ISSUER


@pytest.mark.parametrize(
    "media_type", [None, b"", b"text/html", b"application/json-seq", b"text/plain;application/json"]
)
def test_o31_another_media_type_is_refused(media_type: bytes | None) -> None:
    assert refusal(answer(document().body, media_type=media_type)) == "it is not application/json"


@pytest.mark.parametrize("status", [201, 204, 302, 404, 500])
def test_o31_another_status_is_refused(status: int) -> None:
    assert refusal(answer(document().body, status)) == f"the status is {status} and not 200"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "no JSON"),
        (b"<html>", "no JSON"),
        (b"[]", "no JSON object"),
        (b"null", "no JSON object"),
        (b"\xff", "not UTF-8"),
        (b"[" * 500_000, "nested too deeply"),
        (b'{"issuer":NaN}', "NaN"),
        (b'{"issuer":"https://a","issuer":"https://b"}', "twice"),
        (b'{"a":' + b"9" * 9999 + b"}", "limit"),
        (b" " * (LARGEST + 1), "more than 1,048,576 octets"),
    ],
)
def test_o31_a_body_that_is_no_object_is_refused_in_one_line(body: bytes, reason: str) -> None:
    assert reason in refusal(answer(body))


def test_a_body_that_was_cut_is_refused_with_the_reason() -> None:
    response = Response(200, ((b"Content-Type", b"application/json"),), document().body, error="the body was cut")
    assert refusal(response) == "the body was cut"


@given(
    st.dictionaries(
        st.sampled_from(Metadata.__struct_fields__), st.none() | st.integers() | st.text() | st.lists(st.text())
    )
)
def test_no_document_raises_anything_else(members: dict[str, object]) -> None:
    try:
        metadata_in(document(**members), URL, None)
    except RemoteProtocolError as error:
        assert str(error).isprintable()
