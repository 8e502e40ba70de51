"""From the settings of a connection to the object that authenticates its requests."""

from __future__ import annotations

from collections.abc import Callable

from patchwire.auth.aws_credentials import AwsCredentials
from patchwire.auth.aws_flow import AwsAuthentication
from patchwire.auth.aws_session import AwsSession
from patchwire.auth.basic import BasicAuthentication
from patchwire.auth.credentials import Credentials
from patchwire.auth.digest_flow import DigestAuthentication
from patchwire.auth.flow import Authentication, NoAuthentication
from patchwire.settings.aws import AwsSettings
from patchwire.settings.connection import ConnectionSettings

LoadAws = Callable[[AwsSettings], AwsCredentials]
"""Reads the credentials that the settings name, wherever they are; it may block."""


def credentials_of(settings: ConnectionSettings) -> Credentials:
    """User and password. LocalProtocolError where they cannot be sent."""
    return Credentials(settings.user, settings.password.reveal(), settings.charset)


def authentication_for(
    settings: ConnectionSettings, cnonce: Callable[[], str], clock: Callable[[], float], load_aws: LoadAws
) -> Authentication:
    """The scheme that the connection names, with its credentials. LocalProtocolError where they cannot be sent.

    `cnonce` gives visible ASCII that nobody can foresee, for Digest; `clock` Unix seconds, and `load_aws` the
    credentials that do not stand in the connection file, for AWS.
    """
    if settings.aws is not None:
        return _aws(settings, settings.aws, clock, load_aws)
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


def _aws(
    settings: ConnectionSettings, aws: AwsSettings, clock: Callable[[], float], load_aws: LoadAws
) -> AwsAuthentication:
    keys = aws.keys()
    load = None if keys is not None else lambda: load_aws(aws)
    return AwsAuthentication(
        AwsSession(keys, load, str(settings.origin)),
        settings.origin,
        aws.scope,
        clock,
        algorithm=aws.algorithm,
        terms=aws.terms,
        secret_fields=[name.decode("latin-1") for name in settings.secret_fields],
    )
