from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchwire.auth.aws_credentials import AwsCredentials
from patchwire.auth.aws_signing import Scope, Terms
from patchwire.errors import CredentialsError
from patchwire.files.aws_credentials import load_aws_credentials
from patchwire.settings.aws import AwsSettings
from tests.support.pipes import endless

ID, SECRET, TOKEN = "AKIDEXAMPLE", "canary/secret+key=", "canary-token=="
NOON = 1_893_499_200.0  # 2030-01-01T12:00:00Z
KEYS = f"aws_access_key_id = {ID}\naws_secret_access_key = {SECRET}\n"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home directory without files, and an environment without AWS."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".aws").mkdir()
    return tmp_path


def settings(**values: Any) -> AwsSettings:
    return AwsSettings(scope=Scope("eu-central-1", "apigateway"), terms=Terms(), **values)


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def load(**values: Any) -> AwsCredentials:
    return load_aws_credentials(settings(**values))


def failure(**values: Any) -> str:
    """The error's text, which is one line without a secret."""
    with pytest.raises(CredentialsError) as caught:
        load(**values)
    text = str(caught.value)
    assert text.isprintable()
    assert "canary" not in text
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    return text


def of_profile(text: str, path: Path, profile: str | None = None) -> AwsCredentials:
    write(path, text)
    return load(credentials="profile", profile=profile, credentials_file=str(path))


# --- environment


def test_the_environment_gives_key_secret_token_and_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ID)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    assert load(credentials="environment") == AwsCredentials(ID, SECRET)
    monkeypatch.setenv("AWS_SESSION_TOKEN", "")
    monkeypatch.setenv("AWS_CREDENTIAL_EXPIRATION", "")
    assert load(credentials="environment") == AwsCredentials(ID, SECRET)
    monkeypatch.setenv("AWS_SESSION_TOKEN", TOKEN)
    for moment in ("2030-01-01T12:00:00Z", "2030-01-01T14:00:00+02:00", "20300101T120000Z"):
        monkeypatch.setenv("AWS_CREDENTIAL_EXPIRATION", moment)
        assert load(credentials="environment") == AwsCredentials(ID, SECRET, TOKEN, NOON)


@pytest.mark.parametrize(
    ("variable", "value", "problem"),
    [
        ("AWS_ACCESS_KEY_ID", None, "the environment variable AWS_ACCESS_KEY_ID is not set: set it, or use"),
        ("AWS_SECRET_ACCESS_KEY", "", "the environment variable AWS_SECRET_ACCESS_KEY is not set: set it, or use"),
        ("AWS_ACCESS_KEY_ID", "canary key", "the environment: the access key is no AWS access key"),
        ("AWS_SECRET_ACCESS_KEY", "canary\n", "the environment: the secret key is empty, or holds a blank or"),
        ("AWS_SECRET_ACCESS_KEY", "canary\udcff", "the environment: the secret key is empty, or holds a blank or"),
        ("AWS_SESSION_TOKEN", "canary\x01", "the environment: the session token is empty, or holds a blank or"),
        ("AWS_CREDENTIAL_EXPIRATION", "canary", "the environment variable AWS_CREDENTIAL_EXPIRATION is no time of"),
        ("AWS_CREDENTIAL_EXPIRATION", "2030-01-01T12:00:00", "the environment variable AWS_CREDENTIAL_EXPIRATION is"),
    ],
)
def test_what_the_environment_lacks_is_named(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str | None, problem: str
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ID)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    if value is None:
        monkeypatch.delenv(variable)
    else:
        monkeypatch.setenv(variable, value)
    assert failure(credentials="environment").startswith(f"aws.credentials: {problem}")


def test_keys_of_the_connection_file_are_not_loaded() -> None:
    assert failure(credentials="keys").startswith('aws.credentials: with "keys" they stand in the connection file')


def test_the_chain_is_asked_for_the_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "patchwire.files.aws_credentials.chain_credentials", lambda name: AwsCredentials(f"A{name}", "s")
    )
    assert load(credentials="chain", profile="svc").access_key == "Asvc"
    assert load(credentials="chain").access_key == "ANone"


# --- profile: which


