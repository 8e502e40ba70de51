"""Verifying AWS signatures: the service's side, on the functions that the client signs with."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from hmac import compare_digest
from typing import Final
from urllib.parse import unquote

from msgspec import Struct

from patchwire.auth import sigv4, sigv4a
from patchwire.auth.aws_canonical import UNSIGNED_PAYLOAD, canonical_request
from patchwire.auth.aws_credentials import AwsCredentials
from patchwire.auth.aws_signing import (
    LONGEST_EXPIRY,
    TERMINATOR,
    Scope,
    path_and_query,
    payload_hash_of,
    string_to_sign,
    terms_of,
    timestamp,
)
from patchwire.auth.verify.aws_refusals import Refusal, refused
from patchwire.auth.verify.verdict import Admitted, Refused, Verdict
from patchwire.errors import LocalProtocolError
from patchwire.http.message import Request

LONGEST_REGION_SET: Final = 1024
"""Characters that are looked at before it is known who has written them."""
DEFAULT_MAX_SKEW: Final = 300.0
"""Seconds that the time of a signature may be away from the server's; S3 allows 900."""

_field = re.compile(
    r"(AWS4-[A-Z0-9-]+)[ ]+Credential=([^\s,]+)[ ]*,[ ]*SignedHeaders=([^\s,]+)[ ]*,[ ]*Signature=([0-9a-f]+)"
).fullmatch
_date = re.compile(r"[0-9]{8}T[0-9]{6}Z").fullmatch
_expiry = re.compile(r"[1-9][0-9]{0,5}").fullmatch
_digits = re.compile(r"[0-9a-f]+").fullmatch
_hash = re.compile(r"[0-9a-f]{64}").fullmatch
_region_pattern = re.compile(r"[A-Za-z0-9*._-]{1,64}").fullmatch  # of what fnmatch knows, asterisks alone
_parameters = {
    "X-Amz-Algorithm": "algorithm",
    "X-Amz-Credential": "credential",
    "X-Amz-SignedHeaders": "names",
    "X-Amz-Signature": "signature",
    "X-Amz-Date": "date",
    "X-Amz-Expires": "expires",
    "X-Amz-Region-Set": "region_set",
    "X-Amz-Security-Token": "token",
}


class _Claim(Struct, frozen=True):
    """What a request says of its signature, in fields or in its query."""

    algorithm: str
    credential: str
    names: str
    signature: str
    date: str
    target: bytes
    """Without the signature, where that stands in it."""
    region_set: str = ""
    token: str | None = None
    expires: str | None = None

    def __repr__(self) -> str:
        """Never shows signature or token."""
        return f"<claim of {self.credential!r}>"


