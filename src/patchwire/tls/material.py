"""Certificates and keys from the files that people have: PEM, DER or PKCS#12, told apart by content."""

from __future__ import annotations

import re
from binascii import Error as Base64Error
from collections.abc import Callable, Iterator, Sequence

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_private_key,
    load_pem_private_key,
    pkcs12,
)
from msgspec import Struct

from patchwire.errors import SettingsError
from patchwire.settings.secret import Secret
from patchwire.settings.tls import Material, TlsSettings

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey

_JAVA_KEYSTORES = {b"\xfe\xed\xfe\xed": "JKS", b"\xce\xce\xce\xce": "JCEKS"}
_DER = b"\x30"
# Text around the blocks is allowed (RFC 7468 section 2): "openssl x509 -text" and PKCS#12 exports write it.
_begin = re.compile(rb"^-----BEGIN ([A-Z0-9 ]+)-----[ \t]*\r?$", re.MULTILINE)
_CERTIFICATES = (b"CERTIFICATE", b"X509 CERTIFICATE", b"TRUSTED CERTIFICATE")


class Identity(Struct, frozen=True):
    """What a client or a server proves itself with: its certificate, its key, and its issuers' certificates, the
    nearest first.
    """

    certificate: x509.Certificate
    chain: tuple[x509.Certificate, ...]
    key: PrivateKey

    def __repr__(self) -> str:
        """Never shows the key."""
        return f"<Identity {self.certificate.subject.rfc4514_string()}>"


class _Contents(Struct):
    certificates: list[x509.Certificate] = []
    keys: list[PrivateKey] = []


def client_identity(settings: TlsSettings) -> Identity | None:
    """The identity in `client_certificate` and `client_key`, or None. SettingsError names key, file and remedy."""
    if settings.client_certificate is None:
        return None
    keys = ("tls.client_certificate", "tls.client_key", "tls.client_password")
    return read_identity(settings.client_certificate, settings.client_key, settings.client_password, keys)


def read_identity(
    certificate: Material, key: Material | None, password: Secret | None, names: tuple[str, str, str]
) -> Identity:
    """The identity in a certificate file, and a key file where the first holds no key.

    `names` are what messages call the three. SettingsError says which is at fault, and the remedy.
    """
    contents = _read(names[0], certificate, password, names[2])
    keys, place = contents.keys, _place(names[0], certificate)
    if not contents.certificates:
        raise SettingsError(place, "holds no certificate")
    if key is not None:
        place = _place(names[1], key)
        keys = _read(names[1], key, password, names[2]).keys
    if not keys:
        remedy = "" if key is not None else f"; name the file of its key as {names[1]}"
        raise SettingsError(place, f"holds no private key{remedy}")
    for each in keys:
        for leaf in contents.certificates:
            if _public(leaf.public_key()) == _public(each.public_key()):
                return Identity(leaf, _chain(leaf, contents.certificates), each)
    subject = contents.certificates[0].subject.rfc4514_string()
    raise SettingsError(place, f"its private key does not belong to the certificate {subject!r} in {certificate.name}")


def trusted_certificates(settings: TlsSettings) -> list[x509.Certificate]:
    """Every certificate in `trust`. SettingsError names the file that holds none."""
    return [
        certificate
        for material in settings.trust
        for certificate in read_certificates(material, settings.trust_password, ("tls.trust", "tls.trust_password"))
    ]


def read_certificates(material: Material, password: Secret | None, names: tuple[str, str]) -> list[x509.Certificate]:
    """The certificates in a file, at least one. `names` are what messages call it and its password."""
    certificates = _read(names[0], material, password, names[1]).certificates
    if not certificates:
        raise SettingsError(_place(names[0], material), "holds no certificate")
    return certificates


def _read(key: str, material: Material, password: Secret | None, password_key: str) -> _Contents:
    place, content = _place(key, material), material.content
    java = _JAVA_KEYSTORES.get(content[:4])
    if java is not None:
        remedy = "convert it: keytool -importkeystore -srckeystore FILE -destkeystore FILE.p12 -deststoretype pkcs12"
        raise SettingsError(place, f"is a Java keystore ({java}), which is not read; {remedy}")
    secret = None if password is None else password.reveal().encode("utf-8")
    if content[:1] == _DER:
        return _from_der(place, content, secret, password_key)
    return _from_pem(place, content, secret, password_key)


