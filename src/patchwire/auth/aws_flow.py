"""AWS signatures for many requests side by side: with credentials that end, and a clock that may be wrong."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator
from typing import Final, Literal

import msgspec
from msgspec import Struct

from patchwire.auth import sigv4
from patchwire.auth.aws_canonical import UNSIGNED_PAYLOAD
from patchwire.auth.aws_credentials import AwsCredentials
from patchwire.auth.aws_errors import AwsError, Meaning, error_in
from patchwire.auth.aws_frame import Frames, MakeSigner, Signed, sign_in
from patchwire.auth.aws_rejection import apart_from, differences, reason
from patchwire.auth.aws_session import AwsSession
from patchwire.auth.aws_signing import Scope, Terms, payload_hash_of, terms_of, timestamp
from patchwire.auth.challenge import parse
from patchwire.auth.flow import (
    Answer,
    Body,
    Flow,
    FlowResult,
    HashBody,
    Send,
    Step,
    Tell,
    accepts,
    as_a_stranger,
    holding_back,
    offers,
)
from patchwire.auth.quoting import SECRET_FIELDS, hiding
from patchwire.errors import LocalProtocolError
from patchwire.http.fields import http_date
from patchwire.http.message import Origin, Request, Response

Algorithm = Literal["sigv4", "sigv4a"]
FRESH: Final = 60.0
"""Seconds for which a signature may wait to be sent; then it is made anew. Services take it for 300 or 900."""
SKEW: Final = 240.0
"""Seconds that the clocks are apart where a rejected signature is put down to that."""
MAX_CORRECTION: Final = 86_400.0
"""Seconds by which the service's Date may correct our clock. Whoever says more may want signatures of another day."""
REFUSING: Final = frozenset({400, 401, 403})
"""Statuses with which AWS services reject signatures, among other things."""

NO_SUCH_ROUTE: Final = "an API Gateway says this of a path or method that it does not have"


class _Attempt(Struct, frozen=True):
    """A request as it was signed: with credentials of a generation, by our clock set forward by `offset`."""

    signed: Signed
    request: Request
    credentials: AwsCredentials
    generation: int
    offset: float


