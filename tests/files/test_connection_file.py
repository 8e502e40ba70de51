from __future__ import annotations

from pathlib import Path

import pytest

from patchwire import load_connection
from patchwire.errors import SettingsError


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
