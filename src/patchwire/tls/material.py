"""Certificates and keys from the files that people have: PEM, DER, PKCS#12 or JKS, told apart by content."""

from __future__ import annotations

from collections.abc import Sequence
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
from patchwire.tls.jks import MAGIC, KeyEntry, Store, read_store
from patchwire.tls.keys import PrivateKey, check_kind, load_key
from patchwire.tls.keys import public_octets as public_octets_of_key
from patchwire.tls.pem import blocks

_JCEKS: Final = b"\xce\xce\xce\xce"
_SHROUDED_KEY: Final = bytes.fromhex("060b2a864886f70d010c0a0102")
"""The object identifier of PKCS#12's encrypted private keys, as DER (RFC 7292 section 4.2.2)."""
_SHOWN: Final = 10
"""Aliases that a message lists at most."""
_OF_ONE_ALONE: Final = (
    "make a file of one alone: keytool -importkeystore -srckeystore FILE -srcalias ALIAS -destkeystore ONE.p12"
    " -deststoretype pkcs12"
)


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


class Alias(Struct, frozen=True):
    """Which of several keys is meant, or None; `name` is what messages call the setting."""

    name: str
    chosen: str | None


class _Contents(Struct):
    certificates: list[x509.Certificate] = []
    keys: list[PrivateKey] = []
    alias: str | None = None
    """What a PKCS#12 file calls its key."""


class _Opening(Struct, frozen=True):
    """How a file is to be opened, and what messages call its password. `keys` says whether its keys are asked for,
    `trust` whether what it holds is to be trusted.
    """

    password: Secret | None
    password_name: str
    alias: Alias | None = None
    keys: bool = True
    trust: bool = False


def client_identity(settings: TlsSettings) -> Identity | None:
    """The identity in `client_certificate` and `client_key`, or None. SettingsError names key, file and remedy."""
    if settings.client_certificate is None:
        return None
    keys = ("tls.client_certificate", "tls.client_key", "tls.client_password")
    alias = Alias("tls.client_alias", settings.client_alias)
    return read_identity(settings.client_certificate, settings.client_key, settings.client_password, keys, alias)


def read_identity(
    certificate: Material,
    key: Material | None,
    password: Secret | None,
    names: tuple[str, str, str],
    alias: Alias | None = None,
) -> Identity:
    """The identity in a certificate file, and a key file where the first holds no key.

    `names` are what messages call the three. SettingsError says which is at fault, and the remedy.
    """
    whole = _Opening(password, names[2], alias)
    contents = _read(names[0], certificate, whole if key is None else _Opening(password, names[2], keys=False))
    keys, place = contents.keys, _place(names[0], certificate)
    if not contents.certificates:
        raise SettingsError(place, "holds no certificate")
    if key is not None:
        place = _place(names[1], key)
        keys = _read(names[1], key, whole).keys
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
    certificates = _read(names[0], material, _Opening(password, names[1], keys=False, trust=True)).certificates
    if not certificates:
        raise SettingsError(_place(names[0], material), "holds no certificate")
    return certificates


def _read(key: str, material: Material, opening: _Opening) -> _Contents:
    place, content = _place(key, material), material.content
    if content.startswith(MAGIC):
        return _from_jks(place, read_store(place, content), opening)
    if content.startswith(_JCEKS):
        remedy = "convert it: keytool -importkeystore -srckeystore FILE -destkeystore FILE.p12 -deststoretype pkcs12"
        raise SettingsError(place, f"is a Java keystore (JCEKS), which is not read; {remedy}")
    secret = None if opening.password is None else opening.password.reveal().encode("utf-8")
    # A DER sequence begins with the octet "0", as a text may.
    if content[:1] == b"\x30" and b"-----BEGIN " not in content:
        contents = _from_der(place, content, secret, opening.password_name)
    else:
        contents = _from_pem(place, content, secret, opening.password_name)
    if opening.keys and contents.keys:
        _check_alias(place, opening.alias, contents.alias, content.count(_SHROUDED_KEY))
    return contents


def _from_jks(place: str, store: Store, opening: _Opening) -> _Contents:
    password = None if opening.password is None else opening.password.reveal()
    # Of what stands with a key, Java trusts the key's own certificate, and not those that have issued it.
    chains = [entry.chain[:1] if opening.trust else entry.chain for entry in store.keys]
    others = [*(each for chain in chains for each in chain), *store.trusted]
    if not opening.keys or not store.keys:
        # Java reads certificates without a password too; with one, it must be one of the store's.
        if password is None or store.is_opened_by(password):
            return _Contents(others)
        raise SettingsError(place, f"{opening.password_name} does not open it")
    entry = _chosen(place, store.keys, opening.alias)
    if password is None:
        raise SettingsError(place, f"needs its password as {opening.password_name}")
    octets = entry.opened(password)
    if octets is None:
        if not store.is_sealed_with(password):
            raise SettingsError(place, f"{opening.password_name} does not open it")
        remedy = "give it the store's: keytool -keypasswd -keystore FILE -alias ALIAS"
        raise SettingsError(place, f"its private key {entry.alias!r} has another password than the store; {remedy}")
    key = load_key(place, load_der_private_key, octets, None, opening.password_name)
    if key is None:
        raise SettingsError(place, f"its private key {entry.alias!r} is damaged; export it anew")
    return _Contents([*entry.chain, *others], [key])


def _chosen(place: str, entries: Sequence[KeyEntry], alias: Alias | None) -> KeyEntry:
    """The one that the alias names, or the only one. To Java the case of an alias makes no difference."""
    chosen = None if alias is None else alias.chosen
    aliases = ", ".join(repr(each.alias) for each in entries[:_SHOWN])
    if len(entries) > _SHOWN:
        aliases += f" and {len(entries) - _SHOWN} more"
    if alias is not None and chosen is not None:
        exact = [each for each in entries if each.alias == chosen]
        found = exact or [each for each in entries if each.alias.lower() == chosen.lower()]
        if len(found) != 1:
            raise SettingsError(place, f"{alias.name} {chosen!r} is the alias of none of its private keys: {aliases}")
        return found[0]
    if len(entries) > 1:
        remedy = _OF_ONE_ALONE if alias is None else f"name one of them as {alias.name}"
        raise SettingsError(place, f"holds several private keys, {aliases}; {remedy}")
    return entries[0]


def _check_alias(place: str, alias: Alias | None, found: str | None, count: int) -> None:
    """SettingsError where the key that was read, of `count`, is perhaps not the one that is meant."""
    chosen = None if alias is None else alias.chosen
    if alias is not None and chosen is not None and found is None:
        raise SettingsError(place, f"gives its private key no alias; leave {alias.name} out")
    if found is not None and chosen is not None and found.lower() == chosen.lower():
        return
    if count > 1:
        which = "one alone" if found is None else f"{found!r} alone"
        raise SettingsError(place, f"holds several private keys, of which {which} can be read; {_OF_ONE_ALONE}")
    if alias is not None and chosen is not None:
        raise SettingsError(place, f"{alias.name} {chosen!r} is not the alias of its private key: {found!r}")


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
        raise SettingsError(place, "holds no certificate and no key: it is neither PEM, DER, PKCS#12 nor JKS")
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
    if store.key is None:
        return _Contents(certificates)
    name = None if store.cert is None else store.cert.friendly_name
    alias = None if name is None else name.decode("utf-8", "replace")
    return _Contents(certificates, [check_kind(place, store.key)], alias)


def _place(key: str, material: Material) -> str:
    return f"{key}: {material.name}"
