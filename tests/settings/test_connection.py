from __future__ import annotations

import pickle
from typing import Any

import pytest

from patchwire.auth.secret import Secret
from patchwire.errors import SettingsError
from patchwire.http.message import Origin
from patchwire.settings.connection import (
    ConnectionSettings,
    material_names,
    parse_connection,
    resolve,
    secret_references,
)
from patchwire.settings.tls import Material, TlsSettings

BASIC = {"base_url": "http://h", "authentication": "basic", "user": "svc", "password": "literal:canary"}
DIGEST = {**BASIC, "authentication": "digest"}


def settings(secrets: dict[str, str] | None = None, **data: Any) -> ConnectionSettings:
    file = parse_connection("crm.toml", {"base_url": "http://h/v1?k=1", **data})
    return resolve("crm.toml", file, {key: Secret(text) for key, text in (secrets or {}).items()})


def test_a_base_url_may_have_a_host_beyond_ascii() -> None:
    assert settings(base_url="https://b\u00fccher.example/v1").origin == Origin("https", "xn--bcher-kva.example", 443)


def test_a_base_url_is_split_and_kept_as_written() -> None:
    found = settings(base_url="http://[::1]:8080/a%2Fb/?api-version=1&x")
    assert (found.origin, found.base_path, found.base_query) == (
        Origin("http", "::1", 8080), b"/a%2Fb/", b"api-version=1&x",
    )  # fmt: skip


def test_defaults_are_those_of_the_interface() -> None:
    found = settings()
    assert (found.authentication, found.preemptive, found.headers) == ("none", False, ())
    assert found.outcomes.unknown_statuses == (502, 504)
    limits = found.limits
    assert (limits.connect_timeout, limits.read_timeout) == (10.0, 60.0)
    assert (limits.max_response_head, limits.max_response_body) == (65_536, 16_777_216)
    assert (limits.tls_timeout, limits.write_timeout, limits.first_byte_timeout, limits.request_timeout) == (None,) * 4
    assert limits.shortest_timeout == 60.0
    assert limits.for_exchange().max_response_head == 65_536
    assert not found.carries_credentials


def test_limits_and_outcomes_are_read() -> None:
    found = settings(limits={"read_timeout": 5, "max_response_head": 100}, outcomes={"unknown_statuses": [500, 503]})
    assert (found.limits.read_timeout, found.limits.max_response_head) == (5.0, 100)
    assert found.outcomes.unknown_statuses == (500, 503)


