from __future__ import annotations

import pytest

from patchwire.auth import sigv4, sigv4a
from patchwire.auth.aws_credentials import AwsCredentials
from patchwire.auth.aws_frame import MOST_FRAMES, Frames, sign_in, sign_with
from patchwire.auth.aws_signing import GENERIC_TERMS, Scope, Terms, payload_hash_of, terms_of, timestamp
from patchwire.errors import LocalProtocolError
from patchwire.http.message import Headers, Origin, Request, check_field

ORIGIN = Origin("https", "example.amazonaws.com", 443)
SCOPE = Scope("us-east-1", "service")
KEYS = AwsCredentials("AKIDEXAMPLE", "secret")
TEMPORARY = AwsCredentials("ASIAEXAMPLE", "secret", "canary/token")
JSON: Headers = ((b"Content-Type", b"application/json"),)


def frames(terms: Terms = GENERIC_TERMS) -> Frames:
    return Frames(sigv4.signer, SCOPE, ORIGIN, terms)


@pytest.mark.parametrize("credentials", [KEYS, TEMPORARY], ids=["long-term", "temporary"])
@pytest.mark.parametrize(
    "terms",
    [
        GENERIC_TERMS,
        terms_of("s3"),
        Terms(sends_payload_hash=True, signs_token=False),
        Terms(signed_fields=frozenset({b"x-meta"}), host=b"other"),
    ],
    ids=["generic", "s3", "token added", "few fields"],
)
@pytest.mark.parametrize(
    "headers",
    [
        (),
        JSON,
        ((b"X-Amz-Copy", b"a"), (b"X-Amz-Z", b"20150830T123600Z"), *JSON, (b"X-Meta", b"a  b"), (b"x-meta", b"c")),
    ],
    ids=["none", "one", "around the date"],
)
@pytest.mark.parametrize("maker", [sigv4.signer, sigv4a.signer], ids=["SigV4", "SigV4A"])
def test_what_is_signed_in_a_frame_is_what_is_signed_by_itself(
    maker: object, headers: Headers, terms: Terms, credentials: AwsCredentials
) -> None:
    assert callable(maker)
    kept = Frames(maker, SCOPE, ORIGIN, terms)
    for number in range(3):
        request = Request("PATCH", ORIGIN, b"/a%%20b/%d?q=%d" % (number, number), headers, b"%d" % number)
        date = timestamp(1_440_938_160 + number)
        framed = sign_in(kept.find(credentials, date[:8], headers), request, date, payload_hash_of(request.body))
        assert framed == sign_with(maker(credentials, SCOPE, date[:8]), request, date, terms, None)
        for name, value in framed.headers:  # which nothing checks when they are added
            check_field(name, value)


def test_a_frame_is_made_once_for_the_fields_of_a_session_on_a_day() -> None:
    kept = frames()
    first = kept.find(KEYS, "20150830", JSON)
    assert kept.find(KEYS, "20150830", tuple(JSON)) is first
    assert kept.find(KEYS, "20150830", ()) is not first
    assert kept.find(KEYS, "20150831", JSON).signer is not first.signer
    other = kept.find(TEMPORARY, "20150831", JSON)
    assert (other.signer.token, kept.find(KEYS, "20150831", JSON).signer.token) == (b"canary/token", None)
    assert "canary" not in repr(other)


def test_no_more_frames_are_kept_than_a_few() -> None:
    kept = frames()
    first = kept.find(KEYS, "20150830", JSON)
    for number in range(MOST_FRAMES - 1):
        kept.find(KEYS, "20150830", ((b"If-Match", b'"%d"' % number),))
    assert kept.find(KEYS, "20150830", JSON) is first
    kept.find(KEYS, "20150830", ())
    assert kept.find(KEYS, "20150830", JSON) is not first


def test_fields_that_cannot_be_signed_are_refused_each_time() -> None:
    kept = frames()
    for _ in range(2):
        with pytest.raises(LocalProtocolError, match="the signature's own"):
            kept.find(KEYS, "20150830", ((b"X-Amz-Date", b"x"),))
