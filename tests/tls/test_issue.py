from __future__ import annotations

import trio
from cryptography import x509

from patchwire.net.sources import now
from patchwire.settings.tls import Material, TlsSettings
from patchwire.tls.context import server_context
from patchwire.tls.issue import BEFORE, LIFETIME, Authority, identity_pem
from patchwire.tls.material import client_identity
from tests.support.tls import stream_pair, trusting


def test_what_it_issues_is_accepted_on_both_sides() -> None:
    authority = Authority("made here", now())
    server = authority.issue_server(["localhost", "127.0.0.1", "::1"])
    client = Material("client.pem", identity_pem(authority.issue_client("me")))
    context = server_context(server, [authority.certificate])

    async def main() -> None:
        for host in ("localhost", "127.0.0.1", "::1"):
            ours, theirs = stream_pair(trusting(authority.pem, client_certificate=client), host, context)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(theirs.send_all, b"hello")
                assert await ours.receive_some() == b"hello"
            assert theirs.engine.peer_chain()[0].subject.rfc4514_string() == "CN=me"
            ours.close()
            theirs.close()

    trio.run(main)


def test_certificates_are_for_one_purpose_and_a_week() -> None:
    authority = Authority("made here", 1_000_000_000.0)
    server, client = authority.issue_server(["h"]), authority.issue_client("me")
    purposes = [
        [usage._name for usage in each.certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value]
        for each in (server, client)
    ]
    assert purposes == [["serverAuth"], ["clientAuth"]]
    for certificate in (server.certificate, client.certificate, authority.certificate):
        assert certificate.not_valid_before_utc.timestamp() == 1_000_000_000.0 - BEFORE.total_seconds()
        assert certificate.not_valid_after_utc.timestamp() == 1_000_000_000.0 + LIFETIME.total_seconds()


def test_an_identity_is_read_back_from_its_pem() -> None:
    identity = Authority("made here", now()).issue_client("me")
    read = client_identity(TlsSettings(client_certificate=Material("client.pem", identity_pem(identity))))
    assert read is not None
    assert read.certificate == identity.certificate
