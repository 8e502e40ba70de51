from __future__ import annotations

import os
from pathlib import Path

import pytest

from patchwire import load_connection
from patchwire.auth.oauth2_terms import Before
from patchwire.auth.secret import Secret
from patchwire.errors import SettingsError
from patchwire.files.connection_file import connection_from
from patchwire.settings.connection import ConnectionSettings
from patchwire.settings.oauth2 import OAuth2Settings
from tests.support.certificates import self_signed
from tests.support.pipes import endless, filled


def write(directory: Path, text: str | bytes) -> Path:
    path = directory / "crm.toml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_a_connection_is_loaded_with_its_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRM_TOKEN", "from-env")
    (tmp_path / "password").write_text("from-file\n", "utf-8")
    path = write(
        tmp_path,
        'base_url = "http://h/v1"\nauthentication = "basic"\nuser = "svc"\npassword = "file:password"\n'
        '[headers]\nX-Token = "env:CRM_TOKEN"\n',
    )
    settings = load_connection(path)
    assert settings.password.reveal() == "from-file"
    assert [value.reveal() for _, value in settings.headers] == ["from-env"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b"base_url = \n", "not valid TOML: Invalid value (at line 1, column 12)"),
        (b"base_url = 'http://h'\nx = \xff", "not UTF-8: byte 27 is invalid"),
        (b"a = " + b"1" * 5_000, "not valid TOML: "),
        (b"a = " + b"[" * 10_000, "not valid TOML: "),
        (b"[base_url]\nx = 1", "base_url: expected `str`, got `object`"),
        (b"base_url = 'http://h'\nauthentication = 'basic'\nuser = 'a'\npassword = 'literal:x\\u0001'", "password"),
        (b"base_url = 'http://h'\nauthentication = 'basic'\nuser = \"a\\u0001\"\npassword = 'literal:x'", "the user"),
    ],
)
def test_a_faulty_file_is_one_error_that_names_it(tmp_path: Path, text: bytes, problem: str) -> None:
    path = write(tmp_path, text)
    if b"literal:x\\u0001" in text:  # within single quotes TOML leaves the escape alone: this one is well-formed
        assert load_connection(path).password.reveal() == "x\\u0001"
        return
    with pytest.raises(SettingsError) as caught:
        load_connection(path)
    assert str(caught.value).startswith(f"{path}: {problem}"), str(caught.value)


def test_a_missing_file_and_a_directory_are_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"none\.toml: no such file or directory"):
        load_connection(tmp_path / "none.toml")
    with pytest.raises(SettingsError, match="is a directory"):
        load_connection(tmp_path)


def test_a_connection_a_secret_and_a_certificate_may_come_from_pipes_that_end(tmp_path: Path) -> None:
    pem = self_signed("a.example").pem
    text = b'base_url = "https://h"\n[headers]\nX-Token = "file:secret"\n[tls]\ntrust = ["ca.pem"]\n'
    with (
        filled(tmp_path / "crm.toml", text) as path,
        filled(tmp_path / "secret", b"from-pipe\n"),
        filled(tmp_path / "ca.pem", pem),
    ):
        settings = load_connection(path)
    assert [value.reveal() for _, value in settings.headers] == ["from-pipe"]
    assert [material.content for material in settings.tls.trust] == [pem]


def test_what_has_no_end_is_no_connection_file(tmp_path: Path) -> None:
    with endless(tmp_path / "crm.toml") as path, pytest.raises(SettingsError) as caught:
        load_connection(path)
    assert str(caught.value) == f"{path}: over 1 MiB: no connection file"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('[headers]\nX = "file:endless"', "headers.X: {}: over 64 KiB: no secret"),
        ('[tls]\ntrust = ["endless"]', "tls.trust[0]: {}: over 16 MiB: no certificate or key"),
    ],
)
def test_what_has_no_end_is_no_secret_and_no_certificate(tmp_path: Path, text: str, problem: str) -> None:
    path = write(tmp_path, f'base_url = "https://h"\n{text}')
    with endless(tmp_path / "endless") as pipe, pytest.raises(SettingsError) as caught:
        load_connection(path)
    assert str(caught.value) == f"{path}: {problem.format(pipe)}"


