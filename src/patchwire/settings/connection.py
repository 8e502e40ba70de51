"""One connection, as its file describes it: every field of it checked, and nothing read yet."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import msgspec
from msgspec import Struct

from patchwire.auth.aws_signing import check_query, is_of_signature
from patchwire.auth.credentials import Charset
from patchwire.auth.digest import ALGORITHMS, PROTECTIONS, Protection, algorithm_named
from patchwire.auth.oauth2_terms import Before
from patchwire.auth.quoting import SECRET_FIELDS
from patchwire.auth.secret import Secret
from patchwire.errors import LocalProtocolError, SettingsError
from patchwire.http.exchange import Limits as ExchangeLimits
from patchwire.http.message import Origin, Request, check_field, split_url, target_fault
from patchwire.http.redirects import FOLLOWABLE, Redirects
from patchwire.http.request_head import request_head
from patchwire.settings.aws import AWS_WORDS, AwsFile, AwsSettings, aws_settings, check_aws
from patchwire.settings.faults import fault_of
from patchwire.settings.oauth2 import (
    OAUTH2_SECRETS,
    OAUTH2_WORDS,
    OAuth2File,
    OAuth2Settings,
    check_oauth2,
    entry_of,
    terms_of,
)
from patchwire.settings.secret import SecretReference, parse_reference, reference_of
from patchwire.settings.tls import DEFAULT_TLS, Material, TlsSettings

AUTHORIZATION = "authorization"
Scheme = Literal["none", "basic", "digest", "oauth2", "aws"]
WORDS = {
    "authentication": ("none", "basic", "digest", "oauth2", "aws"),
    "charset": ("UTF-8", "ISO-8859-1"),
    "digest.qop": PROTECTIONS,
    "tls.minimum_version": ("1.2", "1.3"),
    **AWS_WORDS,
    **OAUTH2_WORDS,
}
"""What may stand where only certain words may."""
DEFAULT_UNKNOWN_STATUSES = (502, 504)
"""With these a gateway speaks for a server that may have acted."""
_SECRETS = (
    ("aws", "secret_key"),
    ("aws", "session_token"),
    *(("oauth2", key) for key in OAUTH2_SECRETS),
    ("tls", "client_password"),
    ("tls", "trust_password"),
)
WITHOUT_USER = {
    "none": 'expected "basic" or "digest"',
    "oauth2": "the password grant has oauth2.username and oauth2.password",
    "aws": "give aws.access_key and aws.secret_key",
}
"""Schemes that have no use for user and password, and what is meant perhaps."""
OF_A_RECORD = {"content-type": "media_type", "if-match": "if_match"}
"""Fields that a record sets, and the member that it sets them with."""


class DigestSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """What of Digest is allowed, in order of preference: a name without -sess stands for both forms."""

    algorithms: tuple[str, ...] = ALGORITHMS
    qop: tuple[Protection, ...] = PROTECTIONS


class Outcomes(Struct, frozen=True, forbid_unknown_fields=True):
    """`unknown_statuses`: final statuses behind which the change may have been made all the same."""

    unknown_statuses: tuple[int, ...] = DEFAULT_UNKNOWN_STATUSES


class Limits(Struct, frozen=True, forbid_unknown_fields=True):
    """Timeouts in seconds, sizes in bytes. `response_timeout` runs from the end of a request to that of its response,
    however steadily it drips; `read_timeout` bounds each silence in it.
    """

    connect_timeout: float = 10.0
    read_timeout: float = 60.0
    response_timeout: float = 300.0
    max_response_head: int = 65_536
    max_response_body: int = 16_777_216

    def for_exchange(self) -> ExchangeLimits:
        """Those that one exchange enforces."""
        return ExchangeLimits(self.max_response_head, self.max_response_body)


class TlsFile(Struct, frozen=True, forbid_unknown_fields=True):
    """What stands in [tls]: names of files, and references to the passwords that open them."""

    client_certificate: str | None = None
    client_key: str | None = None
    client_password: str | None = None
    trust: tuple[str, ...] = ()
    trust_password: str | None = None
    system_roots: bool = True
    minimum_version: Literal["1.2", "1.3"] = "1.2"

    def __repr__(self) -> str:
        """A literal secret is a secret."""
        return f"<TlsFile {self.client_certificate}>"


class ExtensionsFile(Struct, frozen=True, forbid_unknown_fields=True):
    """`extensible`: keys that an extension file may override."""

    extensible: tuple[str, ...] = ()


class ConnectionFile(Struct, frozen=True, forbid_unknown_fields=True):
    """What stands in a connection file, key by key; secrets are still references."""

    base_url: str
    authentication: Scheme = "none"
    user: str | None = None
    password: str | None = None
    charset: Charset = "UTF-8"
    preemptive: bool = False
    digest: DigestSettings = DigestSettings()
    oauth2: OAuth2File = OAuth2File()
    aws: AwsFile = AwsFile()
    redirects: Redirects = Redirects()
    headers: dict[str, str] = {}
    tls: TlsFile = TlsFile()
    outcomes: Outcomes = Outcomes()
    limits: Limits = Limits()
    extensions: ExtensionsFile = ExtensionsFile()

    def __repr__(self) -> str:
        """A literal secret is a secret."""
        return f"<ConnectionFile {self.base_url}>"


class ConnectionSettings(Struct, frozen=True):
    """A connection ready for use: secrets resolved, the base URL split, field lines checked."""

    origin: Origin
    base_path: bytes
    """Path of the base URL as written; a record's path goes behind it."""
    base_query: bytes
    """Query of the base URL, which goes before a record's own; b"" where there is none."""
    authentication: Scheme = "none"
    user: str = ""
    password: Secret = Secret("")
    charset: Charset = "UTF-8"
    """What user and password are encoded in where the server does not ask for UTF-8."""
    preemptive: bool = False
    digest: DigestSettings = DigestSettings()
    oauth2: OAuth2Settings | None = None
    """There where `authentication` is "oauth2"."""
    aws: AwsSettings | None = None
    """There where `authentication` is "aws"."""
    redirects: Redirects = Redirects()
    headers: tuple[tuple[bytes, Secret], ...] = ()
    secret_fields: frozenset[bytes] = frozenset()
    """Lower-case names of the fields whose values came from a secret; no log shows them."""
    tls: TlsSettings = DEFAULT_TLS
    identity: str = ""
    """What a journal is tied to: the base URL and what shapes requests, without secrets, limits or user."""
    outcomes: Outcomes = Outcomes()
    limits: Limits = Limits()

    def doubts(self) -> Iterator[str]:
        """Warnings of what is valid, and hardly meant or not advised."""
        if self.oauth2 is not None:
            yield from self.oauth2.doubts(self.origin)
        doubt = None if self.aws is None else self.aws.doubt(self.origin)
        if doubt is not None:
            yield doubt

    @property
    def carries_credentials(self) -> bool:
        """Whether a server may reject what this connection sends as credentials."""
        return self.authentication != "none" or any(name.lower() == b"authorization" for name, _ in self.headers)


