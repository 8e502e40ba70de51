"""TLS under trio, over TCP: our TlsStream beside trio's SSLStream, each with a server of its own, and alike.

The servers run in processes of their own. Rates are by the client's processor time, which other load shifts less than
the clock's. A wire is driven as our connections drive it, a stream as everybody drives one.
"""

import multiprocessing
import socket
import ssl
import statistics
import time
from collections.abc import Awaitable, Callable

import trio
from OpenSSL import SSL

from patchwire.http.message import Origin
from patchwire.net.dial import dial
from patchwire.net.tls_stream import TlsStream
from patchwire.settings.tls import Material, TlsSettings
from patchwire.tls.context import client_context, server_context
from patchwire.tls.engine import client_engine
from patchwire.tls.issue import Authority

HOST = "localhost"
REQUEST, RESPONSE = b"q" * 400, b"a" * 250
TITLES = ("over TCP", "exchanges/s", "min-max", "x trio.SSLStream")
Exchange = Callable[[], Awaitable[None]]


def serve(listener: socket.socket, context: SSL.Context) -> None:
    """Answer on one connection until its client ends."""
    end = SSL.Connection(context, listener.accept()[0])
    end.set_accept_state()
    try:
        while end.recv(65_536) == REQUEST:
            end.sendall(RESPONSE)
    except SSL.Error:
        return


async def secured(port: int, authority: Authority) -> TlsStream:
    """Our stream, connected."""
    trust = (Material("authority", authority.pem),)
    engine = client_engine(client_context(TlsSettings(trust=trust, system_roots=False)), HOST)
    stream = TlsStream(await dial(Origin("https", HOST, port), 10), engine)
    await stream.handshake()
    return stream


async def over_wire(port: int, authority: Authority) -> Exchange:
    stream = await secured(port, authority)

    async def exchange() -> None:
        stream.put(REQUEST)
        assert stream.flush()
        while True:
            await stream.wait_readable()
            data = stream.receive()
            if data is not None:
                assert data == RESPONSE
                return

    return exchange


async def over_stream(port: int, authority: Authority) -> Exchange:
    return exchanging(await secured(port, authority))


async def over_trio(port: int, authority: Authority) -> Exchange:
    context = ssl.create_default_context(cadata=authority.pem.decode())
    stream = trio.SSLStream(await trio.open_tcp_stream(HOST, port), context, server_hostname=HOST)
    await stream.do_handshake()
    return exchanging(stream)


def exchanging(stream: trio.abc.Stream) -> Exchange:
    async def exchange() -> None:
        await stream.send_all(REQUEST)
        assert await stream.receive_some(65_536) == RESPONSE

    return exchange


CLIENTS = {
    "TlsStream, as a wire": over_wire,
    "TlsStream, as a stream": over_stream,
    "trio.SSLStream": over_trio,
}


async def rates(port: int, authority: Authority, rounds: int, exchanges: int) -> dict[str, list[float]]:
    """By client: exchanges a second of its processor time, a figure a round."""
    clients = {name: await make(port, authority) for name, make in CLIENTS.items()}
    seen: dict[str, list[float]] = {name: [] for name in clients}
    for _ in range(rounds):
        for name, exchange in clients.items():
            begun = time.process_time()
            for _ in range(exchanges):
                await exchange()
            seen[name].append(exchanges / (time.process_time() - begun))
    return seen


def compare(authority: Authority, rounds: int, exchanges: int) -> None:
    """Run the rounds and print the table."""
    context = server_context(authority.issue_server([HOST]))
    forking = multiprocessing.get_context("fork")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        servers = [forking.Process(target=serve, args=(listener, context)) for _ in CLIENTS]
        for server in servers:
            server.start()
        seen = trio.run(rates, listener.getsockname()[1], authority, rounds, exchanges)
    for server in servers:
        server.terminate()
        server.join()
    print("{:<22}  {:>12}  {:>15}  {:>16}".format(*TITLES))
    for name, figures in seen.items():
        ratio = statistics.median(figures) / statistics.median(seen["trio.SSLStream"])
        spread = f"{min(figures):.0f}-{max(figures):.0f}"
        print(f"{name:<22}  {statistics.median(figures):>12.0f}  {spread:>15}  {ratio:>16.2f}")