BASIC = 'base_url = "http://h"\nauthentication = "basic"\nuser = "svc"\n'


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "base_url: missing"),
        ('base_url = "http://h"\nbase_ulr = "x"', "base_ulr: unknown key"),
        ('base_url = "http://h"\npreemptive = "yes"', "preemptive: expected `bool`, got `str`"),
        ('base_url = "http://h"\n[limits]\nread_timeout = 0', "limits.read_timeout: expected a number above 0"),
        ('base_url = "http//h"', "base_url: 'http//h' must begin with http:// or https://"),
        (BASIC, "password: missing"),
        (BASIC + 'password = "canary"', "password: a secret must not stand here as bare text; write it as"),
        (BASIC + 'password = "env:PATCHWIRE_NOT_SET"', "password: the environment variable PATCHWIRE_NOT_SET"),
        (BASIC + 'password = "literal:canary\\u0001"', "the password holds a control character"),
        (BASIC + 'password = "literal:canary"\n[headers]\nAuthorization = "literal:canary"', "headers.Authorization"),
        ('base_url = "http://h"\n\n[headers]\nX = \n', "not valid TOML: Invalid value (at line 4, column 5)"),
        ('base_url = "http://h"\n[limits\n', "not valid TOML: "),
        ('base_url = "http://h"\nbase_url = "http://i"\n', "not valid TOML: Cannot overwrite a value"),
    ],
)
def test_each_fault_of_a_file_is_one_line_that_names_file_and_key(tmp_path: Path, text: str, problem: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(SettingsError) as caught:
        load_connection(path)
    assert str(caught.value).startswith(f"{path}: {problem}"), str(caught.value)
    assert "\n" not in str(caught.value)
    assert "canary" not in str(caught.value)


def test_paths_are_relative_to_the_connection_file_wherever_the_program_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "secret").write_text("right", "utf-8")
    (tmp_path / "elsewhere" / "secret").write_text("wrong", "utf-8")
    write(tmp_path, BASIC + 'password = "file:secret"')
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert load_connection("../crm.toml").password.reveal() == "right"


def test_a_faulty_secret_is_named_by_its_file_and_key_without_its_text(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("canary\r\nX: canary\n", "utf-8")
    path = write(tmp_path, 'base_url = "http://h"\n[headers]\nAuthorization = "file:secret"')
    with pytest.raises(SettingsError) as caught:
        load_connection(path)
    assert str(caught.value).startswith(f"{path}: headers.Authorization: ")
    assert "canary" not in str(caught.value)


# --- [aws]

AWS = 'base_url = "http://h"\nauthentication = "aws"\n[aws]\nservice = "apigateway"\nregion = "eu-central-1"\n'
PROFILE = AWS + 'credentials = "profile"\n'
KEYS = "[default]\naws_access_key_id = AKIDEXAMPLE\naws_secret_access_key = canary\n"


@pytest.fixture
def without_aws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.mark.usefixtures("without_aws")
def test_a_file_of_aws_credentials_is_found_beside_the_connection_file_wherever_the_program_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "keys").write_text(KEYS, "utf-8")
    write(tmp_path, PROFILE + 'credentials_file = "keys"')
    for directory, path in (("elsewhere", "../crm.toml"), ("", "crm.toml")):
        monkeypatch.chdir(tmp_path / directory)
        aws = load_connection(path).aws
        assert aws is not None
        assert aws.credentials_file is not None
        monkeypatch.chdir("/")
        assert Path(aws.credentials_file).samefile(tmp_path / "keys")


@pytest.mark.usefixtures("without_aws")
@pytest.mark.parametrize("name", ["{}/keys", "~/keys"])
def test_a_file_of_aws_credentials_may_have_its_whole_name(tmp_path: Path, name: str) -> None:
    (tmp_path / "keys").write_text(KEYS, "utf-8")
    aws = load_connection(write(tmp_path, f'{PROFILE}credentials_file = "{name.format(tmp_path)}"')).aws
    assert aws is not None
    assert aws.credentials_file == str(tmp_path / "keys")