def parse_connection(place: str, data: dict[str, Any]) -> ConnectionFile:
    """The connection in the decoded TOML `data`. SettingsError names `place`, the key and what was expected."""
    for key, words in WORDS.items():
        _check_words(place, data, key, words)
    try:
        connection = msgspec.convert(data, ConnectionFile)
    except msgspec.ValidationError as error:
        raise SettingsError(place, fault_of(error)) from None
    _check_urls_and_limits(place, connection)
    _check_authentication(place, connection)
    for name, text in connection.headers.items():
        _check_header(place, connection, name, text)
    return connection


def material_names(connection: ConnectionFile) -> dict[str, str]:
    """Every certificate file that must be read before use: its name, by its key."""
    tls = connection.tls
    names = {"tls.client_certificate": tls.client_certificate, "tls.client_key": tls.client_key}
    names |= {f"tls.trust[{index}]": name for index, name in enumerate(tls.trust)}
    return {key: name for key, name in names.items() if name is not None}


def secret_references(place: str, connection: ConnectionFile) -> dict[str, SecretReference]:
    """Every secret that must be read before use, by its key."""
    references = {}
    if connection.password is not None:
        references["password"] = reference_of(place, "password", connection.password)
    for table, key in _SECRETS:
        text = getattr(getattr(connection, table), key)
        if text is not None:
            references[f"{table}.{key}"] = reference_of(place, f"{table}.{key}", text)
    if connection.oauth2.jwt is not None and connection.oauth2.jwt.key is not None:
        references["oauth2.jwt.key"] = reference_of(place, "oauth2.jwt.key", connection.oauth2.jwt.key)
    bare = {"aws.access_key": connection.aws.access_key or ""}
    for table, texts in (
        ("headers", connection.headers),
        ("oauth2.access_token_parameters", connection.oauth2.access_token_parameters),
    ):
        bare |= {f"{table}.{name}": text for name, text in texts.items()}
    for key, text in bare.items():
        reference = parse_reference(text)
        if reference is not None:
            references[key] = reference
    return references


def resolve(
    place: str, connection: ConnectionFile, secrets: dict[str, Secret], material: dict[str, Material] | None = None
) -> ConnectionSettings:
    """The connection with the texts of its secrets and the contents of its certificate files, both given by key.

    SettingsError where a field cannot be sent.
    """
    origin, target = split_url(connection.base_url)
    path, _, query = target.partition(b"?")
    headers = []
    for name, text in connection.headers.items():
        value = secrets.get(f"headers.{name}", Secret(text))
        try:
            check_field(name.encode("latin-1"), value.reveal().encode("latin-1"))
        except (LocalProtocolError, UnicodeEncodeError) as error:
            fault = "not Latin-1" if isinstance(error, UnicodeEncodeError) else str(error)
            raise SettingsError(place, f"headers.{name}: {fault}") from None
        headers.append((name.encode("latin-1"), value))
    try:
        lines = tuple((name, value.reveal().encode("latin-1")) for name, value in headers)
        request_head(Request("PATCH", origin, b"/", lines, b"{}"))
    except LocalProtocolError as error:
        raise SettingsError(place, f"headers: {error}") from None
    return ConnectionSettings(
        origin=origin,
        base_path=path,
        base_query=query,
        authentication=connection.authentication,
        user=connection.user or "",
        password=secrets.get("password", Secret("")),
        charset=connection.charset,
        preemptive=connection.preemptive,
        digest=connection.digest,
        oauth2=_oauth2(place, connection, secrets),
        aws=_aws(place, connection, secrets),
        redirects=connection.redirects,
        headers=tuple(headers),
        secret_fields=frozenset(
            key.removeprefix("headers.").lower().encode("latin-1") for key in secrets if key.startswith("headers.")
        ),
        tls=_tls(connection.tls, secrets, material or {}),
        identity=_identity(connection, secrets),
        outcomes=connection.outcomes,
        limits=connection.limits,
    )


