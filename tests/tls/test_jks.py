from __future__ import annotations

import struct
import tracemalloc

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st

from patchwire import connection_from
from patchwire.auth.secret import Secret
from patchwire.errors import SettingsError
from patchwire.settings.tls import Material, TlsSettings
from patchwire.tls.jks import read_store
from patchwire.tls.material import Alias, Identity, client_identity, read_identity, trusted_certificates
from tests.support.certificates import Authority, Issued
from tests.support.jks import ALGORITHM, Entry, Key, element, jks, sealed

ROOT = Authority("root")
UPPER = Authority("upper", issuer=ROOT)
LOWER = Authority("lower", issuer=UPPER)
ADA = LOWER.issue(client=True, server=False, common_name="ada")
BOB = LOWER.issue(client=True, server=False, common_name="bob", rsa=True)
PASSWORD = "canary-5e2b"
OWN = "canary-77aa"
PLACE = "tls.client_certificate: ada.jks"
STORE = jks(PASSWORD, {"ada": Key(ADA)})
TRUST = jks(PASSWORD, {"root": ROOT.certificate, "lower": LOWER.certificate})
SEVERAL: dict[str, Entry] = {"ada": Key(ADA), "root": ROOT.certificate, "bob": Key(BOB)}


def settings(content: bytes, password: str | None = PASSWORD, alias: str | None = None) -> TlsSettings:
    return TlsSettings(
        client_certificate=Material("ada.jks", content),
        client_password=None if password is None else Secret(password),
        client_alias=alias,
    )


def read(content: bytes, password: str | None = PASSWORD, alias: str | None = None) -> Identity:
    identity = client_identity(settings(content, password, alias))
    assert identity is not None
    return identity


def trusting(content: bytes, password: str | None = None) -> TlsSettings:
    return TlsSettings(
        trust=(Material("ca.jks", content),), trust_password=None if password is None else Secret(password)
    )


def complaint(of: TlsSettings) -> str:
    with pytest.raises(SettingsError) as caught:
        client_identity(of)
        trusted_certificates(of)
    message = str(caught.value)
    assert "\n" not in message
    assert "canary" not in message
    return message


def is_of(identity: Identity, issued: Issued) -> bool:
    ours, theirs = (
        each.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()) for each in (identity.key, issued.key)
    )
    chain = tuple(each for each in identity.chain if each != ROOT.certificate)  # which a store may hold as well
    return (identity.certificate, chain, ours) == (issued.certificate, issued.chain, theirs)


# --- what is read


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("issued", [ADA, BOB], ids=["EC", "RSA"])
def test_a_key_comes_with_its_certificate_and_chain(version: int, issued: Issued) -> None:
    assert is_of(read(jks(PASSWORD, {"mine": Key(issued)}, version)), issued)


@pytest.mark.parametrize("password", ["", "ä€", "𝄞 four", "x" * 500])
def test_a_password_may_hold_any_character(password: str) -> None:
    assert is_of(read(jks(password, {"ada": Key(ADA)}), password), ADA)


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("password", [None, PASSWORD])
def test_trusted_certificates_are_read_with_the_password_and_without(version: int, password: str | None) -> None:
    content = jks(PASSWORD, {"root": ROOT.certificate, "lower": LOWER.certificate}, version)
    assert trusted_certificates(trusting(content, password)) == [ROOT.certificate, LOWER.certificate]


def test_of_a_keystore_in_trust_no_issuer_of_its_keys_is_trusted_as_in_java_and_it_needs_no_password() -> None:
    expected = [ADA.certificate, BOB.certificate, ROOT.certificate]
    for password in (None, PASSWORD):
        assert trusted_certificates(trusting(jks(PASSWORD, SEVERAL), password)) == expected


def test_the_chain_may_stand_in_any_order_and_trusted_certificates_complete_it() -> None:
    jumbled: tuple[x509.Certificate, ...] = (UPPER.certificate, ADA.certificate, LOWER.certificate)
    assert is_of(read(jks(PASSWORD, {"ada": Key(ADA, chain=jumbled)})), ADA)
    apart: dict[str, Entry] = {
        "ada": Key(ADA, chain=(ADA.certificate,)), "upper": UPPER.certificate, "lower": LOWER.certificate,
    }  # fmt: skip
    assert is_of(read(jks(PASSWORD, apart)), ADA)


