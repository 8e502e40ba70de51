"""From the settings of a connection to the object that authenticates its requests."""

from __future__ import annotations

from collections.abc import Callable

from patchwire.auth.basic import BasicAuthentication
from patchwire.auth.credentials import Credentials
from patchwire.auth.digest_flow import DigestAuthentication
from patchwire.auth.flow import Authentication, NoAuthentication
from patchwire.settings.connection import ConnectionSettings


def credentials_of(settings: ConnectionSettings) -> Credentials:
    """User and password. LocalProtocolError where they cannot be sent."""
    return Credentials(settings.user, settings.password.reveal(), settings.charset)


def authentication_for(settings: ConnectionSettings, cnonce: Callable[[], str]) -> Authentication:
    """The scheme that the connection names, with its credentials. LocalProtocolError where they cannot be sent.

    `cnonce` gives visible ASCII that nobody can foresee, for Digest.
    """
    if settings.authentication == "none":
        return NoAuthentication()
    credentials = credentials_of(settings)
    if settings.authentication == "digest":
        return DigestAuthentication(
            credentials,
            settings.origin,
            cnonce,
            preemptive=settings.preemptive,
            algorithms=settings.digest.algorithms,
            qops=settings.digest.qop,
        )
    return BasicAuthentication(credentials, settings.origin, preemptive=settings.preemptive)
