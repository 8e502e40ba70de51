"""What may be said of a change whose connection was cut: a function of the octet, for any conversation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from patchwire import Outcome
from tests.support.cutter import Answer, Cut, How, Mark

_OUTCOMES = {2: Outcome.APPLIED, 4: Outcome.REJECTED, 5: Outcome.UNKNOWN}


@dataclass(frozen=True)
class Ending:
    """How a request has ended for its client."""

    outcome: Outcome
    status: int | None = None
    """There where a response is."""
    has_error: bool = True


NOT_SENT = Ending(Outcome.NOT_SENT)
UNKNOWN = Ending(Outcome.UNKNOWN)


@dataclass(frozen=True)
class Course:
    """A conversation that nobody has cut: its answers, and the marks of who served it. All but the last answer ask for
    credentials.
    """

    answers: Sequence[Answer]
    marks: Sequence[Mark]
    version: str = ""
    """Of TLS, where it runs over that."""

    @property
    def handshake(self) -> Mark:
        """Its end, tickets included."""
        return self._marked("flight")[-1]

    def allowed(self, cut: Cut, seen: int) -> set[Ending]:
        """What may be told where it is cut there, and so many octets had come to the server in all."""
        flights = self._marked("flight")
        if flights and (cut.read or 0) <= flights[-1].read and (cut.sent or 0) <= flights[-1].sent:
            return self._in_handshake(cut, seen)
        return {UNKNOWN if cut.sent is None else self._in_answer(cut.how, cut.sent)}

    def _in_handshake(self, cut: Cut, seen: int) -> set[Ending]:
        # In TLS 1.3 the client has done its part once it has the server's first flight, in 1.2 with the last.
        enough = self._marked("flight")[0 if self.version == "TLSv1.3" else -1]
        too_early = cut.sent < enough.sent if cut.sent is not None else (cut.read or 0) <= enough.read
        if too_early:
            return {NOT_SENT}
        arrived = seen >= self._marked("request")[0].read
        return {UNKNOWN} if arrived else {UNKNOWN, NOT_SENT}

    def _in_answer(self, how: How, sent: int) -> Ending:
        starts = [mark.sent for mark in self._marked("request")]
        number = max(index for index, start in enumerate(starts) if start < sent)
        answer = self.answers[number]
        whole = len(answer.before_body + answer.body)
        received = self._received(answer, starts[number], sent)
        if received < len(answer.before_body):
            return UNKNOWN
        if number < len(self.answers) - 1:
            # The request with credentials goes out over another connection, unless this one seems to be sound.
            return UNKNOWN if how is How.SILENCE and received == whole else _of(self.answers[-1], has_error=False)
        return _of(answer, has_error=not self._is_complete(answer, how, sent, received == whole))

    def _received(self, answer: Answer, start: int, sent: int) -> int:
        """Octets of the answer that the client can read: of a record of TLS all or nothing."""
        if not self.version:
            return sent - start
        ends = [mark.sent for mark in self._marked("piece") if mark.sent > start]
        pieces = zip(answer.pieces(), ends, strict=False)
        return sum(len(piece) for piece, end in pieces if end <= sent)

    def _is_complete(self, answer: Answer, how: How, sent: int, is_whole: bool) -> bool:
        if not answer.closes:
            return is_whole
        # Plain TCP cannot tell an end from a cut; TLS can, by its close_notify.
        return sent == self.marks[-1].sent if self.version else how is How.FIN

    def _marked(self, what: str) -> list[Mark]:
        return [mark for mark in self.marks if mark.what == what]


def _of(answer: Answer, *, has_error: bool) -> Ending:
    status = int(answer.head.split(b" ", 2)[1])
    return Ending(_OUTCOMES[status // 100], status, has_error)