def test_a_store_without_a_key_takes_it_from_a_file_of_its_own_and_may_be_that_file() -> None:
    certificates = jks(PASSWORD, {str(n): each for n, each in enumerate((ADA.certificate, *ADA.chain))})
    for certificate, key in ((certificates, ADA.key_pem), (ADA.pem, STORE), (certificates, STORE)):
        both = TlsSettings(
            client_certificate=Material("ada.crt", certificate),
            client_key=Material("ada.key", key),
            client_password=Secret(PASSWORD),
        )
        identity = client_identity(both)
        assert identity is not None
        assert is_of(identity, ADA)


def test_keys_beside_the_certificate_are_not_asked_for_where_another_file_has_the_key() -> None:
    both = TlsSettings(
        client_certificate=Material("all.jks", jks(PASSWORD, SEVERAL)), client_key=Material("ada.key", ADA.key_pem)
    )
    identity = client_identity(both)
    assert identity is not None
    assert is_of(identity, ADA)


def test_a_connection_from_memory_takes_a_store_and_names_its_key() -> None:
    table = {
        "client_certificate": "all.jks", "client_password": f"literal:{PASSWORD}", "client_alias": "bob",
        "trust": ["ca.jks"],
    }  # fmt: skip
    files = {"all.jks": jks(PASSWORD, SEVERAL), "ca.jks": TRUST}
    connection = connection_from({"base_url": "https://h/", "tls": table}, files=files)
    identity = client_identity(connection.tls)
    assert identity is not None
    assert is_of(identity, BOB)
    assert trusted_certificates(connection.tls) == [ROOT.certificate, LOWER.certificate]


# --- passwords


def test_a_key_needs_the_password_and_the_right_one() -> None:
    assert complaint(settings(STORE, None)) == f"{PLACE}: needs its password as tls.client_password"
    assert complaint(settings(STORE, "wrong")) == f"{PLACE}: tls.client_password does not open it"


@pytest.mark.parametrize("content", [TRUST, STORE])
def test_a_wrong_password_does_not_open_what_is_trusted(content: bytes) -> None:
    expected = "tls.trust: ca.jks: tls.trust_password does not open it"
    assert complaint(trusting(content, "wrong")) == expected


def test_a_key_with_a_password_of_its_own_is_said_to_have_one_with_the_remedy() -> None:
    assert complaint(settings(jks(PASSWORD, {"ada": Key(ADA, password=OWN)}))) == (
        f"{PLACE}: its private key 'ada' has another password than the store; give it the store's: "
        "keytool -keypasswd -keystore FILE -alias ALIAS"
    )


def test_the_password_of_the_key_alone_is_enough() -> None:
    content = jks(PASSWORD, {"ada": Key(ADA, password=OWN)})
    assert is_of(read(content, OWN), ADA)
    assert trusted_certificates(trusting(content, OWN)) == [ADA.certificate]


# --- several keys


def test_several_keys_are_listed_until_one_is_named() -> None:
    content = jks(PASSWORD, SEVERAL)
    assert complaint(settings(content)) == (
        f"{PLACE}: holds several private keys, 'ada', 'bob'; name one of them as tls.client_alias"
    )
    assert is_of(read(content, alias="ada"), ADA)
    assert is_of(read(content, alias="bob"), BOB)


def test_where_no_alias_can_be_named_the_remedy_is_a_file_of_one_key() -> None:
    with pytest.raises(SettingsError, match="'ada', 'bob'; make a file of one alone: keytool -importkeystore"):
        read_identity(Material("s.jks", jks(PASSWORD, SEVERAL)), None, Secret(PASSWORD), ("--c", "--k", "--p"))


def test_case_makes_no_difference_in_an_alias_but_where_two_differ_by_it_alone() -> None:
    assert is_of(read(STORE, alias="ADA"), ADA)
    twins = jks(PASSWORD, {"Ada": Key(ADA), "ada": Key(BOB)})
    assert is_of(read(twins, alias="Ada"), ADA)
    assert is_of(read(twins, alias="ada"), BOB)
    assert "tls.client_alias 'ADA' is the alias of none" in complaint(settings(twins, alias="ADA"))


def test_an_alias_of_no_key_is_refused_with_those_that_there_are() -> None:
    for alias in ("eve", "root"):
        assert complaint(settings(jks(PASSWORD, SEVERAL), alias=alias)) == (
            f"{PLACE}: tls.client_alias {alias!r} is the alias of none of its private keys: 'ada', 'bob'"
        )


def test_of_very_many_aliases_some_are_listed() -> None:
    many: dict[str, Entry] = {f"k{n:02}": Key(ADA) for n in range(13)}
    assert "'k00', 'k01'" in complaint(settings(jks(PASSWORD, many)))
    assert "'k09' and 3 more; name" in complaint(settings(jks(PASSWORD, many)))


