"""What a handshake costs a client, whole and resumed: no socket, and only what the client does is timed.

That is from making its engine to its first plaintext, with which come the tickets for the next one, and close_notify.
"""

import statistics
import time
from itertools import count

from OpenSSL import SSL

from patchwire.settings.tls import Material, TlsSettings
from patchwire.tls.context import ClientContext, client_context, server_context
from patchwire.tls.engine import client_engine, server_engine
from patchwire.tls.issue import Authority

HOST = "localhost"
VERSIONS = {"TLS 1.2": SSL.TLS1_2_VERSION, "TLS 1.3": SSL.TLS1_3_VERSION}
TITLES = ("handshakes", "whole/s", "min-max", "resumed/s", "min-max", "x whole")
UNKNOWN = count(1)
"""Ports that nothing was kept for."""


def handshake(context: ClientContext, serving: SSL.Context, port: int, *, resumed: bool) -> float:
    """Seconds that the client's part takes."""
    server, clock = server_engine(serving), time.perf_counter
    begun = clock()
    client = client_engine(context, HOST, port)
    client.handshake()
    data = client.outgoing()
    spent = clock() - begun
    while data:
        server.feed(data)
        if not server.established and server.handshake():
            server.write(b"x")
        answer = server.outgoing()
        begun = clock()
        client.feed(answer)
        if (client.established or client.handshake()) and client.read() == b"x":
            client.close()
            return spent + clock() - begun if client.resumed is resumed else 0.0
        data = client.outgoing()
        spent += clock() - begun
    raise AssertionError("the handshake has come to a stop")


def rate(context: ClientContext, serving: SSL.Context, handshakes: int, *, resumed: bool) -> float:
    """Handshakes a second."""
    port = next(UNKNOWN)
    if resumed:
        handshake(context, serving, port, resumed=False)
    ports = [port if resumed else next(UNKNOWN) for _ in range(handshakes)]
    times = [handshake(context, serving, each, resumed=resumed) for each in ports]
    assert all(times), "not what was to be measured"
    return handshakes / sum(times)


def compare(authority: Authority, rounds: int, handshakes: int) -> None:
    """Run the rounds and print the table."""
    identity = authority.issue_server([HOST])
    trust = (Material("authority", authority.pem),)
    context = client_context(TlsSettings(trust=trust, system_roots=False))
    print("{:<10}  {:>8}  {:>11}  {:>9}  {:>11}  {:>7}".format(*TITLES))
    for name, version in VERSIONS.items():
        serving = server_context(identity)
        serving.set_min_proto_version(version)
        serving.set_max_proto_version(version)
        figures: dict[bool, list[float]] = {False: [], True: []}
        for _ in range(rounds):
            for resumed, seen in figures.items():
                seen.append(rate(context, serving, handshakes, resumed=resumed))
        middle = {resumed: statistics.median(seen) for resumed, seen in figures.items()}
        columns = [text for seen in figures.values() for text in _columns(seen)]
        gain = f"{middle[True] / middle[False]:.2f}"
        print("{:<10}  {:>8}  {:>11}  {:>9}  {:>11}  {:>7}".format(name, *columns, gain))


def _columns(seen: list[float]) -> tuple[str, str]:
    return f"{statistics.median(seen):.0f}", f"{min(seen):.0f}-{max(seen):.0f}"
