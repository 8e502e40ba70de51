"""PatchClient: a connection's settings as an object that sends requests, for programs on trio."""

from __future__ import annotations

import os
from collections.abc import AsyncIterable, Callable, Mapping
from types import TracebackType
from typing import Any, Final, Self

import msgspec
import trio
from msgspec import UNSET, UnsetType

from patchwire.auth.flow import Send
from patchwire.delivery.request import RequestMaker, implied_media_type
from patchwire.errors import LocalProtocolError, PatchwireError, Sent
from patchwire.http.message import Request, Response
from patchwire.net.aside import Aside
from patchwire.net.authentication import authentication_of
from patchwire.net.body import BodySource, FactoryBody, FileBody, IterableBody
from patchwire.net.connection import Connection, Reply
from patchwire.net.deadlines import Deadlines
from patchwire.net.elsewhere import Elsewhere
from patchwire.net.opening import Opener
from patchwire.net.perform import MayGo, Performer
from patchwire.net.pool import Pool
from patchwire.net.wire_log import WireLog, logger
from patchwire.settings.connection import ConnectionSettings

_NONE: Final[Mapping[str, str]] = {}


class PatchClient:
    """Sends requests over one connection's settings, on at most `max_connections` connections at a time.

    Any number of tasks may use it side by side; a body that is being sent must not wait for another request of the
    same client. A request goes out once: what may have reached the server is never sent again. What comes back is a
    response, of any status, or an error whose `sent` says what is known about the request: Sent.NO, nothing of it was
    taken by the network; Sent.MAYBE, it may have been acted upon. `patchwire.outcome_of` makes an Outcome of either.

    `wire_log` is given each line of the wire log, secrets redacted; by default the logger `patchwire.wire` is, at
    level DEBUG.
    """

    def __init__(
        self, settings: ConnectionSettings, *, max_connections: int = 8, wire_log: WireLog | None = None
    ) -> None:
        if max_connections < 1:
            raise ValueError("max_connections must be at least 1")
        self.settings = settings
        self._maker = RequestMaker(settings)
        wire_log = logger() if wire_log is None else wire_log
        self._opener = Opener(settings, wire_log)
        self._forwarder = self._opener.forwarder(settings.origin)
        self._pool = Pool(self._connect, max_connections)
        self._performer = Performer(
            authentication_of(settings),
            Aside(self._ask),
            carries_credentials=settings.carries_credentials,
            redirects=settings.redirects,
            secret_fields=settings.secret_fields,
            wire_log=wire_log,
        )
        self._deadlines = Deadlines(settings.limits.shortest_timeout)
        self._elsewhere = Elsewhere(settings, self._opener, self._deadlines)
        self._watch: trio.CancelScope | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close every connection. A request that is on one of them ends with an error that says what is known."""
        self._pool.close()
        self._elsewhere.close()
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        await trio.lowlevel.checkpoint()

    async def patch(
        self,
        path: str = "",
        *,
        json: Any = UNSET,
        text: str | None = None,
        body: bytes | AsyncIterable[bytes] | Callable[[], AsyncIterable[bytes]] | None = None,
        file: str | os.PathLike[str] | None = None,
        media_type: str | None = None,
        if_match: str | None = None,
        query: Mapping[str, str] = _NONE,
        headers: Mapping[str, str] = _NONE,
    ) -> Response:
        """PATCH the resource at the base URL and `path`: the final response, whatever its status.

        Exactly one body: `json` (a dict is a merge patch, a list a JSON Patch, unless `media_type` says otherwise),
        `text` (UTF-8), `body` (bytes; or an async iterable, sent in chunks as it comes; or a function that makes
        one each time), or `file` (a path). All but a dict or a list need `media_type`. `if_match` is an entity tag
        with its quotes.

        Raises LocalProtocolError where HTTP does not allow the request, and TransportError or RemoteProtocolError
        where no complete response head came; CredentialsRejectedError once the server has rejected the credentials;
        its parent CredentialsError where there are none to send, StorageError where a new token cannot be kept.
        A response whose head came whole and whose body did not is returned, with its `error`, which also says why the
        credentials are refused, why a redirect is not followed, and why a body cannot be sent again.
        """
        return await self.request(
            "PATCH", path, json=json, text=text, body=body, file=file, media_type=media_type, if_match=if_match,
            query=query, headers=headers,
        )  # fmt: skip

    async def request(
        self,
        method: str,
        path: str = "",
        *,
        json: Any = UNSET,
        text: str | None = None,
        body: bytes | AsyncIterable[bytes] | Callable[[], AsyncIterable[bytes]] | None = None,
        file: str | os.PathLike[str] | None = None,
        media_type: str | None = None,
        if_match: str | None = None,
        query: Mapping[str, str] = _NONE,
        headers: Mapping[str, str] = _NONE,
    ) -> Response:
        """Send a request of any method, with one body or none; else as `patch`."""
        content, source = _body(json, text, body, file, needed=method == "PATCH")
        if media_type is None and not isinstance(json, UnsetType):
            media_type = implied_media_type(content)
        if media_type is None and (content or source is not None or method == "PATCH"):
            raise LocalProtocolError("media_type: missing; only a dict or a list given as json implies one")
        request = self._maker.make(
            method, path, body=content, media_type=media_type, if_match=if_match, query=query, headers=headers
        )
        return await self.send(request, source)

    async def send(self, request: Request, source: BodySource | None = None) -> Response:
        """Send a request that is made already, to the settings' origin; a `source` is its body."""
        if request.origin != self.settings.origin:
            raise LocalProtocolError(f"{request!r} does not go to {self.settings.origin}")

        async def exchange(step: Send, may_go: MayGo) -> Reply | None:
            if not self._elsewhere.is_home(step.request):
                self._start_watch()
                return await self._elsewhere.exchange(step.request, source)
            if self._forwarder is None:
                return await at_home(step, may_go)
            return await self._forwarder.forward(step, at_home, may_go, source)

        async def at_home(step: Send, may_go: MayGo) -> Reply | None:
            return await self._exchange(step.request, source, may_go)

        reply, _ = await self._performer.perform(request, exchange, source)
        if reply.response is not None:
            return reply.response
        raise reply.error or PatchwireError("no response, and no reason for it")

    async def _exchange(self, request: Request, source: BodySource | None, may_go: MayGo) -> Reply | None:
        while True:
            connection = await self._pool.acquire()
            try:
                await trio.lowlevel.checkpoint_if_cancelled()  # the exchange sends before it first waits
                if not may_go():
                    return None
                reply = await connection.exchange(request, source)
            finally:
                self._pool.release(connection)
            # An idle connection that the server has closed meanwhile is the ordinary end of it: nothing was sent.
            if reply.sent is not Sent.NO or not reply.reused:
                return reply

    async def _ask(self, request: Request) -> Reply:
        self._start_watch()
        return await self._elsewhere.ask(request)

    async def _connect(self) -> Connection:
        self._start_watch()
        connection = await self._opener.open()
        self._deadlines.add(connection)
        return connection

    def _start_watch(self) -> None:
        if self._watch is None:
            self._watch = trio.CancelScope()
            trio.lowlevel.spawn_system_task(self._watch_deadlines, self._watch, name="patchwire deadlines")

    async def _watch_deadlines(self, scope: trio.CancelScope) -> None:
        # A system task, so that a client needs no nursery, which would wrap the errors of its user's own block.
        with scope:
            await self._deadlines.watch()


def _body(
    json: Any,
    text: str | None,
    body: bytes | AsyncIterable[bytes] | Callable[[], AsyncIterable[bytes]] | None,
    file: str | os.PathLike[str] | None,
    *,
    needed: bool,
) -> tuple[bytes, BodySource | None]:
    given = [
        name
        for name, present in (
            ("json", not isinstance(json, UnsetType)),
            ("text", text is not None),
            ("body", body is not None),
            ("file", file is not None),
        )
        if present
    ]
    if len(given) > 1 or (needed and not given):
        raise LocalProtocolError(f"has {' and '.join(given) or 'no body'}; give one of json, text, body, file")
    if not isinstance(json, UnsetType):
        try:
            return msgspec.json.encode(json), None
        except (TypeError, ValueError, RecursionError, OverflowError) as error:
            raise LocalProtocolError(f"json: {error}") from None
    if text is not None:
        return text.encode("utf-8"), None
    if file is not None:
        return b"", FileBody(file)
    if body is None or isinstance(body, bytes | bytearray | memoryview):
        return bytes(body or b""), None
    return b"", FactoryBody(body) if callable(body) else IterableBody(body)
