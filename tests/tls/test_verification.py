from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from OpenSSL import SSL, crypto

from patchwire.settings.tls import TlsSettings
from patchwire.tls.verification import describe, moment
from tests.support.certificates import Authority, Issued, self_signed
from tests.support.engines import converse, ends
from tests.support.reissued import reissued
from tests.support.tls import AUTHORITY, serving_as, trusting

PAST, FUTURE = datetime(2020, 2, 3, 4, 5, 6, tzinfo=UTC), datetime(2090, 2, 3, 4, 5, 6, tzinfo=UTC)
REMEDY = "or the server's own certificate, to tls.trust (patchwire check --export-certificate)"
MISSING = "leads to no trusted root, and the server does not send the certificate of that issuer; add it"
LOWER = Authority("lower", issuer=AUTHORITY)


def problem(shown: Issued, *trust: bytes, host: str = "localhost", **options: Any) -> str | None:
    """Why the server's certificate is refused, or None where it is not; the server is told when it is."""
    return problem_of(serving_as(shown), trusting(*(trust or (AUTHORITY.pem,)), **options), host)


def problem_of(server_context: SSL.Context, settings: TlsSettings, host: str) -> str | None:
    client, server = ends(settings, host, server_context)
    converse(client, server)
    assert (client.fault is None) == (server.fault is None) == client.engine.established
    return None if client.fault is None else str(client.fault)


def pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.PEM)


def below(issuer: Authority | Issued, host: str, *chain: x509.Certificate) -> Issued:
    """A server's certificate that the issuer's key has signed."""
    template = AUTHORITY.issue(host)
    return Issued(reissued(template.certificate, issuer), template.key, chain)


# --- chains


@pytest.mark.parametrize("rsa", [False, True])
def test_a_certificate_of_a_trusted_authority_is_accepted(rsa: bool) -> None:
    assert problem(AUTHORITY.issue("localhost", rsa=rsa)) is None


def test_intermediates_that_the_server_sends_lead_to_the_root() -> None:
    lowest = Authority("lowest", issuer=LOWER)
    assert problem(lowest.issue("localhost")) is None


def test_a_trusted_intermediate_is_enough() -> None:
    assert problem(LOWER.issue("localhost"), LOWER.pem) is None
    assert problem(AUTHORITY.issue("localhost"), LOWER.pem) is not None


def test_a_missing_intermediate_is_told_with_the_name_of_the_issuer() -> None:
    shown = LOWER.issue("localhost")
    assert problem(Issued(shown.certificate, shown.key)) == (
        f"its certificate, issued by 'CN=lower', {MISSING}, {REMEDY}"
    )
    assert problem(Issued(shown.certificate, shown.key), AUTHORITY.pem, LOWER.pem) is None


def test_an_unknown_authority_is_told_with_the_remedy() -> None:
    shown = Authority("unknown CA").issue("localhost")
    assert problem(shown) == f"its certificate, issued by 'CN=unknown CA', {MISSING}, {REMEDY}"


@pytest.mark.parametrize("ca", [False, True])
def test_a_certificate_signed_by_itself_is_told_as_such(ca: bool) -> None:
    shown = self_signed("localhost", ca=ca)
    assert problem(shown) == f"its certificate, signed by itself, leads to no trusted root; add its CA, {REMEDY}"


def test_a_root_that_the_server_sends_is_not_trusted_for_that() -> None:
    unknown = Authority("unknown CA")
    shown = unknown.issue("localhost")
    told = problem(Issued(shown.certificate, shown.key, (unknown.certificate,)))
    assert told is not None
    assert told.endswith(f"leads to no trusted root; add its CA, {REMEDY}")


def test_an_authority_of_the_same_name_vouches_for_nobody() -> None:
    shown = Authority("patchwire test CA").issue("localhost")
    told = problem(shown)
    assert told is not None
    assert "leads to no trusted root" in told or "signature" in told


def test_a_leaf_that_signs_is_no_authority() -> None:
    leaf = AUTHORITY.issue("localhost", common_name="a leaf")
    told = problem(below(leaf, "localhost", leaf.certificate))
    assert told is not None
    assert told.startswith("the certificate 'CN=a leaf' above its own")
    assert "no CA" in told


# --- times


def test_an_expired_certificate_is_told_with_the_date() -> None:
    assert problem(AUTHORITY.issue("localhost", not_after=PAST)) == "its certificate ended on 2020-02-03 04:05:06 UTC"