class AwsAuthentication:
    """Signs every request to `origin`, and none to another.

    `clock` gives Unix seconds. Where the service's clock proves to be another, signatures follow that. `terms` are the
    service's own unless given. The values of `secret_fields` (lower case) are told to nobody.
    """

    def __init__(
        self,
        session: AwsSession,
        origin: Origin,
        scope: Scope,
        clock: Callable[[], float],
        *,
        algorithm: Algorithm = "sigv4",
        terms: Terms | None = None,
        secret_fields: Collection[str] = (),
    ) -> None:
        self._session = session
        self._origin = origin
        self._scope = scope
        self._clock = clock
        self._terms = terms_of(scope.service) if terms is None else terms
        self._frames = Frames(_signer_for(algorithm), scope, origin, self._terms)
        self._secret_fields = frozenset({*SECRET_FIELDS, *secret_fields})
        self._offset = 0.0
        self._is_proven = False

    @property
    def generation(self) -> int:
        """It grows whenever credentials have been loaded."""
        return self._session.generation

    def flow(self, request: Request, body: Body = Body.IN_REQUEST) -> Flow:
        """The conversation for one request: one attempt, and another each for a clock and for credentials that the
        service finds out of date.

        LocalProtocolError where the request cannot be signed, CredentialsError where there is nothing to sign with.
        """
        if request.origin != self._origin:
            return as_a_stranger(request)
        return self._converse(request, body)

    def _converse(self, request: Request, body: Body) -> Flow:
        payload_hash = None if self._terms.signs_payload else UNSIGNED_PAYLOAD
        if body is not Body.IN_REQUEST and payload_hash is None:
            payload_hash = yield from self._hash_of(request)
        is_held = body is not Body.IN_REQUEST and not self._is_proven  # it may be long, and the keys be wrong
        is_corrected = is_renewed = False
        session, clock = self._session, self._clock

        def is_good() -> bool:
            """Whether what was signed has not grown old, and nothing has been learnt since."""
            is_in_force = offset == self._offset and generation == session.generation
            return is_in_force and -FRESH < clock() - at < FRESH

        while True:
            at = clock()
            credentials = session.at_hand(at + self._offset)
            if credentials is None:
                credentials = yield from session.current(self._time)
                at = clock()
            offset, generation = self._offset, session.generation
            signed = self._signed(request, credentials, payload_hash, at + offset)
            signed_request = request.with_valid_fields(signed.headers)
            step = Send(signed_request, True, is_renewed, is_good)
            answer = yield holding_back(step) if is_held else step
            if answer is None:
                continue
            assert isinstance(answer, Response)  # noqa: S101 - what the driver of a flow has promised
            response = answer
            if response.status == 417 and is_held:  # it knows no expectations (RFC 9110 section 15.5.18)
                is_held = False
                continue
            if response.status not in REFUSING:
                self._is_proven = self._is_proven or accepts(response)
                return FlowResult(response)
            error = error_in(response)
            attempt = _Attempt(signed, signed_request, credentials, generation, offset)
            hide = hiding(self._secrets_of(attempt))
            body_shown = hide(response.body.decode("latin-1")).encode("latin-1")
            response = msgspec.structs.replace(response, body=body_shown)
            meaning = self._meaning(error, response, attempt)
            if meaning is Meaning.NOT_ABOUT_IT:
                return self._passed_by(error, response)
            if meaning is Meaning.SKEWED and not is_corrected:
                is_corrected = True
                if (yield from self._correct(response, attempt)):
                    continue
            elif meaning is Meaning.EXPIRED and not is_renewed:
                is_renewed = True
                if attempt.generation == self._session.generation:
                    self._is_proven = False
                if self._session.reject(attempt.credentials):
                    continue
            return (yield from self._rejection(meaning, error, response, attempt, hide))

    def _hash_of(self, request: Request) -> Generator[Step, Answer, str]:
        hashed = yield HashBody("sha256")
        if isinstance(hashed, str):
            return hashed
        if self._terms.takes_unsigned and request.origin.scheme == "https":
            return UNSIGNED_PAYLOAD
        raise LocalProtocolError(
            "the body comes from a stream that can be read once, and the signature needs its hash first: give it as"
            " bytes, as a file, or as a function that makes the stream"
        )

    def _time(self) -> float:
        """The service's time, as far as it is known."""
        return self._clock() + self._offset

    def _signed(
        self, request: Request, credentials: AwsCredentials, payload_hash: str | None, moment: float
    ) -> Signed:
        date = timestamp(int(moment))
        frame = self._frames.find(credentials, date[:8], request.headers)
        return sign_in(frame, request, date, payload_hash or payload_hash_of(request.body))

    def _meaning(self, error: AwsError, response: Response, attempt: _Attempt) -> Meaning:
        meaning = error.meaning
        if meaning is Meaning.MISMATCH or error.may_be_skew:
            ahead = self._ahead(response)
            if ahead is not None and abs(ahead - attempt.offset) >= SKEW:
                return Meaning.SKEWED
        return meaning

    def _ahead(self, response: Response) -> float | None:
        """The seconds by which the clock of who has sent the response is ahead of ours, where it says."""
        date, now = response.header(b"date"), self._clock()
        theirs = None if date is None else http_date(date.decode("latin-1"), now)
        return None if theirs is None else theirs - now

    def _correct(self, response: Response, attempt: _Attempt) -> Generator[Step, Answer, bool]:
        """Whether another attempt may fare better with the clock that is kept now."""
        if attempt.offset != self._offset:
            return True  # another has corrected it meanwhile
        ahead = self._ahead(response)
        if ahead is None or abs(ahead) > MAX_CORRECTION or abs(ahead - attempt.offset) < 1:
            return False
        self._offset = ahead
        yield Tell(f"the service's clock is {apart_from(ahead)} ours: signatures follow it")
        return True

    def _passed_by(self, error: AwsError, response: Response) -> FlowResult:
        """The result of a response that does not speak of the signature: not of itself a sign that it was read."""
        if response.status == 401:
            asked = offers(parse(response.all_values(b"www-authenticate")))
            return FlowResult(response, f"the server asks for {asked}, this connection signs for AWS")
        if error.says_unsigned:
            return FlowResult(response, note=NO_SUCH_ROUTE, proves=False)
        self._is_proven = self._is_proven or error.is_denial
        return FlowResult(response, proves=error.is_denial)

    def _rejection(
        self,
        meaning: Meaning,
        error: AwsError,
        response: Response,
        attempt: _Attempt,
        hide: Callable[[str], str],
    ) -> Generator[Step, Answer, FlowResult]:
        signed = attempt.signed
        said = reason(meaning, error, attempt.credentials, self._scope, signed, self._ahead(response), hide)
        for name, ours, theirs in (
            ("canonical request", signed.canonical, error.canonical_request),
            ("string to sign", signed.text, error.string_to_sign),
        ):
            lines = differences(ours.decode("latin-1"), theirs, self._secret_fields, hide)
            for line in (f"{name}: - ours, + the service's", *lines) if lines else ():
                yield Tell(line)
        # Once the credentials have served, a signature that is not right has to do with its request.
        is_of_request = self._is_proven and meaning in (Meaning.MISMATCH, Meaning.SKEWED)
        if is_of_request or meaning is Meaning.ANOTHER_BODY:
            return FlowResult(response, note=said, proves=False)
        return FlowResult(response, said)

    def _secrets_of(self, attempt: _Attempt) -> list[str]:
        """What a service that quotes the request must not be quoted with."""
        fields = attempt.request.headers
        secret = [
            value.decode("latin-1") for name, value in fields if name.decode("ascii").lower() in self._secret_fields
        ]
        return [attempt.credentials.secret_key, *secret]


def _signer_for(algorithm: Algorithm) -> MakeSigner:
    if algorithm == "sigv4":
        return sigv4.signer
    from patchwire.auth import sigv4a  # cryptography takes a while to load

    return sigv4a.signer
