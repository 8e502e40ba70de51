"""Which hosts are reached without a proxy: the entries of NO_PROXY, as curl reads them."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from msgspec import Struct

from patchwire.http.message import Origin


class Entry(Struct, frozen=True):
    """A domain with all that is below it, or a network; at one port, or at any."""

    place: str | IPv4Network | IPv6Network
    port: int | None

    def covers(self, origin: Origin) -> bool:
        """Whether the origin is meant."""
        if self.port is not None and self.port != origin.port:
            return False
        if not isinstance(self.place, str):
            try:
                return ip_address(origin.host.partition("%")[0]) in self.place
            except ValueError:
                return False
        host = origin.host.lower().removesuffix(".")
        return host == self.place or host.endswith(f".{self.place}")


class NoProxy(Struct, frozen=True):
    """All entries; `everything` where one was an asterisk."""

    entries: tuple[Entry, ...] = ()
    everything: bool = False

    def covers(self, origin: Origin) -> bool:
        """Whether the origin is to be reached without a proxy."""
        return self.everything or any(entry.covers(origin) for entry in self.entries)


def parse_no_proxy(texts: Iterable[str]) -> NoProxy:
    """The entries; blank ones are none. ValueError says what is wrong with one."""
    texts = [text.strip().lower() for text in texts if text.strip()]
    return NoProxy(tuple(_entry(text) for text in texts if text != "*"), "*" in texts)


def _entry(text: str) -> Entry:
    host, port = _split(text)
    try:
        return Entry(ip_network(host, strict=False), port)
    except ValueError:
        pass
    domain = host.removeprefix("*").removeprefix(".").removesuffix(".")
    if not domain or not domain.isascii() or not domain.replace("-", "").replace(".", "").replace("_", "").isalnum():
        raise ValueError(f"{text!r} is no host, domain or network; expected such as .example.com or 10.0.0.0/8")
    return Entry(domain, port)


def _split(text: str) -> tuple[str, int | None]:
    """Host and port; an IPv6 address has its port only where it stands in brackets."""
    if text.startswith("[") and "]" in text:
        host, _, port = text[1:].partition("]")
        port = port.removeprefix(":")
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    else:
        return text, None
    if port and not (port.isascii() and port.isdigit() and int(port) <= 65_535):
        raise ValueError(f"{text!r} has no port behind its colon")
    return host, int(port) if port else None
