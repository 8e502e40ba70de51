from __future__ import annotations

import pytest
from OpenSSL import SSL

from patchwire.auth.secret import Secret
from patchwire.errors import SettingsError
from patchwire.settings.tls import Material, TlsSettings
from patchwire.tls.context import client_context, server_context
from patchwire.tls.engine import client_engine, server_engine
from patchwire.tls.material import client_identity
from patchwire.tls.verification import fingerprint
from tests.support.certificates import Authority, self_signed
from tests.support.engines import End, converse
from tests.support.tls import AUTHORITY, LOCALHOST, serving_as, trusting

CLIENT = AUTHORITY.issue(client=True, server=False, common_name="ada")


def with_client(content: bytes, password: str = "secret-4711") -> TlsSettings:
    return trusting(AUTHORITY.pem, client_certificate=Material("ada.p12", content), client_password=Secret(password))


def test_equal_settings_share_one_context() -> None:
    content = CLIENT.pkcs12(b"secret-4711")
    first, second = with_client(bytes(bytearray(content))), with_client(bytes(bytearray(content)))
    assert first is not second
    assert client_context(first) is client_context(second)


def test_different_settings_have_contexts_of_their_own() -> None:
    different = [
        trusting(AUTHORITY.pem),
        trusting(AUTHORITY.pem, minimum_version="1.3"),
        trusting(LOCALHOST.pem),
        trusting(AUTHORITY.pem, LOCALHOST.pem),
        TlsSettings(trust=trusting(AUTHORITY.pem).trust),
        trusting(AUTHORITY.pem, client_certificate=Material("ada.pem", CLIENT.combined_pem)),
        with_client(CLIENT.combined_pem),
        with_client(CLIENT.combined_pem, "another"),
    ]
    contexts = [client_context(each) for each in different]
    assert len({id(each) for each in contexts}) == len({id(each.openssl) for each in contexts}) == len(different)


LABELS = {
    "1.2": {b"CLIENT_RANDOM"},
    "1.3": {
        b"CLIENT_HANDSHAKE_TRAFFIC_SECRET", b"SERVER_HANDSHAKE_TRAFFIC_SECRET", b"CLIENT_TRAFFIC_SECRET_0",
        b"SERVER_TRAFFIC_SECRET_0", b"EXPORTER_SECRET",
    },
}  # fmt: skip


@pytest.mark.parametrize("version", LABELS)
def test_a_key_log_is_told_the_secrets_that_the_server_has_too(version: str) -> None:
    ours: list[bytes] = []
    theirs: list[bytes] = []
    server = serving_as(LOCALHOST)
    server.set_max_proto_version(SSL.TLS1_2_VERSION if version == "1.2" else SSL.TLS1_3_VERSION)
    server.set_keylog_callback(lambda _, line: theirs.append(line))
    client = End(client_engine(client_context(trusting(AUTHORITY.pem), ours.append), "localhost"))
    converse(client, End(server_engine(server)))
    assert client.engine.established
    assert sorted(ours) == sorted(theirs)
    assert {line.split()[0] for line in ours} == LABELS[version]


def test_a_context_with_a_key_log_is_another_than_the_one_without() -> None:
    lines: list[bytes] = []
    logging = lines.append
    settings = trusting(AUTHORITY.pem)
    assert client_context(settings, logging) is client_context(settings, logging)
    assert client_context(settings, logging) is not client_context(settings)


def test_a_context_cannot_be_changed_once_a_connection_has_used_it() -> None:
    client, server = client_context(trusting(AUTHORITY.pem, LOCALHOST.pem)).openssl, serving_as(LOCALHOST)
    client_engine(client_context(trusting(AUTHORITY.pem, LOCALHOST.pem)), "localhost")
    server_engine(server)
    for context in (client, server):
        with pytest.raises((ValueError, DeprecationWarning)):
            context.set_verify(SSL.VERIFY_NONE)


def test_settings_with_files_at_fault_have_no_context_and_none_is_cached() -> None:
    settings = with_client(CLIENT.pkcs12(b"another password"))
    for _ in range(2):
        with pytest.raises(SettingsError, match=r"tls\.client_certificate: ada\.p12: tls\.client_password does not"):
            client_context(settings)


def test_the_trusted_certificates_that_vouch_for_one_host_are_pinned() -> None:
    alone, authority, upper = self_signed("localhost"), self_signed("localhost", ca=True), Authority("upper")
    context = client_context(trusting(alone.pem + AUTHORITY.pem, authority.pem + upper.pem + LOCALHOST.pem))
    pinned = [alone.certificate, authority.certificate, LOCALHOST.certificate]
    assert context.pinned == {fingerprint(each) for each in pinned}


def test_a_certificate_that_is_trusted_twice_is_no_fault() -> None:
    assert client_context(trusting(AUTHORITY.pem, AUTHORITY.pem + LOCALHOST.pem)).pinned


def test_a_server_with_a_key_of_another_certificate_has_no_context() -> None:
    identity = client_identity(TlsSettings(client_certificate=Material("ada.pem", CLIENT.combined_pem)))
    other = client_identity(TlsSettings(client_certificate=Material("server.pem", LOCALHOST.combined_pem)))
    assert identity is not None
    assert other is not None
    mixed = type(identity)(identity.certificate, (), other.key)
    with pytest.raises(SettingsError, match="server certificate: OpenSSL does not take the certificate or its key: "):
        server_context(mixed)
