"""OAuth 2.0 as a client, driven by hand: a clock, a token store and an authorization server that live in memory."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator
from itertools import count
from typing import Any, Final, TypeVar
from urllib.parse import parse_qsl

import msgspec

from patchwire.auth.flow import Answer, Ask, Load, Pause, Send, Step, Tell
from patchwire.auth.oauth2_exchange import TokenExchange
from patchwire.auth.oauth2_terms import GrantType, Terms
from patchwire.auth.secret import Secret
from patchwire.auth.token import Token
from patchwire.auth.token_keeping import Kept, kept_in
from patchwire.errors import StorageError
from patchwire.http.message import Request, Response

T = TypeVar("T")
NOW: Final = 1_800_000_000.0
API: Final = "https://api.example"
SERVER: Final = "https://as.example"
TOKEN_URL: Final = f"{SERVER}/token"
CLIENT_SECRET: Final = "canary-client-secret"
PASSWORD: Final = "canary-password"
JSON: Final = ((b"Content-Type", b"application/json"),)


def terms(grant_type: GrantType = "client_credentials", **more: Any) -> Terms:
    """Terms of a confidential client."""
    usual: dict[str, Any] = {
        "client_id": "app",
        "client_secret": Secret(CLIENT_SECRET),
        "access_token_url": TOKEN_URL,
        "scope": "read",
        "username": "ada",
        "password": Secret(PASSWORD),
    }
    return Terms(grant_type=grant_type, **usual | more)


def answer(members: object, status: int = 200, *fields: tuple[bytes, bytes]) -> Response:
    """What a token endpoint answers in JSON."""
    return Response(status, (*JSON, *fields), json.dumps(members).encode())


def issued(access_token: str, **members: Any) -> Response:
    """An answer with a token."""
    return answer({"access_token": access_token, "token_type": "Bearer", **members})


def refused(error: str, status: int = 400, **members: Any) -> Response:
    """An answer with an error."""
    return answer({"error": error, **members}, status)


class Clock:
    """Stands still but for pauses."""

    def __init__(self, now: float = NOW) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class AuthorizationServer:
    """Answers with what the script says, in its order, and then with tokens that have numbers."""

    def __init__(self, *script: Response | Exception, **members: Any) -> None:
        self.script = list(script)
        self.members: dict[str, Any] = {"expires_in": 3600, **members}
        self.rotates = False
        """Whether each token comes with a refresh token of the same number."""
        self.asked: list[Request] = []

    def __call__(self, request: Request) -> Response:
        self.asked.append(request)
        if self.script:
            said = self.script.pop(0)
            if isinstance(said, Exception):
                raise said
            return said
        number = len(self.asked)
        rotated = {"refresh_token": f"refresh-{number}"} if self.rotates else {}
        return issued(f"access-{number}", **self.members, **rotated)

    @property
    def forms(self) -> list[dict[str, str]]:
        """The parameters of each request."""
        return [form_of(request) for request in self.asked]

    @property
    def grants(self) -> list[str]:
        """The grant type of each request."""
        return [form["grant_type"] for form in self.forms]


def form_of(request: Request) -> dict[str, str]:
    """The parameters of a form, none of which stands there twice."""
    pairs = parse_qsl(request.body.decode("ascii"), keep_blank_values=True, strict_parsing=True)
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


class MemoryStore:
    """A token store. What is named in `broken`, of "prepare", "read", "write" and "lock", fails."""

    def __init__(self, kept: Kept | None = None) -> None:
        self.content: bytes | None = None
        self.broken: set[str] = set()
        self.error: StorageError = StorageError("the disk is full")
        self.is_locked = False
        self.is_locked_elsewhere = False
        self.written: list[Kept] = []
        self.patience: list[bool] = []
        """Of each try to write, whether it is to be a patient one."""
        if kept is not None:
            self.write(kept)
            self.written.clear()

    def read(self) -> bytes | None:
        self._check("read")
        return self.content

    def prepare(self) -> None:
        self._check("prepare")

    def write(self, content: bytes | Kept, *, patiently: bool = False) -> None:
        self.patience.append(patiently)
        self._check("write")
        self.content = msgspec.json.encode(content) if isinstance(content, Kept) else content
        self.written.append(kept_in(self.content))

    def try_lock(self) -> bool:
        self._check("lock")
        assert not self.is_locked, "it is locked already, by this very store"
        self.is_locked = not self.is_locked_elsewhere
        return self.is_locked

    def unlock(self) -> None:
        self.is_locked = False

    @property
    def kept(self) -> Kept:
        """What it holds."""
        assert self.content is not None
        return kept_in(self.content)

    def _check(self, what: str) -> None:
        if what in self.broken:
            raise self.error


class Driver:
    """Takes the steps of a flow, one after the other."""

    def __init__(
        self,
        clock: Clock,
        server: Callable[[Request], Response],
        resource: Callable[[Send], Response | None] | None = None,
    ) -> None:
        self.clock = clock
        self.server = server
        self.resource = resource
        self.told: list[str] = []
        self.pauses: list[float] = []

    def take(self, step: Step) -> Answer:
        """What the flow is to be sent; what is raised is to be thrown into it."""
        match step:
            case Tell(text=text):
                self.told.append(text)
                return None
            case Pause(seconds=seconds):
                self.pauses.append(seconds)
                self.clock.now += seconds
                return None
            case Load(read=read):
                return read()
            case Ask(request=request):
                return self.server(request)
        assert isinstance(step, Send), step
        assert self.resource is not None
        return self.resource(step)

    def run(self, steps: Generator[Step, Answer, T]) -> T:
        """The end of the flow."""
        try:
            step = next(steps)
            while True:
                step = self.resumed(steps, step)
        except StopIteration as stop:
            result: T = stop.value
            return result
        finally:
            steps.close()

    def resumed(self, steps: Generator[Step, Answer, T], step: Step) -> Step:
        """The step behind this one. StopIteration at the end."""
        try:
            got = self.take(step)
        except Exception as error:
            return steps.throw(error)
        return steps.send(got)


def exchange(of: Terms, clock: Clock) -> TokenExchange:
    """An exchange whose unforeseeable texts are numbers."""
    numbers = count(1)
    return TokenExchange(of, clock, lambda: f"unforeseeable-text-number-{next(numbers)}")


def token(access_token: str, lasts: float | None = 3600.0, refresh_token: str | None = None) -> Token:
    """One that was given just now."""
    return Token(access_token, None if lasts is None else NOW + lasts, lasts, refresh_token)
