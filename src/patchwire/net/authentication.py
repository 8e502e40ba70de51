"""The authentication of a connection, with time, chance and files as they are here."""

from __future__ import annotations

from patchwire.auth.flow import Authentication
from patchwire.auth.token_keeping import TokenStore
from patchwire.files.aws_credentials import load_aws_credentials
from patchwire.net.sources import cnonce, now
from patchwire.settings.authentication import Sources, authentication_for
from patchwire.settings.connection import ConnectionSettings


def authentication_of(settings: ConnectionSettings) -> Authentication:
    """The scheme that the connection names. LocalProtocolError where its credentials cannot be sent."""
    return authentication_for(settings, SOURCES)


def open_store(entry: str) -> TokenStore:
    """The kept token of that name."""
    from patchwire.files.token_store import TokenStore as FileStore  # only OAuth 2.0 has a use for it

    return FileStore(entry)


SOURCES = Sources(cnonce, now, load_aws_credentials, open_store)
