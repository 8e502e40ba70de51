"""A connection that ends, is reset or falls silent behind any octet: what is said of the change is true."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
import trio
import trio.testing
from OpenSSL import SSL

from patchwire import PatchwireError, connection_from, outcome_of
from patchwire.net import PatchClient
from tests.support.cut_oracle import Course, Ending
from tests.support.cutter import Answer, Answering, Cut, Cutter, How, every_cut
from tests.support.peer import listening
from tests.support.tls import AUTHORITY, serving_as

AT_ONCE = 100
LIMITS = {"connect_timeout": 0.01, "read_timeout": 0.01}  # by a clock that stands still while there is work
SERVER = AUTHORITY.issue("127.0.0.1", rsa=True)  # whose signatures all have one length
LENGTH = Answer(b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n", b'{"name":"x"}'[:11])
CHUNKED = Answer(
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"5;a=b\r\nhello\r\n3\r\nyou\r\n0\r\nX-T: 1\r\n\r\n"
)
UNTIL_CLOSE = Answer(b"HTTP/1.0 200 OK\r\nServer: s\r\n\r\n", b"to the end", closes=True)
EARLY = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
BASIC = Answer(b'HTTP/1.1 401 No\r\nWWW-Authenticate: Basic realm="r"\r\nContent-Length: 5\r\n\r\n', b"who? ")
DIGEST = Answer(
    b'HTTP/1.1 401 No\r\nWWW-Authenticate: Digest realm="r", nonce="n", qop="auth", algorithm=SHA-256\r\n'
    b"Content-Length: 5\r\n\r\n",
    b"who? ",
)
NAMED: dict[str, Any] = {"user": "u", "password": "literal:p"}


@dataclass(frozen=True)
class Scenario:
    """The answers of a server to a PATCH, all but the last to one without credentials, settings, how it is sent."""

    answers: tuple[Answer, ...]
    settings: dict[str, Any]
    streams: bool = False

    def answering(self) -> Answering:
        """By the request's credentials."""
        return lambda head: self.answers[-1 if b"\r\nauthorization:" in head.lower() else 0]


SCENARIOS = {
    "content-length": Scenario((LENGTH,), {}),
    "chunked": Scenario((CHUNKED,), {}),
    "close-delimited": Scenario((UNTIL_CLOSE,), {}),
    "no content": Scenario((Answer(b"HTTP/1.1 204 No Content\r\n\r\n"),), {}),
    "rejected": Scenario((Answer(b"HTTP/1.1 409 Conflict\r\nContent-Length: 3\r\n\r\n", b"no!"),), {}),
    "by a gateway": Scenario((Answer(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 3\r\n\r\n", b"no!"),), {}),
    "interim": Scenario((Answer(LENGTH.head, LENGTH.body, b"HTTP/1.1 100 Continue\r\n\r\n" + EARLY),), {}),
    "a streamed body": Scenario((LENGTH,), {}, streams=True),
    "basic": Scenario((BASIC, LENGTH), {"authentication": "basic", **NAMED}),
    "digest": Scenario((DIGEST, CHUNKED), {"authentication": "digest", **NAMED}),
}
CONTEXTS = {"TLSv1.2": SSL.TLS1_2_VERSION, "TLSv1.3": SSL.TLS1_3_VERSION}


async def streamed() -> AsyncIterator[bytes]:
    yield b'{"name"'
    yield b':"x"}'


class Trial:
    """A scenario over plain TCP, or over a version of TLS."""

    def __init__(self, scenario: Scenario, version: str = "") -> None:
        self._scenario = scenario
        self._version = version
        self._context = serving_as(SERVER) if version else None
        if self._context is not None:
            self._context.set_min_proto_version(CONTEXTS[version])
            self._context.set_max_proto_version(CONTEXTS[version])

    async def rehearsed(self) -> Course:
        """How it goes when nobody cuts it."""
        cutter = Cutter(self._scenario.answering(), context=self._context, slowly=True)
        ending = await self._sent(cutter)
        assert not ending.has_error
        return Course(self._scenario.answers, cutter.marks, self._version)

    async def fault(self, course: Course, cut: Cut) -> str | None:
        """What is wrongly said where it is cut."""
        cutter = Cutter(self._scenario.answering(), cut, self._context)
        ending = await self._sent(cutter)
        allowed = course.allowed(cut, cutter.seen)
        return None if ending in allowed else f"{cut}: {ending}, and not {allowed}"

    async def _sent(self, cutter: Cutter) -> Ending:
        async with listening(cutter) as origin:
            base_url = f"http{'s' * bool(self._version)}://127.0.0.1:{origin.port}"
            data = {"base_url": base_url, "limits": LIMITS, **self._scenario.settings}
            if self._version:
                data["tls"] = {"trust": ["ca"], "system_roots": False}
            async with PatchClient(connection_from(data, files={"ca": AUTHORITY.pem})) as client:
                try:
                    body: Any = streamed if self._scenario.streams else b'{"name":"x"}'
                    response = await client.patch("/people/1", body=body, media_type="application/merge-patch+json")
                except PatchwireError as error:
                    return Ending(outcome_of(error))
                return Ending(outcome_of(response), response.status, response.error is not None)


def faults(trial: Trial, hows: Sequence[How]) -> tuple[list[str], int]:
    """All that is wrongly said, whichever octet is the last, and how many there were."""

    async def main() -> tuple[list[str], int]:
        course = await trial.rehearsed()
        cuts = every_cut(course.marks, hows)
        found = []
        limiter = trio.CapacityLimiter(AT_ONCE)

        async def one(cut: Cut) -> None:
            async with limiter:
                fault = await trial.fault(course, cut)
            if fault is not None:
                found.append(fault)

        async with trio.open_nursery() as nursery:
            for cut in cuts:
                nursery.start_soon(one, cut)
        return found, len(cuts)

    # Silence costs nothing: the clock jumps to its end once there is nothing on any socket.
    return trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0.01))


@pytest.mark.parametrize("name", SCENARIOS)
def test_whichever_octet_is_the_last_on_tcp_the_outcome_is_the_one_that_is_known(name: str) -> None:
    wrong, number = faults(Trial(SCENARIOS[name]), list(How))
    assert wrong == []
    assert number > 400