def _aws(place: str, connection: ConnectionFile, secrets: dict[str, Secret]) -> AwsSettings | None:
    if connection.authentication != "aws":
        return None
    return aws_settings(place, connection.aws, secrets)


def _oauth2(place: str, connection: ConnectionFile, secrets: dict[str, Secret]) -> OAuth2Settings | None:
    if connection.authentication != "oauth2":
        return None
    terms = terms_of(place, connection.oauth2, secrets)
    return OAuth2Settings(
        terms, Before(terms.access_token, terms.scope, terms.source), entry_of(connection.base_url, connection.oauth2)
    )


def _tls(tls: TlsFile, secrets: dict[str, Secret], material: dict[str, Material]) -> TlsSettings:
    return TlsSettings(
        client_certificate=material.get("tls.client_certificate"),
        client_key=material.get("tls.client_key"),
        client_password=secrets.get("tls.client_password"),
        trust=tuple(material[f"tls.trust[{index}]"] for index in range(len(tls.trust))),
        trust_password=secrets.get("tls.trust_password"),
        system_roots=tls.system_roots,
        minimum_version=tls.minimum_version,
    )


def _identity(connection: ConnectionFile, secrets: dict[str, Secret]) -> str:
    fields = sorted(
        f"{name.lower()}: {'' if f'headers.{name}' in secrets else text}" for name, text in connection.headers.items()
    )
    return "\n".join([connection.base_url, *fields])


def _check_words(place: str, data: dict[str, Any], key: str, words: tuple[str, ...]) -> None:
    """Where a key takes words, or a list of them: SettingsError unless they are among those that it knows."""
    table, dot, name = key.rpartition(".")
    found: Any = data.get(table, {}) if dot else data
    value = found.get(name) if isinstance(found, dict) else None
    for each in value if isinstance(value, list) else [value]:
        if each is not None and each not in words:
            raise SettingsError(place, f"{key}: expected one of {', '.join(words)}, got {each!r}")


def _check_urls_and_limits(place: str, connection: ConnectionFile) -> None:
    try:
        origin, target = split_url(connection.base_url)
    except LocalProtocolError as error:
        raise SettingsError(place, f"base_url: {error}") from None
    if origin.scheme == "http" and connection.tls != TlsFile() and not connection.oauth2.uses_tls:
        raise SettingsError(place, "tls: has no use with a base_url of http://; expected https://")
    _check_tls(place, connection.tls)
    fault = target_fault(target)
    if fault is not None:
        character = chr(target[fault])
        raise SettingsError(place, f"base_url: {character!r} is not allowed there, percent-encode it")
    limits = connection.limits
    for key in limits.__struct_fields__:
        value = getattr(limits, key)
        if not 0 < value < float("inf"):
            raise SettingsError(place, f"limits.{key}: expected a number above 0, got {value}")
    for status in connection.outcomes.unknown_statuses:
        if not 500 <= status <= 599:
            raise SettingsError(place, f"outcomes.unknown_statuses: expected statuses from 500 to 599, got {status}")
    _check_redirects(place, connection.redirects)


def _check_redirects(place: str, redirects: Redirects) -> None:
    for status in redirects.follow:
        if status not in FOLLOWABLE:
            raise SettingsError(place, f"redirects.follow: expected some of 301, 302, 307, 308, got {status}")
    if not 1 <= redirects.limit <= 100:
        raise SettingsError(place, f"redirects.limit: expected 1 to 100, got {redirects.limit}")


def _check_tls(place: str, tls: TlsFile) -> None:
    for key in ("client_key", "client_password"):
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
    if sum(each.lower() == name.lower() for each in connection.headers) > 1:
        raise SettingsError(place, f"headers.{name}: stands twice, in another case")
    if name.lower() in SECRET_FIELDS:
        reference_of(place, f"headers.{name}", text)
    scheme = connection.authentication
    if scheme == "aws" and is_of_signature(name):
        raise SettingsError(place, f"headers.{name}: is the signature's own: leave it out")
    if scheme != "none" and name.lower() == AUTHORIZATION:
        raise SettingsError(place, f'headers.{name}: refused beside authentication = "{scheme}"')
