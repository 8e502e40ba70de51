from __future__ import annotations

import itertools
import re
from base64 import encodebytes
from collections.abc import Sequence

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, x25519
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    pkcs12,
)
from hypothesis import given
from hypothesis import strategies as st

from patchwire.auth.secret import Secret
from patchwire.errors import SettingsError
from patchwire.settings.tls import Material, TlsSettings
from patchwire.tls.identity import is_for_its_host_only
from patchwire.tls.material import Identity, client_identity, trusted_certificates
from tests.support.certificates import Authority, self_signed
from tests.support.jks import jks
from tests.support.reissued import reissued

ROOT = Authority("root")
UPPER = Authority("upper", issuer=ROOT)
LOWER = Authority("lower", issuer=UPPER)
ADA = LOWER.issue(client=True, server=False, common_name="ada")
BOB = LOWER.issue(client=True, server=False, common_name="bob")
PASSWORD = b"canary-9d1f"
PLACE = "tls.client_certificate: ada.crt"
KEY_DER = ADA.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
TRADITIONAL = ADA.key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
AS_TEXT = """\
Certificate:
    Data:
        Version: 3 (0x2)
        Serial Number:
            1b:2c:33:00:9d:ff
        Subject: CN = ada
        X509v3 extensions:
            X509v3 Subject Alternative Name: critical
                DNS:ada.example
    Signature Value:
        30:45:02:21:00:c4:5f:11
"""
AS_BAG = "Bag Attributes\n    friendlyName: ada\n    localKeyID: 30 45\nsubject=CN = ada\n\nissuer=CN = lower\n"


def pem_of(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.PEM)


def block_of(label: str, text: str = "MAA=") -> bytes:
    return f"-----BEGIN {label}-----\n{text}\n-----END {label}-----\n".encode()


def settings(content: bytes, key: bytes | None = None, password: bytes | None = None) -> TlsSettings:
    return TlsSettings(
        client_certificate=Material("ada.crt", content),
        client_key=None if key is None else Material("ada.key", key),
        client_password=None if password is None else Secret(password.decode()),
    )


def read(content: bytes, key: bytes | None = None, password: bytes | None = None) -> Identity:
    identity = client_identity(settings(content, key, password))
    assert identity is not None
    return identity


def complaint(content: bytes, key: bytes | None = None, password: bytes | None = None) -> str:
    with pytest.raises(SettingsError) as caught:
        client_identity(settings(content, key, password))
    message = str(caught.value)
    assert "\n" not in message
    assert PASSWORD.decode() not in message
    return message


def trust_complaint(content: bytes, password: bytes | None = None) -> str:
    secret = None if password is None else Secret(password.decode())
    with pytest.raises(SettingsError) as caught:
        trusted_certificates(TlsSettings(trust=(Material("ca.crt", content),), trust_password=secret))
    return str(caught.value)


def is_ada(identity: Identity, chain: Sequence[x509.Certificate] = ADA.chain) -> bool:
    key = identity.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    return (identity.certificate, identity.chain, key) == (ADA.certificate, tuple(chain), KEY_DER)


# --- forms


def test_without_a_certificate_there_is_no_identity() -> None:
    assert client_identity(TlsSettings()) is None


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
def test_pem_blocks_may_stand_in_any_order(order: tuple[int, ...]) -> None:
    blocks = [ADA.key_pem, *map(pem_of, (ADA.certificate, LOWER.certificate, UPPER.certificate))]
    assert is_ada(read(b"".join(blocks[place] for place in order)))


@pytest.mark.parametrize(
    "text", [AS_TEXT, AS_BAG, "# ada's, for the CRM\n", "\n\n", "\t \r\n", "ä\n", "0 s:CN = ada\n"]
)
def test_text_around_pem_blocks_is_no_part_of_them(text: str) -> None:
    around = text.encode()
    blocks = [ADA.key_pem, *map(pem_of, (ADA.certificate, *ADA.chain))]
    assert is_ada(read(around + around.join(blocks) + around))


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("last", [b"", b"\n"])
def test_lines_may_end_with_crlf_and_the_last_with_nothing(line_end: bytes, last: bytes) -> None:
    text = ADA.combined_pem.replace(b"\n", line_end)
    assert is_ada(read(text.removesuffix(line_end) + last))