@pytest.mark.usefixtures("without_aws")
@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('credentials = "environment"', "aws.credentials: the environment variable AWS_ACCESS_KEY_ID is not set"),
        ('credentials = "profile"', "aws.credentials: {}/.aws/credentials: no such file or directory: "),
        (
            'credentials = "profile"\ncredentials_file = "none"',
            "aws.credentials_file: {}/none: no such file or direct",
        ),
        ('credentials = "profile"\ncredentials_file = "."', "aws.credentials_file: {}: is a directory"),
        ('credentials = "profile"\ncredentials_file = "~nobody-of-this-name/x"', "aws.credentials_file: '~nobody-of-"),
        ('credentials = "profile"\ncredentials_file = "a\\u0000"', "aws.credentials_file: '{}/a\\x00': embedded null"),
        ('credentials = "profile"\ncredentials_file = "keys"\nprofile = "x"', "aws.profile: {}/keys holds no profile"),
        ('access_key = "AKIDEXAMPLE"\nsecret_key = "literal:canary key"', "aws: the secret key is empty, or holds a"),
        ('access_key = "a b"\nsecret_key = "literal:canary"', "aws: the access key is no AWS access key"),
    ],
)
def test_aws_credentials_that_cannot_be_are_named_with_the_connection_file(
    tmp_path: Path, text: str, problem: str
) -> None:
    (tmp_path / "keys").write_text(KEYS, "utf-8")
    path = write(tmp_path, AWS + text)
    with pytest.raises(SettingsError) as caught:
        load_connection(path)
    assert str(caught.value).startswith(f"{path}: {problem.replace('{}', str(tmp_path))}"), str(caught.value)
    assert str(caught.value).isprintable()
    assert "canary" not in str(caught.value)


@pytest.mark.usefixtures("without_aws")
def test_the_chain_is_not_asked_when_a_connection_is_loaded(tmp_path: Path) -> None:
    aws = load_connection(write(tmp_path, AWS + 'credentials = "chain"\nprofile = "none"')).aws
    assert aws is not None
    assert (aws.credentials, aws.profile) == ("chain", "none")


# --- extensions

OAUTH2 = """base_url = "https://h"
authentication = "oauth2"
{top}
[oauth2]
grant_type = "authorization_code"
client_id = "app"
authorization_url = "https://as.example/authorize"
access_token_url = "https://as.example/token"
scope = "read"
{oauth2}
[extensions]
extensible = ["base_url", "authentication", "user", "password", "headers", "tls.trust", "oauth2.client_id",
    "oauth2.scope", "oauth2.access_token", "oauth2.refresh_token", "oauth2.client_secret"]
"""
EXTENSIBLE = '[extensions]\nextensible = ["base_url", "user", "password", "headers.X-Api-Key", "tls.trust"]\n'


def extended(directory: Path, text: str, extension: str) -> ConnectionSettings:
    (directory / "envs").mkdir(exist_ok=True)
    (directory / "envs" / "prod.toml").write_text(extension, "utf-8")
    return load_connection(write(directory, text), directory / "envs" / "prod.toml")


def extension_refusal(directory: Path, text: str, extension: str) -> str:
    with pytest.raises(SettingsError) as caught:
        extended(directory, text, extension)
    said = str(caught.value)
    assert said.isprintable()
    assert "canary" not in said
    return said.replace(str(directory), "{}")


def test_an_extension_file_gives_other_values(tmp_path: Path) -> None:
    extension = 'base_url = "http://i/v2"\nuser = "other"\n[headers]\nX-Api-Key = "literal:canary"\n'
    settings = extended(tmp_path, BASIC + 'password = "literal:p"\n' + EXTENSIBLE, extension)
    assert (str(settings.origin), settings.base_path, settings.user) == ("http://i", b"/v2", "other")
    assert [(name, value.reveal()) for name, value in settings.headers] == [(b"X-Api-Key", "canary")]
    assert settings.secret_fields == {b"x-api-key"}
    assert settings.identity.startswith("http://i/v2\n")