def test_a_certificate_of_the_future_is_told_with_the_date() -> None:
    assert problem(AUTHORITY.issue("localhost", not_before=FUTURE)) == (
        "its certificate is not valid before 2090-02-03 04:05:06 UTC; see to this machine's clock"
    )


@pytest.mark.parametrize("authority", [LOWER, AUTHORITY])
def test_an_expired_authority_is_told_with_its_name_and_date(authority: Authority) -> None:
    old = reissued(authority.certificate, AUTHORITY, not_before=datetime(2019, 1, 1, tzinfo=UTC), not_after=PAST)
    leaf = authority.issue("localhost")
    trust = AUTHORITY.pem if authority is LOWER else pem(old)
    chain = (old,) if authority is LOWER else ()
    name = old.subject.rfc4514_string()
    assert problem(Issued(leaf.certificate, leaf.key, chain), trust) == (
        f"the certificate {name!r} above its own ended on 2020-02-03 04:05:06 UTC"
    )


@pytest.mark.parametrize("order", [1, -1])
def test_of_an_expired_and_a_renewed_intermediate_the_good_one_is_taken(order: int) -> None:
    old = reissued(LOWER.certificate, AUTHORITY, not_before=datetime(2019, 1, 1, tzinfo=UTC), not_after=PAST)
    leaf = LOWER.issue("localhost")
    context = serving_as(Issued(leaf.certificate, leaf.key))
    for each in [old, LOWER.certificate][::order]:
        context.add_extra_chain_cert(each)
    assert problem_of(context, trusting(AUTHORITY.pem), "localhost") is None


def test_an_expired_certificate_is_refused_where_it_is_trusted_too() -> None:
    shown = self_signed("localhost", not_after=PAST)
    assert problem(shown, shown.pem) == "its certificate ended on 2020-02-03 04:05:06 UTC"


# --- names and purposes


def test_another_host_is_told_with_what_is_covered() -> None:
    shown = AUTHORITY.issue("a.example", "*.b.example", "10.0.0.1")
    assert problem(shown) == ("its certificate does not cover 'localhost'; it covers a.example, *.b.example, 10.0.0.1")


def test_a_certificate_without_names_covers_no_host() -> None:
    shown = AUTHORITY.issue(common_name="localhost")
    assert problem(shown) == "its certificate does not cover 'localhost'; it covers no host at all"


def test_a_certificate_for_clients_is_not_for_servers() -> None:
    shown = AUTHORITY.issue("localhost", client=True, server=False)
    assert problem(shown) == "its certificate is not for servers: its extended key usage allows clients"


def test_a_certificate_of_no_stated_purpose_is_for_servers_too() -> None:
    assert problem(AUTHORITY.issue("localhost", server=False)) is None


def test_purposes_without_a_name_of_ours_are_told_by_number() -> None:
    leaf = AUTHORITY.issue("localhost")
    usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING, x509.ObjectIdentifier("1.2.3.4")])
    shown = Issued(_with_extension(leaf, usage), leaf.key)
    assert problem(shown) == "its certificate is not for servers: its extended key usage allows code signing, 1.2.3.4"


def test_a_name_that_its_authority_must_not_vouch_for_is_refused() -> None:
    constraints = x509.NameConstraints([x509.DNSName("example.com")], None)
    limited = reissued(
        LOWER.certificate,
        AUTHORITY,
        extensions=[*LOWER.certificate.extensions, x509.Extension(constraints.oid, True, constraints)],
    )
    leaf = LOWER.issue("localhost")
    shown = Issued(leaf.certificate, leaf.key, (limited,))
    assert problem(shown) == "its certificate has a name beyond those that its CA may vouch for"
    leaf = LOWER.issue("a.example.com")
    assert problem(Issued(leaf.certificate, leaf.key, (limited,)), host="a.example.com") is None


# --- a server's own certificate as what is trusted


PINNED = {
    "signed by itself": self_signed("localhost"),
    "signed by itself, called a CA": self_signed("localhost", ca=True),
    "of an unknown CA": Authority("unknown CA").issue("localhost"),
    "of an unknown intermediate": Authority("x", issuer=Authority("unknown CA")).issue("localhost"),
}


@pytest.mark.parametrize("kind", PINNED)
def test_a_trusted_leaf_is_accepted_for_its_own_host(kind: str) -> None:
    shown = PINNED[kind]
    assert problem(shown, pem(shown.certificate)) is None
    assert problem(Issued(shown.certificate, shown.key), pem(shown.certificate)) is None


