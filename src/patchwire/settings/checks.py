"""What of a connection file goes together, and what can be sent."""

from __future__ import annotations

from patchwire.auth.aws_signing import check_query, is_of_signature
from patchwire.auth.digest import ALGORITHMS, algorithm_named
from patchwire.auth.quoting import SECRET_FIELDS
from patchwire.errors import LocalProtocolError, SettingsError
from patchwire.http.message import split_url, target_fault
from patchwire.http.redirects import FOLLOWABLE, Redirects
from patchwire.settings.aws import AwsFile, check_aws
from patchwire.settings.oauth2_checks import check_oauth2
from patchwire.settings.oauth2_file import OAuth2File
from patchwire.settings.proxy import check_proxy
from patchwire.settings.secret import reference_of
from patchwire.settings.written import ConnectionFile, DigestSettings, TlsFile

AUTHORIZATION = "authorization"
PROXY_AUTHORIZATION = "proxy-authorization"
WITHOUT_USER = {
    "none": 'expected "basic" or "digest"',
    "oauth2": "the password grant has oauth2.username and oauth2.password",
    "aws": "give aws.access_key and aws.secret_key",
}
"""Schemes that have no use for user and password, and what is meant perhaps."""
OF_A_RECORD = {"content-type": "media_type", "if-match": "if_match"}
"""Fields that a record sets, and the member that it sets them with."""


def check_connection(place: str, connection: ConnectionFile) -> None:
    """SettingsError names `place`, the key at fault and what was expected."""
    _check_urls_and_limits(place, connection)
    _check_authentication(place, connection)
    for name, text in connection.headers.items():
        _check_header(place, connection, name, text)


def _check_urls_and_limits(place: str, connection: ConnectionFile) -> None:
    try:
        origin, target = split_url(connection.base_url)
    except LocalProtocolError as error:
        raise SettingsError(place, f"base_url: {error}") from None
    if origin.scheme != "https" and connection.tls != TlsFile() and not uses_tls_beside(connection):
        begin = "http://; expected https://" if origin.scheme == "http" else "unix:, where nothing is encrypted"
        raise SettingsError(place, f"tls: has no use with a base_url of {begin}")
    _check_tls(place, connection.tls)
    check_proxy(place, connection.proxy)
    fault = target_fault(target)
    if fault is not None:
        character = chr(target[fault])
        raise SettingsError(place, f"base_url: {character!r} is not allowed there, percent-encode it")
    limits = connection.limits
    for key in limits.__struct_fields__:
        value = getattr(limits, key)
        if value is not None and not 0 < value < float("inf"):
            raise SettingsError(place, f"limits.{key}: expected a number above 0, got {value}")
    for status in connection.outcomes.unknown_statuses:
        if not 500 <= status <= 599:
            raise SettingsError(place, f"outcomes.unknown_statuses: expected statuses from 500 to 599, got {status}")
    _check_redirects(place, connection.redirects)


def uses_tls_beside(connection: ConnectionFile) -> bool:
    """Whether TLS is, or may be, spoken to somebody else than the server of the base URL."""
    return connection.oauth2.uses_tls or connection.proxy.uses_tls or connection.redirects.other_origins


def _check_redirects(place: str, redirects: Redirects) -> None:
    for status in redirects.follow:
        if status not in FOLLOWABLE:
            raise SettingsError(place, f"redirects.follow: expected some of 301, 302, 307, 308, got {status}")
    if not 1 <= redirects.limit <= 100:
        raise SettingsError(place, f"redirects.limit: expected 1 to 100, got {redirects.limit}")


def _check_tls(place: str, tls: TlsFile) -> None:
    for key in ("client_key", "client_password", "client_alias"):
        if getattr(tls, key) is not None and tls.client_certificate is None:
            raise SettingsError(place, f"tls.{key}: has no use without tls.client_certificate")
    if tls.trust_password is not None and not tls.trust:
        raise SettingsError(place, "tls.trust_password: has no use without tls.trust")
    if not tls.system_roots and not tls.trust:
        raise SettingsError(place, "tls.trust: missing; with system_roots = false nothing else would be trusted")


def _check_authentication(place: str, connection: ConnectionFile) -> None:
    scheme = connection.authentication
    if scheme in WITHOUT_USER:
        for key in ("user", "password"):
            if getattr(connection, key) is not None:
                expected = WITHOUT_USER[scheme]
                raise SettingsError(place, f'{key}: has no use with authentication = "{scheme}"; {expected}')
    for table, unset in (("digest", DigestSettings()), ("oauth2", OAuth2File()), ("aws", AwsFile())):
        if scheme != table and getattr(connection, table) != unset:
            raise SettingsError(place, f'{table}: has no use with authentication = "{scheme}"')
    if scheme == "aws":
        origin, target = split_url(connection.base_url)
        check_aws(place, connection.aws, origin.scheme)
        try:
            check_query(target)
        except LocalProtocolError as error:
            raise SettingsError(place, f"base_url: {error}") from None
    if scheme == "oauth2":
        check_oauth2(place, connection.oauth2)
    if scheme in WITHOUT_USER:
        return
    for key in ("user", "password"):
        if getattr(connection, key) is None:
            raise SettingsError(place, f'{key}: missing; authentication = "{scheme}" needs it')
    if ":" in (connection.user or ""):
        raise SettingsError(place, "user: a user name must not hold a colon")
    _check_digest(place, connection.digest)


def _check_digest(place: str, digest: DigestSettings) -> None:
    for name in digest.algorithms:
        if algorithm_named(name) is None or name != name.upper().replace("-SESS", "-sess"):
            known = ", ".join(ALGORITHMS)
            raise SettingsError(place, f"digest.algorithms: expected some of {known}, also with -sess, got {name!r}")
    for key in ("algorithms", "qop"):
        if not getattr(digest, key):
            raise SettingsError(place, f"digest.{key}: expected at least one")


def _check_header(place: str, connection: ConnectionFile, name: str, text: str) -> None:
    if name.lower() in OF_A_RECORD:
        raise SettingsError(
            place, f"headers.{name}: belongs to each record, as its member {OF_A_RECORD[name.lower()]}"
        )
    if name.lower() == PROXY_AUTHORIZATION:
        raise SettingsError(place, f"headers.{name}: is for a proxy alone; expected proxy.user and proxy.password")
    if sum(each.lower() == name.lower() for each in connection.headers) > 1:
        raise SettingsError(place, f"headers.{name}: stands twice, in another case")
    if name.lower() in SECRET_FIELDS:
        reference_of(place, f"headers.{name}", text)
    scheme = connection.authentication
    if scheme == "aws" and is_of_signature(name):
        raise SettingsError(place, f"headers.{name}: is the signature's own: leave it out")
    if scheme != "none" and name.lower() == AUTHORIZATION:
        raise SettingsError(place, f'headers.{name}: refused beside authentication = "{scheme}"')
