"""What a connection says about TLS: the contents of certificate files, wherever they came from. Pure."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from patchwire.auth.secret import Secret


class Material(Struct, frozen=True):
    """A certificate file: `name` is what messages call it, `content` its octets, which may hold a private key."""

    name: str
    content: bytes

    def __repr__(self) -> str:
        """Never shows the content."""
        return f"<Material {self.name}, {len(self.content)} bytes>"


class TlsSettings(Struct, frozen=True):
    """How a connection proves itself and whom it trusts. Equal settings share one context."""

    client_certificate: Material | None = None
    """PEM, DER, PKCS#12 or JKS; with its chain, if it has one."""
    client_key: Material | None = None
    """Where the certificate's file holds no key."""
    client_password: Secret | None = None
    client_alias: str | None = None
    """Which key is meant, where a Java keystore holds several."""
    trust: tuple[Material, ...] = ()
    """Trusted beside the system's roots. What is no CA is trusted for the hosts that it names itself."""
    trust_password: Secret | None = None
    system_roots: bool = True
    minimum_version: Literal["1.2", "1.3"] = "1.2"

    def without_client_certificate(self) -> TlsSettings:
        """The same for a peer that is not to be shown it."""
        return replace(self, client_certificate=None, client_key=None, client_password=None, client_alias=None)


DEFAULT_TLS = TlsSettings()