@pytest.mark.parametrize("kind", PINNED)
def test_a_trusted_leaf_is_refused_for_another_host(kind: str) -> None:
    shown = PINNED[kind]
    for host in ("example.com", "127.0.0.1"):
        assert problem(shown, pem(shown.certificate), host=host) == (
            f"its certificate does not cover {host!r}; it covers localhost"
        )


@pytest.mark.parametrize("kind", PINNED)
@pytest.mark.parametrize("host", ["example.com", "localhost"])
def test_what_a_trusted_leafs_key_has_signed_is_refused(kind: str, host: str) -> None:
    pinned = PINNED[kind]
    forged = below(pinned, host, pinned.certificate)
    assert problem(forged, pem(pinned.certificate), host=host) is not None
    assert problem(Issued(forged.certificate, forged.key), pem(pinned.certificate), host=host) is not None


@pytest.mark.parametrize("kind", PINNED)
def test_what_an_intermediate_below_a_trusted_leaf_has_signed_is_refused(kind: str) -> None:
    pinned = PINNED[kind]
    middle = Authority("middle")
    chain = (reissued(middle.certificate, pinned), pinned.certificate)
    leaf = middle.issue("example.com")
    assert problem(Issued(leaf.certificate, leaf.key, chain), pem(pinned.certificate), host="example.com") is not None


def test_a_refusal_of_what_a_trusted_leafs_key_has_signed_says_why() -> None:
    pinned = PINNED["signed by itself, called a CA"]
    assert problem(below(pinned, "example.com"), pinned.pem, host="example.com") == (
        "its certificate was issued by 'CN=localhost', which tls.trust holds as a server's: for its host only"
    )


def test_a_trusted_authority_beside_a_trusted_leaf_goes_on_vouching() -> None:
    pinned = PINNED["signed by itself"]
    assert problem(AUTHORITY.issue("example.com"), pinned.pem, AUTHORITY.pem, host="example.com") is None


def test_a_certificate_with_the_name_and_key_of_a_trusted_leaf_is_not_it() -> None:
    pinned = PINNED["signed by itself"]
    names = [each for each in pinned.certificate.extensions if each.oid != x509.SubjectAlternativeName.oid]
    other = x509.SubjectAlternativeName([x509.DNSName("example.com")])
    twin = reissued(pinned.certificate, pinned, extensions=[*names, x509.Extension(other.oid, False, other)])
    assert problem(Issued(twin, pinned.key), pinned.pem, host="example.com") is not None


# --- certificates that are malformed inside: whatever a stranger shows, it is a refusal


