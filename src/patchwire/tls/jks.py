"""Java's own keystores, JKS: trusted certificates, and private keys with their chains.

The format is in no standard, but in the JDK's sun.security.provider: JavaKeyStore lays it out, KeyProtector hides the
keys. Numbers are big-endian. A store is a magic number, a version, its entries, and a SHA-1 over the store's password
and all that stands before. Each key is hidden with a password of its own, which is mostly the store's.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterator
from hashlib import sha1
from typing import Final

from cryptography import x509
from msgspec import Struct

from patchwire.errors import SettingsError
from patchwire.tls.certificates import certificate_from_der

MAGIC: Final = b"\xfe\xed\xfe\xed"
_SEAL_LENGTH: Final = 20
_WHITENER: Final = b"Mighty Aphrodite"
_KEY, _TRUSTED = 1, 2
_PROTECTOR: Final = bytes.fromhex("060a2b060104012a02110101")
"""The object identifier 1.3.6.1.4.1.42.2.17.1.1, as DER."""
_SEQUENCE, _OCTETS = 0x30, 0x04


class KeyEntry(Struct, frozen=True):
    """A private key as it is hidden, under its alias, and its certificates, its own first."""

    alias: str
    hidden: bytes
    chain: tuple[x509.Certificate, ...]

    def __repr__(self) -> str:
        """Weakly hidden is not hidden."""
        return f"<KeyEntry {self.alias!r}>"

    def opened(self, password: str) -> bytes | None:
        """The key as PKCS#8, or None where it has another password."""
        secret = _octets(password)
        salt, covered, check = self.hidden[:20], self.hidden[20:-20], self.hidden[-20:]
        stream, block = bytearray(), salt
        while len(stream) < len(covered):
            block = _sha1(secret, block)
            stream += block
        mask = int.from_bytes(stream[: len(covered)], "big")
        key = (int.from_bytes(covered, "big") ^ mask).to_bytes(len(covered), "big")
        return key if hmac.compare_digest(_sha1(secret, key), check) else None


class Store(Struct, frozen=True):
    """What a store holds; `sealed` is what its `seal` is of, together with its password."""

    keys: tuple[KeyEntry, ...]
    trusted: tuple[x509.Certificate, ...]
    sealed: bytes
    seal: bytes

    def __repr__(self) -> str:
        """It may hold keys."""
        return f"<Store of {len(self.keys)} keys, {len(self.trusted)} trusted certificates>"

    def is_sealed_with(self, password: str) -> bool:
        """Whether this is the store's own password, and nothing was changed since."""
        return hmac.compare_digest(_sha1(_octets(password), _WHITENER, self.sealed), self.seal)

    def is_opened_by(self, password: str) -> bool:
        """Whether this is the store's own password, or that of a key in it."""
        return self.is_sealed_with(password) or any(each.opened(password) is not None for each in self.keys)


def read_store(place: str, content: bytes) -> Store:
    """The store, no key of it opened and its seal not yet compared. SettingsError, which begins with `place`, where it
    is damaged, or holds what no such store does.
    """
    sealed, seal = content[:-_SEAL_LENGTH], content[-_SEAL_LENGTH:]
    reader = _Reader(sealed)
    try:
        reader.take(len(MAGIC))
        version = reader.number(4)
        if version not in (1, 2):
            raise ValueError(f"its version is {version}, not 1 or 2")
        # Each entry is read to its end before the next: a count that is too large runs into the end of the file.
        entries = [_entry(reader, version) for _ in range(reader.number(4))]
        if not reader.is_at_end():
            raise ValueError("more follows behind its last entry")
    except ValueError as error:
        raise SettingsError(place, f"is a damaged JKS store: {error}; export it anew") from None
    keys = tuple(each for each in entries if isinstance(each, KeyEntry))
    return Store(keys, tuple(each for each in entries if isinstance(each, x509.Certificate)), sealed, seal)


class _Reader:
    """What is read off octets. ValueError where they end too early."""

    def __init__(self, octets: bytes) -> None:
        self._octets = octets
        self._position = 0

    def take(self, count: int) -> bytes:
        end = self._position + count
        if end > len(self._octets):
            raise ValueError("it ends too early")
        taken, self._position = self._octets[self._position : end], end
        return taken

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def text(self) -> str:
        return _text(self.take(self.number(2)))

    def is_at_end(self) -> bool:
        return self._position == len(self._octets)


def _entry(reader: _Reader, version: int) -> KeyEntry | x509.Certificate:
    tag, alias, _created = reader.number(4), reader.text(), reader.take(8)
    if tag == _TRUSTED:
        return _certificate(reader, version, alias)
    if tag != _KEY:
        raise ValueError(f"its entry {alias!r} is of the unknown kind {tag}")
    hidden = _hidden(alias, reader.take(reader.number(4)))
    return KeyEntry(alias, hidden, tuple(_chain(reader, version, alias)))


def _chain(reader: _Reader, version: int, alias: str) -> Iterator[x509.Certificate]:
    for _ in range(reader.number(4)):
        yield _certificate(reader, version, alias)


def _certificate(reader: _Reader, version: int, alias: str) -> x509.Certificate:
    kind = reader.text() if version == 2 else "X.509"
    octets = reader.take(reader.number(4))
    if kind not in ("X.509", "X509"):
        raise ValueError(f"its entry {alias!r} has a certificate of the kind {kind!r}, not X.509")
    try:
        return certificate_from_der(octets)
    except ValueError:
        raise ValueError(f"a certificate of its entry {alias!r} cannot be read") from None


def _hidden(alias: str, octets: bytes) -> bytes:
    """What KeyProtector has made, out of the EncryptedPrivateKeyInfo (RFC 5958) around it: salt, key and check."""
    whole = _Reader(octets)
    inner = _Reader(_element(whole, _SEQUENCE))
    algorithm = _element(inner, _SEQUENCE)
    hidden = _element(inner, _OCTETS)
    if not algorithm.startswith(_PROTECTOR) or len(hidden) < 40 or not (whole.is_at_end() and inner.is_at_end()):
        raise ValueError(f"the private key of its entry {alias!r} is not hidden as Java hides it")
    return hidden


def _element(reader: _Reader, tag: int) -> bytes:
    """The content of a DER element that has this tag."""
    if reader.number(1) != tag:
        raise ValueError("a private key of it is not hidden as Java hides it")
    length = reader.number(1)
    return reader.take(length if length < 0x80 else reader.number(length & 0x7F))


def _text(octets: bytes) -> str:
    """Java's modified UTF-8: NUL in two octets, and what is beyond 16 bits as two surrogates of three octets each."""
    try:
        halves = octets.replace(b"\xc0\x80", b"\x00").decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        raise ValueError("an alias or a kind of certificate is no text") from None
    return halves.encode("utf-16-be", "surrogatepass").decode("utf-16-be", "replace")


def _octets(password: str) -> bytes:
    """A password as Java digests it: two octets for each of its chars."""
    return password.encode("utf-16-be", "surrogatepass")


def _sha1(*parts: bytes) -> bytes:
    digest = sha1(usedforsecurity=False)  # the format's own; what it protects is no safer than that
    for part in parts:
        digest.update(part)
    return digest.digest()
