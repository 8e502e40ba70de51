from __future__ import annotations

from pathlib import Path

import pytest

from patchwire import load_connection
from patchwire.errors import SettingsError
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