def test_a_byte_order_mark_before_pem_is_no_part_of_it() -> None:
    assert is_ada(read(b"\xef\xbb\xbf" + ADA.combined_pem))


WORDS = st.text(st.characters(codec="utf-8", exclude_characters="-\r\n"), max_size=20)


@given(
    blocks=st.permutations([ADA.key_pem, *map(pem_of, (ADA.certificate, LOWER.certificate, UPPER.certificate))]),
    texts=st.lists(st.lists(WORDS, max_size=3), min_size=5, max_size=5),
    line_end=st.sampled_from(["\n", "\r\n"]),
    blanks=st.sampled_from(["", " ", "\t "]),
)
def test_whatever_text_stands_around_pem_blocks_they_are_found(
    blocks: list[bytes], texts: list[list[str]], line_end: str, blanks: str
) -> None:
    before, *behind = ["".join(f"{word}{line_end}" for word in text).encode() for text in texts]
    ended = [block.replace(b"-----\n", f"-----{blanks}\n".encode()) for block in blocks]
    written = [block.replace(b"\n", line_end.encode()) + text for block, text in zip(ended, behind, strict=True)]
    assert is_ada(read(before + b"".join(written)))


@given(cut=st.integers(0, len(ADA.combined_pem)))
def test_a_file_that_was_cut_is_refused_or_has_lost_whole_issuers_only(cut: int) -> None:
    content = ADA.combined_pem[:cut]
    begun, ended = (len(re.findall(rb"(?m)^-----%b [A-Z ]+-----$" % word, content)) for word in (b"BEGIN", b"END"))
    if begun == ended >= 2:
        assert is_ada(read(content), ADA.chain[: ended - 2])
    else:
        assert complaint(content).startswith(PLACE)


FORMS = [
    ADA.combined_pem,
    ADA.encrypted_key_pem(PASSWORD) + ADA.pem,
    ADA.der,
    KEY_DER,
    ADA.pkcs12(None),
    ADA.pkcs12(PASSWORD),
]


@given(
    content=st.sampled_from(FORMS),
    place=st.floats(0, 1, exclude_max=True),
    piece=st.binary(max_size=3),
    gone=st.integers(0, 3),
)
def test_damage_anywhere_is_a_settings_error_or_harmless(
    content: bytes, place: float, piece: bytes, gone: int
) -> None:
    start = int(place * len(content))
    damaged = content[:start] + piece + content[start + gone :]
    for each in (settings(damaged, password=PASSWORD), settings(ADA.pem, damaged, PASSWORD)):
        try:
            assert client_identity(each) is not None
        except SettingsError as error:
            assert PASSWORD.decode() not in str(error)


@given(content=st.binary(max_size=200))
def test_random_bytes_are_a_settings_error(content: bytes) -> None:
    assert complaint(content).startswith("tls.client_certificate: ada.crt")


def test_a_certificate_as_der_takes_its_key_from_a_file_of_its_own() -> None:
    assert is_ada(read(ADA.der, ADA.key_pem), chain=[])
    assert is_ada(read(ADA.der, KEY_DER), chain=[])


def test_a_key_in_a_file_of_its_own_may_be_pem_or_der_encrypted_or_not() -> None:
    encrypted = ADA.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, BestAvailableEncryption(PASSWORD))
    for key in (ADA.key_pem, KEY_DER, TRADITIONAL, ADA.encrypted_key_pem(PASSWORD), encrypted):
        assert is_ada(read(ADA.pem, key, PASSWORD))
    for key in (ADA.key_pem, KEY_DER, TRADITIONAL):
        assert is_ada(read(ADA.pem, key))


def test_a_key_that_old_openssl_has_encrypted_is_read() -> None:
    encrypted = ADA.key.private_bytes(
        Encoding.PEM, PrivateFormat.TraditionalOpenSSL, BestAvailableEncryption(PASSWORD)
    )
    assert b"DEK-Info" in encrypted
    assert is_ada(read(encrypted + ADA.pem, password=PASSWORD))


