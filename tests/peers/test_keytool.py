"""Keystores that Java's own tool has made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio

from patchwire import connection_from
from patchwire.errors import SettingsError
from patchwire.net import PatchClient
from patchwire.settings.connection import ConnectionSettings
from patchwire.tls.material import client_identity, trusted_certificates
from tests.support.certificates import Authority
from tests.support.keytool import converted, keytool, needs_keytool, truststore
from tests.support.tls import AUTHORITY
from tests.support.tls_backend import tls_backend

pytestmark = [needs_keytool, pytest.mark.peer]

PASSWORD = "changeit"
ROOT = Authority("root")
LOWER = Authority("lower", issuer=ROOT)
ADA = LOWER.issue(client=True, server=False, common_name="ada")
BOB = ROOT.issue(client=True, server=False, common_name="bob", rsa=True)
KINDS = ["jks", "pkcs12"]


def settings(directory: Path, url: str = "https://h", **tls: Any) -> ConnectionSettings:
    data = {"base_url": url, "tls": {"system_roots": False, **tls}}
    return connection_from(data, directory=directory, place="c.toml")


def keystore(directory: Path, kind: str, issued: Any = ADA) -> str:
    source = directory / "source.p12"
    source.write_bytes(issued.pkcs12(PASSWORD.encode()))
    return converted(source, directory / f"client.{kind}", PASSWORD, kind).name


def trust(directory: Path, kind: str) -> str:
    for name, authority in (("server", AUTHORITY), ("root", ROOT)):
        (directory / f"{name}.pem").write_bytes(authority.pem)
    certificates = {name: directory / f"{name}.pem" for name in ("server", "root")}
    return truststore(directory / f"trust.{kind}", PASSWORD, kind, **certificates).name


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("issued", [ADA, BOB], ids=["EC with a chain", "RSA"])
def test_a_keystore_and_a_truststore_of_java_are_all_that_a_connection_needs(
    tmp_path: Path, kind: str, issued: Any
) -> None:
    async def job(url: str) -> int:
        client = {"client_certificate": keystore(tmp_path, kind, issued), "client_password": f"literal:{PASSWORD}"}
        trusted = {"trust": [trust(tmp_path, kind)], "trust_password": f"literal:{PASSWORD}"}
        with trio.fail_after(20):
            async with PatchClient(settings(tmp_path, url, **client, **trusted)) as one:
                return (await one.patch("/a", json={})).status

    with tls_backend(ROOT) as backend:
        assert trio.run(job, backend.base_url) == 200
        assert len(backend.received) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_keystore_holds_its_key_and_the_chain(tmp_path: Path, kind: str) -> None:
    given = {"client_certificate": keystore(tmp_path, kind), "client_password": f"literal:{PASSWORD}"}
    identity = client_identity(settings(tmp_path, trust=[trust(tmp_path, "jks")], **given).tls)
    assert identity is not None
    assert identity.certificate == ADA.certificate
    assert identity.chain[: len(ADA.chain)] == ADA.chain


def test_a_truststore_of_java_is_read_without_its_password_where_java_does_that(tmp_path: Path) -> None:
    found = settings(tmp_path, trust=[trust(tmp_path, "jks")])
    assert set(trusted_certificates(found.tls)) == {AUTHORITY.certificate, ROOT.certificate}


@pytest.mark.parametrize("legacy", [False, True], ids=["of today", "legacy"])
def test_a_truststore_in_pkcs12_is_read_however_java_encrypts_it(tmp_path: Path, legacy: bool) -> None:
    (tmp_path / "ca.pem").write_bytes(AUTHORITY.pem)
    more = ["-J-Dkeystore.pkcs12.legacy"] if legacy else []
    keytool(
        "-importcert", "-noprompt", "-alias", "a", "-file", str(tmp_path / "ca.pem"), "-keystore",
        str(tmp_path / "t.p12"), "-storetype", "pkcs12", "-storepass", PASSWORD, *more,
    )  # fmt: skip
    found = settings(tmp_path, trust=["t.p12"], trust_password=f"literal:{PASSWORD}")
    assert trusted_certificates(found.tls) == [AUTHORITY.certificate]
    for password, problem in (("literal:wrong", "tls.trust_password does not open it"), (None, "needs its password")):
        given = {} if password is None else {"trust_password": password}
        with pytest.raises(SettingsError, match=problem):
            settings(tmp_path, trust=["t.p12"], **given)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("password", "problem"),
    [({"client_password": "literal:wrong"}, "tls.client_password does not open it"), ({}, "needs its password as")],
)
def test_a_keystore_is_not_opened_without_the_right_password(
    tmp_path: Path, kind: str, password: dict[str, str], problem: str
) -> None:
    name = keystore(tmp_path, kind)
    with pytest.raises(SettingsError) as raised:
        settings(tmp_path, client_certificate=name, trust=[trust(tmp_path, "jks")], **password)
    assert str(raised.value).startswith(f"c.toml: tls.client_certificate: {name}: ")
    assert problem in str(raised.value)


def test_of_several_keys_one_is_named(tmp_path: Path) -> None:
    for alias, issued in (("Ada", ADA), ("Bob", BOB)):
        (tmp_path / "one.p12").write_bytes(issued.pkcs12(PASSWORD.encode()))
        converted(
            tmp_path / "one.p12", tmp_path / "both.jks", PASSWORD, "jks", "-srcalias", "test", "-destalias", alias
        )
    given: dict[str, Any] = {
        "client_certificate": "both.jks", "client_password": f"literal:{PASSWORD}", "trust": [trust(tmp_path, "jks")]
    }  # fmt: skip
    with pytest.raises(SettingsError, match=r"holds several private keys, .*; name one of them as tls\.client_alias"):
        settings(tmp_path, **given)
    identity = client_identity(settings(tmp_path, client_alias="BOB", **given).tls)
    assert identity is not None
    assert identity.certificate == BOB.certificate


def test_a_key_with_a_password_of_its_own_is_said_to_have_one(tmp_path: Path) -> None:
    name = keystore(tmp_path, "jks")
    keytool(
        "-keypasswd", "-keystore", str(tmp_path / name), "-storepass", PASSWORD, "-alias", "test", "-new", "another1",
        "-storetype", "jks",
    )  # fmt: skip
    given: dict[str, Any] = {"client_certificate": name, "trust": [trust(tmp_path, "jks")]}
    with pytest.raises(SettingsError, match="has another password than the store; .* keytool -keypasswd"):
        settings(tmp_path, client_password=f"literal:{PASSWORD}", **given)
    assert client_identity(settings(tmp_path, client_password="literal:another1", **given).tls) is not None


def test_a_store_of_the_kind_jceks_is_refused_with_the_command_that_converts_it(tmp_path: Path) -> None:
    name = keystore(tmp_path, "jceks")
    with pytest.raises(SettingsError, match=r"is a Java keystore \(JCEKS\), which is not read; convert it: keytool"):
        settings(tmp_path, client_certificate=name, client_password=f"literal:{PASSWORD}", trust=[name])
