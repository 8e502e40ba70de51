from __future__ import annotations

from typing import Any, cast

import msgspec
import pytest
from OpenSSL import SSL

from patchwire.errors import TlsError
from patchwire.settings.tls import Material, TlsSettings
from patchwire.tls.context import client_context, unverified_context
from patchwire.tls.engine import TlsEngine, client_engine, server_engine
from patchwire.tls.sessions import PEERS, PER_PEER, Resumption, Sessions
from patchwire.tls.verification import Verification
from tests.support.certificates import Authority
from tests.support.engines import End, converse
from tests.support.tls import LOCALHOST, serving_as, trusting

CLIENTS = Authority("clients")
VERSIONS = {"1.2": SSL.TLS1_2_VERSION, "1.3": SSL.TLS1_3_VERSION}
PORT = 443
EARLY_DATA, PRE_SHARED_KEY = 42, 41


AUTHORITY = Authority("sessions")
SERVER = AUTHORITY.issue("localhost", "other")


def own_trust() -> TlsSettings:
    """Settings that no other test has: what is kept is kept for them alone."""
    return trusting(AUTHORITY.pem, Authority("nobody").pem)


def serving(version: str = "1.3", *client_authorities: Authority) -> SSL.Context:
    context = serving_as(SERVER, *client_authorities)
    context.set_min_proto_version(VERSIONS[version])
    context.set_max_proto_version(VERSIONS[version])
    return context


def opened(settings: TlsSettings, server: SSL.Context, host: str = "localhost", port: int = PORT) -> tuple[End, End]:
    """A client that has done its handshake, and the server."""
    client, other = End(client_engine(client_context(settings), host, port)), End(server_engine(server))
    converse(client, other)
    assert (client.fault, other.fault) == (None, None)
    assert client.engine.established
    return client, other


def heard(client: End, server: End) -> None:
    """Let the client hear something."""
    server.engine.write(b"hello")
    converse(client, server)
    assert client.received == b"hello"


def met(settings: TlsSettings, server: SSL.Context, host: str = "localhost", port: int = PORT) -> bool:
    """Have a connection from its handshake to its end; whether it has resumed a session."""
    client, other = opened(settings, server, host, port)
    heard(client, other)
    client.engine.close()
    return client.engine.resumed


# --- what is resumed


@pytest.mark.parametrize("version", VERSIONS)
def test_a_connection_resumes_what_the_one_before_it_has_left(version: str) -> None:
    settings, server = own_trust(), serving(version)
    assert [met(settings, server) for _ in range(4)] == [False, True, True, True]


@pytest.mark.parametrize("version", VERSIONS)
def test_with_a_client_certificate_too_and_the_server_knows_whose_it_was(version: str) -> None:
    ada = CLIENTS.issue(client=True, server=False, common_name="ada")
    settings = trusting(AUTHORITY.pem, client_certificate=Material("ada.pem", ada.combined_pem))
    server = serving(version, CLIENTS)
    assert not met(settings, server)
    client, other = opened(settings, server)
    assert client.engine.resumed
    assert other.engine.peer_chain() == [ada.certificate]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_resumed_connection_says_so_and_whose_certificate_was_verified(version: str) -> None:
    settings, server = own_trust(), serving(version)
    assert not met(settings, server)
    client, other = opened(settings, server)
    assert " resumed, 'CN=localhost' until " in client.engine.describe()
    assert client.engine.describe().startswith(f"TLSv{version} ")
    assert "resumed" not in other.engine.describe()
    heard(client, other)


def test_a_ticket_of_1_3_is_used_once_and_a_session_of_1_2_again() -> None:
    for version, again in (("1.3", False), ("1.2", True)):
        settings, server = own_trust(), serving(version)
        met(settings, server)
        first, second = opened(settings, server)[0], opened(settings, server)[0]
        assert (first.engine.resumed, second.engine.resumed) == (True, again)


def test_while_connections_stay_open_others_resume_their_sessions() -> None:
    settings, server = own_trust(), serving()
    pairs = [opened(settings, server) for _ in range(3)]
    for client, other in pairs:
        heard(client, other)
    assert [opened(settings, server)[0].engine.resumed for _ in range(4)] == [True, True, True, False]


# --- what is not