MALFORMED = {
    "a subject that is no text": (b"\x0c\x09localhost", b"\x13\x09loc\xfclhost"),
    "an issuer that is no text": (b"\x0c\x07unknown", b"\x14\x07unkn\xf6wn"),
    "an impossible version": (b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x12"),
}


@pytest.mark.parametrize("what", MALFORMED)
@pytest.mark.parametrize("trusted", [False, True])
def test_a_malformed_certificate_is_refused(tmp_path: Path, what: str, trusted: bool) -> None:
    good, bad = MALFORMED[what]
    authority = Authority("unknown")
    shown = authority.issue("localhost")
    assert good in shown.der
    (tmp_path / "server.der").write_bytes(shown.der.replace(good, bad))
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.use_certificate_file(str(tmp_path / "server.der"), crypto.FILETYPE_ASN1)
    context.use_privatekey(shown.key)
    client, server = ends(trusting(authority.pem if trusted else AUTHORITY.pem), "localhost", context)
    converse(client, server)
    assert client.fault is not None
    assert not client.engine.established


def test_a_serial_number_that_no_certificate_should_have_is_borne(tmp_path: Path) -> None:
    # Old appliances number their certificate 0; a warning about it would be nobody's business.
    shown = self_signed("localhost")
    serial = shown.certificate.serial_number.to_bytes(20, "big")
    assert shown.der.count(serial) == 1
    (tmp_path / "server.der").write_bytes(shown.der.replace(serial, bytes([0x80, *serial[1:]])))
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.use_certificate_file(str(tmp_path / "server.der"), crypto.FILETYPE_ASN1)
    context.use_privatekey(shown.key)
    told = problem_of(context, trusting(AUTHORITY.pem), "localhost")
    assert told is not None
    assert "leads to no trusted root" in told


@pytest.mark.parametrize("names", [[b"\x82\x02\xff\xfe"], [b"\x87\x03\x01\x02\x03"], [b"\xa3\x02\x05\x00"]])
def test_malformed_alternative_names_cover_nothing(names: list[bytes]) -> None:
    content = b"".join(names)
    extension = x509.UnrecognizedExtension(x509.SubjectAlternativeName.oid, b"\x30" + bytes([len(content)]) + content)
    leaf = AUTHORITY.issue("localhost")
    kept = [each for each in leaf.certificate.extensions if each.oid != x509.SubjectAlternativeName.oid]
    certificate = reissued(
        leaf.certificate, AUTHORITY, extensions=[*kept, x509.Extension(extension.oid, False, extension)]
    )
    told = problem(Issued(certificate, leaf.key))
    assert told == "its certificate does not cover 'localhost'; it covers no host at all"
    assert problem(Issued(certificate, leaf.key), pem(certificate)) is not None


def _with_extension(leaf: Issued, extension: x509.ExtensionType) -> x509.Certificate:
    kept = [each for each in leaf.certificate.extensions if each.oid != extension.oid]
    return reissued(leaf.certificate, AUTHORITY, extensions=[*kept, x509.Extension(extension.oid, False, extension)])


# --- words


def test_every_fault_of_openssl_has_words() -> None:
    certificate = AUTHORITY.issue("localhost").certificate
    for error in range(1, 100):
        for depth in (0, 1):
            words = describe(certificate, error, depth)
            assert words.startswith(
                "its certificate" if depth == 0 else "the certificate 'CN=localhost' above its own"
            )
    assert describe(certificate, 99, 0) == "its certificate was refused by OpenSSL with error 99"
    assert describe(certificate, 23, 1) == "the certificate 'CN=localhost' above its own was revoked"


def test_a_certificate_without_names_of_subject_and_issuer_has_words_too() -> None:
    nameless = x509.CertificateBuilder(
        x509.Name([]),
        x509.Name([]),
        AUTHORITY.certificate.public_key(),
        1,
        AUTHORITY.certificate.not_valid_before_utc,
        AUTHORITY.certificate.not_valid_after_utc,
    ).sign(AUTHORITY.key, AUTHORITY.certificate.signature_hash_algorithm)  # type: ignore[arg-type]
    assert describe(nameless, 26, 1) == (
        "the certificate 'without a subject' above its own is not for servers: "
        "its extended key usage allows other uses"
    )


def test_a_control_character_in_a_name_reaches_no_message() -> None:
    hostile = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a\x1b[2Jb\nc")])
    template = AUTHORITY.certificate
    certificate = x509.CertificateBuilder(
        hostile, hostile, template.public_key(), 1, template.not_valid_before_utc, template.not_valid_after_utc
    ).sign(AUTHORITY.key, template.signature_hash_algorithm)  # type: ignore[arg-type]
    for error in range(1, 70):
        for depth in (0, 1):
            assert describe(certificate, error, depth).isprintable()


def test_a_control_character_in_an_alternative_name_reaches_no_message() -> None:
    shown = AUTHORITY.issue("a\x1b[2Jb\nc")
    told = problem(shown)
    assert told is not None
    assert told.isprintable()


def test_a_moment_is_written_in_universal_time() -> None:
    assert moment(PAST) == "2020-02-03 04:05:06 UTC"


# --- common names


@pytest.mark.parametrize("ca", [False, True])
def test_a_trusted_certificate_with_a_common_name_alone_is_accepted_for_that_host_and_no_other(ca: bool) -> None:
    own = self_signed(common_name="Old.Example", ca=ca)
    assert problem(own, own.pem, host="old.example") is None
    assert problem(own, own.pem, host="new.example") == (
        "its certificate does not cover 'new.example'; it covers no host at all"
    )


def test_a_common_name_does_not_count_where_another_vouches_for_it() -> None:
    issued = AUTHORITY.issue(common_name="old.example")
    assert problem(issued, AUTHORITY.pem, host="old.example") is not None
    assert problem(issued, issued.pem, host="old.example") is None


def test_a_common_name_does_not_count_beside_alternative_names() -> None:
    own = self_signed("other.example", common_name="old.example")
    assert problem(own, own.pem, host="old.example") == (
        "its certificate does not cover 'old.example'; it covers other.example"
    )
