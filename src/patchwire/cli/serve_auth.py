"""Whom patchwire serve lets in, and what it asks of them."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final

import click
from msgspec import Struct

from patchwire.auth.aws_catalog import service_hint, service_named
from patchwire.auth.aws_credentials import AwsCredentials
from patchwire.auth.aws_signing import Scope
from patchwire.auth.bearer import authorization as bearer_authorization
from patchwire.auth.credentials import Credentials
from patchwire.auth.digest import QOPS
from patchwire.auth.verify.aws import DEFAULT_MAX_SKEW, AwsVerifier
from patchwire.auth.verify.basic import BasicVerifier
from patchwire.auth.verify.bearer import BearerVerifier
from patchwire.auth.verify.digest import DEFAULT_ALGORITHMS, DEFAULT_QOPS, DigestDemands, DigestVerifier
from patchwire.auth.verify.nonces import DEFAULT_LIFETIME, ServerNonces, Uses
from patchwire.auth.verify.verdict import Verifier
from patchwire.cli.serve_tls import secret_option
from patchwire.errors import InputError, LocalProtocolError
from patchwire.loopback.app import App

if TYPE_CHECKING:
    from patchwire.loopback.authorization import AuthorizationServer
    from patchwire.loopback.guarded import GuardedApp

_OF_DIGEST: Final = ("algorithms", "qop", "userhash", "nonce_lifetime", "nonce_uses")
_OF_AWS: Final = ("session_token", "service", "region", "max_skew")
_OF_CLIENT: Final = ("client_secret", "token_lifetime")

_NEEDS: Final[dict[str, tuple[str, ...]]] = {
    "none": (),
    "basic": ("user", "password"),
    "digest": ("user", "password"),
    "bearer": (),  # one of several, which has a check of its own
    "aws": ("access_key", "secret_key"),
}
_TAKES: Final = _NEEDS | {"bearer": ("token", "client_id", "user", "password")}
_GIVEN: Final = {
    "basic": "--user, --password",
    "digest": "--user, --password",
    "bearer": "--token",
    "aws": "--access-key, --secret-key, --session-token",
}


class AuthOptions(Struct, frozen=True, kw_only=True):
    """The options of the command, as they were given."""

    auth: str
    user: str | None
    password: str | None
    token: str | None
    client_id: str | None
    client_secret: str | None
    token_lifetime: int | None
    realm: str
    algorithms: tuple[str, ...]
    qop: tuple[str, ...]
    userhash: bool
    nonce_lifetime: float | None
    nonce_uses: Uses | None
    access_key: str | None
    secret_key: str | None
    session_token: str | None
    service: str | None
    region: str | None
    max_skew: float | None

    def __repr__(self) -> str:
        """Secrets may stand in the open here."""
        return f"<AuthOptions {self.auth}>"


def application(options: AuthOptions, *, create_missing: bool) -> App | GuardedApp:
    """The documents with what guards them. A UsageError or an InputError names what is at fault."""
    _check(options)
    if options.client_id is None:
        return App(_verifier(options, None), create_missing)
    from patchwire.loopback.guarded import GuardedApp  # most commands do without an authorization server

    authorization = _authorization(options)
    return GuardedApp(App(_verifier(options, authorization), create_missing), authorization)


def _verifier(options: AuthOptions, authorization: AuthorizationServer | None) -> Verifier | None:
    """What judges requests; None where anyone may come."""
    if options.auth == "none":
        return None
    if not options.realm.isprintable():
        raise InputError("--realm", "holds a character that cannot be sent")
    try:
        if options.auth == "aws":
            return _aws(options)
        if options.auth == "bearer":
            return _bearer(options, authorization)
        user, password = options.user or "", secret_option("--password", options.password or "").reveal()
        Credentials(user, password)
        if options.auth == "basic":
            return BasicVerifier(options.realm, {user: password})
        return _digest(options, {user: password})
    except LocalProtocolError as error:
        raise InputError(_GIVEN[options.auth], str(error)) from None


def _aws(options: AuthOptions) -> AwsVerifier:
    secret_key = secret_option("--secret-key", options.secret_key or "").reveal()
    token = options.session_token
    credentials = AwsCredentials(
        options.access_key or "",
        secret_key,
        None if token is None else secret_option("--session-token", token).reveal(),
    )
    max_skew = DEFAULT_MAX_SKEW if options.max_skew is None else options.max_skew
    try:
        return AwsVerifier(_scope(options), [credentials], max_skew=max_skew)
    except LocalProtocolError as error:
        raise InputError("--region", str(error)) from None


def _scope(options: AuthOptions) -> Scope:
    region = "us-east-1" if options.region is None else options.region
    named = "execute-api" if options.service is None else options.service
    service = service_named(named)
    scope = Scope(region, "any")
    try:
        return Scope(scope.region, named if service is None else service.signing_name)
    except LocalProtocolError as error:
        hint = service_hint(named)
        raise InputError("--service", f"{error}; {hint}" if hint else str(error)) from None


def _bearer(options: AuthOptions, authorization: AuthorizationServer | None) -> BearerVerifier:
    tokens = {}
    if options.token is not None:
        token = secret_option("--token", options.token).reveal()
        bearer_authorization(token)
        tokens[token] = "bearer"
    return BearerVerifier(options.realm, tokens, None if authorization is None else authorization.user_of)


def _authorization(options: AuthOptions) -> AuthorizationServer:
    from patchwire.loopback.authorization import AuthorizationServer
    from patchwire.loopback.grants import DEFAULT_LIFETIME as DEFAULT_TOKEN_LIFETIME
    from patchwire.loopback.oauth_clients import Client

    given = {
        option: None if text is None else secret_option(option, text).reveal()
        for option, text in (("--client-secret", options.client_secret), ("--password", options.password))
    }
    try:
        client = Client(options.client_id or "", given["--client-secret"])
    except LocalProtocolError as error:
        raise InputError("--client-id, --client-secret", str(error)) from None
    passwords = {} if options.user is None else {options.user: given["--password"] or ""}
    lifetime = DEFAULT_TOKEN_LIFETIME if options.token_lifetime is None else options.token_lifetime
    return AuthorizationServer([client], secrets.token_bytes, passwords=passwords, token_lifetime=lifetime)


def _digest(options: AuthOptions, passwords: dict[str, str]) -> DigestVerifier:
    qop = options.qop or DEFAULT_QOPS
    if "none" in qop and len(qop) > 1:
        raise click.UsageError("--qop none stands alone")
    demands = DigestDemands(
        realm=options.realm,
        algorithms=options.algorithms or DEFAULT_ALGORITHMS,
        qops=tuple(each for each in QOPS if each in qop),
        userhash=options.userhash,
    )
    lifetime = DEFAULT_LIFETIME if options.nonce_lifetime is None else options.nonce_lifetime
    uses = options.nonce_uses or "parallel"
    nonces = ServerNonces(secrets.token_bytes(32), secrets.token_bytes, lifetime=lifetime, uses=uses)
    try:
        return DigestVerifier(demands, passwords, nonces)
    except LocalProtocolError as error:
        raise InputError("--algorithm", str(error)) from None


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


def _is_given(value: object) -> bool:
    return value is not None and value is not False and value != ()


def _check(options: AuthOptions) -> None:
    needed = _NEEDS[options.auth]
    for name in ("user", "password", "token", "client_id", "access_key", "secret_key"):
        given = getattr(options, name) is not None
        if given and name not in _TAKES[options.auth]:
            users = " or ".join(scheme for scheme, names in _TAKES.items() if name in names)
            raise click.UsageError(f"{_option(name)} needs --auth {users}")
        if not given and name in needed:
            raise click.UsageError(f"--auth {options.auth} needs {' and '.join(map(_option, needed))}")
    _check_bearer(options)
    if options.auth != "digest" and any(_is_given(getattr(options, name)) for name in _OF_DIGEST):
        raise click.UsageError("--algorithm, --qop, --userhash, --nonce-lifetime and --nonce-uses need --auth digest")
    if options.auth != "aws" and any(_is_given(getattr(options, name)) for name in _OF_AWS):
        raise click.UsageError("--session-token, --service, --region and --max-skew need --auth aws")
    if options.max_skew is not None and not options.max_skew > 0:
        raise click.UsageError("--max-skew must be above 0")
    if options.nonce_lifetime is not None and not options.nonce_lifetime > 0:
        raise click.UsageError("--nonce-lifetime must be above 0")


def _check_bearer(options: AuthOptions) -> None:
    if options.client_id is None:
        if options.auth == "bearer" and options.token is None:
            raise click.UsageError("--auth bearer needs --token or --client-id")
        if options.auth == "bearer" and (options.user is not None or options.password is not None):
            raise click.UsageError("--user and --password need --client-id with --auth bearer")
        if any(_is_given(getattr(options, name)) for name in _OF_CLIENT):
            raise click.UsageError("--client-secret and --token-lifetime need --client-id")
    if (options.user is None) != (options.password is None):
        raise click.UsageError("--user and --password stand together")
    if options.token_lifetime is not None and options.token_lifetime < 1:
        raise click.UsageError("--token-lifetime must be above 0")