@pytest.mark.parametrize("version", VERSIONS)
def test_no_session_crosses_host_port_trust_identity_or_versions(version: str) -> None:
    settings, server = own_trust(), serving(version)
    ada = Material("ada.pem", CLIENTS.issue(client=True, server=False).combined_pem)
    changes: list[dict[str, Any]] = [{"client_certificate": ada}, {"trust": own_trust().trust}]
    if version == "1.3":
        changes.append({"minimum_version": "1.3"})
    assert not met(settings, server)
    assert not opened(settings, server, host="other")[0].engine.resumed
    assert not opened(settings, server, port=PORT + 1)[0].engine.resumed
    for change in changes:
        assert not opened(msgspec.structs.replace(settings, **change), server)[0].engine.resumed
    assert opened(settings, server)[0].engine.resumed


def test_without_a_port_nothing_is_offered_and_nothing_kept() -> None:
    settings, server = own_trust(), serving()
    met(settings, server)
    client = End(client_engine(client_context(settings), "localhost"))
    other = End(server_engine(server))
    converse(client, other)
    heard(client, other)
    assert not client.engine.resumed
    assert [met(settings, server), met(settings, server)] == [True, True]


@pytest.mark.parametrize("version", VERSIONS)
def test_nothing_is_kept_before_the_peer_has_said_something(version: str) -> None:
    settings, server = own_trust(), serving(version)
    client, _ = opened(settings, server)
    client.engine.close()
    assert not opened(settings, server)[0].engine.resumed


@pytest.mark.parametrize("version", VERSIONS)
def test_of_a_peer_whose_certificate_was_refused_nothing_is_kept(version: str) -> None:
    settings, server = trusting(Authority("nobody").pem), serving(version)
    context = client_context(settings)
    client, other = End(client_engine(context, "localhost", PORT)), End(server_engine(server))
    converse(client, other)
    assert client.fault is not None
    client.engine.close()
    assert context.sessions is not None
    assert context.sessions.take(("localhost", PORT)) is None


def test_a_context_that_verifies_nobody_has_no_sessions() -> None:
    context, server = unverified_context(), serving()
    assert context.sessions is None
    for _ in range(2):
        client, other = End(client_engine(context, "localhost", PORT)), End(server_engine(server))
        converse(client, other)
        heard(client, other)
        client.engine.close()
        assert not client.engine.resumed


@pytest.mark.parametrize("version", VERSIONS)
def test_a_connection_that_ended_without_close_notify_spoils_its_session(version: str) -> None:
    settings, server = own_trust(), serving(version)
    client, other = opened(settings, server)
    heard(client, other)
    del client
    assert [met(settings, server), met(settings, server)] == [False, True]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_server_that_has_forgotten_the_session_makes_a_whole_handshake(version: str) -> None:
    settings = own_trust()
    met(settings, serving(version))
    restarted = serving(version)
    assert [met(settings, restarted), met(settings, restarted)] == [False, True]


@pytest.mark.parametrize(("before", "after"), [("1.2", "1.3"), ("1.3", "1.2")])
def test_a_server_that_has_changed_its_version_makes_a_whole_handshake(before: str, after: str) -> None:
    settings = own_trust()
    met(settings, serving(before))
    client, _ = opened(settings, serving(after))
    assert (client.engine.resumed, client.engine.version) == (False, f"TLSv{after}")


def test_a_server_whose_certificate_has_become_another_is_verified_anew() -> None:
    settings = own_trust()
    met(settings, serving())
    client = End(client_engine(client_context(settings), "localhost", PORT))
    converse(client, End(server_engine(serving_as(LOCALHOST))))
    assert "leads to no trusted root" in str(client.fault)
    assert not client.engine.hangs_on_session


# --- never before the handshake is done


def extensions(hello: bytes) -> list[int]:
    """The types of the extensions in a ClientHello (RFC 8446 section 4.1.2), a record by itself."""
    position = 5 + 4 + 2 + 32
    position += 1 + hello[position]
    position += 2 + int.from_bytes(hello[position : position + 2], "big")
    position += 1 + hello[position] + 2
    found = []
    while position < len(hello):
        found.append(int.from_bytes(hello[position : position + 2], "big"))
        position += 4 + int.from_bytes(hello[position + 2 : position + 4], "big")
    return found


