"""AWS's own two signers, botocore's in Python and the C one of awscrt, asked for the same request as patchwire.

Both are called at an instant that is given, and in stages where they have any: botocore tells its canonical request,
awscrt only the signed request.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.util import find_spec
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import strategies as st

from patchwire.auth import sigv4
from patchwire.auth.aws_credentials import AwsCredentials
from patchwire.auth.aws_frame import Signed, sign_with
from patchwire.auth.aws_signing import Scope, Terms, timestamp
from patchwire.http.message import Headers, Origin, Request

_INSTALLED = all(find_spec(name) is not None for name in ("botocore", "awscrt"))
needs_signers = pytest.mark.skipif(
    not _INSTALLED, reason="botocore and awscrt are not installed: pip install 'patchwire[peers]'"
)

KEYS = AwsCredentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
SCOPE = Scope("us-east-1", "service")
ORIGIN = Origin("https", "h.example", 443)
NOW = 1440938160.0
"""2015-08-30T12:36:00Z"""


@dataclass(frozen=True)
class Job:
    """A request and everything that it is signed with."""

    request: Request
    keys: AwsCredentials = KEYS
    scope: Scope = SCOPE
    now: float = NOW

    def signed(self, terms: Terms, version: Any = sigv4) -> Signed:
        """What patchwire makes of it, with the canonical request."""
        date = timestamp(int(self.now))
        return sign_with(version.signer(self.keys, self.scope, date[:8]), self.request, date, terms, None)


def patch(target: str = "/", headers: Headers = (), body: bytes = b"", origin: Origin = ORIGIN) -> Job:
    """A request, signed with the keys that AWS's examples use."""
    return Job(Request("PATCH", origin, target.encode("ascii"), headers, body))


# --- botocore


def botocore_canonical(job: Job, signer: str = "SigV4Auth") -> bytes:
    """The canonical request that one of botocore's signers makes."""
    return _asked(job, signer)[0]


def botocore_authorization(job: Job, signer: str = "SigV4Auth") -> bytes:
    """The Authorization field that it adds."""
    request = _asked(job, signer)[1]
    return str(request.headers["Authorization"]).encode("ascii")


def botocore_url(job: Job, signer: str = "SigV4QueryAuth", expires: int = 3600) -> bytes:
    """The target that it makes of a request to be presigned."""
    url = str(_asked(job, signer, expires=expires)[1].url)
    return b"/" + url.split("/", 3)[3].encode("ascii")


def _asked(job: Job, signer: str, **options: Any) -> tuple[bytes, Any]:
    import botocore.auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    keys, request = job.keys, job.request
    credentials = Credentials(keys.access_key, keys.secret_key, keys.session_token)
    auth = getattr(botocore.auth, signer)(credentials, job.scope.service, job.scope.region, **options)
    target = request.target.decode("ascii")
    asked = AWSRequest(request.method, f"{_base(request.origin)}{target}", data=request.body)
    for name, value in request.headers:
        asked.headers.add_header(name.decode("ascii"), _text(value))
    # What add_auth does, but for the clock.
    asked.context["timestamp"] = timestamp(int(job.now))
    auth._modify_request_before_signing(asked)
    canonical = auth.canonical_request(asked)
    auth._inject_signature_to_request(asked, auth.signature(auth.string_to_sign(asked, canonical), asked))
    return canonical.encode("utf-8"), asked


def _text(value: bytes) -> str:
    """A field's value as they are given it: their fields are text."""
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")


def _base(origin: Origin) -> str:
    host = f"[{origin.host}]" if ":" in origin.host else origin.host
    return f"{origin.scheme}://{host}:{origin.port}"


# --- awscrt


def crt_fields(job: Job, terms: Terms, version: Any = sigv4) -> Headers:
    """The fields that the C signer adds, in its order."""
    added = _by_crt(job, terms, version, expires=None)
    return tuple(
        [(name.encode(), value.encode()) for name, value in list(added.headers)[1 + len(job.request.headers) :]]
    )


def crt_target(job: Job, terms: Terms, version: Any = sigv4, expires: int = 3600) -> bytes:
    """The target that it makes of a request to be presigned."""
    return str(_by_crt(job, terms, version, expires=expires).path).encode("ascii")


def _by_crt(job: Job, terms: Terms, version: Any, *, expires: int | None) -> Any:
    from awscrt import auth, http

    keys, request = job.keys, job.request
    lines = [("Host", request.origin.authority)]
    lines += [(name.decode("ascii"), _text(value)) for name, value in request.headers]
    given = http.HttpRequest(
        request.method, request.target.decode("ascii"), http.HttpHeaders(lines), io.BytesIO(request.body)
    )
    algorithms = auth.AwsSigningAlgorithm
    kinds = auth.AwsSignatureType
    config = auth.AwsSigningConfig(
        algorithm=algorithms.V4 if version is sigv4 else algorithms.V4_ASYMMETRIC,
        signature_type=kinds.HTTP_REQUEST_HEADERS if expires is None else kinds.HTTP_REQUEST_QUERY_PARAMS,
        credentials_provider=auth.AwsCredentialsProvider.new_static(
            keys.access_key, keys.secret_key, keys.session_token
        ),
        region=job.scope.region,
        service=job.scope.service,
        date=datetime.fromtimestamp(job.now, UTC),
        use_double_uri_encode=terms.path.encode_again,
        should_normalize_uri_path=terms.path.normalize,
        signed_body_value=None if terms.signs_payload else auth.AwsSignedBodyValue.UNSIGNED_PAYLOAD,
        signed_body_header_type=auth.AwsSignedBodyHeaderType(int(terms.sends_payload_hash)),
        expiration_in_seconds=expires,
        omit_session_token=not terms.signs_token,
    )
    return auth.aws_sign_request(given, config).result(10)