def test_an_encrypted_key_beside_its_certificate_is_read() -> None:
    assert is_ada(read(ADA.pem + ADA.encrypted_key_pem(PASSWORD), password=PASSWORD))


def test_a_key_in_a_file_of_its_own_comes_before_one_beside_the_certificate() -> None:
    assert is_ada(read(BOB.key_pem + ADA.pem, ADA.key_pem))


def test_curve_parameters_beside_a_key_are_passed_over() -> None:
    assert is_ada(read(block_of("EC PARAMETERS", "BggqhkjOPQMBBw==") + TRADITIONAL + ADA.pem))


@pytest.mark.parametrize("password", [None, PASSWORD])
def test_pkcs12_brings_certificate_chain_and_key(password: bytes | None) -> None:
    assert is_ada(read(ADA.pkcs12(password), password=password))


def test_a_password_for_pkcs12_that_needs_none_does_no_harm() -> None:
    assert is_ada(read(ADA.pkcs12(None), password=PASSWORD))


def test_pkcs12_without_a_key_takes_it_from_a_file_of_its_own() -> None:
    encryption = BestAvailableEncryption(PASSWORD)
    store = pkcs12.serialize_key_and_certificates(None, None, ADA.certificate, ADA.chain, encryption)
    assert is_ada(read(store, ADA.key_pem, PASSWORD))


