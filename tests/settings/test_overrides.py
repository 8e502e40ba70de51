from __future__ import annotations

from typing import Any

import pytest

from patchwire.errors import SettingsError
from patchwire.settings.connection import parse_connection
from patchwire.settings.overrides import Overridden, known_keys, override

BASE = {"base_url": "http://h", "headers": {"Accept": "text/plain"}}
CREDENTIALS = {"base_url": "http://h", "oauth2": {"grant_type": "client_credentials", "scope": "read"}}


def overridden(data: dict[str, Any], extensible: list[str], extension: dict[str, Any]) -> Overridden:
    return override("c.toml", {**data, "extensions": {"extensible": extensible}}, "prod.toml", extension)


def refusal(data: dict[str, Any], extensible: list[str], extension: dict[str, Any]) -> str:
    """What is said where the extension, or what it makes of the connection, is refused."""
    with pytest.raises(SettingsError) as caught:
        found = overridden(data, extensible, extension)
        with found.blaming():
            parse_connection("c.toml", found.data)
    assert "canary" not in str(caught.value)
    return str(caught.value)


# --- what may be overridden


def test_a_value_that_is_extensible_takes_the_place_of_the_connections_own() -> None:
    found = overridden(
        BASE, ["base_url", "limits.read_timeout"], {"base_url": "http://i", "limits": {"read_timeout": 5}}
    )
    assert found.data["base_url"] == "http://i"
    assert found.data["limits"] == {"read_timeout": 5}
    assert found.data["headers"] == BASE["headers"]
    assert found.when == {"base_url": "in force", "limits.read_timeout": "in force"}


def test_the_settings_before_the_overrides_stay_as_they_were() -> None:
    data = {**BASE, "extensions": {"extensible": ["headers.Accept"]}}
    found = override("c.toml", data, "prod.toml", {"headers": {"Accept": "a/b"}})
    assert found.data["headers"] == {"Accept": "a/b"}
    assert BASE["headers"] == {"Accept": "text/plain"}
    assert found.original is data


def test_without_an_extension_nothing_is_overridden() -> None:
    found = override("c.toml", BASE, "extension", {})
    assert (found.data, found.when) == (BASE, {})


@pytest.mark.parametrize(
    ("extensible", "allowed"),
    [([], "nothing"), (["user", "base_url"], "user, base_url"), (["headers.X-A"], "headers.X-A")],
)
def test_a_key_that_is_not_extensible_is_refused_by_name_with_what_is(extensible: list[str], allowed: str) -> None:
    assert refusal(BASE, extensible, {"password": "literal:canary"}) == (
        f"prod.toml: password: is not extensible; in c.toml extensions.extensible has {allowed}"
    )


@pytest.mark.parametrize("entry", ["headers", "headers.*", "headers.X-Api-Key"])
def test_the_fields_of_requests_are_extensible_one_by_one_or_all_together(entry: str) -> None:
    found = overridden(BASE, [entry], {"headers": {"X-Api-Key": "env:KEY"}})
    assert found.data["headers"] == {"Accept": "text/plain", "X-Api-Key": "env:KEY"}
    assert found.when == {"headers.X-Api-Key": "in force"}


def test_one_field_that_is_extensible_lets_no_other_through() -> None:
    assert refusal(BASE, ["headers.X-A"], {"headers": {"X-B": "b"}}).startswith("prod.toml: headers.X-B: is not ext")


def test_a_name_of_any_kind_may_hold_dots() -> None:
    data = {**BASE, "oauth2": {"access_token_parameters": {"a.b": "1"}}}
    extensible = ["headers.X.Y.Z", "oauth2.access_token_parameters"]
    extension = {"headers": {"X.Y.Z": "v"}, "oauth2": {"access_token_parameters": {"a.b": "2", "c.d.e": "3"}}}
    found = overridden(data, extensible, extension)
    assert found.data["headers"]["X.Y.Z"] == "v"
    assert found.data["oauth2"] == {"access_token_parameters": {"a.b": "2", "c.d.e": "3"}}
    assert found.value("headers.X.Y.Z") == "v"
    assert found.value("headers.X.Y") is None