@pytest.mark.parametrize("alias", ["ä\x00€", "𝄞", "two words", ""])
def test_an_alias_may_hold_any_character(alias: str) -> None:
    content = jks(PASSWORD, {alias: Key(ADA), "other": Key(BOB)})
    assert [each.alias for each in read_store("x", content).keys] == [alias, "other"]
    assert is_of(read(content, alias=alias), ADA)


def test_of_two_certificates_with_one_key_the_named_one_is_shown() -> None:
    renewed = LOWER.issue(client=True, server=False, common_name="ada")
    other = Issued(_with_key_of(ADA), ADA.key, ADA.chain)
    content = jks(PASSWORD, {"old": Key(ADA), "new": Key(other), "x": Key(renewed)})
    assert is_of(read(content, alias="old"), ADA)
    assert is_of(read(content, alias="new"), other)


def _with_key_of(issued: Issued) -> x509.Certificate:
    from tests.support.reissued import reissued

    return reissued(issued.certificate, LOWER)


# --- what is refused


def test_a_key_of_another_certificate_is_refused() -> None:
    mixed = jks(PASSWORD, {"ada": Key(ADA, chain=(BOB.certificate, *BOB.chain))})
    assert complaint(settings(mixed)) == (
        f"{PLACE}: its private key does not belong to the certificate 'CN=bob' in ada.jks"
    )


def test_a_store_without_a_key_or_without_anything_is_refused() -> None:
    remedy = "holds no private key; name the file of its key as tls.client_key"
    assert complaint(settings(TRUST)) == f"{PLACE}: {remedy}"
    assert complaint(settings(jks(PASSWORD, {}))) == f"{PLACE}: holds no certificate"
    assert complaint(trusting(jks(PASSWORD, {}))) == "tls.trust: ca.jks: holds no certificate"


HEAD = b"\xfe\xed\xfe\xed\x00\x00\x00\x02"
ONE = HEAD + struct.pack(">I", 1)
AT_FAULT = {
    "magic alone": (HEAD[:4], "it ends too early"),
    "no digest": (HEAD + bytes(4), "it ends too early"),
    "version 3": (sealed(b"\xfe\xed\xfe\xed\x00\x00\x00\x03" + bytes(4), PASSWORD), "its version is 3, not 1 or 2"),
    "absurd count": (sealed(HEAD + b"\xff\xff\xff\xff", PASSWORD), "it ends too early"),
    "absurd length": (sealed(ONE + b"\0\0\0\1\0\1a" + bytes(8) + b"\xff\xff\xff\xff", PASSWORD), "it ends too early"),
    "unknown kind": (sealed(ONE + b"\0\0\0\7\0\1a" + bytes(8), PASSWORD), "its entry 'a' is of the unknown kind 7"),
    "more behind": (sealed(HEAD + bytes(4) + b"more", PASSWORD), "more follows behind its last entry"),
    "alias": (sealed(ONE + b"\0\0\0\2\0\1\xff" + bytes(40), PASSWORD), "an alias or a kind of certificate is no text"),
    "other certificate": (
        sealed(ONE + b"\0\0\0\2\0\1a" + bytes(8) + b"\0\3PGP\0\0\0\1x", PASSWORD),
        "its entry 'a' has a certificate of the kind 'PGP', not X.509",
    ),
    "no certificate": (
        sealed(ONE + b"\0\0\0\2\0\1a" + bytes(8) + b"\0\5X.509\0\0\0\1x", PASSWORD),
        "a certificate of its entry 'a' cannot be read",
    ),
}


@pytest.mark.parametrize("what", AT_FAULT)
def test_a_damaged_store_is_one_line_with_what_is_wrong(what: str) -> None:
    content, fact = AT_FAULT[what]
    assert complaint(settings(content)).startswith(f"{PLACE}: is a damaged JKS store: ")
    assert fact in complaint(settings(content))
    assert complaint(settings(content)).endswith("; export it anew")
    assert fact in complaint(trusting(content))


HIDDEN = element(4, bytes(60))


@pytest.mark.parametrize(
    "hidden",
    [
        b"",
        b"\x30",
        b"\x30\x84\xff\xff\xff\xff",
        b"\x30\xff" + bytes(127),
        b"\x31\x00",
        element(0x30, ALGORITHM),
        element(0x30, ALGORITHM + element(4, bytes(39))),
        element(0x30, ALGORITHM.replace(b"\x11\x01\x01", b"\x13\x01\x01") + HIDDEN),
        element(0x30, ALGORITHM + HIDDEN + b"x"),
        element(0x30, ALGORITHM + HIDDEN) + b"x",
    ],
)
def test_a_key_that_is_not_hidden_as_java_does_it_is_damage(hidden: bytes) -> None:
    entry = b"\0\0\0\1\0\1a" + bytes(8) + struct.pack(">I", len(hidden)) + hidden + bytes(4)
    message = complaint(settings(sealed(ONE + entry, PASSWORD)))
    assert message.startswith(f"{PLACE}: is a damaged JKS store: ")