def test_a_key_with_rsa_or_eddsa_is_as_good() -> None:
    rsa = LOWER.issue(client=True, rsa=True)
    assert read(rsa.combined_pem).certificate == rsa.certificate
    key = ed25519.Ed25519PrivateKey.generate()
    builder = (
        x509.CertificateBuilder()
        .subject_name(ADA.certificate.subject)
        .issuer_name(LOWER.certificate.subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(ADA.certificate.not_valid_before_utc)
        .not_valid_after(ADA.certificate.not_valid_after_utc)
    )
    certificate = builder.sign(key, None)
    key_pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    assert read(key_pem + pem_of(certificate)).certificate == certificate


def test_the_certificate_is_the_one_that_the_key_belongs_to() -> None:
    assert is_ada(read(BOB.pem + ADA.pem + ADA.key_pem))


def test_what_is_not_above_the_certificate_is_not_in_its_chain() -> None:
    stranger = Authority("a stranger")
    assert is_ada(read(ADA.key_pem + stranger.pem + ADA.pem))


def test_of_two_issuers_with_one_name_the_chain_has_the_one_that_has_signed() -> None:
    namesake = Authority("lower", issuer=UPPER)
    assert is_ada(read(ADA.key_pem + pem_of(ADA.certificate) + namesake.pem + LOWER.pem + UPPER.pem))


def test_a_certificate_signed_by_itself_has_no_chain() -> None:
    alone = self_signed("localhost")
    assert read(alone.combined_pem + ROOT.pem).chain == ()


def test_authorities_that_vouch_for_each_other_make_no_endless_chain() -> None:
    one, other = Authority("one"), Authority("other")
    crossed = [reissued(one.certificate, other), reissued(other.certificate, one)]
    leaf = one.issue(client=True)
    chain = read(leaf.key_pem + pem_of(leaf.certificate) + b"".join(map(pem_of, crossed))).chain
    assert list(chain) == crossed


def test_no_repr_shows_a_key() -> None:
    identity = read(ADA.combined_pem, password=PASSWORD)
    shown = f"{identity!r} {settings(ADA.combined_pem, ADA.key_pem, PASSWORD)!r}"
    assert "<Identity CN=ada>" in shown
    for line in ADA.key_pem.decode().splitlines():
        assert line not in shown
    assert PASSWORD.decode() not in shown


# --- what cannot be read: the key, the file, the fact, the remedy


@pytest.mark.parametrize("content", [b"", b"hello", b"\xff\xfe\x00random", b"-----BEGIN\n", b"\n\n"])
def test_a_file_without_a_block_is_no_known_form(content: bytes) -> None:
    assert complaint(content) == f"{PLACE}: holds no certificate and no key: it is neither PEM, DER, PKCS#12 nor JKS"


def test_der_of_something_else_is_no_known_form() -> None:
    for content in (b"\x30", b"\x30\x03\x02\x01\x05", b"0 is the first digit"):
        message = complaint(content)
        assert message == f"{PLACE}: is no certificate, key or PKCS#12 file that can be read", content


@pytest.mark.parametrize("label", ["CERTIFICATE", "PRIVATE KEY"])
def test_a_block_without_its_end_is_named_with_its_line(label: str) -> None:
    content = b"# mine\n" + block_of(label).partition(b"-----END")[0]
    assert complaint(content) == f"{PLACE}, line 2: the end of its block {label!r} is missing"


def test_a_block_whose_end_has_another_label_has_no_end() -> None:
    content = pem_of(ADA.certificate).replace(b"END CERTIFICATE", b"END PRIVATE KEY")
    assert complaint(content) == f"{PLACE}, line 1: the end of its block 'CERTIFICATE' is missing"


@pytest.mark.parametrize("damage", [b"!", b"AAAA", b"="])
def test_damaged_base64_is_named_with_the_line_where_its_block_begins(damage: bytes) -> None:
    head, body = ADA.pem.split(b"\n", 1)
    damaged = ADA.key_pem + head + b"\n" + body[:80] + damage + body[81:]
    line = _line(ADA.key_pem)
    assert complaint(damaged) == f"{PLACE}, line {line}: its certificate is damaged; export it anew"
    head, body = ADA.key_pem.split(b"\n", 1)
    damaged = ADA.pem + head + b"\n" + body[:70] + damage + body[71:]
    line = _line(ADA.pem)
    assert complaint(damaged) == f"{PLACE}, line {line}: its private key is damaged; export it anew"


@pytest.mark.parametrize("label", ["CERTIFICATE REQUEST", "PUBLIC KEY", "X509 CRL", "OPENSSH PRIVATE KEY", "PKCS7"])
def test_a_block_of_another_kind_is_named(label: str) -> None:
    message = complaint(ADA.combined_pem + block_of(label))
    line = _line(ADA.combined_pem)
    assert message == f"{PLACE}, line {line}: a block {label!r} is neither a certificate nor a private key"


def test_a_keystore_that_is_not_read_is_named_with_the_command_that_converts_it() -> None:
    content = b"\xce\xce\xce\xce" + bytes(40)
    assert complaint(content).startswith(
        f"{PLACE}: is a Java keystore (JCEKS), which is not read; convert it: keytool"
    )
    assert trust_complaint(content).startswith("tls.trust: ca.crt: is a Java keystore (JCEKS)")


def test_an_encrypted_key_needs_its_password() -> None:
    der = ADA.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, BestAvailableEncryption(PASSWORD))
    encrypted = ADA.encrypted_key_pem(PASSWORD)
    needs = "its private key is encrypted; give its password as tls.client_password"
    assert complaint(ADA.pem + encrypted) == f"{PLACE}, line {_line(ADA.pem)}: {needs}"
    assert complaint(ADA.pem, encrypted) == f"tls.client_key: ada.key, line 1: {needs}"
    assert complaint(ADA.pem, der) == f"tls.client_key: ada.key: {needs}"


def _line(before: bytes) -> int:
    """The number of the line behind this text."""
    return before.count(b"\n") + 1


def test_no_wrong_password_makes_an_encrypted_key_look_damaged() -> None:
    # One wrong password in 256 decrypts to something whose padding is right.
    encrypted = ADA.key.private_bytes(
        Encoding.PEM, PrivateFormat.TraditionalOpenSSL, BestAvailableEncryption(PASSWORD)
    )
    expected = "tls.client_key: ada.key, line 1: tls.client_password does not open its private key"
    assert {complaint(ADA.pem, encrypted, f"wrong {n}".encode()) for n in range(1500)} == {expected}


