"""A connection that ends, is reset or falls silent behind any octet: what is said of the change is true."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import pytest
import trio
import trio.testing
from msgspec import structs
from OpenSSL import SSL

from patchwire import PatchwireError, connection_from, outcome_of
from patchwire.http.message import Origin
from patchwire.net import PatchClient
from tests.support.cut_oracle import Course, Ending
from tests.support.cutter import Answer, Answering, Cut, Cutter, Mark, by_turns, every_cut
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
    """The answers of a server to a PATCH, the last of them to credentials where there are two; what its client is."""

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
        data = {"base_url": f"http{'s' * bool(version)}://127.0.0.1", "limits": LIMITS, **scenario.settings}
        if version:
            data["tls"] = {"trust": ["ca"], "system_roots": False}
        self._settings = connection_from(data, files={"ca": AUTHORITY.pem})
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
            here = Origin(self._settings.origin.scheme, origin.host, origin.port)
            async with PatchClient(structs.replace(self._settings, origin=here)) as client:
                try:
                    body: Any = streamed if self._scenario.streams else b'{"name":"x"}'
                    response = await client.patch("/people/1", body=body, media_type="application/merge-patch+json")
                except PatchwireError as error:
                    return Ending(outcome_of(error))
                return Ending(outcome_of(response), response.status, response.error is not None)


def faults(trial: Trial, cuts_of: Callable[[Course], list[Cut]]) -> tuple[list[str], int]:
    """All that is wrongly said where it is cut there, and how many cuts there were."""

    async def main() -> tuple[list[str], int]:
        course = await trial.rehearsed()
        cuts = cuts_of(course)
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


@pytest.fixture
def no_sessions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Servers come and go on the same ports: a session of a former one would make a handshake unlike the rehearsed."""
    monkeypatch.setattr("patchwire.tls.sessions.Sessions.keep", lambda *_, **__: None)


@pytest.mark.parametrize("name", SCENARIOS)
def test_whichever_octet_is_the_last_on_tcp_the_outcome_is_the_one_that_is_known(name: str) -> None:
    wrong, number = faults(Trial(SCENARIOS[name]), lambda course: every_cut(course.marks))
    assert wrong == []
    assert number > 400


@pytest.mark.usefixtures("no_sessions")
@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("content-length", "TLSv1.2"),
        ("content-length", "TLSv1.3"),
        ("close-delimited", "TLSv1.2"),
        ("close-delimited", "TLSv1.3"),
        ("chunked", "TLSv1.3"),
    ],
)
def test_whichever_octet_is_the_last_behind_a_tls_handshake_the_outcome_is_the_one_that_is_known(
    name: str, version: str
) -> None:
    wrong, number = faults(
        Trial(SCENARIOS[name], version), lambda course: every_cut(course.marks, behind=course.handshake)
    )
    assert wrong == []
    assert number > 400


@pytest.mark.usefixtures("no_sessions")
def test_a_challenge_that_is_cut_behind_any_octet_on_tls_is_answered_elsewhere_once_its_head_is_whole() -> None:
    """Behind each octet in one of the three ways, by turns."""
    trial = Trial(SCENARIOS["digest"], "TLSv1.3")
    wrong, number = faults(trial, lambda course: by_turns(course.handshake, course.marks[-1]))
    assert wrong == []
    assert number > 400


@pytest.mark.usefixtures("no_sessions")
@pytest.mark.parametrize("version", CONTEXTS)
def test_a_tls_handshake_that_is_cut_behind_any_octet_has_sent_nothing_until_the_clients_part_is_done(
    version: str,
) -> None:
    """Behind each octet in one of the three ways, by turns. From the client's last octet of it on nobody knows whether
    the server got the request, unless nothing of that had left.
    """

    def cuts(course: Course) -> list[Cut]:
        hello = course.marks[0].read if version == "TLSv1.2" else 0  # it is the same for both
        return by_turns(Mark("nothing", hello, 0), course.handshake)

    wrong, number = faults(Trial(SCENARIOS["content-length"], version), cuts)
    assert wrong == []
    assert number > 1000