@pytest.mark.parametrize(
    ("extension", "key"),
    [
        ({"base_ulr": "x"}, "base_ulr"),
        ({"base_u": "x"}, "base_u"),
        ({"oauth2": {"scoop": "x"}}, "oauth2.scoop"),
        ({"oauth2": "x"}, "oauth2"),
        ({"oauth2": [{"scope": "x"}]}, "oauth2"),
        ({"base_url": {"x": 1}}, "base_url.x"),
        ({"base_url": {}}, "base_url"),
        ({"nonsense": {}}, "nonsense"),
        ({"oauth2": {"jwt": {"kee": "x"}}}, "oauth2.jwt.kee"),
        ({"extensions": {"extensible": ["base_url"]}}, "extensions.extensible"),
        ({"extensions": {}}, "extensions"),
    ],
)
def test_a_key_that_is_none_is_refused_with_the_list_of_those_that_are(extension: dict[str, Any], key: str) -> None:
    said = refusal(BASE, ["base_url"], extension)
    assert said == f"prod.toml: {key!r} is no key that can be overridden; known are {', '.join(known_keys())}"
    for known in ("base_url", "headers.*", "oauth2.jwt.audience", "oauth2.access_token_parameters.*", "tls.trust"):
        assert known in known_keys()
    assert not any(known.startswith("extensions") for known in known_keys())


@pytest.mark.parametrize("name", ["base_ulr", "oauth2", "oauth2.*", "extensions.extensible", "", "headers_", "base_u"])
def test_what_is_extensible_and_no_key_is_refused_also_where_nothing_is_overridden(name: str) -> None:
    said = refusal(BASE, ["base_url", name], {})
    assert said.startswith(
        f"c.toml: extensions.extensible: {name!r} is no key that can be overridden; known are base_"
    )


@pytest.mark.parametrize(
    ("extensions", "problem"),
    [
        ("x", "extensions: expected `object`, got `str`"),
        ({"extensible": "base_url"}, "extensions.extensible: expected `array`, got `str`"),
        ({"extensible": [1]}, "extensions.extensible[0]: expected `str`, got `int`"),
    ],
)
def test_extensions_of_a_wrong_type_are_a_fault_of_the_connection(extensions: Any, problem: str) -> None:
    found = override("c.toml", {**BASE, "extensions": extensions}, "prod.toml", {})
    with pytest.raises(SettingsError) as caught:
        parse_connection("c.toml", found.data)
    assert str(caught.value) == f"c.toml: {problem}"


def test_an_empty_table_of_an_extension_says_nothing() -> None:
    assert overridden(BASE, [], {"headers": {}, "oauth2": {"jwt": {}}}).when == {}


@pytest.mark.parametrize(
    ("extension", "said"),
    [
        ({"oauth2.scope": "x"}, "oauth2.scope: expected it in [oauth2], as 'scope' and not in parts or in quotes"),
        (
            {"headers": {"X": {"Y": "x"}}},
            "headers.X.Y: expected it in [headers], as 'X.Y' and not in parts or in quotes",
        ),
    ],
)
def test_a_name_in_quotes_or_in_parts_where_it_should_not_be_is_told(extension: dict[str, Any], said: str) -> None:
    assert refusal(BASE, ["oauth2.scope", "headers"], extension) == f"prod.toml: {said}"


def test_a_table_of_the_connection_that_is_none_is_its_own_fault() -> None:
    data = {"base_url": "http://h", "oauth2": {"jwt": "x"}}
    said = refusal(data, ["oauth2.jwt.key_id"], {"oauth2": {"jwt": {"key_id": "k"}}})
    assert said == "c.toml: oauth2.jwt: expected a table"


def test_a_list_is_replaced_as_a_whole() -> None:
    found = overridden(
        {"base_url": "https://h", "tls": {"trust": ["a"]}}, ["tls.trust"], {"tls": {"trust": ["b", "c"]}}
    )
    assert found.data["tls"] == {"trust": ["b", "c"]}
    assert found.place_of("tls.trust[1]") == "prod.toml"


# --- when an override is in force


@pytest.mark.parametrize("grant", ["authorization_code", "password", "jwt_bearer", "device_code"])
def test_what_is_overridden_of_oauth2_waits_for_the_token(grant: str) -> None:
    data = {"base_url": "http://h", "oauth2": {"grant_type": grant, "jwt": {"key_id": "a"}}}
    extension = {"base_url": "http://i", "oauth2": {"scope": "x", "jwt": {"key_id": "b"}}}
    found = overridden(data, ["base_url", "oauth2.scope", "oauth2.jwt.key_id"], extension)
    assert found.when == {
        "base_url": "in force", "oauth2.scope": "after the token", "oauth2.jwt.key_id": "after the token",
    }  # fmt: skip
    assert found.data["oauth2"] == {"grant_type": grant, "scope": "x", "jwt": {"key_id": "b"}}


