"""What the TLS engine's pump costs by itself: no socket, a client's end in memory, beside the standard library's ssl.

An exchange is a request of 400 octets out and a response of 250 in; a bulk one has a megabyte. Only what the client
does is timed: encrypt and hand out, take in and decrypt. The rounds are interleaved; both talk to the same server.
Then the same over TCP, under trio, beside trio's SSLStream; and what handshakes cost, whole and resumed.
"""

import argparse
import ssl
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import tls_handshakes, tls_streams
from OpenSSL import SSL

from patchwire.net.sources import now
from patchwire.settings.tls import Material, TlsSettings
from patchwire.tls.context import client_context, server_context
from patchwire.tls.engine import TlsEngine, client_engine, server_engine
from patchwire.tls.issue import Authority

HOST = "localhost"
SMALL = (400, 250)
BULK = (1_000_000, 1_000_000)
TITLES = ("exchange", "engine", "client us", "min-max", "x ssl")


class Patchwire:
    """Our engine."""

    def __init__(self, authority: Authority) -> None:
        trust = (Material("authority", authority.pem),)
        self.engine = client_engine(client_context(TlsSettings(trust=trust, system_roots=False)), HOST)
        self.handshake = self.engine.handshake

    def send(self, data: bytes) -> bytes:
        """Encrypt: what goes to the peer."""
        self.engine.write(data)
        return self.engine.outgoing()

    def receive(self, data: bytes) -> bytes:
        """Decrypt what came from the peer."""
        self.engine.feed(data)
        return self.engine.read() or b""

    def outgoing(self) -> bytes:
        """What the handshake has to say."""
        return self.engine.outgoing()

    def feed(self, data: bytes) -> None:
        """Take in what belongs to the handshake."""
        self.engine.feed(data)


class StandardLibrary:
    """ssl.SSLObject over its memory BIOs, driven alike: all that can be read is read."""

    def __init__(self, authority: Authority) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=authority.pem.decode())
        self.incoming, self.out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.object = context.wrap_bio(self.incoming, self.out, server_hostname=HOST)

    def handshake(self) -> bool:
        """Take the handshake on; whether it is done."""
        try:
            self.object.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def send(self, data: bytes) -> bytes:
        """Encrypt: what goes to the peer."""
        self.object.write(data)
        return self.out.read()

    def receive(self, data: bytes) -> bytes:
        """Decrypt what came from the peer."""
        self.incoming.write(data)
        pieces = []
        try:
            while True:
                pieces.append(self.object.read(16_384))
        except ssl.SSLWantReadError:
            return b"".join(pieces)

    def outgoing(self) -> bytes:
        """What the handshake has to say."""
        return self.out.read()

    def feed(self, data: bytes) -> None:
        """Take in what belongs to the handshake."""
        self.incoming.write(data)


Client = TypeVar("Client", bound="Patchwire | StandardLibrary")
CLIENTS: dict[str, Callable[[Authority], Patchwire | StandardLibrary]] = {
    "patchwire": Patchwire,
    "ssl": StandardLibrary,
}


def connected(
    make: Callable[[Authority], Client], authority: Authority, context: SSL.Context
) -> tuple[Client, TlsEngine]:
    """Both ends, the handshake done and the session tickets read."""
    client, server = make(authority), server_engine(context)
    done = False
    while not (done and server.established):
        done = client.handshake()
        data = client.outgoing()
        if data:
            server.feed(data)
        if not server.established:
            server.handshake()
        data = server.outgoing()
        if data:
            client.feed(data)
    client.receive(server_says(server, b"x"))
    return client, server


def server_says(server: TlsEngine, data: bytes) -> bytes:
    """What the server sends to say this."""
    server.write(data)
    return server.outgoing()


def timed(client: Patchwire | StandardLibrary, server: TlsEngine, sizes: tuple[int, int], exchanges: int) -> float:
    """Seconds that the client's part of an exchange takes, on average."""
    request, response = b"q" * sizes[0], b"a" * sizes[1]
    spent = 0.0
    clock = time.perf_counter
    for _ in range(exchanges):
        begun = clock()
        sent = client.send(request)
        spent += clock() - begun
        server.feed(sent)
        assert server.read() == request
        answer = server_says(server, response)
        begun = clock()
        received = client.receive(answer)
        spent += clock() - begun
        assert received == response
    return spent / exchanges


def calls(authority: Authority, context: SSL.Context) -> Counter[str]:
    """How often our engine calls into OpenSSL for one small exchange."""
    client, server = connected(Patchwire, authority, context)
    seen: Counter[str] = Counter()
    inner = client.engine._ssl

    class Counting:
        def __getattr__(self, name: str) -> object:
            method = getattr(inner, name)

            def counted(*arguments: object) -> object:
                seen[name] += 1
                return method(*arguments)

            return counted

    client.engine._ssl = Counting()  # type: ignore[assignment]
    timed(client, server, SMALL, 1)
    return seen


def main() -> None:
    """Run the rounds and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--exchanges", type=int, default=5000)
    options = parser.parse_args()
    authority = Authority("benchmark", now())
    context = server_context(authority.issue_server([HOST]))
    ends = {name: connected(make, authority, context) for name, make in CLIENTS.items()}
    times: dict[tuple[str, str], list[float]] = {}
    for _ in range(options.rounds):
        for kind, sizes, count in (
            ("small", SMALL, options.exchanges),
            ("1 MB", BULK, max(1, options.exchanges // 500)),
        ):
            for name, (client, server) in ends.items():
                times.setdefault((kind, name), []).append(timed(client, server, sizes, count))
    print("{:>9}  {:<10}  {:>10}  {:>17}  {:>6}".format(*TITLES))
    for (kind, name), seen in times.items():
        ratio = statistics.median(seen) / statistics.median(times[kind, "ssl"])
        spread = f"{min(seen) * 1e6:.1f}-{max(seen) * 1e6:.1f}"
        print(f"{kind:>9}  {name:<10}  {statistics.median(seen) * 1e6:>10.1f}  {spread:>17}  {ratio:>6.2f}")
    counted = ", ".join(f"{name} {count}" for name, count in sorted(calls(authority, context).items()))
    print(f"calls into OpenSSL for one small exchange: {counted}\n")
    # Many short rounds: whatever else the machine does meets all alike.
    tls_streams.compare(authority, 5 * options.rounds, options.exchanges // 20)
    print()
    tls_handshakes.compare(authority, options.rounds, options.exchanges // 50)


if __name__ == "__main__":
    main()
