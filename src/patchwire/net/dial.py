"""Opening a TCP connection, to whichever of a host's addresses answers first (RFC 8305)."""

from __future__ import annotations

import os
import socket

import trio

from patchwire.errors import ConnectError
from patchwire.http.message import Origin
from patchwire.net.wire import TcpWire


async def dial(origin: Origin, connect_timeout: float) -> TcpWire:
    """A connected wire, within `connect_timeout` seconds. ConnectError says why there is none."""
    try:
        with trio.fail_after(connect_timeout):
            stream = await trio.open_tcp_stream(origin.host, origin.port)
    except trio.TooSlowError:
        reason = f"no answer within {connect_timeout:g} seconds (limits.connect_timeout)"
        raise ConnectError(f"cannot connect to {origin}: {reason}", origin=str(origin)) from None
    except UnicodeError as error:  # a name that is none: an empty label, or one of over 63 characters
        problem = f"cannot connect to {origin}: {origin.host!r} is no host name ({error})"
        raise ConnectError(problem, origin=str(origin)) from None
    except OSError as error:
        raise ConnectError(f"cannot connect to {origin}: {_reason(error)}", origin=str(origin)) from None
    raw = socket.socket(fileno=stream.socket.detach())
    raw.setblocking(False)
    return TcpWire(raw)


def _reason(error: BaseException) -> str:
    cause = error.__cause__
    while cause is not None:
        error = cause.exceptions[0] if isinstance(cause, BaseExceptionGroup) else cause
        cause = error.__cause__
    if isinstance(error, OSError) and not isinstance(error, socket.gaierror) and error.errno is not None:
        text = os.strerror(error.errno)
    else:
        text = getattr(error, "strerror", None) or str(error)
    return text[:1].lower() + text[1:]
