"""Opening a connection without TLS: over TCP to whichever of a host's addresses answers first (RFC 8305), or to a
Unix socket.
"""

from __future__ import annotations

import socket
from typing import Final

import trio

from patchwire.errors import ConnectError
from patchwire.http.message import Origin
from patchwire.net.reasons import reason_of_host, reason_of_socket
from patchwire.net.wire import TcpWire

KEEPALIVE: Final = (("TCP_KEEPIDLE", 30), ("TCP_KEEPALIVE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3))
"""Options of TCP, in seconds but for the last: a peer that has vanished is noticed within a minute of silence. macOS
names the first as the second; what a platform lacks stays as it is.
"""
LONGEST_NAME: Final = 253
"""Characters of a host name (RFC 1035 section 2.3.4); a resolver may say of a longer one that it is not known."""
FULL: Final = 0.01
"""Seconds between two attempts at a Unix socket whose queue is full: there is nothing to wait for then."""


async def dial(origin: Origin, connect_timeout: float) -> TcpWire:
    """A connected wire, within `connect_timeout` seconds. ConnectError says why there is none."""
    path = origin.socket_path
    try:
        with trio.fail_after(connect_timeout):
            sock = await _over_tcp(origin) if path is None else await _to_socket(path)
    except trio.TooSlowError:
        reason = f"no answer within {connect_timeout:g} seconds (limits.connect_timeout)"
    except (OSError, UnicodeError) as error:
        reason = reason_of_host(error, origin.host) if path is None else reason_of_socket(error, path)
    else:
        return TcpWire(sock)
    raise ConnectError(f"cannot connect to {origin}: {reason}", origin=str(origin)) from None


async def _over_tcp(origin: Origin) -> socket.socket:
    if len(origin.host.removesuffix(".")) > LONGEST_NAME:
        raise UnicodeError("label too long")  # as a name with a part of over 63 characters is refused
    stream = await trio.open_tcp_stream(origin.host, origin.port)  # sets TCP_NODELAY
    sock = socket.socket(fileno=stream.socket.detach())
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in KEEPALIVE:
        option = getattr(socket, name, None)
        if option is not None:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)
    return sock


async def _to_socket(path: str) -> socket.socket:
    # Linux says EAGAIN where the queue is full, which trio takes for a connection that is under way.
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.setblocking(False)
    try:
        await trio.lowlevel.checkpoint()
        while True:
            try:
                sock.connect(path)
            except BlockingIOError:
                await trio.sleep(FULL)
            else:
                return sock
    except BaseException:
        sock.close()
        raise
