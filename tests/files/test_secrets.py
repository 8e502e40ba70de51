from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

from patchwire.errors import SettingsError
from patchwire.files.secrets import read_secret
from patchwire.settings.secret import SecretReference


def read(kind: str, name: str, directory: Path = Path()) -> str:
    return read_secret("crm.toml", "password", SecretReference(kind, name), directory).reveal()


def test_a_secret_comes_from_the_environment_a_file_or_the_text_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATCHWIRE_TEST_SECRET", "a b")
    (tmp_path / "secret").write_bytes(b" zo\xc3\xab \r\n")
    assert read("env", "PATCHWIRE_TEST_SECRET") == "a b"
    assert read("file", "secret", tmp_path) == " zo\u00eb "
    assert read("file", str(tmp_path / "secret")) == " zo\u00eb "
    assert read("literal", "env:x") == "env:x"


@pytest.mark.parametrize(
    ("kind", "name", "problem"),
    [
        ("env", "PATCHWIRE_NOT_SET", "password: the environment variable PATCHWIRE_NOT_SET is not set"),
        ("file", "none", "password: .*none: no such file or directory"),
        ("file", "a\0b", r"password: 'a\\x00b': embedded null byte|password: '.*a\\x00b': embedded null byte"),
        ("file", "binary", "password: .*binary: not UTF-8"),
        ("keyring", "service", 'password: expected "keyring:SERVICE/USER"'),
    ],
)
def test_a_secret_that_is_not_there_is_named_with_file_and_key(
    tmp_path: Path, kind: str, name: str, problem: str
) -> None:
    (tmp_path / "binary").write_bytes(b"\xff")
    with pytest.raises(SettingsError, match=f"^crm.toml: {problem}"):
        read(kind, name, tmp_path)


class KeyringError(Exception):
    pass


def keyring(answer: str | Exception | None) -> ModuleType:
    module = ModuleType("keyring")

    def get_password(service: str, user: str) -> str | None:
        assert (service, user) == ("crm/eu", "svc")
        if isinstance(answer, Exception):
            raise answer
        return answer

    errors = ModuleType("keyring.errors")
    errors.__dict__["KeyringError"] = KeyringError
    module.__dict__.update(get_password=get_password, errors=errors)
    return module


def test_a_secret_comes_from_the_keyring(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keyring", keyring("pw"))
    assert read("keyring", "crm/eu/svc") == "pw"


@pytest.mark.parametrize(
    ("module", "problem"),
    [
        (None, r"keyring is not installed: pip install 'patchwire\[keyring\]'"),
        (keyring(None), "the keyring holds nothing for crm/eu/svc"),
        (keyring(KeyringError("locked")), "the keyring cannot be read"),
    ],
    ids=["not installed", "nothing", "locked"],
)
def test_a_keyring_that_gives_nothing_says_why(
    monkeypatch: pytest.MonkeyPatch, module: ModuleType | None, problem: str
) -> None:
    monkeypatch.setitem(sys.modules, "keyring", module)
    with pytest.raises(SettingsError, match=problem):
        read("keyring", "crm/eu/svc")


def test_an_environment_variable_that_is_not_utf_8_is_named_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CANARY", "canary\udcff")
    with pytest.raises(SettingsError, match="environment variable CANARY is not UTF-8") as caught:
        read_secret("c.toml", "password", SecretReference("env", "CANARY"), Path())
    assert "canary" not in str(caught.value).replace("CANARY", "")
