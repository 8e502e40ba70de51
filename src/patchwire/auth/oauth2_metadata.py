"""What an authorization server says of itself (RFC 8414), and whether it may be believed."""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Struct

from patchwire.auth.json_objects import object_in
from patchwire.auth.oauth2_endpoint import check_endpoint, is_loopback
from patchwire.auth.pkce import METHOD
from patchwire.errors import LocalProtocolError, RemoteProtocolError
from patchwire.http.message import Response

LARGEST: Final = 1024 * 1024
"""Octets of a document."""

_WELL_KNOWN: Final = "/.well-known/oauth-authorization-server"
_OPENID: Final = "/.well-known/openid-configuration"


class Metadata(Struct, frozen=True):
    """The members of RFC 8414 section 2 and RFC 9207 section 3 that a client acts on; all others are ignored."""

    issuer: str
    token_endpoint: str
    authorization_endpoint: str | None = None
    device_authorization_endpoint: str | None = None
    code_challenge_methods_supported: tuple[str, ...] | None = None
    token_endpoint_auth_methods_supported: tuple[str, ...] | None = None
    authorization_response_iss_parameter_supported: bool = False

    @property
    def wants_body(self) -> bool:
        """Whether a client's secret goes into the body, since Basic, which is usual, is not taken (section 2)."""
        ways = self.token_endpoint_auth_methods_supported or ("client_secret_basic",)
        return "client_secret_post" in ways and "client_secret_basic" not in ways

    @property
    def lacks_s256(self) -> bool:
        """Whether it says which methods of PKCE it has, and S256 is none of them (RFC 9700 section 4.8.2)."""
        methods = self.code_challenge_methods_supported
        return methods is not None and METHOD not in methods


def check_issuer(issuer: str) -> None:
    """LocalProtocolError unless it is a URL without query or fragment, https, or http to this machine (section 2)."""
    check_endpoint(issuer)
    if "?" in issuer:
        raise LocalProtocolError(f"the issuer {issuer!r} must not hold a query (RFC 8414 section 2)")


def metadata_url(issuer: str) -> str:
    """Where its metadata is: the well-known name goes between host and path (section 3.1).

    LocalProtocolError where it is no issuer.
    """
    check_issuer(issuer)
    scheme, _, rest = issuer.removesuffix("/").partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}://{host}{_WELL_KNOWN}{slash}{path}"


def metadata_in(response: Response, url: str, issuer: str | None) -> Metadata:
    """The metadata in the response to a GET of `url`; `issuer` is the expected one, where it is configured.

    RemoteProtocolError, in one line that begins with the URL, where the document must not be used: it is no successful
    answer in JSON (section 3.2), its issuer is not the expected one, to the letter (section 3.3), or where none is
    expected, not the one whose metadata would be at the URL; or secrets would leave without TLS.
    """
    try:
        metadata = _metadata(_body(response))
        _check_urls(metadata)
        _check_identity(metadata.issuer, url, issuer)
    except (ValueError, LocalProtocolError) as error:
        raise RemoteProtocolError(f"{url}: no metadata of an authorization server that can be used: {error}") from None
    return metadata


def _body(response: Response) -> bytes:
    if response.status != 200:
        raise ValueError(f"the status is {response.status} and not 200")
    media_type = (response.header(b"content-type") or b"").partition(b";")[0].strip().lower()
    if media_type != b"application/json":
        raise ValueError("it is not application/json")
    if response.error is not None:
        raise ValueError(response.error)
    if len(response.body) > LARGEST:
        raise ValueError(f"it has more than {LARGEST:,} octets")
    return response.body


def _metadata(body: bytes) -> Metadata:
    """ValueError says what is wrong with the document. A member that is null counts as left out."""
    members = {name: value for name, value in object_in(body).items() if value is not None}
    return msgspec.convert(members, Metadata)


def _check_urls(metadata: Metadata) -> None:
    if "{" in metadata.issuer:  # as Azure has it for "common" and "organizations"
        raise ValueError(f"its issuer {metadata.issuer!r} is of no single tenant: name yours in oauth2.metadata_url")
    check_issuer(metadata.issuer)
    for name in ("token_endpoint", "authorization_endpoint", "device_authorization_endpoint"):
        url = getattr(metadata, name)
        try:
            if url is not None:
                check_endpoint(url)
        except LocalProtocolError as error:
            raise ValueError(f"its {name}: {error}") from None
        if url is not None and is_loopback(url) and not is_loopback(metadata.issuer):
            raise ValueError(f"its {name} {url!r} is on this machine, and its issuer is not")


def _check_identity(stated: str, url: str, expected: str | None) -> None:
    """Section 3.3. The URL stands for the issuer that it was made of, or that OpenID Connect Discovery makes it of."""
    if expected is not None:
        if stated != expected:
            raise ValueError(f"its issuer is {stated!r} and not {expected!r}")
    elif url not in (metadata_url(stated), stated.removesuffix("/") + _OPENID):
        raise ValueError(f"its issuer {stated!r} has it elsewhere; set oauth2.issuer to the issuer that is expected")
