"""patchwire: an HTTP PATCH engine. Many changes, any authentication, a known outcome for each.

The names here are the public ones of the package itself. Importing it loads neither sockets nor trio: what reads
files is loaded when it is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from patchwire.delivery.outcome import Outcome
from patchwire.errors import PatchwireError
from patchwire.http.message import Origin, Request, Response, request_to
from patchwire.settings.connection import ConnectionSettings

if TYPE_CHECKING:
    from patchwire.files.connection_file import load_connection

__all__ = [
    "ConnectionSettings",
    "Origin",
    "Outcome",
    "PatchwireError",
    "Request",
    "Response",
    "load_connection",
    "request_to",
]


def __getattr__(name: str) -> object:
    if name == "load_connection":
        from patchwire.files.connection_file import load_connection

        return load_connection
    raise AttributeError(f"module 'patchwire' has no attribute {name!r}")
