"""patchwire: an HTTP PATCH engine. Many changes, any authentication, a known outcome for each.

The names here are the public ones of the package itself. Importing it loads neither sockets nor trio: what reads
files is loaded when it is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from patchwire.delivery.outcome import Outcome, outcome_of
from patchwire.errors import PatchwireError, Sent
from patchwire.http.message import Origin, Request, Response, request_to
from patchwire.settings.connection import ConnectionSettings
from patchwire.settings.tls import Material, TlsSettings

if TYPE_CHECKING:
    from patchwire.files.connection_file import connection_from, load_connection

__all__ = [
    "ConnectionSettings",
    "Material",
    "Origin",
    "Outcome",
    "PatchwireError",
    "Request",
    "Response",
    "Sent",
    "TlsSettings",
    "connection_from",
    "load_connection",
    "outcome_of",
    "request_to",
]


def __getattr__(name: str) -> object:
    if name in ("connection_from", "load_connection"):
        from patchwire.files import connection_file

        return getattr(connection_file, name)
    raise AttributeError(f"module 'patchwire' has no attribute {name!r}")