# --- requests

_UNRESERVED = "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_STRICT = [*_UNRESERVED, *[f"%{octet:02X}" for octet in range(256) if chr(octet) not in _UNRESERVED]]
_ESCAPES = [text for octet in range(256) for text in (f"%{octet:02X}", f"%{octet:02x}")]
_PATH = [*_UNRESERVED, *"!$&'()*+,;=:@" * 5, *_ESCAPES]
_QUERY = [*_PATH, *"&=" * 20, *"/?" * 5]


def _texts(pieces: Sequence[str], least: int = 0, most: int = 5) -> st.SearchStrategy[str]:
    return st.lists(st.sampled_from(pieces), min_size=least, max_size=most).map("".join)


def _paths(pieces: Sequence[str]) -> st.SearchStrategy[str]:
    segments = ["/", "//", "/.", "/./", "/..", "/../"] * (len(pieces) // 12)
    return _texts([*pieces, *segments], most=12).map("/".__add__)


PATHS = _paths(_PATH)
"""Every path of RFC 3986, with and without dot segments and empty ones."""

STRICT_PATHS = _paths(_STRICT)
"""Those in which exactly the characters are encoded that must be, which is what S3's own clients send."""

QUERIES = _texts(_QUERY, most=12)
"""Every query of RFC 3986, with parameters that are empty, repeated or without "="."""

_named = st.tuples(_texts(_STRICT, 1, 3), st.sampled_from(["", "="])).map("".join)
_pairs = st.tuples(_texts(_STRICT, most=3), _texts(_STRICT, most=3)).map("=".join)
STRICT_QUERIES = st.lists(_pairs | _named, max_size=4).map("&".join)
"""Those in which exactly the characters are encoded that must be, and no parameter is empty."""

_texts_of_unicode = st.text(st.characters(exclude_categories=["Cs"]), max_size=4)
UNICODE_QUERIES = st.dictionaries(_texts_of_unicode, _texts_of_unicode, max_size=4).map(
    lambda found: "&".join([f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in found.items()])
)
"""Those whose names differ, and where names and values are UTF-8 and stand around a "="."""

_names = st.sampled_from(
    ["Content-Type", "content-type", "If-Match", "User-Agent", "Expect", "X-Amz-Meta-A", "X-A", "x-a", "X-B", "x_a"]
) | st.text("abzAZ019!#$%&'*+.^_`|~-", min_size=1, max_size=4).map(lambda text: f"X-{text}")
_characters = st.sampled_from(' \t"",;=') | st.characters(min_codepoint=0x21, exclude_categories=["Cs", "Cc", "Z"])
_values = st.text(_characters, max_size=8).map(lambda text: text.strip(" \t").encode())
FIELDS: st.SearchStrategy[Headers] = st.lists(st.tuples(_names.map(str.encode), _values), max_size=4).map(tuple)
"""Fields in UTF-8, with blanks and tabs within but no others of Unicode, repeated and empty; some are never signed."""

BODIES = st.binary(max_size=20)

_origins = st.builds(
    Origin,
    st.sampled_from(["http", "https"]),
    st.sampled_from(["h.example", "127.0.0.1", "::1", "2001:db8::1"]),
    st.sampled_from([80, 443]) | st.integers(1, 65_535),
)
_tokens = st.none() | st.text("/+=%abcAB01", min_size=1, max_size=12)
_keys = st.builds(AwsCredentials, st.just("AKIDEXAMPLE"), st.sampled_from(["secret", "a/b+c="]), _tokens)
_seconds = st.integers(978_307_200, 4_102_444_799) | st.sampled_from([1_440_979_199, 1_440_979_200])
_instants = st.tuples(_seconds, st.sampled_from([0.0, 0.25, 0.999])).map(sum)


def jobs(
    paths: st.SearchStrategy[str],
    queries: st.SearchStrategy[str],
    *,
    services: Sequence[str] = ("execute-api", "iam"),
    regions: Sequence[str] = ("us-east-1", "eu-central-1"),
    bodies: st.SearchStrategy[bytes] = BODIES,
) -> st.SearchStrategy[Job]:
    """PATCH requests with everything that they are signed with, from the year 2001 to 2099."""
    targets = st.tuples(paths, st.just("") | queries.map("?".__add__)).map("".join).map(str.encode)
    requests = st.builds(Request, st.just("PATCH"), _origins, targets, FIELDS, bodies)
    scopes = st.builds(Scope, st.sampled_from(regions), st.sampled_from(services))
    return st.builds(Job, requests, _keys, scopes, _instants)