def test_under_client_credentials_the_defaults_run_where_the_access_token_is_not_extensible() -> None:
    found = overridden(CREDENTIALS, ["base_url", "oauth2.scope"], {"base_url": "http://i", "oauth2": {"scope": "x"}})
    assert found.when == {"base_url": "in force", "oauth2.scope": "never"}
    assert found.data["oauth2"] == CREDENTIALS["oauth2"]
    assert found.data["base_url"] == "http://i"
    assert found.place_of("oauth2.scope") == "c.toml"


def test_under_client_credentials_an_extensible_access_token_lets_the_overrides_through() -> None:
    found = overridden(CREDENTIALS, ["oauth2.scope", "oauth2.access_token"], {"oauth2": {"scope": "x"}})
    assert found.when == {"oauth2.scope": "after the token"}
    assert found.data["oauth2"] == {"grant_type": "client_credentials", "scope": "x"}


def test_also_what_never_comes_into_force_must_be_extensible() -> None:
    said = refusal(CREDENTIALS, ["base_url"], {"oauth2": {"scope": "x"}})
    assert said == "prod.toml: oauth2.scope: is not extensible; in c.toml extensions.extensible has base_url"


def test_the_grant_that_counts_is_that_of_the_connection() -> None:
    extension = {"oauth2": {"grant_type": "password"}}
    assert overridden(CREDENTIALS, ["oauth2.grant_type"], extension).when == {"oauth2.grant_type": "never"}


# --- custom services and regions of AWS

AWS = {
    "base_url": "http://h", "authentication": "aws",
    "aws": {"access_key": "A", "secret_key": "env:S", "service": "ses", "region": "us-east-1"},
}  # fmt: skip


@pytest.mark.parametrize(("of", "name"), [("service", "codepipeline"), ("region", "ap-south-9")])
def test_a_custom_service_or_region_applies_only_where_custom_is_chosen(of: str, name: str) -> None:
    keys = [f"aws.custom_{of}", f"aws.{of}"]
    custom = {f"custom_{of}": name}
    said = refusal(AWS, keys, {"aws": custom})
    assert said == f'prod.toml: aws.custom_{of}: applies only where aws.{of} is "custom", here or in c.toml'
    assert refusal({"base_url": "http://h"}, keys, {"aws": custom}) == said
    chosen_here = overridden(AWS, keys, {"aws": {of: "custom", **custom}})
    chosen_there = overridden(chosen_here.data, keys, {"aws": {f"custom_{of}": "other"}})
    assert chosen_here.data["aws"][f"custom_{of}"] == name
    assert chosen_there.data["aws"][f"custom_{of}"] == "other"
    for found in (chosen_here, chosen_there):
        parse_connection("c.toml", found.data)


# --- whose fault it is


@pytest.mark.parametrize(
    ("data", "extension", "said"),
    [
        (BASE, {"base_url": "ftp://h"}, "prod.toml: base_url: 'ftp://h' must begin with http:// or https://"),
        (BASE, {"base_url": 1}, "prod.toml: base_url: expected `str`, got `int`"),
        (BASE, {"headers": "x"}, "prod.toml: headers: expected `object`, got `str`"),
        (BASE, {"headers": {"Cookie": "canary"}}, "prod.toml: headers.Cookie: a secret must not stand here as bare"),
        ({**BASE, "limits": {"read_timeout": 0}}, {"base_url": "http://i"}, "c.toml: limits.read_timeout: expect"),
        ({**BASE, "x": 1}, {"base_url": "http://i"}, "c.toml: x: unknown key"),
        (BASE, {"authentication": "basic"}, 'c.toml with prod.toml: user: missing; authentication = "basic" needs it'),
        (BASE, {"authentication": "x"}, "prod.toml: authentication: expected one of none, "),
        (BASE, {"user": "u"}, 'prod.toml: user: has no use with authentication = "none"'),
        (
            {"base_url": "http://h"},
            {"oauth2": {"scope": "x"}},
            'c.toml with prod.toml: oauth2: has no use with authentication = "none"',
        ),
        (
            {"base_url": "https://h"},
            {"tls": {"trust": 1}},
            "prod.toml: tls.trust: expected `array`, got `int`",
        ),
        (CREDENTIALS, {"oauth2": {"scope": 1}}, 'c.toml: oauth2: has no use with authentication = "none"'),
        ({"base_url": 1}, {"oauth2": {"scope": "x"}}, "c.toml: base_url: expected `str`, got `int`"),
    ],
)  # fmt: skip
def test_a_fault_names_the_file_whose_value_it_is(data: dict[str, Any], extension: dict[str, Any], said: str) -> None:
    extensible = ["base_url", "headers", "authentication", "user", "oauth2.scope", "tls.trust"]
    assert refusal(data, extensible, extension).startswith(said)


