"""One connection, as its file describes it: every field of it checked, and nothing read yet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from msgspec import Struct

from patchwire.auth.credentials import Charset
from patchwire.auth.oauth2_terms import Before
from patchwire.auth.secret import Secret
from patchwire.errors import LocalProtocolError, SettingsError
from patchwire.http.message import Origin, Request, check_field, split_url
from patchwire.http.redirects import Redirects
from patchwire.http.request_head import request_head
from patchwire.settings.aws import AwsSettings, aws_settings
from patchwire.settings.checks import check_connection
from patchwire.settings.oauth2 import OAuth2Settings, entry_of, terms_of
from patchwire.settings.oauth2_file import OAUTH2_SECRETS
from patchwire.settings.proxy import DIRECT, Proxies, proxies_of
from patchwire.settings.secret import SecretReference, parse_reference, reference_of
from patchwire.settings.tls import DEFAULT_TLS, Material, TlsSettings
from patchwire.settings.written import ConnectionFile, DigestSettings, Limits, Outcomes, Scheme, TlsFile, read_written

NOTHING: Final[Mapping[str, str]] = {}
_SECRETS = (
    ("aws", "secret_key"),
    ("aws", "session_token"),
    *(("oauth2", key) for key in OAUTH2_SECRETS),
    ("tls", "client_password"),
    ("tls", "trust_password"),
    ("proxy", "password"),
)


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
    proxies: Proxies = DIRECT
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
    connection = read_written(place, data)
    check_connection(place, connection)
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
    place: str,
    connection: ConnectionFile,
    secrets: dict[str, Secret],
    material: dict[str, Material] | None = None,
    environment: Mapping[str, str] = NOTHING,
) -> ConnectionSettings:
    """The connection with the texts of its secrets and the contents of its certificate files, both given by key, and
    with the proxies of the `environment` where it names those.

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
        proxies=proxies_of(place, connection.proxy, secrets.get("proxy.password"), environment),
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
        client_alias=tls.client_alias,
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
