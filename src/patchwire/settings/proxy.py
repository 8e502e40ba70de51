"""Through which proxy a request goes, if through any. Pure: the environment is an argument."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import unquote, urlsplit, urlunsplit

from msgspec import Struct

from patchwire.auth.credentials import Credentials
from patchwire.auth.proxy import Allowed
from patchwire.auth.secret import Secret
from patchwire.errors import LocalProtocolError, SettingsError
from patchwire.http.message import Origin, split_url
from patchwire.settings.no_proxy import NoProxy, parse_no_proxy
from patchwire.settings.oauth2_file import is_over_tls


class ProxyFile(Struct, frozen=True, forbid_unknown_fields=True):
    """What stands in [proxy]. `no_proxy` names hosts that are reached without it; `environment`: HTTP_PROXY,
    HTTPS_PROXY and NO_PROXY say all that.
    """

    url: str | None = None
    user: str | None = None
    password: str | None = None
    authentication: Allowed = "any"
    no_proxy: tuple[str, ...] = ()
    environment: bool = False

    @property
    def uses_tls(self) -> bool:
        """Whether TLS is, or may be, spoken to a proxy."""
        return self.environment or is_over_tls(self.url)

    def __repr__(self) -> str:
        """A literal secret is a secret."""
        return f"<ProxyFile {self.url}>"


class Proxy(Struct, frozen=True):
    """One proxy: where it listens, and what it may be shown. An empty `user` is none."""

    origin: Origin
    user: str = ""
    password: Secret = Secret("")
    authentication: Allowed = "any"

    def credentials(self) -> Credentials | None:
        """User and password, if there are any. LocalProtocolError where they cannot be sent."""
        return Credentials(self.user, self.password.reveal()) if self.user else None


class Proxies(Struct, frozen=True):
    """The proxies for http and https origins."""

    http: Proxy | None = None
    https: Proxy | None = None
    no_proxy: NoProxy = NoProxy()

    def for_origin(self, origin: Origin) -> Proxy | None:
        """The proxy on the way to this origin, or None."""
        proxy = {"http": self.http, "https": self.https}.get(origin.scheme)
        return None if proxy is None or self.no_proxy.covers(origin) else proxy

    @property
    def are_over_tls(self) -> bool:
        """Whether one of them is spoken to over TLS."""
        return any(each is not None and each.origin.scheme == "https" for each in (self.http, self.https))


DIRECT: Final = Proxies()


def check_proxy(place: str, proxy: ProxyFile) -> None:
    """SettingsError names `place`, the key at fault and what was expected."""
    if proxy.environment:
        for key in ("url", "user", "password", "no_proxy"):
            if getattr(proxy, key):
                raise SettingsError(place, f"proxy.{key}: has no use with proxy.environment = true")
        return
    if proxy.url is None:
        if proxy != ProxyFile():
            raise SettingsError(place, "proxy.url: missing; it names the proxy, or proxy.environment = true does")
        return
    _origin_of(place, "proxy.url", proxy.url)
    _no_proxy_of(place, "proxy.no_proxy", proxy.no_proxy)
    if (proxy.user is None) != (proxy.password is None):
        missing = "user" if proxy.user is None else "password"
        raise SettingsError(place, f"proxy.{missing}: missing; a proxy's user and password go together")
    if proxy.user == "" or ":" in (proxy.user or ""):
        raise SettingsError(place, "proxy.user: a user name must neither be empty nor hold a colon")


def proxies_of(place: str, proxy: ProxyFile, password: Secret | None, environment: Mapping[str, str]) -> Proxies:
    """The proxies that [proxy] names, which was checked. SettingsError names the variable at fault."""
    if proxy.environment:
        return _from_environment(environment, proxy.authentication)
    if proxy.url is None:
        return DIRECT
    origin = _origin_of(place, "proxy.url", proxy.url)
    one = Proxy(origin, proxy.user or "", password or Secret(""), proxy.authentication)
    return Proxies(one, one, _no_proxy_of(place, "proxy.no_proxy", proxy.no_proxy))


def _from_environment(environment: Mapping[str, str], scheme: Allowed) -> Proxies:
    """As curl reads it: the name in lower case goes before that in upper case, and ALL_PROXY stands in for both.
    Where a CGI script runs, HTTP_PROXY is a field of whoever asks it (CVE-2016-5385).
    """
    of_http = ("http_proxy",) if "REQUEST_METHOD" in environment else ("http_proxy", "HTTP_PROXY")
    http, https = (
        _written_with_user(*_first(environment, (*names, "all_proxy", "ALL_PROXY")), scheme)
        for names in (of_http, ("https_proxy", "HTTPS_PROXY"))
    )
    name, value = _first(environment, ("no_proxy", "NO_PROXY"))
    return Proxies(http, https, _no_proxy_of("environment", name, value.split(",")))


def _first(environment: Mapping[str, str], names: Sequence[str]) -> tuple[str, str]:
    return next(((name, value) for name in names if (value := environment.get(name, "").strip())), (names[0], ""))


def _written_with_user(name: str, url: str, scheme: Allowed) -> Proxy | None:
    """The proxy of a URL that may hold user and password, percent-encoded, and may lack its scheme; None of none."""
    if not url:
        return None
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
    except ValueError:
        raise SettingsError("environment", f"{name}: no URL") from None
    userinfo, at, host = parts.netloc.rpartition("@")
    origin = _origin_of("environment", name, urlunsplit(parts._replace(netloc=host)))
    user, colon, password = userinfo.partition(":")
    if at and (not user or not colon):
        raise SettingsError("environment", f"{name}: expected user:password before the @, percent-encoded")
    return Proxy(origin, unquote(user), Secret(unquote(password)), scheme)


def _origin_of(place: str, key: str, url: str) -> Origin:
    """What is wrong with a URL is said without it: it may hold a password."""
    scheme, separator, _ = url.partition("://")
    if not separator or scheme not in ("http", "https"):
        kind = (
            f"not {scheme}://" if separator and scheme.isascii() and scheme.isalnum() else "such as http://HOST:3128"
        )
        raise SettingsError(place, f"{key}: expected an http:// or https:// URL, {kind}")
    if "@" in url:
        raise SettingsError(place, f"{key}: must not hold user and password; expected proxy.user and proxy.password")
    try:
        origin, target = split_url(url)
    except LocalProtocolError as error:
        raise SettingsError(place, f"{key}: {error}") from None
    if target != b"/":
        raise SettingsError(place, f"{key}: expected scheme, host and port alone, without a path")
    return origin


def _no_proxy_of(place: str, key: str, entries: Sequence[str]) -> NoProxy:
    try:
        return parse_no_proxy(entries)
    except ValueError as error:
        raise SettingsError(place, f"{key}: {error}") from None