def test_paths_in_an_extension_are_relative_to_the_connection_file(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("right", "utf-8")
    (tmp_path / "envs").mkdir()
    (tmp_path / "envs" / "secret").write_text("wrong", "utf-8")
    settings = extended(tmp_path, BASIC + EXTENSIBLE, 'password = "file:secret"')
    assert settings.password.reveal() == "right"


@pytest.mark.parametrize(
    ("extension", "problem"),
    [
        ("base_url = ", "{}/envs/prod.toml: not valid TOML: "),
        ('password = "canary"', "{}/envs/prod.toml: password: a secret must not stand here as bare text; write it as"),
        ('password = "env:PATCHWIRE_NOT_SET"', "{}/envs/prod.toml: password: the environment variable PATCHWIRE_NOT_"),
        ('password = "file:none"', "{}/envs/prod.toml: password: {}/none: no such file or directory"),
        ('password = "literal:canary\\u0001"', "{}/crm.toml with {}/envs/prod.toml: the password holds a control cha"),
        ('[headers]\nX-Api-Key = "literal:canary\\n"', "{}/envs/prod.toml: headers.X-Api-Key: field 'X-Api-Key': cha"),
        ('base_url = "http://h/ "', "{}/envs/prod.toml: base_url: 'http://h/ ' is no URL"),
        ('[limits]\nread_timeout = 1', "{}/envs/prod.toml: limits.read_timeout: is not extensible; in {}/crm.toml ex"),
        ('[extensions]\nextensible = ["limits.read_timeout"]', "{}/envs/prod.toml: 'extensions.extensible' is no key"),
        ('user = "a:b"', "{}/envs/prod.toml: user: a user name must not hold a colon"),
    ],
)  # fmt: skip
def test_a_fault_of_an_extension_names_its_file_and_the_key(tmp_path: Path, extension: str, problem: str) -> None:
    said = extension_refusal(tmp_path, BASIC + 'password = "literal:p"\n' + EXTENSIBLE, extension)
    assert said.startswith(problem), said


def test_a_certificate_of_an_extension_that_is_missing_is_named_with_its_file(tmp_path: Path) -> None:
    text = BASIC.replace("http:", "https:") + 'password = "literal:p"\n' + EXTENSIBLE
    said = extension_refusal(tmp_path, text, '[tls]\ntrust = ["none.pem"]')
    assert said == "{}/envs/prod.toml: tls.trust[0]: {}/none.pem: no such file or directory"


def test_a_secret_of_the_connection_that_is_missing_is_its_own_fault_beside_an_extension(tmp_path: Path) -> None:
    text = BASIC + 'password = "env:PATCHWIRE_NOT_SET"\n' + EXTENSIBLE
    said = extension_refusal(tmp_path, text, 'user = "other"')
    assert said.startswith("{}/crm.toml: password: the environment variable PATCHWIRE_NOT_SET is not set")


def test_a_key_that_is_not_known_as_extensible_is_told_without_an_extension_too(tmp_path: Path) -> None:
    path = write(tmp_path, 'base_url = "http://h"\n[extensions]\nextensible = ["usr"]')
    with pytest.raises(SettingsError, match=r"extensions\.extensible: 'usr' is no key that can be overridden; known"):
        load_connection(path)


def oauth2_of(settings: ConnectionSettings) -> OAuth2Settings:
    assert settings.oauth2 is not None
    return settings.oauth2


def test_the_kept_token_is_that_of_the_settings_before_their_overrides(tmp_path: Path) -> None:
    text = OAUTH2.format(top="", oauth2='access_token = "literal:before"')
    plain = oauth2_of(load_connection(write(tmp_path, text)))
    extension = 'base_url = "https://h/v2"\n[oauth2]\nclient_id = "b"\nscope = "w"\naccess_token = "literal:after"'
    found = oauth2_of(extended(tmp_path, text, extension))
    assert found.entry == plain.entry
    assert found.before == plain.before == Before(Secret("before"), "read", "https://as.example")
    assert (found.terms.client_id, found.terms.scope, found.terms.access_token) == ("b", "w", Secret("after"))
    assert plain.terms.remedy == f"run patchwire authorize {tmp_path}/crm.toml"
    assert found.terms.remedy == f"{plain.terms.remedy} --extension {tmp_path}/envs/prod.toml"


@pytest.mark.parametrize("base_url", ["https://i", "http://h", "https://h:444/v1"])
def test_another_origin_is_shown_no_token_that_was_obtained_for_that_of_the_connection(
    tmp_path: Path, base_url: str
) -> None:
    text = OAUTH2.format(top="", oauth2='access_token = "literal:before"')
    plain = oauth2_of(load_connection(write(tmp_path, text)))
    found = oauth2_of(extended(tmp_path, text, f'base_url = "{base_url}"\n[oauth2]\naccess_token = "literal:after"'))
    assert found.entry not in ("", plain.entry)
    assert found.before.access_token is None


def test_a_connection_whose_own_address_is_none_may_have_one_by_its_extension(tmp_path: Path) -> None:
    text = OAUTH2.format(top="", oauth2="").replace('base_url = "https://h"', 'base_url = "to be overridden"')
    assert oauth2_of(extended(tmp_path, text, 'base_url = "https://h"')).entry.endswith("\nhttps://h")


def test_without_a_token_of_its_own_the_connection_has_none_before_the_overrides(tmp_path: Path) -> None:
    found = oauth2_of(extended(tmp_path, OAUTH2.format(top="", oauth2=""), '[oauth2]\naccess_token = "literal:t"'))
    assert found.before == Before(None, "read", "https://as.example")


def test_a_token_that_another_takes_the_place_of_need_not_be_within_reach(tmp_path: Path) -> None:
    text = OAUTH2.format(top="", oauth2='access_token = "env:PATCHWIRE_NOT_SET"')
    found = oauth2_of(extended(tmp_path, text, '[oauth2]\naccess_token = "literal:after"'))
    assert (found.before.access_token, found.terms.access_token) == (None, Secret("after"))


@pytest.mark.parametrize(
    ("token", "problem"),
    [("canary", "a secret must not stand here as bare text"), ("literal:canary b", "is empty, or holds a character")],
)
def test_a_token_that_cannot_be_is_refused_also_where_another_takes_its_place(
    tmp_path: Path, token: str, problem: str
) -> None:
    text = OAUTH2.format(top="", oauth2=f'access_token = "{token}"')
    said = extension_refusal(tmp_path, text, '[oauth2]\naccess_token = "literal:after"')
    assert said.startswith(f"{{}}/crm.toml: oauth2.access_token: {problem}")


def test_a_token_from_a_pipe_is_read_once_also_with_an_extension(tmp_path: Path) -> None:
    text = OAUTH2.format(top="", oauth2='access_token = "file:token"')
    with filled(tmp_path / "token", b"from-pipe\n"):
        found = oauth2_of(extended(tmp_path, text, '[oauth2]\nscope = "w"'))
    assert found.before == Before(Secret("from-pipe"), "read", "https://as.example")


def test_authentication_may_be_overridden_and_what_served_the_other_is_left_out(tmp_path: Path) -> None:
    extension = 'authentication = "basic"\nuser = "u"\npassword = "literal:p"'
    settings = extended(tmp_path, OAUTH2.format(top="", oauth2=""), extension)
    assert (settings.authentication, settings.user, settings.oauth2) == ("basic", "u", None)


def test_oauth2_may_come_from_an_extension_alone(tmp_path: Path) -> None:
    text = (
        BASIC + 'password = "literal:p"\n[extensions]\nextensible = ["authentication", "oauth2.grant_type",'
        ' "oauth2.client_id", "oauth2.client_secret", "oauth2.access_token_url"]'
    )
    extension = (
        'authentication = "oauth2"\n[oauth2]\ngrant_type = "client_credentials"\nclient_id = "app"\n'
        'client_secret = "literal:s"\naccess_token_url = "https://as.example/token"'
    )
    settings = extended(tmp_path, text, extension)
    assert (settings.user, oauth2_of(settings).terms.client_id) == ("", "app")


def test_a_mapping_is_extended_as_a_file_is() -> None:
    data = {"base_url": "http://h", "extensions": {"extensible": ["base_url"]}}
    assert str(connection_from(data, extension={"base_url": "http://i"}).origin) == "http://i"
    with pytest.raises(SettingsError, match=r"^extension: user: is not extensible; in connection extensions\."):
        connection_from(data, extension={"user": "x"})