def test_the_file_and_the_profile_are_the_named_ones_or_those_of_the_environment_or_the_usual_ones(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def keys(name: str) -> str:
        return "".join(
            f"[{profile}]\naws_access_key_id = {name}{profile}\naws_secret_access_key = s\n"
            for profile in ("default", "svc", "ops")
        )

    def key(**values: Any) -> str:
        return load(credentials="profile", **values).access_key

    write(home / ".aws" / "credentials", keys("usual"))
    write(home / "environment", keys("environment"))
    named = str(write(home / "named", keys("named")))
    assert (key(), key(profile="svc")) == ("usualdefault", "usualsvc")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "~/environment")
    assert (key(), key(credentials_file=named)) == ("environmentdefault", "nameddefault")
    monkeypatch.setenv("AWS_PROFILE", "ops")
    assert (key(), key(profile="svc"), key(credentials_file=named)) == ("environmentops", "environmentsvc", "namedops")
    monkeypatch.setenv("AWS_PROFILE", "")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "")
    assert key() == "usualdefault"


# --- profile: what stands in it


@pytest.mark.parametrize(
    ("text", "token"),
    [
        (KEYS, None),
        (KEYS + "aws_session_token =\n", None),
        (KEYS + f"aws_session_token = {TOKEN}\n", TOKEN),
        (KEYS + f"aws_security_token = {TOKEN}\n", TOKEN),
        (KEYS + f"AWS_SECURITY_TOKEN: another\nAws_Session_Token: {TOKEN}\n", TOKEN),
        (KEYS.replace("\n", "\r\n") + "# a comment\n; another\ns3 =\n  max_concurrent_requests = 5\n", None),
    ],
)
def test_a_profile_gives_key_secret_and_token(tmp_path: Path, text: str, token: str | None) -> None:
    for written in (f"[default]\n{text}", f"\ufeff[other]\nregion = x\n[default]\n{text}[more]\n"):
        assert of_profile(written, tmp_path / "keys") == AwsCredentials(ID, SECRET, token)


def test_a_percent_sign_is_itself(tmp_path: Path) -> None:
    text = "[default]\naws_access_key_id=A\naws_secret_access_key=%(a)s%%\n"
    assert of_profile(text, tmp_path / "keys").secret_key == "%(a)s%%"


@pytest.mark.parametrize(
    ("line", "expires_at"),
    [
        ("x_security_token_expires = 2030-01-01T14:00:00+02:00", NOON),
        ("aws_session_expiration = 2030-01-01T12:00:00+0000", NOON),
        ("aws_session_token_expiration = 2030-01-01 12:00:00+00:00", NOON),
        ("aws_expiration = 2030-01-01T12:00:00.000Z", NOON),
        ("expiration = 2030-01-01T12:00:00Z", NOON),
        ("expiration = 2030-01-01 12:00:00", None),
        ("expiration = Tue Jan  1 12:00:00 2030", None),
        ("x_security_token_expires = 0001-01-01T00:00:00Z", -62_135_596_800.0),
        ("aws_expiration = 2031-01-01T00:00:00Z\nx_security_token_expires = 2030-01-01T12:00:00Z", NOON),
    ],
)
def test_a_profile_ends_where_a_tool_has_written_that_with_its_zone(
    tmp_path: Path, line: str, expires_at: float | None
) -> None:
    assert of_profile(f"[default]\n{KEYS}{line}\n", tmp_path / "keys").expires_at == expires_at


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "holds no profile 'svc': there is none; those of ~/.aws/config need credentials = \"chain\""),
        ("[svcs]\n[bvc]\n[x]\n", "holds no profile 'svc': did you mean 'svcs', 'bvc'?; those of"),
        ("[1]\n[2]\n[3]\n[4]\n[5]\n[6]\n", "holds no profile 'svc': there are '1', '2', '3', '4', '5' and others"),
        ("[profile svc]\n" + KEYS, "holds no profile 'svc': write [svc] there; the word profile belongs to"),
    ],
)
def test_a_profile_that_is_not_there_is_named_with_those_nearby(tmp_path: Path, text: str, problem: str) -> None:
    path = write(tmp_path / "keys", text)
    said = failure(credentials="profile", profile="svc", credentials_file=str(path))
    assert said.startswith(f"aws.profile: {path} {problem}")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "no aws_access_key_id: add it, or name another profile"),
        ("aws_secret_access_key = canary", "no aws_access_key_id: add it"),
        (f"aws_access_key_id = {ID}\naws_secret_access_key =", "no aws_secret_access_key: add it"),
        ("credential_process = canary", 'no aws_access_key_id, but credential_process: credentials = "chain" follows'),
        ("sso_session = canary", 'no aws_access_key_id, but sso_session: credentials = "chain" follows it (pip'),
        ("role_arn = canary\nsource_profile = x", "no aws_access_key_id, but role_arn: "),
        ("aws_access_key_id = canary key\naws_secret_access_key = canary", "the access key is no AWS access key"),
        (f"aws_access_key_id = {ID}\naws_secret_access_key = canary\n more canary", "the secret key is empty, or"),
        (KEYS + "aws_session_token = canary canary", "the session token is empty, or holds a blank"),
    ],
)
def test_what_a_profile_lacks_is_named(tmp_path: Path, text: str, problem: str) -> None:
    path = write(tmp_path / "keys", f"[svc]\n{text}\n")
    said = failure(credentials="profile", profile="svc", credentials_file=str(path))
    assert said.startswith(f"aws.profile: {path}, profile 'svc': {problem}")