def test_a_key_that_opens_and_is_none_is_damaged() -> None:
    from hashlib import sha1

    secret, key = PASSWORD.encode("utf-16-be"), b"no key"
    mask = sha1(secret + bytes(20)).digest()
    covered = bytes(one ^ other for one, other in zip(key, mask, strict=False))
    hidden = element(0x30, ALGORITHM + element(4, bytes(20) + covered + sha1(secret + key).digest()))
    entry = b"\0\0\0\1\0\1a" + bytes(8) + struct.pack(">I", len(hidden)) + hidden + bytes(4)
    expected = f"{PLACE}: its private key 'a' is damaged; export it anew"
    assert complaint(settings(sealed(ONE + entry, PASSWORD))) == expected


REAL = jks(PASSWORD, {"ada": Key(ADA), "root": ROOT.certificate})


def test_a_store_that_was_cut_anywhere_is_one_line() -> None:
    for length in range(4, len(REAL)):
        assert complaint(settings(REAL[:length])).startswith(f"{PLACE}: is a damaged JKS store: ")
        assert complaint(trusting(REAL[:length])).startswith("tls.trust: ca.jks: is a damaged JKS store: ")


@given(place=st.integers(0, len(REAL) - 1), flip=st.integers(1, 255))
def test_an_octet_that_was_changed_anywhere_is_one_line_or_harmless(place: int, flip: int) -> None:
    damaged = REAL[:place] + bytes([REAL[place] ^ flip]) + REAL[place + 1 :]
    for each in (settings(damaged), trusting(damaged), trusting(damaged, PASSWORD)):
        try:
            assert client_identity(each) is not None or trusted_certificates(each)
        except SettingsError as error:
            assert "\n" not in str(error)
            assert "canary" not in str(error)


def test_with_the_password_no_change_to_a_truststore_goes_unseen() -> None:
    for place in range(len(TRUST)):
        damaged = TRUST[:place] + bytes([TRUST[place] ^ 1]) + TRUST[place + 1 :]
        assert complaint(trusting(damaged, PASSWORD)).startswith("tls.trust: ca.jks: ")


@given(content=st.binary(max_size=300))
def test_anything_behind_the_magic_number_is_one_line(content: bytes) -> None:
    for head in (b"\xfe\xed\xfe\xed", HEAD, ONE):
        try:
            read_store("place", head + content)
        except SettingsError as error:
            assert str(error).startswith("place: is a damaged JKS store: ")


def test_absurd_numbers_cost_no_memory() -> None:
    absurd = sealed(HEAD + b"\xff\xff\xff\xff" + b"\0\0\0\1\0\1a" + bytes(8) + b"\xff\xff\xff\xff", PASSWORD)
    tracemalloc.start()
    try:
        complaint(settings(absurd))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1_000_000


def test_no_repr_shows_a_key() -> None:
    store = read_store("x", STORE)
    assert repr(store) == "<Store of 1 keys, 0 trusted certificates>"
    assert repr(store.keys) == "(<KeyEntry 'ada'>,)"


# --- an alias beside other forms


def test_an_alias_beside_a_form_without_aliases_is_refused() -> None:
    for content in (ADA.combined_pem, ADA.pem + ADA.encrypted_key_pem(PASSWORD.encode())):
        assert complaint(settings(content, alias="ada")) == (
            f"{PLACE}: gives its private key no alias; leave tls.client_alias out"
        )


def test_an_alias_beside_pkcs12_must_be_that_of_its_key() -> None:
    content = ADA.pkcs12(PASSWORD.encode())
    assert is_of(read(content, alias="TEST"), ADA)
    assert complaint(settings(content, alias="ada")) == (
        f"{PLACE}: tls.client_alias 'ada' is not the alias of its private key: 'test'"
    )


def test_the_alias_is_that_of_the_key_where_it_has_a_file_of_its_own() -> None:
    both = TlsSettings(
        client_certificate=Material("bob.pem", BOB.pem),
        client_key=Material("all.jks", jks(PASSWORD, SEVERAL)),
        client_password=Secret(PASSWORD),
        client_alias="bob",
    )
    identity = client_identity(both)
    assert identity is not None
    assert is_of(identity, BOB)
    assert Alias("x", None).chosen is None
