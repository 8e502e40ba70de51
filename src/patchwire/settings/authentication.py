"""From the settings of a connection to the object that authenticates its requests."""

from __future__ import annotations

from patchwire.auth.basic import BasicAuthentication, Credentials
from patchwire.auth.flow import Authentication, NoAuthentication
from patchwire.settings.connection import ConnectionSettings


def authentication_for(settings: ConnectionSettings) -> Authentication:
    """The scheme that the connection names, with its credentials. LocalProtocolError where they cannot be sent."""
    if settings.authentication == "none":
        return NoAuthentication()
    credentials = Credentials(settings.user, settings.password.reveal())
    return BasicAuthentication(credentials, settings.origin, preemptive=settings.preemptive)