def test_a_session_is_offered_without_early_data() -> None:
    settings = own_trust()
    hellos = []
    for _ in range(2):
        met(settings, serving())
        client = End(client_engine(client_context(settings), "localhost", PORT))
        client.step()
        hellos.append(extensions(client.engine.outgoing()))
    assert all(PRE_SHARED_KEY in hello and EARLY_DATA not in hello for hello in hellos)


# --- a handshake that breaks


def test_a_connection_that_is_given_up_in_its_handshake_takes_the_sessions_with_it() -> None:
    settings, server = own_trust(), serving("1.2")
    assert [met(settings, server), met(settings, server)] == [False, True]
    broken = client_engine(client_context(settings), "localhost", PORT)
    assert broken.hangs_on_session
    broken.abandon()
    assert [met(settings, server), met(settings, server)] == [False, True]


def test_one_that_had_offered_none_takes_none() -> None:
    settings, server = own_trust(), serving("1.2")
    broken = client_engine(client_context(settings), "localhost", PORT)
    assert not met(settings, server)
    assert not broken.hangs_on_session
    broken.abandon()
    assert met(settings, server)


class Refusing:
    """OpenSSL's connection under TLS 1.3 whose peer says no behind the handshake."""

    def set_app_data(self, data: object) -> None: ...
    def set_session(self, session: SSL.Session) -> None: ...
    def do_handshake(self) -> None: ...

    def get_protocol_version_name(self) -> str:
        return "TLSv1.3"

    def recv(self, size: int) -> bytes:
        raise SSL.Error([("SSL routines", "", "tlsv1 alert access denied")])


@pytest.mark.parametrize("offered", [True, False])
def test_a_refusal_behind_a_resumed_handshake_is_no_word_on_our_certificate(offered: bool) -> None:
    # In a whole handshake the certificate was judged first, and nothing read that came with it.
    sessions, connection = Sessions(), cast("SSL.Connection", Refusing())
    if offered:
        sessions.keep(("localhost", PORT), SSL.Session(), once=True)
    resumption = Resumption(sessions, ("localhost", PORT), connection)
    engine = TlsEngine(connection, Verification("localhost", frozenset(), frozenset()), resumption)
    assert engine.handshake()
    assert engine.resumed is offered
    words = "^the peer ended TLS: access denied$" if offered else "^the server knows our client certificate"
    with pytest.raises(TlsError, match=words) as caught:
        engine.read()
    assert caught.value.refuses_handshake is not offered


# --- the store


def test_of_one_peer_the_newest_tickets_are_kept_and_given_the_newest_first() -> None:
    store, tickets = Sessions(), [SSL.Session() for _ in range(PER_PEER + 3)]
    for each in tickets:
        store.keep(("a", 1), each, once=True)
    taken = [store.take(("a", 1)) for _ in range(PER_PEER + 1)]
    assert taken == [*reversed(tickets[3:]), None]


def test_a_session_that_may_be_used_again_stands_alone() -> None:
    store, old, new, newest = Sessions(), SSL.Session(), SSL.Session(), SSL.Session()
    store.keep(("a", 1), old, once=True)
    store.keep(("a", 1), new, once=False)
    assert [store.take(("a", 1)) for _ in range(3)] == [new, new, new]
    store.keep(("a", 1), newest, once=False)
    assert [store.take(("a", 1)) for _ in range(3)] == [newest, newest, newest]


def test_the_peer_that_was_heard_of_the_longest_ago_is_forgotten_first() -> None:
    store = Sessions()
    for number in range(PEERS):
        store.keep(("a", number), SSL.Session(), once=True)
    store.keep(("a", 0), SSL.Session(), once=True)
    store.keep(("b", 0), SSL.Session(), once=True)
    assert store.take(("a", 1)) is None
    assert all(store.take(("a", number)) is not None for number in range(PEERS) if number != 1)
    assert store.take(("b", 0)) is not None


def test_what_is_forgotten_of_one_peer_is_kept_of_others() -> None:
    store = Sessions()
    for host in ("a", "b"):
        store.keep((host, 1), SSL.Session(), once=False)
    store.forget(("a", 1))
    store.forget(("c", 1))
    assert store.take(("a", 1)) is None
    assert store.take(("b", 1)) is not None