def test_a_wrong_password_does_not_open_an_encrypted_key() -> None:
    der = ADA.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, BestAvailableEncryption(PASSWORD))
    encrypted, fact = ADA.encrypted_key_pem(PASSWORD), "tls.client_password does not open its private key"
    assert complaint(encrypted + ADA.pem, password=b"wrong") == f"{PLACE}, line 1: {fact}"
    assert complaint(ADA.pem, encrypted, b"wrong") == f"tls.client_key: ada.key, line 1: {fact}"
    assert complaint(ADA.pem, der, b"wrong") == f"tls.client_key: ada.key: {fact}"


def test_encrypted_pkcs12_needs_its_password_and_the_right_one() -> None:
    content = ADA.pkcs12(PASSWORD)
    assert complaint(content) == f"{PLACE}: needs its password as tls.client_password"
    assert complaint(content, password=b"wrong") == f"{PLACE}: tls.client_password does not open it"
    assert trust_complaint(content) == "tls.trust: ca.crt: needs its password as tls.trust_password"
    assert trust_complaint(content, b"wrong") == "tls.trust: ca.crt: tls.trust_password does not open it"


def test_a_key_of_another_certificate_is_refused() -> None:
    fact = "its private key does not belong to the certificate 'CN=ada' in ada.crt"
    assert complaint(ADA.pem + BOB.key_pem) == f"{PLACE}: {fact}"
    assert complaint(ADA.pem, BOB.key_pem) == f"tls.client_key: ada.key: {fact}"
    assert complaint(ADA.combined_pem, BOB.key_pem) == f"tls.client_key: ada.key: {fact}"


def test_a_key_of_another_certificate_is_refused_in_pkcs12_too() -> None:
    store = pkcs12.serialize_key_and_certificates(b"ada", BOB.key, None, [ADA.certificate], NoEncryption())
    assert complaint(store) == f"{PLACE}: its private key does not belong to the certificate 'CN=ada' in ada.crt"


def test_a_certificate_without_a_key_is_refused_with_the_remedy() -> None:
    remedy = "holds no private key; name the file of its key as tls.client_key"
    assert complaint(ADA.pem) == complaint(ADA.der) == f"{PLACE}: {remedy}"
    assert complaint(ADA.pem, ADA.pem) == "tls.client_key: ada.key: holds no private key"


def test_a_key_without_a_certificate_is_refused() -> None:
    assert complaint(ADA.key_pem) == complaint(KEY_DER) == f"{PLACE}: holds no certificate"


def test_a_key_of_a_kind_that_tls_does_not_use_is_refused() -> None:
    expected = (
        "tls.client_key: ada.key, line 1: its private key is of no kind that TLS uses: expected RSA, EC or EdDSA"
    )
    for key in (x25519.X25519PrivateKey.generate(), dsa.generate_private_key(1024)):
        text = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        assert complaint(ADA.pem, text) == expected


