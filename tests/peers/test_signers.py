"""That AWS's own signers sign the same, and where they do not, who is right.

What the generated requests leave out stands below, each in a test of its own that shows both results.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from patchwire.auth import sigv4, sigv4a
from patchwire.auth.aws_canonical import PathRules, canonical_query, canonical_request
from patchwire.auth.aws_signing import GENERIC_TERMS, Scope, Terms, payload_hash_of, terms_of
from patchwire.errors import LocalProtocolError
from patchwire.http.message import Origin
from tests.support.aws_signers import (
    PATHS,
    QUERIES,
    STRICT_PATHS,
    STRICT_QUERIES,
    UNICODE_QUERIES,
    Job,
    botocore_authorization,
    botocore_canonical,
    botocore_url,
    crt_fields,
    crt_target,
    jobs,
    needs_signers,
    patch,
)

pytestmark = needs_signers

EXAMPLES = settings(max_examples=200, deadline=None)
S3 = terms_of("s3")
SETS = ["us-east-1", "*", "us-east-1,eu-*"]
NO_BODY = st.just(b"")
EXPIRIES = st.integers(1, 604_800)


def presigned(job: Job, terms: Terms = GENERIC_TERMS, expires: int = 3600) -> bytes:
    """The target that patchwire makes."""
    return sigv4.presign(job.request, job.keys, job.scope, job.now, expires, terms=terms).target


def parameters(target: bytes) -> tuple[bytes, bytes]:
    """Path and canonical query: the same for all ways to write one query."""
    path, _, query = target.partition(b"?")
    return path, canonical_query(query)


def lower(lines: Iterable[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    return {name.lower(): value for name, value in lines}


def path_and_query(canonical: bytes) -> list[str]:
    return canonical.decode().split("\n")[1:3]


def names_in(authorization: bytes) -> bytes:
    return authorization.partition(b"SignedHeaders=")[2].partition(b",")[0]


def parsable(job: Job) -> bool:
    """Whether awscrt can read the target: test_awscrt_takes_a_target_with_colon_and_slash_for_a_url."""
    return b":/" not in job.request.target


def verified(job: Job, proof: bytes, text: bytes) -> bool:
    key = sigv4a.private_key(job.keys.access_key, job.keys.secret_key)
    return sigv4a.verify(key.public_key(), proof.decode(), text)


# --- where they agree


@EXAMPLES
@given(jobs(PATHS, STRICT_QUERIES))
def test_botocore_signs_the_same(job: Job) -> None:
    signed = job.signed(GENERIC_TERMS)
    assert signed.canonical == botocore_canonical(job)
    assert signed.headers[-1][1] == botocore_authorization(job)


@EXAMPLES
@given(jobs(STRICT_PATHS, STRICT_QUERIES, services=["s3"]))
def test_botocore_signs_the_same_for_s3(job: Job) -> None:
    signed = job.signed(S3)
    assert signed.canonical == botocore_canonical(job, "S3SigV4Auth")
    assert signed.headers[-1][1] == botocore_authorization(job, "S3SigV4Auth")


@EXAMPLES
@given(jobs(PATHS, UNICODE_QUERIES, bodies=NO_BODY), EXPIRIES)
def test_botocore_presigns_the_same(job: Job, expires: int) -> None:
    assert presigned(job, expires=expires) == botocore_url(job, expires=expires)


@EXAMPLES
@given(jobs(STRICT_PATHS, UNICODE_QUERIES, services=["s3"], bodies=NO_BODY), EXPIRIES)
def test_botocore_presigns_the_same_for_s3(job: Job, expires: int) -> None:
    assert presigned(job, S3, expires) == botocore_url(job, "S3SigV4QueryAuth", expires)


@EXAMPLES
@given(jobs(PATHS, QUERIES).filter(parsable), st.booleans(), st.booleans(), st.booleans())
def test_awscrt_signs_the_same(job: Job, normalize: bool, sends_hash: bool, signs_token: bool) -> None:
    terms = Terms(PathRules(normalize), sends_payload_hash=sends_hash, signs_token=signs_token)
    assert lower(job.signed(terms).headers) == lower(crt_fields(job, terms))


@EXAMPLES
@given(jobs(STRICT_PATHS, QUERIES, services=["s3"]).filter(parsable), st.booleans())
def test_awscrt_signs_the_same_for_s3(job: Job, signs_payload: bool) -> None:
    terms = Terms(S3.path, sends_payload_hash=True, signs_payload=signs_payload)
    assert lower(job.signed(terms).headers) == lower(crt_fields(job, terms))


@EXAMPLES
@given(jobs(PATHS, QUERIES).filter(parsable), st.booleans(), st.booleans(), EXPIRIES)
def test_awscrt_presigns_the_same(job: Job, signs_payload: bool, signs_token: bool, expires: int) -> None:
    terms = Terms(signs_payload=signs_payload, signs_token=signs_token)
    assert parameters(presigned(job, terms, expires)) == parameters(crt_target(job, terms, expires=expires))


@EXAMPLES
@given(jobs(PATHS, QUERIES, regions=SETS).filter(parsable), st.booleans(), st.booleans())
def test_awscrt_signs_with_version_4a_what_we_verify(job: Job, normalize: bool, sends_hash: bool) -> None:
    terms = Terms(PathRules(normalize), sends_payload_hash=sends_hash)
    signed = job.signed(terms, sigv4a)
    ours, theirs = lower(signed.headers), lower(crt_fields(job, terms, sigv4a))
    starts = set()
    for headers in (ours, theirs):
        start, _, proof = headers.pop(b"authorization").partition(b", Signature=")
        assert verified(job, proof, signed.text)
        starts.add(start)
    assert ours == theirs
    assert len(starts) == 1


@EXAMPLES
@given(jobs(PATHS, QUERIES, regions=SETS).filter(parsable), EXPIRIES)
def test_awscrt_presigns_with_version_4a_what_we_verify(job: Job, expires: int) -> None:
    ours = sigv4a.presign(job.request, job.keys, job.scope, job.now, expires, terms=GENERIC_TERMS).target
    theirs = crt_target(job, GENERIC_TERMS, sigv4a, expires)
    unsigned, _, proof = ours.partition(b"&X-Amz-Signature=")
    their_unsigned, _, their_proof = theirs.partition(b"&X-Amz-Signature=")
    assert parameters(unsigned) == parameters(their_unsigned)
    names = unquote_to_bytes(unsigned.partition(b"X-Amz-SignedHeaders=")[2].partition(b"&")[0]).split(b";")
    lines = [(b"Host", job.request.origin.authority.encode()), *job.request.headers]
    signed = [line for line in lines if line[0].lower() in names]
    canonical = canonical_request("PATCH", unsigned, signed, payload_hash_of(job.request.body))
    text = sigv4a.string_to_sign(canonical.text, job.scope, job.now)
    assert verified(job, proof, text)
    assert verified(job, their_proof, text)


def test_a_host_of_the_requests_own_is_signed_by_all() -> None:
    # Not generated, as awscrt is given a Host in any case.
    job = patch(headers=((b"Host", b"Other.example:81"),))
    assert job.signed(GENERIC_TERMS).headers[-1][1] == botocore_authorization(job)
    assert b"\nhost:Other.example:81\n" in botocore_canonical(job)


@pytest.mark.parametrize(
    "name",
    ["Authorization", "X-Amz-Content-Sha256", "X-Amz-Date", "X-Amz-Region-Set", "X-Amz-Security-Token"],
)
def test_a_field_of_a_signature_is_refused_by_awscrt_too(name: str) -> None:
    job = patch(headers=((name.encode(), b"x"),))
    with pytest.raises(LocalProtocolError):
        job.signed(GENERIC_TERMS)
    with pytest.raises(Exception, match="ILLEGAL_REQUEST_HEADER"):
        crt_fields(job, GENERIC_TERMS)


@pytest.mark.parametrize(
    "name",
    ["X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires", "X-Amz-Region-Set", "X-Amz-Security-Token",
     "X-Amz-Signature", "X-Amz-SignedHeaders", "x-amz-date", "X-Amz%2DDate"],
)  # fmt: skip
def test_a_parameter_of_a_signature_is_refused_by_awscrt_too(name: str) -> None:
    job = patch(f"/?{name}=x")
    with pytest.raises(LocalProtocolError):
        job.signed(GENERIC_TERMS)
    for sign in (crt_fields, crt_target):
        with pytest.raises(Exception, match="ILLEGAL_REQUEST_QUERY_PARAM"):
            sign(job, GENERIC_TERMS)


# --- where botocore signs something else


@pytest.mark.parametrize(
    ("query", "ours", "botocores"),
    [
        ("a=%7e", "a=~", "a=%7e"),
        ("%41=%2d", "A=-", "%41=%2d"),
        ("a=%2f", "a=%2F", "a=%2f"),
        ("a=+", "a=%2B", "a=+"),
        ("a=b=c", "a=b%3Dc", "a=b=c"),
        ("a=/?:@!$'()*,;", "a=%2F%3F%3A%40%21%24%27%28%29%2A%2C%3B", "a=/?:@!$'()*,;"),
        ("a=~&a=z&a=%7E", "a=z&a=~&a=~", "a=%7E&a=z&a=~"),
    ],
)
def test_botocore_signs_a_query_as_it_stands(query: str, ours: str, botocores: str) -> None:
    # Ours is right: AWS documents that names and values are URI-encoded, and sorted by what they are then; its C
    # signer decodes them before. botocore encodes its own parameters well, and so it never meets another form.
    job = patch(f"/?{query}")
    assert path_and_query(job.signed(GENERIC_TERMS).canonical) == ["/", ours]
    assert path_and_query(botocore_canonical(job)) == ["/", botocores]
    assert job.signed(GENERIC_TERMS).headers == crt_fields(job, GENERIC_TERMS)


@pytest.mark.parametrize(
    ("query", "ours", "botocores"),
    [("&", "", "=&="), ("a&&b", "a=&b=", "=&a=&b="), ("&a", "a=", "=&a="), ("a&", "a=", "=&a=")],
)
def test_botocore_signs_empty_parameters(query: str, ours: str, botocores: str) -> None:
    # No document says; ours does as AWS's C signer does.
    job = patch(f"/?{query}")
    assert path_and_query(job.signed(GENERIC_TERMS).canonical) == ["/", ours]
    assert path_and_query(botocore_canonical(job)) == ["/", botocores]
    assert job.signed(GENERIC_TERMS).headers == crt_fields(job, GENERIC_TERMS)


@pytest.mark.parametrize(
    ("path", "ours"),
    [("/a=b", "/a%3Db"), ("/a%3db", "/a%3Db"), ("/%7euser", "/~user"), ("/%41", "/A"), ("/a+b;c", "/a%2Bb%3Bc")],
)
def test_both_sign_a_path_of_s3_as_it_stands(path: str, ours: str) -> None:
    # Ours is right: S3 encodes the key that it has decoded, strictly (aws-sdk-js issue 853, where "=" and the like
    # made SignatureDoesNotMatch). AWS's clients have encoded the key so before, and then all three agree.
    job = replace(patch(path), scope=Scope("us-east-1", "s3"))
    signed = job.signed(S3)
    assert path_and_query(signed.canonical) == [ours, ""]
    assert path_and_query(botocore_canonical(job, "S3SigV4Auth")) == [path, ""]
    assert signed.headers[-1][1] != crt_fields(job, S3)[-1][1]
    encoded = replace(patch(ours), scope=job.scope)
    proof = signed.headers[-1][1]
    assert proof == botocore_authorization(encoded, "S3SigV4Auth") == lower(crt_fields(encoded, S3))[b"authorization"]


def test_botocore_replaces_a_date_by_its_own_and_leaves_x_amz_date_out() -> None:
    # Both are right: AWS takes either. But a field that a caller has set is not for a signer to change.
    job = patch(headers=((b"Date", b"Fri, 24 May 2013 00:00:00 GMT"),))
    signed = job.signed(GENERIC_TERMS)
    assert names_in(signed.headers[-1][1]) == b"date;host;x-amz-date"
    assert b"\ndate:Fri, 24 May 2013 00:00:00 GMT\n" in signed.canonical
    assert names_in(botocore_authorization(job)) == b"date;host"
    assert b"\ndate:Sun, 30 Aug 2015 12:36:00 -0000\n" in botocore_canonical(job)
    assert signed.headers == crt_fields(job, GENERIC_TERMS)


@pytest.mark.parametrize("blank", ["\u00a0", "\u0085", "\u2003", "\u3000"])
def test_botocore_takes_more_of_unicode_for_blanks_than_a_field_has(blank: str) -> None:
    # Ours is right: blanks of a field are space and tab (RFC 9110 section 5.6.3), and AWS's C signer says the same.
    job = patch(headers=((b"X-A", f"a{blank}b".encode()),))
    assert f"\nx-a:a{blank}b\n".encode() in job.signed(GENERIC_TERMS).canonical
    assert b"\nx-a:a b\n" in botocore_canonical(job)
    assert job.signed(GENERIC_TERMS).headers == crt_fields(job, GENERIC_TERMS)


def test_both_sign_a_value_in_utf_8_whatever_is_sent() -> None:
    # Ours is right: it signs the octets that go on the wire. Theirs are text until then, and Python's http.client
    # sends them in ISO-8859-1.
    job = patch(headers=((b"X-A", b"caf\xe9"),))
    assert b"\nx-a:caf\xe9\n" in job.signed(GENERIC_TERMS).canonical
    assert "\nx-a:caf\u00e9\n".encode() in botocore_canonical(job)
    in_utf_8 = patch(headers=((b"X-A", "caf\u00e9".encode()),)).signed(GENERIC_TERMS)
    assert in_utf_8.headers == crt_fields(job, GENERIC_TERMS)


def test_botocore_signs_a_host_in_lower_case() -> None:
    # Both are right where the client sends what it signs, and ours sends the Host as its origin has it. A URL's host
    # is in lower case by then.
    job = patch(origin=Origin("https", "H.Example", 443))
    assert b"\nhost:H.Example\n" in job.signed(GENERIC_TERMS).canonical
    assert b"\nhost:h.example\n" in botocore_canonical(job)
    assert job.signed(GENERIC_TERMS).headers == crt_fields(job, GENERIC_TERMS)


@pytest.mark.parametrize(
    ("target", "ours", "botocores"),
    [
        ("/?a=1&a=2", b"/?a=1&a=2&", b"/?a=1&"),
        ("/?a=+", b"/?a=+&", b"/?a=%20&"),
        ("/?a=%FF", b"/?a=%FF&", b"/?a=%EF%BF%BD&"),
    ],
    ids=["repeated", "plus", "not UTF-8"],
)
def test_botocore_presigns_another_query_than_it_was_given(target: str, ours: bytes, botocores: bytes) -> None:
    # Ours is right: what is asked for is not for a signer to change. botocore reads the query into a dictionary of
    # text, which holds no parameter twice, no octets beyond UTF-8, and takes a plus sign for a blank.
    job = patch(target)
    assert presigned(job).startswith(ours + b"X-Amz-Algorithm=")
    assert botocore_url(job).startswith(botocores + b"X-Amz-Algorithm=")
    assert parameters(presigned(job)) == parameters(crt_target(job, GENERIC_TERMS))


@pytest.mark.parametrize(
    ("target", "rewritten"),
    [("/?a", b"/?a=&"), ("/?a&&b", b"/?a=&b=&"), ("/?a=%7e", b"/?a=~&"), ("/?a;b", b"/?a%3Bb=&")],
)
def test_botocore_presigns_the_same_query_in_another_form(target: str, rewritten: bytes) -> None:
    # Both are right: the signature is the same.
    job = patch(target)
    assert presigned(job).startswith(f"{target}&X-Amz-Algorithm=".encode())
    assert botocore_url(job).startswith(rewritten + b"X-Amz-Algorithm=")
    assert parameters(presigned(job)) == parameters(botocore_url(job))


def test_botocore_presigns_a_body_as_parameters() -> None:
    # Ours is right for any service but those of form parameters, for which botocore does this.
    job = patch(body=b'{"a": "1"}')
    assert presigned(job).startswith(b"/?X-Amz-Algorithm=")
    assert botocore_url(job).startswith(b"/?a=1&X-Amz-Algorithm=")
    with pytest.raises(json.JSONDecodeError):
        botocore_url(patch(body=b"x"))
    assert parameters(presigned(job)) == parameters(crt_target(job, GENERIC_TERMS))


def test_botocore_presigns_without_the_content_type_of_a_form() -> None:
    # Ours is right: a field that is sent can be signed. botocore drops the one that it has set itself.
    job = patch(headers=((b"Content-Type", b"application/x-www-form-urlencoded; charset=utf-8"),))
    assert b"SignedHeaders=content-type%3Bhost&" in presigned(job)
    assert botocore_url(job) == presigned(patch())
    assert parameters(presigned(job)) == parameters(crt_target(job, GENERIC_TERMS))


# --- where awscrt signs something else


@pytest.mark.parametrize(
    ("target", "path"),
    [("/a://b/c", b"/c"), ("/a://b", b"/"), ("/a?b=://c/d", b"/d"), ("/:/", None), ("/a?b=:/", None)],
)
def test_awscrt_takes_a_target_with_colon_and_slash_for_a_url(target: str, path: bytes | None) -> None:
    # Ours is right, and botocore's: a target that begins with a slash is a path (RFC 9112 section 3.2.1). The C
    # signer takes what stands before "://" for a scheme, and signs the path behind the next slash; ":/" alone it
    # refuses.
    job = patch(target)
    if path is None:
        with pytest.raises(Exception, match="MALFORMED_INPUT_STRING"):
            crt_fields(job, GENERIC_TERMS)
    else:
        other = patch(path.decode())
        assert crt_fields(job, GENERIC_TERMS) == other.signed(GENERIC_TERMS).headers
    encoded = patch(target.partition("?")[0])
    assert encoded.signed(GENERIC_TERMS).canonical == botocore_canonical(encoded)


@pytest.mark.parametrize(
    ("target", "rewritten"), [("/?a", b"/?a=&"), ("/?a&&b", b"/?a=&b=&"), ("/?&", b"/?")], ids=["a", "a&&b", "&"]
)
def test_awscrt_presigns_the_same_query_in_another_form(target: str, rewritten: bytes) -> None:
    # Both are right: the signature is the same.
    job = patch(target)
    theirs = crt_target(job, GENERIC_TERMS)
    assert theirs.startswith(rewritten + b"X-Amz-Algorithm=")
    assert parameters(presigned(job)) == parameters(theirs)


def test_awscrt_says_nothing_of_an_unsigned_payload_unless_it_is_told_to() -> None:
    # Ours is right: a service that is not told in X-Amz-Content-Sha256 hashes the body that it has got.
    job = patch(body=b"x")
    assert lower(job.signed(Terms(signs_payload=False)).headers)[b"x-amz-content-sha256"] == b"UNSIGNED-PAYLOAD"
    assert set(lower(crt_fields(job, Terms(signs_payload=False)))) == {b"x-amz-date", b"authorization"}


# --- which fields are signed


@pytest.mark.parametrize(
    ("name", "by_botocore", "by_awscrt"),
    [
        ("Upgrade", False, False),
        ("Expect", False, False),
        ("User-Agent", False, False),
        ("X-Amzn-Trace-Id", False, False),
        ("Connection", False, True),
        ("Keep-Alive", False, True),
        ("Proxy-Authenticate", False, True),
        ("Proxy-Authorization", False, True),
        ("TE", False, True),
        ("Trailer", False, True),
        ("Proxy-Connection", True, True),
    ],
)
def test_fields_of_one_hop_are_not_signed(name: str, by_botocore: bool, by_awscrt: bool) -> None:
    # Ours is right: whoever passes a request on takes these off or makes them anew (RFC 9110 section 7.6.1).
    signed = signed_by(name)
    assert signed == {"ours": False, "botocore": by_botocore, "awscrt": by_awscrt}


@pytest.mark.parametrize("name", ["Traceparent", "Tracestate", "Baggage"])
def test_fields_of_trace_context_are_not_signed(name: str) -> None:
    # Ours is right: every hop may rewrite them. Newer versions of botocore leave them out, older ones do not.
    assert {**signed_by(name), "botocore": None} == {"ours": False, "botocore": None, "awscrt": True}


def test_awscrt_leaves_the_fields_of_a_web_socket_out() -> None:
    # Both are right: no PATCH has them.
    assert signed_by("Sec-WebSocket-Key") == {"ours": True, "botocore": True, "awscrt": False}


def signed_by(name: str) -> dict[str, bool]:
    """Who signs a field of this name."""
    job = patch(headers=((name.encode(), b"x"),))
    proofs = {
        "ours": job.signed(GENERIC_TERMS).headers[-1][1],
        "botocore": botocore_authorization(job),
        "awscrt": crt_fields(job, GENERIC_TERMS)[-1][1],
    }
    return {who: name.lower().encode() in names_in(proof).split(b";") for who, proof in proofs.items()}