class AwsVerifier:
    """Lets in who signs for `scope` with one of `credentials`, by a clock at most `max_skew` seconds away.

    LocalProtocolError where `scope` is a set of regions: a server is in one.
    """

    def __init__(
        self, scope: Scope, credentials: Sequence[AwsCredentials], *, max_skew: float = DEFAULT_MAX_SKEW
    ) -> None:
        sigv4.credential_scope(scope, "")  # which refuses a set of regions
        self._scope = scope
        self._credentials = {each.access_key: each for each in credentials}
        self._max_skew = max_skew
        self._terms = terms_of(scope.service)

    def __repr__(self) -> str:
        """Never shows a secret."""
        return f"<AwsVerifier of {len(self._credentials)} access keys>"

    def judge(self, request: Request, now: float, *, has_body: bool = True) -> Verdict:
        """Whether the signature is right, for this service and region, and of this time."""
        try:
            return self._judge(request, now, has_body)
        except Refusal as refusal:
            return refused(refusal, self._scope.service)

    def _judge(self, request: Request, now: float, has_body: bool) -> Admitted | Refused:
        claim = _claim_of(request)
        credentials = self._holder(claim, now)
        self._check_scope(claim)
        self._check_time(claim, now)
        names = claim.names.encode("latin-1").split(b";")
        lines = _signed_lines(request, names)
        payload_hash = self._payload_hash(request, claim, has_body)
        if payload_hash is None or (b"content-length" in names and not has_body):
            return Admitted(claim.credential.partition("/")[0], provisional=True)
        canonical = canonical_request(request.method, _origin_form(claim), lines, payload_hash, self._terms.path).text
        scope = claim.credential.partition("/")[2].encode("ascii")
        text = string_to_sign(claim.algorithm.encode("ascii"), canonical, scope, claim.date)
        if not self._is_right(claim, credentials, text):
            raise Refusal("SignatureDoesNotMatch", canonical=canonical, text=text)
        return Admitted(credentials.access_key)

    def _holder(self, claim: _Claim, now: float) -> AwsCredentials:
        """Whose access key it is, with the token of its session, which has not ended."""
        credentials = self._credentials.get(claim.credential.partition("/")[0])
        if credentials is None:
            raise Refusal("UnrecognizedClientException")
        if not compare_digest((credentials.session_token or "").encode(), (claim.token or "").encode("utf-8")):
            raise Refusal("InvalidToken")
        if credentials.expire_within(0, now):
            raise Refusal("ExpiredTokenException")
        return credentials

    def _check_scope(self, claim: _Claim) -> None:
        date, region, service = claim.date[:8], self._scope.region, self._scope.service
        parts = claim.credential.split("/")[1:]
        if claim.algorithm == sigv4.ALGORITHM:
            expected = [date, region, service, TERMINATOR]
        else:
            expected = [date, service, TERMINATOR]
            regions = claim.region_set[:LONGEST_REGION_SET].split(",")
            patterns = filter(_region_pattern, [each.strip() for each in regions])
            if not any(fnmatchcase(region, each) for each in patterns):
                raise Refusal("BadScope", f"The region set does not contain {region}.")
        if len(parts) != len(expected):
            raise Refusal("BadScope", f"Credential should have the form KEY/{'/'.join(expected)}.")
        for part, wanted in zip(parts, expected, strict=True):
            if part != wanted:
                raise Refusal("BadScope", f"Credential should be scoped to {wanted!r}, not {part[:80]!r}.")

    def _check_time(self, claim: _Claim, now: float) -> None:
        signed_at = _instant(claim.date) or 0.0
        lifetime = self._max_skew
        if claim.expires is not None:
            if not _expiry(claim.expires) or int(claim.expires) > LONGEST_EXPIRY:
                raise Refusal("IncompleteSignature", f"X-Amz-Expires must be 1 to {LONGEST_EXPIRY}.")
            lifetime = float(claim.expires)
        here = timestamp(int(now))
        if now - signed_at > lifetime:
            raise Refusal("Skewed", f"Signature expired: {claim.date} is now earlier than {here} ({lifetime:.0f} s).")
        if signed_at - now > self._max_skew:
            problem = f"Signature not yet current: {claim.date} is still later than {here} ({self._max_skew:.0f} s)."
            raise Refusal("Skewed", problem)

    def _payload_hash(self, request: Request, claim: _Claim, has_body: bool) -> str | None:
        """What is signed in place of the body; None where that hangs on a body which has not come."""
        said = request.header(b"x-amz-content-sha256")
        if said is None:
            if claim.expires is not None and not self._terms.signs_body_in_query:
                return UNSIGNED_PAYLOAD
            return payload_hash_of(request.body) if has_body else None
        named = said.decode("latin-1")
        if named == UNSIGNED_PAYLOAD:
            if request.origin.scheme != "https" and not self._terms.sends_hash:
                raise Refusal("PayloadMismatch", "An unsigned payload is taken over https only.")
        elif not _hash(named) or (has_body and not compare_digest(named, payload_hash_of(request.body))):
            raise Refusal("PayloadMismatch")
        return named

    def _is_right(self, claim: _Claim, credentials: AwsCredentials, text: bytes) -> bool:
        if claim.algorithm == sigv4.ALGORITHM:
            key = sigv4.signing_key(credentials.secret_key, claim.date[:8], self._scope)
            return compare_digest(sigv4.signature(key, text), claim.signature)
        key_pair = sigv4a.private_key(credentials.access_key, credentials.secret_key)
        return sigv4a.verify(key_pair.public_key(), claim.signature, text)


