"""What stands in a connection file, key by key; nothing of it is read or checked but its form."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from msgspec import Struct

from patchwire.auth.credentials import Charset
from patchwire.auth.digest import ALGORITHMS, PROTECTIONS, Protection
from patchwire.errors import SettingsError
from patchwire.http.exchange import Limits as ExchangeLimits
from patchwire.http.redirects import Redirects
from patchwire.settings.aws import AWS_WORDS, AwsFile
from patchwire.settings.faults import fault_of
from patchwire.settings.oauth2_file import OAUTH2_WORDS, OAuth2File
from patchwire.settings.proxy import ProxyFile

Scheme = Literal["none", "basic", "digest", "oauth2", "aws"]
WORDS = {
    "authentication": ("none", "basic", "digest", "oauth2", "aws"),
    "charset": ("UTF-8", "ISO-8859-1"),
    "digest.qop": PROTECTIONS,
    "tls.minimum_version": ("1.2", "1.3"),
    "proxy.authentication": ("any", "basic", "digest"),
    **AWS_WORDS,
    **OAUTH2_WORDS,
}
"""What may stand where only certain words may."""
DEFAULT_UNKNOWN_STATUSES = (502, 504)
"""With these a gateway speaks for a server that may have acted."""


class DigestSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """What of Digest is allowed, in order of preference: a name without -sess stands for both forms."""

    algorithms: tuple[str, ...] = ALGORITHMS
    qop: tuple[Protection, ...] = PROTECTIONS


class Outcomes(Struct, frozen=True, forbid_unknown_fields=True):
    """`unknown_statuses`: final statuses behind which the change may have been made all the same."""

    unknown_statuses: tuple[int, ...] = DEFAULT_UNKNOWN_STATUSES


class Limits(Struct, frozen=True, forbid_unknown_fields=True):
    """Timeouts in seconds, sizes in bytes. `response_timeout` runs from the end of a request to that of its response,
    however steadily it drips; `read_timeout` bounds each silence in it, and `first_byte_timeout` the first of them.
    `write_timeout` is how long a peer may take nothing of the request; `request_timeout` bounds all of an exchange,
    from the first octet of its request on.
    """

    connect_timeout: float = 10.0
    tls_timeout: float | None = None
    """None: what `connect_timeout` leaves."""
    write_timeout: float | None = None
    """None: `read_timeout`, and so is the next."""
    first_byte_timeout: float | None = None
    read_timeout: float = 60.0
    response_timeout: float = 300.0
    request_timeout: float | None = None
    max_response_head: int = 65_536
    max_response_body: int = 16_777_216

    @property
    def shortest_timeout(self) -> float:
        """The shortest of those that run during an exchange."""
        bounds = (self.read_timeout, self.response_timeout)
        optional = (self.write_timeout, self.first_byte_timeout, self.request_timeout)
        return min(*bounds, *(each for each in optional if each is not None))

    def for_exchange(self) -> ExchangeLimits:
        """Those that one exchange enforces."""
        return ExchangeLimits(self.max_response_head, self.max_response_body)


class TlsFile(Struct, frozen=True, forbid_unknown_fields=True):
    """What stands in [tls]: names of files, and references to the passwords that open them."""

    client_certificate: str | None = None
    client_key: str | None = None
    client_password: str | None = None
    client_alias: str | None = None
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
    proxy: ProxyFile = ProxyFile()
    outcomes: Outcomes = Outcomes()
    limits: Limits = Limits()
    extensions: ExtensionsFile = ExtensionsFile()

    def __repr__(self) -> str:
        """A literal secret is a secret."""
        return f"<ConnectionFile {self.base_url}>"


def read_written(place: str, data: dict[str, Any]) -> ConnectionFile:
    """The decoded TOML `data` in its form. SettingsError names `place`, the key and what was expected."""
    for key, words in WORDS.items():
        _check_words(place, data, key, words)
    try:
        return msgspec.convert(data, ConnectionFile)
    except msgspec.ValidationError as error:
        raise SettingsError(place, fault_of(error)) from None


def _check_words(place: str, data: dict[str, Any], key: str, words: tuple[str, ...]) -> None:
    """Where a key takes words, or a list of them: SettingsError unless they are among those that it knows."""
    table, dot, name = key.rpartition(".")
    found: Any = data.get(table, {}) if dot else data
    value = found.get(name) if isinstance(found, dict) else None
    for each in value if isinstance(value, list) else [value]:
        if each is not None and each not in words:
            raise SettingsError(place, f"{key}: expected one of {', '.join(words)}, got {each!r}")