def _from_pem(place: str, content: bytes, secret: bytes | None, password_key: str) -> _Contents:
    contents = _Contents()
    for line, label, block in _blocks(place, content):
        at = f"{place}, line {line}"
        if label in _CERTIFICATES:
            body = re.sub(rb"(BEGIN|END) [A-Z0-9 ]+-----", rb"\1 CERTIFICATE-----", block)
            try:
                contents.certificates.append(x509.load_pem_x509_certificate(body))
            except (ValueError, Base64Error):
                raise SettingsError(at, "its certificate is damaged; export it anew") from None
        elif label.endswith(b"PRIVATE KEY") and label != b"OPENSSH PRIVATE KEY":
            key = _load_key(at, load_pem_private_key, block, secret, password_key)
            if key is None:
                raise SettingsError(at, "its private key is damaged; export it anew")
            contents.keys.append(key)
        elif label != b"EC PARAMETERS":
            raise SettingsError(at, f"a block {label.decode('ascii')!r} is neither a certificate nor a private key")
    if not contents.certificates and not contents.keys:
        raise SettingsError(place, "holds no certificate and no key: it is neither PEM, DER nor PKCS#12")
    return contents


def _blocks(place: str, content: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Each PEM block with the number of its first line and its label."""
    position = 0
    while found := _begin.search(content, position):
        line = content.count(b"\n", 0, found.start()) + 1
        end_line = b"-----END %b-----" % found[1]
        end = content.find(end_line, found.end())
        if end < 0:
            raise SettingsError(
                f"{place}, line {line}", f"the end of its block {found[1].decode('ascii')!r} is missing"
            )
        position = end + len(end_line)
        yield line, found[1], content[found.start() : position] + b"\n"


def _from_der(place: str, content: bytes, secret: bytes | None, password_key: str) -> _Contents:
    try:
        return _Contents([x509.load_der_x509_certificate(content)])
    except ValueError:
        pass
    key = _load_key(place, load_der_private_key, content, secret, password_key)
    return _from_pkcs12(place, content, secret, password_key) if key is None else _Contents([], [key])


def _from_pkcs12(place: str, content: bytes, secret: bytes | None, password_key: str) -> _Contents:
    try:
        store = pkcs12.load_pkcs12(content, secret)
    except ValueError as error:
        if "password" not in str(error).lower():
            raise SettingsError(place, "is no certificate, key or PKCS#12 file that can be read") from None
        problem = f"needs its password as {password_key}" if secret is None else f"{password_key} does not open it"
        raise SettingsError(place, problem) from None
    except UnsupportedAlgorithm as error:
        raise SettingsError(place, f"its PKCS#12 encryption is not supported ({error})") from None
    found = [store.cert, *store.additional_certs]
    certificates = [each.certificate for each in found if each is not None]
    return _Contents(certificates, [] if store.key is None else [_supported(place, store.key)])


def _load_key(
    place: str,
    load: Callable[[bytes, bytes | None], PrivateKeyTypes],
    content: bytes,
    secret: bytes | None,
    password_key: str,
) -> PrivateKey | None:
    """The key, or None where the content is none."""
    try:
        return _supported(place, load(content, secret))
    except TypeError:  # encrypted and no password, or a password and not encrypted
        if secret is None:
            raise SettingsError(place, f"its private key is encrypted; give its password as {password_key}") from None
        return _load_key(place, load, content, None, password_key)
    except ValueError as error:
        if "password" in str(error):
            raise SettingsError(place, f"{password_key} does not open its private key") from None
        return None
    except UnsupportedAlgorithm as error:
        raise SettingsError(place, f"its private key is of a kind that is not supported ({error})") from None


def _supported(place: str, key: PrivateKeyTypes) -> PrivateKey:
    if not isinstance(key, PrivateKey):
        raise SettingsError(place, "its private key is of no kind that TLS uses: expected RSA, EC or EdDSA")
    return key


def _place(key: str, material: Material) -> str:
    return f"{key}: {material.name}"


def _public(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _chain(leaf: x509.Certificate, certificates: Sequence[x509.Certificate]) -> tuple[x509.Certificate, ...]:
    """The issuers of `leaf` among the certificates, in whatever order these stand; a root need not be sent."""
    chain: list[x509.Certificate] = []
    current = leaf
    while current.issuer != current.subject:
        above = next((each for each in certificates if each.subject == current.issuer and each not in chain), None)
        if above is None:
            break
        chain.append(above)
        current = above
    return tuple(chain)