def test_a_connection_that_lacks_what_the_extension_gives_is_whole_with_it() -> None:
    found = overridden({}, ["base_url"], {"base_url": "http://h"})
    assert parse_connection("c.toml", found.data).base_url == "http://h"


def test_nothing_that_is_overridden_is_shown() -> None:
    found = overridden({**BASE, "password": "literal:canary"}, ["user"], {"user": "canary"})
    assert repr(found) == "<Overridden ['user']>"


# --- what of the connection has lost its use

BASIC = {"base_url": "https://h", "authentication": "basic", "user": "u", "password": "env:P", "tls": {"trust": ["a"]}}
CUSTOM = {**AWS, "aws": {**AWS["aws"], "service": "custom", "custom_service": "codepipeline"}}  # type: ignore[dict-item]


@pytest.mark.parametrize(
    ("data", "extension", "left"),
    [
        (BASIC, {"base_url": "http://127.0.0.1:8080"}, ["base_url", "authentication", "user", "password"]),
        (BASIC, {"authentication": "none"}, ["base_url", "authentication", "tls"]),
        (
            BASIC,
            {"authentication": "aws", "aws": AWS["aws"]},
            ["base_url", "authentication", "tls", "aws"],
        ),
        (CUSTOM, {"aws": {"service": "s3"}}, ["base_url", "authentication", "aws"]),
    ],
)
def test_what_an_override_leaves_no_use_for_is_left_out(
    data: dict[str, Any], extension: dict[str, Any], left: list[str]
) -> None:
    extensible = [key for key in known_keys() if key.startswith(("aws.", "base_url", "authentication"))]
    found = overridden(data, extensible, extension)
    assert sorted(found.data) == sorted([*left, "extensions"])
    assert "custom_service" not in found.data.get("aws", {})
    parse_connection("c.toml", found.data)


def test_what_the_extension_itself_gives_is_never_left_out() -> None:
    extension = {"base_url": "http://i", "tls": {"trust": ["b"]}}
    said = refusal(BASIC, ["base_url", "tls.trust"], extension)
    assert said == "c.toml with prod.toml: tls: has no use with a base_url of http://; expected https://"


def test_an_override_that_never_comes_into_force_leaves_nothing_out() -> None:
    data = {**CREDENTIALS, "oauth2": {**CREDENTIALS["oauth2"], "client_secret": "env:S"}}  # type: ignore[dict-item]
    extension = {"oauth2": {"client_authentication": "none"}}
    assert overridden(data, ["oauth2.client_authentication"], extension).data["oauth2"] == data["oauth2"]


def test_certificates_for_the_authorization_server_stay_where_the_connection_itself_has_no_tls() -> None:
    oauth2 = {"grant_type": "authorization_code", "client_id": "app", "access_token": "env:T"}
    data = {"base_url": "https://h", "authentication": "oauth2", "oauth2": oauth2, "tls": {"trust": ["a"]}}
    extension = {"base_url": "http://127.0.0.1:8080"}
    assert "tls" not in overridden(data, ["base_url"], extension).data
    for key in ("access_token_url", "metadata_url"):
        found = overridden({**data, "oauth2": {**oauth2, key: "https://as.example/"}}, ["base_url"], extension)
        assert found.data["tls"] == {"trust": ["a"]}
        parse_connection("c.toml", found.data)
    whole = {**data, "oauth2": {**oauth2, "access_token_url": "https://as.example/"}}
    left = overridden(whole, ["base_url", "authentication"], {**extension, "authentication": "none"}).data
    assert not {"oauth2", "tls"} & set(left)