@pytest.mark.parametrize(
    "key", ["read_timeout", "response_timeout", "write_timeout", "first_byte_timeout", "request_timeout"]
)
def test_the_shortest_timeout_is_that_of_any_that_run_during_an_exchange(key: str) -> None:
    assert settings(limits={"connect_timeout": 1, "tls_timeout": 1, key: 2}).limits.shortest_timeout == 2.0


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        ({"base_url": None}, "base_url: expected `str`, got `null`"),
        ({"base_url": "example.com"}, "base_url: 'example.com' must begin with http:// or https://"),
        ({"base_url": "http://"}, "base_url: 'http://' names no host"),
        ({"base_url": "http://u:p@h"}, "base_url: a URL must not hold user and password"),
        ({"base_url": "http://h/#x"}, "base_url: 'http://h/#x' holds a fragment"),
        ({"base_url": "http://h:99999"}, "base_url: 'http://h:99999' is no URL"),
        ({"base_url": "http://h\u00e4/\u00e4"}, "base_url: 'http://h\u00e4/\u00e4' is no URL: character 11,"),
        ({"base_url": "http://h\u2603/"}, "base_url: 'h\u2603' is no host name: codepoint U+2603"),
        ({"base_url": "http://h/a b"}, "base_url: 'http://h/a b' is no URL"),
        ({"base_url": "http://h/a|b"}, "base_url: '|' is not allowed there"),
        ({"base_url": "http://h", "tls": {"trust": ["a"]}}, "tls: has no use with a base_url of http://"),
        ({"base_url": "unix:/s", "tls": {"trust": ["a"]}}, "tls: has no use with a base_url of unix:"),
        ({"base_url": "unix:s"}, "base_url: 'unix:s': the path of a Unix socket must be absolute"),
        ({"base_url": "unix:/s:/a|b"}, "base_url: '|' is not allowed there"),
        ({"base_url": "https://h", "tls": {"client_key": "a"}}, "tls.client_key: has no use without"),
        ({"base_url": "https://h", "tls": {"client_password": "env:A"}}, "tls.client_password: has no use without"),
        ({"base_url": "https://h", "tls": {"trust_password": "env:A"}}, "tls.trust_password: has no use without"),
        ({"base_url": "https://h", "tls": {"system_roots": False}}, "tls.trust: missing; with system_roots = false"),
        ({"base_url": "https://h", "tls": {"minimum_version": "1.1"}}, "tls.minimum_version: expected one of"),
        ({"base_url": "https://h", "tls": {"trusted": []}}, "tls.trusted: unknown key"),
        ({"usr": "x"}, "usr: unknown key"),
        ({"limits": {"reed_timeout": 1}}, "limits.reed_timeout: unknown key"),
        ({"limits": {"read_timeout": "1"}}, "limits.read_timeout: expected `float`, got `str`"),
        ({"limits": {"read_timeout": 0}}, "limits.read_timeout: expected a number above 0, got 0"),
        ({"limits": {"connect_timeout": float("inf")}}, "limits.connect_timeout: expected a number above 0"),
        ({"limits": {"connect_timeout": float("nan")}}, "limits.connect_timeout: expected a number above 0"),
        ({"limits": {"max_response_body": -1}}, "limits.max_response_body: expected a number above 0"),
        ({"limits": {"tls_timeout": 0}}, "limits.tls_timeout: expected a number above 0, got 0"),
        ({"limits": {"write_timeout": -1}}, "limits.write_timeout: expected a number above 0, got -1"),
        ({"limits": {"first_byte_timeout": "1"}}, "limits.first_byte_timeout: expected `float | null`, got `str`"),
        ({"limits": {"request_timeout": float("inf")}}, "limits.request_timeout: expected a number above 0"),
        ({"outcomes": {"unknown_statuses": [404]}}, "outcomes.unknown_statuses: expected statuses from 500 to 599"),
        ({"outcomes": {"unknown_statuses": ["x"]}}, "outcomes.unknown_statuses[0]: expected `int`"),
        ({"authentication": "ntlm"}, "authentication: expected one of none, basic, digest, oauth2, aws, got 'ntlm'"),
        ({"authentication": "basic", "user": "x"}, "password: missing; authentication = \"basic\" needs it"),
        ({"authentication": "basic", "password": "env:X"}, "user: missing"),
        ({"authentication": "basic", "user": "a:b", "password": "env:X"}, "user: a user name must not hold a colon"),
        ({"authentication": "digest", "user": "x"}, "password: missing; authentication = \"digest\" needs it"),
        ({**DIGEST, "digest": {"algorithms": ["SHA-1"]}}, "digest.algorithms: expected some of SHA-512-256, SHA-256,"),
        ({**DIGEST, "digest": {"algorithms": ["md5"]}}, "digest.algorithms: expected some of SHA-512-256, SHA-256,"),
        ({**DIGEST, "digest": {"algorithms": []}}, "digest.algorithms: expected at least one"),
        ({**DIGEST, "digest": {"qop": []}}, "digest.qop: expected at least one"),
        ({**DIGEST, "digest": {"qop": ["auth-conf"]}}, "digest.qop: expected one of auth, auth-int, none,"),
        ({**DIGEST, "charset": "UTF-16"}, "charset: expected one of UTF-8, ISO-8859-1, got 'UTF-16'"),
        ({**BASIC, "digest": {"qop": ["auth"]}}, 'digest: has no use with authentication = "basic"'),
        ({"redirects": {"follow": [303]}}, "redirects.follow: expected some of 301, 302, 307, 308, got 303"),
        ({"redirects": {"limit": 0}}, "redirects.limit: expected 1 to 100, got 0"),
        ({"user": "x"}, 'user: has no use with authentication = "none"'),
        ({"headers": {"Content-Type": "a/b"}}, "headers.Content-Type: belongs to each record, as its member"),
        ({"headers": {"if-match": "*"}}, "headers.if-match: belongs to each record, as its member if_match"),
        ({"headers": {"X-A": "1", "x-a": "2"}}, "headers.X-A: stands twice"),
        ({"headers": {"X": 1}}, "headers[...]: expected `str`, got `int`"),
        ({"headers": {"Authorization": "Bearer canary"}}, "headers.Authorization: a secret must not stand here"),
        ({"headers": {"Cookie": "canary"}}, "headers.Cookie: a secret must not stand here"),
        ({"headers": {"X-Api-Key": "canary"}}, "headers.X-Api-Key: a secret must not stand here"),
        ({**BASIC, "headers": {"authorization": "env:X"}}, "headers.authorization: refused beside authentication"),
        ({**BASIC, "password": "canary"}, "password: a secret must not stand here as bare text"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_file_and_key(data: dict[str, Any], problem: str) -> None:
    with pytest.raises(SettingsError) as caught:
        file = parse_connection("crm.toml", {"base_url": "http://h", **data})
        secret_references("crm.toml", file)
    assert str(caught.value).startswith(f"crm.toml: {problem}"), str(caught.value)
    assert "canary" not in str(caught.value)


def test_a_bare_secret_is_refused_with_the_four_remedies() -> None:
    file = parse_connection("crm.toml", {**BASIC, "password": "hunter2"})
    with pytest.raises(SettingsError) as caught:
        secret_references("crm.toml", file)
    for remedy in ("env:NAME", "file:PATH", "keyring:SERVICE/USER", "literal:TEXT"):
        assert remedy in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_every_reference_is_listed_by_its_key() -> None:
    headers = {"Authorization": "env:TOKEN", "X-Key": "file:key", "Accept": "application/json", "X-Time": "12:30"}
    file = parse_connection("c", {"base_url": "http://h", "headers": headers})
    references = secret_references("c", file)
    assert {key: (each.kind, each.name) for key, each in references.items()} == {
        "headers.Authorization": ("env", "TOKEN"), "headers.X-Key": ("file", "key"),
    }  # fmt: skip


def test_resolved_fields_carry_their_secrets_and_say_which_they_are() -> None:
    headers = {"Authorization": "env:TOKEN", "X-Key": "env:KEY", "Accept": "text/plain"}
    found = settings({"headers.Authorization": "Bearer canary", "headers.X-Key": "canary"}, headers=headers)
    assert {name: value.reveal() for name, value in found.headers} == {
        b"Authorization": "Bearer canary", b"X-Key": "canary", b"Accept": "text/plain",
    }  # fmt: skip
    assert found.secret_fields == {b"authorization", b"x-key"}
    assert found.carries_credentials
    assert "canary" not in repr(found)


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("X-Key", "a\r\nX: canary", "headers.X-Key: field 'X-Key': character 2"),
        ("X-Key", "\u20accanary", "headers.X-Key: not Latin-1"),
        ("Upgrade", "canary", "headers: field 'Upgrade'"),
        ("Connection", "@", "headers: field 'Connection'"),
        ("X Key", "canary", "headers.X Key: 'X Key' is no field name"),
        ("Content-Length", "1", "headers.Content-Length: field 'Content-Length' is not yours"),
    ],
)
def test_a_field_that_cannot_be_sent_is_refused_without_its_value(name: str, text: str, problem: str) -> None:
    with pytest.raises(SettingsError) as caught:
        settings({f"headers.{name}": text}, headers={name: "env:X"})
    assert str(caught.value).startswith(f"crm.toml: {problem}")
    assert "canary" not in str(caught.value)