def _claim_of(request: Request) -> _Claim:
    values = request.all_values(b"authorization")
    parameters = {each.partition(b"=")[0] for each in request.target.partition(b"?")[2].split(b"&")}
    in_query = not parameters.isdisjoint((b"X-Amz-Algorithm", b"X-Amz-Signature"))
    if not values and not in_query:
        raise Refusal("MissingAuthenticationToken")
    if len(values) + in_query > 1:
        raise Refusal("IncompleteSignature", "There is more than one signature.")
    claim = _claim_in_query(request.target) if in_query else _claim_in_field(request, values[0])
    if claim.algorithm not in (sigv4.ALGORITHM, sigv4a.ALGORITHM):
        raise Refusal("IncompleteSignature", f"Algorithm {claim.algorithm[:40]!r} is not known.")
    if not _digits(claim.signature):
        raise Refusal("IncompleteSignature", "The signature must be hexadecimal digits in lower case.")
    if not _date(claim.date) or _instant(claim.date) is None:
        raise Refusal("IncompleteSignature", "X-Amz-Date must be there, such as 20150830T123600Z.")
    return claim


def _claim_in_field(request: Request, value: bytes) -> _Claim:
    found = _field(value.decode("latin-1"))
    if found is None:
        raise Refusal(
            "IncompleteSignature", "Authorization must hold an algorithm, Credential, SignedHeaders and Signature."
        )
    token = request.header(b"x-amz-security-token")
    return _Claim(
        found[1],
        found[2],
        found[3],
        found[4],
        (request.header(b"x-amz-date") or b"").decode("latin-1"),
        request.target,
        (request.header(b"x-amz-region-set") or b"").decode("latin-1"),
        None if token is None else token.decode("latin-1"),
    )


def _claim_in_query(target: bytes) -> _Claim:
    path, _, query = target.partition(b"?")
    found: dict[str, str] = {}
    kept = []
    for parameter in query.split(b"&"):
        name, _, value = parameter.partition(b"=")
        member = _parameters.get(name.decode("ascii"))
        if member is not None:
            if member in found:
                raise Refusal("IncompleteSignature", f"{name.decode('ascii')} stands twice.")
            found[member] = unquote(value.decode("ascii"), "latin-1")
        if member != "signature":
            kept.append(parameter)
    for name_of, member in _parameters.items():
        if member not in found and member not in ("region_set", "token"):
            raise Refusal("IncompleteSignature", f"{name_of} is missing.")
    return _Claim(target=path + b"?" + b"&".join(kept), **found)


def _signed_lines(request: Request, names: list[bytes]) -> list[tuple[bytes, bytes]]:
    """The field lines that are signed, which must be Host, all that are AWS's own, and nothing that is not there.

    Their names must stand in order: the canonical request is made from the lines, so another order would pass.
    """
    lines = [(name.lower(), value) for name, value in request.headers]
    lines.append((b"content-length", b"%d" % len(request.body)))  # which the server has taken off
    present, listed = {name for name, _ in lines}, frozenset(names)
    if b"host" not in listed:
        raise Refusal("IncompleteSignature", "Host must be signed.")
    for name in sorted(present - listed):
        if name.startswith(b"x-amz-") and name != b"x-amz-security-token":
            raise Refusal("IncompleteSignature", f"{name.decode('ascii')} must be signed.")
    if names != sorted(present & listed):
        raise Refusal("IncompleteSignature", "SignedHeaders must name fields that are there, each once and in order.")
    return [(name, value) for name, value in lines if name in listed]


def _origin_form(claim: _Claim) -> bytes:
    try:
        return path_and_query(claim.target)
    except LocalProtocolError as error:
        raise Refusal("IncompleteSignature", str(error)) from None


def _instant(date: str) -> float | None:
    """Unix seconds, or None where it is no date at all."""
    try:
        return datetime.strptime(date, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None
