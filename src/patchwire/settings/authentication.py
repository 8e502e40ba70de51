"""From the settings of a connection to the object that authenticates its requests."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from patchwire.auth.aws_credentials import AwsCredentials
from patchwire.auth.aws_flow import AwsAuthentication
from patchwire.auth.aws_session import AwsSession
from patchwire.auth.basic import BasicAuthentication
from patchwire.auth.credentials import Credentials
from patchwire.auth.digest_flow import DigestAuthentication
from patchwire.auth.flow import Authentication, NoAuthentication
from patchwire.auth.oauth2_exchange import TokenExchange
from patchwire.auth.oauth2_flow import OAuth2Authentication
from patchwire.auth.oauth2_session import TokenSession
from patchwire.auth.oauth2_source import TokenSource
from patchwire.auth.token_keeping import TokenKeeping, TokenStore
from patchwire.settings.aws import AwsSettings
from patchwire.settings.connection import ConnectionSettings
from patchwire.settings.oauth2 import OAuth2Settings


class Sources(Struct, frozen=True):
    """What authentication takes from outside.

    `unforeseeable` gives visible ASCII that nobody can foresee and that is not drawn twice, `clock` Unix seconds.
    `load_aws` reads the credentials of AWS that the settings name, wherever they are, and may block. `open_store`
    gives the store of an entry; None where no token is to outlive the process.
    """

    unforeseeable: Callable[[], str]
    clock: Callable[[], float]
    load_aws: Callable[[AwsSettings], AwsCredentials]
    open_store: Callable[[str], TokenStore | None]


def credentials_of(settings: ConnectionSettings) -> Credentials:
    """User and password. LocalProtocolError where they cannot be sent."""
    return Credentials(settings.user, settings.password.reveal(), settings.charset)


def authentication_for(settings: ConnectionSettings, sources: Sources) -> Authentication:
    """The scheme that the connection names, with its credentials. LocalProtocolError where they cannot be sent."""
    if settings.aws is not None:
        return _aws(settings, settings.aws, sources)
    if settings.oauth2 is not None:
        return _oauth2(settings, settings.oauth2, sources)
    if settings.authentication == "none":
        return NoAuthentication()
    credentials = credentials_of(settings)
    if settings.authentication == "digest":
        return DigestAuthentication(
            credentials,
            settings.origin,
            sources.unforeseeable,
            preemptive=settings.preemptive,
            algorithms=settings.digest.algorithms,
            qops=settings.digest.qop,
        )
    return BasicAuthentication(credentials, settings.origin, preemptive=settings.preemptive)


def exchange_and_keeping(oauth2: OAuth2Settings, sources: Sources) -> tuple[TokenExchange, TokenKeeping]:
    """What asks for the connection's tokens, and what keeps them."""
    exchange = TokenExchange(oauth2.terms, sources.clock, sources.unforeseeable)
    return exchange, TokenKeeping(sources.open_store(oauth2.entry))


def _oauth2(settings: ConnectionSettings, oauth2: OAuth2Settings, sources: Sources) -> OAuth2Authentication:
    exchange, keeping = exchange_and_keeping(oauth2, sources)
    session = TokenSession(TokenSource(exchange, keeping, str(settings.origin), oauth2.before))
    return OAuth2Authentication(session, settings.origin, preemptive=settings.preemptive)


def _aws(settings: ConnectionSettings, aws: AwsSettings, sources: Sources) -> AwsAuthentication:
    keys = aws.keys()
    load = None if keys is not None else lambda: sources.load_aws(aws)
    return AwsAuthentication(
        AwsSession(keys, load, str(settings.origin)),
        settings.origin,
        aws.scope,
        sources.clock,
        algorithm=aws.algorithm,
        terms=aws.terms,
        secret_fields=[name.decode("latin-1") for name in settings.secret_fields],
    )
