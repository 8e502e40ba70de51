"""A server on a socket that asks for Digest, counts what it is sent, and may lie."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

from patchwire.auth.verify.digest import DigestDemands, DigestVerifier
from patchwire.auth.verify.nonces import ServerNonces, Uses
from patchwire.auth.verify.verdict import Refused
from patchwire.http.message import Origin, Request, Response
from tests.support.origins import Origins

NOW = 1_700_000_000.0
SETTINGS = 'authentication = "digest"\nuser = "svc"\npassword = "literal:canary"\n'


def digest_verifier(uses: Uses = "parallel", lifetime: float = 300.0, **demands: object) -> DigestVerifier:
    numbers = count(1)
    nonces = ServerNonces(b"key", lambda size: next(numbers).to_bytes(size, "big"), lifetime=lifetime, uses=uses)
    return DigestVerifier(DigestDemands(realm="r", **demands), {"svc": "canary"}, nonces)  # type: ignore[arg-type]


class DigestOrigin(Origins):
    """Lets in who knows the password. `answer` gives the response to what was let in; `lie` changes it on its way."""

    def __init__(
        self,
        verifier: DigestVerifier,
        answer: Callable[[Request], Response] = lambda _: Response(200, (), b"{}"),
        lie: Callable[[Response], Response] = lambda response: response,
        now: Callable[[], float] = lambda: NOW,
    ) -> None:
        super().__init__(self._respond)
        self.verifier = verifier
        self.applied: list[str] = []
        self.refused = 0
        self.with_credentials = 0
        self._give = answer
        self._lie = lie
        self._now = now
        self.signed_at = now

    def _respond(self, method: str, target: str, body: bytes) -> bytes:
        fields = tuple((name.encode(), value.encode("latin-1")) for name, value in self.fields[-1].items())
        kept = tuple(each for each in fields if each[0] not in (b"content-length", b"transfer-encoding"))
        request = Request(method, Origin("http", "h", 80), target.encode(), kept, body)
        self.with_credentials += request.header(b"authorization") is not None
        verdict = self.verifier.judge(request, self._now())
        if isinstance(verdict, Refused):
            self.refused += 1
            response = Response(verdict.status, verdict.headers)
        else:
            self.applied.append(target)
            response = self._lie(verdict.signed(self._give(request), self.signed_at()))
        lines = [b"%b: %b\r\n" % line for line in response.headers]
        return b"HTTP/1.1 %d X\r\n%bContent-Length: %d\r\n\r\n%b" % (
            response.status, b"".join(lines), len(response.body), response.body
        )  # fmt: skip


def without_proof(response: Response) -> Response:
    """The response with a proof that is wrong."""
    lines = tuple(
        (name, value.replace(b'rspauth="', b'rspauth="0') if name == b"Authentication-Info" else value)
        for name, value in response.headers
    )
    return Response(response.status, lines, response.body)
