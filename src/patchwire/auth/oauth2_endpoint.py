"""Which URLs an OAuth 2.0 client may send to: secrets travel there, so it is TLS, or no network at all."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Address, ip_address
from typing import Final

from patchwire.errors import LocalProtocolError
from patchwire.http.message import Origin, split_url, target_fault

LONGEST: Final = 2048
"""Characters of a URL. It bounds what an error shows where the URL is a peer's."""

_IPV4_LOOPBACK: Final = IPv4Network("127.0.0.0/8")
_IPV6_LOOPBACK: Final = IPv6Address("::1")


def is_loopback(where: Origin | str) -> bool:
    """Whether an origin, or an http or https URL, is on this machine: 127.0.0.0/8, [::1] or localhost.

    LocalProtocolError where the text is no such URL.
    """
    host = where.host.lower() if isinstance(where, Origin) else split_url(where)[0].host
    if host == "localhost":
        return True
    try:
        address = ip_address(host)
    except ValueError:  # the resolver may read 127.1 as an address; whoever means it can write it in full
        return False
    return address in _IPV4_LOOPBACK or address == _IPV6_LOOPBACK


def check_endpoint(url: str) -> None:
    """LocalProtocolError unless it is https, or http to this machine (RFC 6749 sections 3.1, 3.2; RFC 8414 section 2),
    without fragment, user or password.
    """
    check_text(url)
    origin, target = split_url(url)
    if target_fault(target) is not None:
        raise LocalProtocolError(f"{url!r} holds a character that must be percent-encoded in a URL")
    if origin.scheme != "https" and not is_loopback(origin):
        raise LocalProtocolError(f"{url!r} must begin with https://, as secrets go there")


def check_text(url: str) -> None:
    """LocalProtocolError where a URL is too long to be shown, or holds a password, which must not be."""
    if len(url) > LONGEST:
        raise LocalProtocolError(f"a URL of more than {LONGEST:,} characters is not taken")
    if "@" in _authority(url):
        raise LocalProtocolError("a URL must not hold user and password")


def _authority(url: str) -> str:
    rest = url.partition("://")[2]
    for end in "/?#":
        rest = rest.partition(end)[0]
    return rest
