"""Java keystores as the JDK lays them out, written here, so that tests need no Java."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from hashlib import sha1

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.support.certificates import Issued

SALT = bytes(range(20))
ALGORITHM = bytes.fromhex("300e060a2b060104012a021101010500")


@dataclass(frozen=True)
class Key:
    """A private key entry: what it is of, and its password, where that is not the store's."""

    issued: Issued
    password: str | None = None
    chain: tuple[x509.Certificate, ...] | None = None
    """In place of the certificate and those above it."""


Entry = Key | x509.Certificate


def jks(password: str, entries: dict[str, Entry], version: int = 2, seal: str | None = None) -> bytes:
    """A store with these entries by alias; `seal` is the password of its digest, where that is another."""
    content = b"\xfe\xed\xfe\xed" + struct.pack(">II", version, len(entries))
    for alias, entry in entries.items():
        head = _text(alias) + struct.pack(">Q", 1_700_000_000_000)
        if isinstance(entry, Key):
            chain = (entry.issued.certificate, *entry.issued.chain) if entry.chain is None else entry.chain
            content += struct.pack(">I", 1) + head + _with_length(_hidden(entry, entry.password or password))
            content += struct.pack(">I", len(chain)) + b"".join(_certificate(each, version) for each in chain)
        else:
            content += struct.pack(">I", 2) + head + _certificate(entry, version)
    return sealed(content, password if seal is None else seal)


def sealed(content: bytes, password: str) -> bytes:
    """The content, and behind it the digest that Java expects."""
    return content + sha1(password.encode("utf-16-be") + b"Mighty Aphrodite" + content).digest()


def element(tag: int, content: bytes) -> bytes:
    """A DER element of up to 65,535 octets."""
    if len(content) < 0x80:
        return bytes([tag, len(content)]) + content
    return bytes([tag, 0x82]) + struct.pack(">H", len(content)) + content


def _hidden(entry: Key, password: str) -> bytes:
    key = entry.issued.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    secret, block, covered = password.encode("utf-16-be"), SALT, bytearray()
    for place in range(0, len(key), 20):
        block = sha1(secret + block).digest()
        covered += bytes(one ^ other for one, other in zip(key[place : place + 20], block, strict=False))
    hidden = SALT + bytes(covered) + sha1(secret + key).digest()
    return element(0x30, ALGORITHM + element(0x04, hidden))


def _certificate(certificate: x509.Certificate, version: int) -> bytes:
    kind = _text("X.509") if version == 2 else b""
    return kind + _with_length(certificate.public_bytes(Encoding.DER))


def _with_length(octets: bytes) -> bytes:
    return struct.pack(">I", len(octets)) + octets


def _text(text: str) -> bytes:
    octets = text.encode("utf-16-be", "surrogatepass")
    halves = "".join(chr(half) for (half,) in struct.iter_unpack(">H", octets))
    modified = halves.encode("utf-8", "surrogatepass").replace(b"\x00", b"\xc0\x80")
    return struct.pack(">H", len(modified)) + modified