def test_the_file_as_a_value_does_not_show_a_literal_secret() -> None:
    assert "canary" not in repr(parse_connection("c", dict(BASIC)))


def test_the_identity_changes_with_what_shapes_requests_and_not_with_secrets_or_limits() -> None:
    one = settings({"headers.X-Key": "a"}, headers={"X-Key": "env:A", "Accept": "x"}, limits={"read_timeout": 1})
    same = settings({"headers.X-Key": "b"}, headers={"accept": "x", "X-Key": "literal:b"})
    assert one.identity == same.identity
    assert "literal" not in same.identity
    assert one.identity != settings(headers={"Accept": "x"}).identity
    assert one.identity != settings({"headers.X-Key": "a"}, headers={"X-Key": "env:A", "Accept": "y"}).identity
    assert settings().identity != settings(base_url="http://h/v2").identity


@pytest.mark.parametrize("key", ["connect_timeout", "read_timeout", "max_response_head", "max_response_body"])
@pytest.mark.parametrize("value", [0, -1])
def test_every_limit_is_above_0(key: str, value: int) -> None:
    with pytest.raises(SettingsError, match=rf"^crm\.toml: limits\.{key}: expected a number above 0, got {value}"):
        settings(limits={key: value})


@pytest.mark.parametrize(
    ("data", "key"),
    [
        ({"base_url": 1}, "base_url"),
        ({"authentication": 1}, "authentication"),
        ({"authentication": ["basic"]}, "authentication"),
        ({"user": 1}, "user"),
        ({"password": ["literal:canary"]}, "password"),
        ({"preemptive": 1}, "preemptive"),
        ({"preemptive": "canary"}, "preemptive"),
        ({"headers": "X: canary"}, "headers"),
        ({"headers": ["canary"]}, "headers"),
        ({"outcomes": 502}, "outcomes"),
        ({"outcomes": {"unknown_statuses": 502}}, "outcomes.unknown_statuses"),
        ({"limits": []}, "limits"),
        ({"limits": {"read_timeout": True}}, "limits.read_timeout"),
        ({"limits": {"max_response_head": True}}, "limits.max_response_head"),
        ({"limits": {"max_response_head": 1.5}}, "limits.max_response_head"),
    ],
)
def test_a_wrong_type_is_named_with_its_key_and_what_was_expected(data: dict[str, Any], key: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse_connection("crm.toml", {"base_url": "http://h", **data})
    assert str(caught.value).startswith(f"crm.toml: {key}: expected ")
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("table", ["", "outcomes.", "limits."])
def test_an_unknown_key_is_named_in_every_table(table: str) -> None:
    data = {"base_url": "http://h", "x": 1} if not table else {"base_url": "http://h", table[:-1]: {"x": 1}}
    with pytest.raises(
        SettingsError, match=rf"^crm\.toml: {table}x: unknown key; remove it, or correct its spelling$"
    ):
        parse_connection("crm.toml", data)


def test_a_connection_without_a_base_url_is_refused_by_name() -> None:
    with pytest.raises(SettingsError, match=r"^crm\.toml: base_url: missing$"):
        parse_connection("crm.toml", {})


def test_settings_with_a_secret_are_not_pickled() -> None:
    with pytest.raises(TypeError, match="a secret is not pickled"):
        pickle.dumps(settings({"headers.X-Key": "canary"}, headers={"X-Key": "env:KEY"}))


def test_a_base_url_is_part_of_no_error_once_it_holds_a_password() -> None:
    with pytest.raises(SettingsError) as caught:
        parse_connection("crm.toml", {"base_url": "http://svc:canary@h/"})
    assert "canary" not in str(caught.value)


TLS = {
    "client_certificate": "client.pem", "client_key": "client.key", "client_password": "literal:canary",
    "trust": ["a.pem", "b.pem"], "trust_password": "env:TRUST", "system_roots": False, "minimum_version": "1.3",
}  # fmt: skip


def test_certificate_files_and_their_passwords_are_named_to_be_read() -> None:
    file = parse_connection("crm.toml", {"base_url": "https://h", "tls": TLS})
    assert material_names(file) == {
        "tls.client_certificate": "client.pem", "tls.client_key": "client.key", "tls.trust[0]": "a.pem",
        "tls.trust[1]": "b.pem",
    }  # fmt: skip
    references = secret_references("crm.toml", file)
    assert set(references) == {"tls.client_password", "tls.trust_password"}
    assert "canary" not in repr(file) + repr(file.tls)


def test_tls_settings_hold_what_was_read() -> None:
    file = parse_connection("crm.toml", {"base_url": "https://h", "tls": TLS})
    material = {key: Material(name, b"canary " + name.encode()) for key, name in material_names(file).items()}
    secrets = {"tls.client_password": Secret("canary"), "tls.trust_password": Secret("t")}
    found = resolve("crm.toml", file, secrets, material).tls
    assert found == TlsSettings(
        material["tls.client_certificate"], material["tls.client_key"], Secret("canary"), None,
        (material["tls.trust[0]"], material["tls.trust[1]"]), Secret("t"), False, "1.3",
    )  # fmt: skip
    assert hash(found) == hash(resolve("crm.toml", file, secrets, material).tls)
    assert repr(material["tls.client_key"]) == "<Material client.key, 17 bytes>"
    assert "canary" not in repr(found)


def test_who_is_not_to_be_shown_the_client_certificate_is_held_to_what_is_trusted_all_the_same() -> None:
    mine, trusted = Material("ada.pem", b"a"), (Material("ca.pem", b"b"),)
    whole = TlsSettings(mine, mine, Secret("canary"), "ada", trusted, Secret("t"), False, "1.3")
    assert whole.without_client_certificate() == TlsSettings(
        trust=trusted, trust_password=Secret("t"), system_roots=False, minimum_version="1.3"
    )


def test_a_connection_is_the_same_for_a_journal_whatever_its_certificates_are() -> None:
    assert (
        settings(base_url="https://h").identity
        == settings(base_url="https://h", tls={"minimum_version": "1.3"}).identity
    )


OAUTH2 = {"grant_type": "authorization_code", "client_id": "app", "access_token": "env:T"}


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        ({"oauth2": OAUTH2}, 'oauth2: has no use with authentication = "none"'),
        ({**BASIC, "oauth2": OAUTH2}, 'oauth2: has no use with authentication = "basic"'),
        ({"authentication": "oauth2"}, "oauth2.grant_type: missing; expected one of authorization_code, password,"),
        (
            {"authentication": "oauth2", "oauth2": OAUTH2, "user": "u"},
            'user: has no use with authentication = "oauth2"; the password grant has oauth2.username and',
        ),
        (
            {"authentication": "oauth2", "oauth2": OAUTH2, "aws": {"region": "us-east-1"}},
            'aws: has no use with authentication = "oauth2"',
        ),
        (
            {"authentication": "oauth2", "oauth2": OAUTH2, "headers": {"Authorization": "env:A"}},
            'headers.Authorization: refused beside authentication = "oauth2"',
        ),
        ({"extensions": {"extended": []}}, "extensions.extended: unknown key"),
    ],
)
def test_oauth2_goes_with_no_other_authentication(data: dict[str, Any], problem: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse_connection("crm.toml", {"base_url": "http://h", **data})
    assert str(caught.value).startswith(f"crm.toml: {problem}"), str(caught.value)


def test_every_secret_of_oauth2_is_to_be_read_and_parameters_where_they_say_so() -> None:
    table = {
        "grant_type": "password", "client_id": "app", "client_secret": "env:S", "username": "ada",
        "password": "file:p", "refresh_token": "env:R", "access_token": "env:T", "access_token_url": "https://as/",
        "client_authentication": "body", "access_token_parameters": {"a": "env:A", "b": "plain"},
    }  # fmt: skip
    file = parse_connection("c", {"base_url": "http://h", "authentication": "oauth2", "oauth2": table})
    assert {key: each.name for key, each in secret_references("c", file).items()} == {
        "oauth2.client_secret": "S", "oauth2.password": "p", "oauth2.refresh_token": "R", "oauth2.access_token": "T",
        "oauth2.access_token_parameters.a": "A",
    }  # fmt: skip


def test_what_is_doubtful_of_a_connection_is_told_whatever_its_authentication() -> None:
    assert list(settings().doubts()) == []
    found = settings({"oauth2.access_token": "t"}, authentication="oauth2", oauth2=OAUTH2)
    assert [doubt.partition(",")[0] for doubt in found.doubts()] == ["the token goes over plain http"]
    aws = {"access_key": "A", "secret_key": "env:S", "service": "s3", "region": "us-east-1"}
    url = "https://s3.eu-west-1.amazonaws.com"
    (doubt,) = settings({"aws.secret_key": "s"}, base_url=url, authentication="aws", aws=aws).doubts()
    assert "eu-west-1" in doubt
