from __future__ import annotations

from datetime import UTC, datetime, timedelta

from cryptography.hazmat.primitives.serialization import Encoding

from patchwire.tls.certificates import certificate_from_der
from patchwire.tls.describe import (
    as_pem,
    describe_certificate,
    describe_trusted,
    expiry_doubt,
    shown_fingerprint,
    validity,
)
from tests.support.certificates import Authority, self_signed

BEGIN = datetime(2030, 1, 1, tzinfo=UTC)
LEAF = self_signed("a.example", "10.0.0.1", not_before=BEGIN, not_after=BEGIN + timedelta(days=30)).certificate
MID = (BEGIN + timedelta(days=10)).timestamp()


def test_a_certificate_is_told_by_name_hosts_issuer_and_dates() -> None:
    assert describe_certificate(LEAF, MID) == (
        "'CN=a.example', for a.example, 10.0.0.1, issued by itself, valid until 2030-01-31 00:00:00 UTC (20 days left)"
    )
    issued = Authority("Example CA").issue(common_name="svc", client=True, server=False).certificate
    assert describe_certificate(issued, MID).startswith("'CN=svc', issued by 'CN=Example CA', ")


def test_a_certificate_that_ends_within_thirty_days_has_ended_or_has_not_begun_is_worth_a_warning() -> None:
    begin, day = BEGIN.timestamp(), 86_400
    long = self_signed("b", not_before=BEGIN, not_after=BEGIN + timedelta(days=365)).certificate
    assert expiry_doubt(long, begin + 334 * day, "tls.trust") is None
    assert expiry_doubt(long, begin + 336 * day, "tls.trust") == (
        "tls.trust: 'CN=b' is valid until 2031-01-01 00:00:00 UTC (29 days left);"
        " have it renewed, and replace the file"
    )
    assert expiry_doubt(long, begin + 366 * day, "k") == (
        "k: 'CN=b' ended on 2031-01-01 00:00:00 UTC; have it renewed, and replace the file"
    )
    assert expiry_doubt(long, begin - day, "k") == (
        "k: 'CN=b' is not valid before 2030-01-01 00:00:00 UTC; see to this machine's clock"
    )


def test_dates_are_told_as_they_stand_to_now() -> None:
    assert validity(LEAF, BEGIN.timestamp() - 1) == "not valid before 2030-01-01 00:00:00 UTC"
    assert validity(LEAF, MID + 19 * 86_400) == "valid until 2030-01-31 00:00:00 UTC (1 day left)"
    assert validity(LEAF, MID + 21 * 86_400) == "ended on 2030-01-31 00:00:00 UTC"


def test_what_is_trusted_is_told_as_a_ca_or_as_a_servers_own() -> None:
    assert describe_trusted(LEAF, MID).endswith("as a server's own certificate")
    assert describe_trusted(Authority().certificate, MID).endswith("as a CA")


def test_a_fingerprint_is_written_as_browsers_do_and_pem_reads_back() -> None:
    shown = shown_fingerprint(LEAF)
    assert len(shown) == 95
    assert shown == shown.upper()
    assert as_pem(LEAF).startswith(b"-----BEGIN CERTIFICATE-----\n")
    assert certificate_from_der(LEAF.public_bytes(Encoding.DER)) == LEAF