# --- profile: the file


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b"[default]\nx = \xff", "not UTF-8: byte 15 is invalid"),
        (b"[default]\n[default]\n", "line 2: profile 'default' stands there twice: remove one"),
        (b"[default]\naws_session_token = canary\naws_session_token = canary", "line 3: this key stands there twice"),
        (b"[default]\ncanary", "line 2: neither [PROFILE] nor KEY = VALUE"),
        (b"[default]\n[canary\ncanary", "line 2: neither [PROFILE] nor KEY = VALUE"),
        (b"aws_secret_access_key = canary", "line 1: expected [PROFILE] above it"),
        (b"#" * 1_048_577, "over 1 MiB: no file of credentials"),
    ],
)
def test_what_is_no_file_of_profiles_is_named_by_its_line(tmp_path: Path, text: bytes, problem: str) -> None:
    path = write(tmp_path / "keys", text)
    said = failure(credentials="profile", credentials_file=str(path))
    assert said.startswith(f"aws.credentials_file: {path}: {problem}")


def test_a_file_that_cannot_be_read_is_named_with_what_led_to_it(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = home / ".aws" / "credentials"
    said = failure(credentials="profile")
    assert said.startswith(f"aws.credentials: {usual}: no such file or directory: name another as aws.credentials_fil")
    usual.mkdir()
    assert failure(credentials="profile") == f"aws.credentials: {usual}: is a directory"
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "none")
    assert failure(credentials="profile").startswith("aws.credentials: AWS_SHARED_CREDENTIALS_FILE: none: no such fi")
    assert failure(credentials="profile", credentials_file="a\0b") == (
        "aws.credentials_file: 'a\\x00b': embedded null byte"
    )
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "~nobody-of-this-name/keys")
    assert "there is no such home directory" in failure(credentials="profile")


def test_a_file_without_permission_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(path: Path, size: int) -> bytes:  # root may read everything
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("patchwire.files.aws_profile.read_at_most", read)
    said = failure(credentials="profile", credentials_file="/keys")
    assert said == "aws.credentials_file: /keys: permission denied"


def test_what_has_no_end_is_no_file_of_credentials(tmp_path: Path) -> None:
    with endless(tmp_path / "keys") as path:
        said = failure(credentials="profile", credentials_file=str(path))
    assert said == f"aws.credentials_file: {path}: over 1 MiB: no file of credentials"


LINES = st.sampled_from(
    ["[default]", "[", "[]", "]", "canary", "= canary", "canary =", " canary", ": canary", "", *KEYS.split("\n")]
)


@given(st.one_of(st.binary(max_size=60), st.lists(LINES, max_size=8).map(lambda lines: "\n".join(lines).encode())))
def test_any_file_gives_credentials_or_one_line_that_quotes_nothing(tmp_path_factory: Any, content: bytes) -> None:
    path = write(tmp_path_factory.getbasetemp() / "keys", content)
    try:
        load(credentials="profile", credentials_file=str(path))
    except CredentialsError as error:
        assert str(error).isprintable()
        assert "canary" not in str(error)