MALFORMED = {
    "version": (b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x12"),
    "kind of key": (b"\x06\x07*\x86H\xce=\x02\x01", b"\x06\x07*\x86H\xce=\x02\x7f"),
    "curve": (b"*\x86H\xce=\x03\x01\x07", b"*\x86H\xce=\x03\x01\x7f"),
    "point": (b"\x03B\x00\x04", b"\x03B\x00\x05"),
    "subject": (b"\x0c\x03ada", b"\x0c\x03\xff\xfe\xfd"),
    "issuer": (b"\x0c\x05lower", b"\x0c\x05\xff\xfe\xfdxx"),
}


@pytest.mark.parametrize("what", MALFORMED)
@pytest.mark.parametrize("encoding", ["DER", "PEM"])
def test_a_certificate_that_is_malformed_inside_is_a_settings_error(what: str, encoding: str) -> None:
    good, bad = MALFORMED[what]
    assert good in ADA.der
    damaged = ADA.der.replace(good, bad)
    content = damaged if encoding == "DER" else pem_of_der("CERTIFICATE", damaged)
    assert complaint(content, BOB.key_pem).startswith("tls.client_")


def test_what_a_block_says_it_is_is_what_it_must_be() -> None:
    public = ADA.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    swapped = public.replace(b"PUBLIC KEY", b"CERTIFICATE")
    assert complaint(swapped) == f"{PLACE}, line 1: its certificate is damaged; export it anew"
    swapped = public.replace(b"PUBLIC KEY", b"PRIVATE KEY")
    assert complaint(swapped) == f"{PLACE}, line 1: its private key is damaged; export it anew"


# --- trust


def test_every_certificate_of_every_trusted_file_is_trusted_whatever_its_form() -> None:
    store = pkcs12.serialize_key_and_certificates(
        None, None, None, [UPPER.certificate], BestAvailableEncryption(PASSWORD)
    )
    contents = [ROOT.pem + LOWER.pem, ROOT.certificate.public_bytes(Encoding.DER), store, BOB.combined_pem]
    files = tuple(Material(f"{number}", each) for number, each in enumerate(contents))
    trusted = trusted_certificates(TlsSettings(trust=files, trust_password=Secret(PASSWORD.decode())))
    authorities = [ROOT, LOWER, ROOT, UPPER]
    assert trusted[:4] == [each.certificate for each in authorities]
    assert trusted[4:] == [BOB.certificate, *BOB.chain]


@pytest.mark.parametrize("form", ["PEM", "PKCS#12", "JKS"])
def test_a_root_that_names_the_serial_number_0_as_its_issuers_is_trusted_without_a_warning(form: str) -> None:
    # As some roots do that every system has; the tests' settings make an error of a warning.
    names = [x509.DirectoryName(ROOT.certificate.subject)]
    old = x509.AuthorityKeyIdentifier(b"id", names, 0)
    builder = x509.CertificateBuilder(
        ROOT.certificate.subject, ROOT.certificate.subject, ROOT.key.public_key(), 1,
        ROOT.certificate.not_valid_before_utc, ROOT.certificate.not_valid_after_utc,
    )  # fmt: skip
    certificate = builder.add_extension(old, critical=False).sign(ROOT.key, SHA256())
    content = {
        "PEM": pem_of(certificate),
        "PKCS#12": pkcs12.serialize_key_and_certificates(None, None, None, [certificate], NoEncryption()),
        "JKS": jks("", {"root": certificate}),
    }[form]
    (trusted,) = trusted_certificates(TlsSettings(trust=(Material("ca.crt", content),)))
    assert is_for_its_host_only(trusted)
    assert trusted == certificate


@pytest.mark.parametrize("label", ["CERTIFICATE", "X509 CERTIFICATE"])
def test_an_older_label_of_a_certificate_is_taken(label: str) -> None:
    content = ROOT.pem.replace(b"CERTIFICATE", label.encode())
    assert trusted_certificates(TlsSettings(trust=(Material("ca.crt", content),))) == [ROOT.certificate]


def test_a_trusted_certificate_of_openssl_is_taken_with_what_it_says_behind() -> None:
    # "openssl x509 -trustout -setalias x": the certificate, then its auxiliary data.
    der = ROOT.certificate.public_bytes(Encoding.DER) + b"\x30\x03\x0c\x01x"
    content = pem_of_der("TRUSTED CERTIFICATE", der)
    assert trusted_certificates(TlsSettings(trust=(Material("ca.crt", content),))) == [ROOT.certificate]


def pem_of_der(label: str, der: bytes) -> bytes:
    return block_of(label, encodebytes(der).decode().strip())


def test_a_trusted_file_without_a_certificate_is_refused() -> None:
    assert trust_complaint(ADA.key_pem) == "tls.trust: ca.crt: holds no certificate"
    assert trust_complaint(b"") == (
        "tls.trust: ca.crt: holds no certificate and no key: it is neither PEM, DER, PKCS#12 nor JKS"
    )


def test_a_trusted_key_store_without_certificates_is_refused() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    store = pkcs12.serialize_key_and_certificates(None, key, None, None, NoEncryption())
    assert trust_complaint(store) == "tls.trust: ca.crt: holds no certificate"
