"""Certificates and keys from the files that people have: PEM, DER or PKCS#12, told apart by content."""

from __future__ import annotations

from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_der_private_key, load_pem_private_key, pkcs12
from msgspec import Struct

from patchwire.auth.secret import Secret
from patchwire.errors import SettingsError
from patchwire.settings.tls import Material, TlsSettings
from patchwire.tls.certificates import (
    LABELS,
    certificate_from_der,
    certificate_from_pem,
    chain_of,
    public_octets,
    sound,
)
from patchwire.tls.keys import PrivateKey, check_kind, load_key
from patchwire.tls.keys import public_octets as public_octets_of_key
from patchwire.tls.pem import blocks

_JAVA_KEYSTORES: Final = {b"\xfe\xed\xfe\xed": "JKS", b"\xce\xce\xce\xce": "JCEKS"}


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
            if public_octets(leaf) == public_octets_of_key(each):
                return Identity(leaf, chain_of(leaf, contents.certificates), each)
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
    # A DER sequence begins with the octet "0", as a text may.
    if content[:1] == b"\x30" and b"-----BEGIN " not in content:
        return _from_der(place, content, secret, password_key)
    return _from_pem(place, content, secret, password_key)


def _from_pem(place: str, content: bytes, secret: bytes | None, password_key: str) -> _Contents:
    contents = _Contents()
    for block in blocks(place, content):
        at = f"{place}, line {block.line}"
        if block.label in LABELS:
            try:
                contents.certificates.append(certificate_from_pem(block))
            except ValueError:
                raise SettingsError(at, "its certificate is damaged; export it anew") from None
        elif block.label.endswith("PRIVATE KEY") and block.label != "OPENSSH PRIVATE KEY":
            key = load_key(at, load_pem_private_key, block.text, secret, password_key)
            if key is None:
                raise SettingsError(at, "its private key is damaged; export it anew")
            contents.keys.append(key)
        elif block.label != "EC PARAMETERS":
            raise SettingsError(at, f"a block {block.label!r} is neither a certificate nor a private key")
    if not contents.certificates and not contents.keys:
        raise SettingsError(place, "holds no certificate and no key: it is neither PEM, DER nor PKCS#12")
    return contents


def _from_der(place: str, content: bytes, secret: bytes | None, password_key: str) -> _Contents:
    try:
        return _Contents([certificate_from_der(content)])
    except ValueError:
        pass
    key = load_key(place, load_der_private_key, content, secret, password_key)
    return _from_pkcs12(place, content, secret, password_key) if key is None else _Contents([], [key])


def _from_pkcs12(place: str, content: bytes, secret: bytes | None, password_key: str) -> _Contents:
    try:
        store = pkcs12.load_pkcs12(content, secret)
        certificates = [sound(each.certificate) for each in (store.cert, *store.additional_certs) if each is not None]
    except ValueError as error:
        if "password" not in str(error).lower():
            raise SettingsError(place, "is no certificate, key or PKCS#12 file that can be read") from None
        if secret is None:
            raise SettingsError(place, f"needs its password as {password_key}") from None
        try:
            return _from_pkcs12(place, content, None, password_key)  # it may need none
        except SettingsError:
            raise SettingsError(place, f"{password_key} does not open it") from None
    except (UnsupportedAlgorithm, TypeError) as error:
        raise SettingsError(place, f"its PKCS#12 content is not supported ({error})") from None
    return _Contents(certificates, [] if store.key is None else [check_kind(place, store.key)])


def _place(key: str, material: Material) -> str:
    return f"{key}: {material.name}"
