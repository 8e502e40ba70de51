"""Obtaining a token with whoever must accept: in a browser, on another device, or without anybody."""

from __future__ import annotations

from typing import Final, TypeVar
from urllib.parse import urlsplit

import trio

from patchwire.auth.flow import Tell
from patchwire.auth.oauth2_authorize import AuthorizationRequest, Authorizing, Steps
from patchwire.auth.oauth2_code import at_port, is_callback
from patchwire.auth.oauth2_device import DeviceAuthorization
from patchwire.auth.oauth2_endpoint import is_loopback
from patchwire.auth.token import Token
from patchwire.errors import ConnectError, PatchwireError, SettingsError
from patchwire.files.read import describe
from patchwire.loopback.callback import CallbackApp
from patchwire.net.aside import Aside
from patchwire.net.authentication import SOURCES
from patchwire.net.deadlines import Deadlines
from patchwire.net.elsewhere import Elsewhere
from patchwire.net.opening import Opener
from patchwire.net.server import serve
from patchwire.net.sources import now
from patchwire.net.wire_log import WireLog, printable, time_of
from patchwire.settings.authentication import exchange_and_keeping
from patchwire.settings.connection import ConnectionSettings
from patchwire.settings.oauth2 import OAuth2Settings

T = TypeVar("T")
AWAITED: Final = "http://127.0.0.1/callback"
"""Where the browser is awaited unless the settings say otherwise, at any free port."""
PASTED: Final = "http://127.0.0.1:8976/callback"
"""Where it ends unless they do, when nobody awaits it."""
LEAVES_WITHIN: Final = 0.2
"""Seconds that the page may take from being made to being sent."""
TOLD_WITHIN: Final = 5.0
"""Seconds for which the browser may take to ask what came of it."""


class Person:
    """How whoever must accept is spoken to; by itself it cannot be."""

    async def open(self, url: str) -> None:
        """Have them open this page."""

    async def pasted(self, url: str) -> str:
        """Have them open this page in any browser, and give the address that they were sent to in the end."""
        raise NotImplementedError

    async def told(self, device: DeviceAuthorization) -> None:
        """Tell them what to type where."""


class Authorize:
    """One authorization for a connection's settings. Its token is kept before it is returned."""

    def __init__(self, settings: ConnectionSettings, person: Person, wire_log: WireLog | None = None) -> None:
        assert settings.oauth2 is not None  # noqa: S101 - the command has looked
        self._oauth2: OAuth2Settings = settings.oauth2
        self._person = person
        self._wire_log = wire_log
        self._deadlines = Deadlines(settings.limits.shortest_timeout)
        self._aside = Aside(Elsewhere(settings, Opener(settings, wire_log), self._deadlines).ask)
        exchange, keeping = exchange_and_keeping(self._oauth2, SOURCES)
        self._authorizing = Authorizing(exchange, keeping, str(settings.origin), self._oauth2.before)

    async def run(self, *, browser: bool, within: float) -> Token:
        """The token, `within` so many seconds; `browser`: whether there is one on this machine.

        CredentialsError, CallbackError, StorageError.
        """
        with trio.fail_after(within):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._deadlines.watch)
                token = await self._token(browser=browser)
                nursery.cancel_scope.cancel()
        return token

    async def _token(self, *, browser: bool) -> Token:
        match self._oauth2.terms.grant_type:
            case "authorization_code":
                return await (self._in_browser() if browser else self._pasted())
            case "device_code":
                device = await self._taken(self._authorizing.device())
                await self._person.told(device)
                return await self._taken(self._authorizing.polled(device))
        return await self._taken(self._authorizing.at_once())

    async def _pasted(self) -> Token:
        redirect_uri = self._oauth2.terms.redirect_uri or PASTED
        request = await self._taken(self._authorizing.request(redirect_uri))
        callback = await self._person.pasted(request.url)
        return await self._taken(self._authorizing.redeemed(request, callback.strip()))

    async def _in_browser(self) -> Token:
        """Listens only while the answer is awaited (RFC 8252 section 8.3), at any free port unless one is set."""
        wanted = self._oauth2.terms.redirect_uri or AWAITED
        parts = urlsplit(wanted)
        if parts.scheme != "http" or not is_loopback(wanted):
            problem = "no browser of this machine ends there: use --no-browser, and paste the address"
            raise SettingsError("", f"oauth2.redirect_uri: {problem}")
        got = _Callback()
        app = CallbackApp(got.accept, got.told.set)
        async with trio.open_nursery() as nursery:
            url = await nursery.start(_listen, app, parts.hostname or "", parts.port or 0)
            redirect_uri = wanted if parts.port else at_port(wanted, urlsplit(url).port or 0)
            request = await self._taken(self._authorizing.request(redirect_uri))
            got.request = request
            nursery.start_soon(self._person.open, request.url)  # a browser may stay in the foreground
            await got.arrived.wait()
            try:
                token = await self._taken(self._authorizing.redeemed(request, got.target))
            except PatchwireError as error:
                app.finish(is_good=False, text=f"{str(error).rstrip('.')}.")
                await got.seen()
                raise
            app.finish(is_good=True, text="patchwire has the token, and keeps it encrypted.")
            await got.seen()
            nursery.cancel_scope.cancel()
        return token

    async def _taken(self, steps: Steps[T]) -> T:
        return await self._aside.drive(steps, self._tell)

    def _tell(self, step: Tell) -> None:
        if self._wire_log is not None:
            self._wire_log(f"{time_of(now())} * {printable(step.text.encode('utf-8'))}")


class _Callback:
    """The first request that may be the answer to ours."""

    def __init__(self) -> None:
        self.arrived = trio.Event()
        self.told = trio.Event()
        self.request: AuthorizationRequest | None = None
        self.target = ""

    def accept(self, target: str) -> str | None:
        """Why the target is not the callback, or None; then it is taken."""
        if self.request is None or not is_callback(target, self.request.redirect_uri):
            return "There is nothing at this address."
        if not self.request.is_answered_by(target):
            return "This answer belongs to another request."
        self.target = target
        self.arrived.set()
        return None

    async def seen(self) -> None:
        """Wait until the page has said what came of it, if it is still open."""
        with trio.move_on_after(TOLD_WITHIN):
            await self.told.wait()
            await trio.sleep(LEAVES_WITHIN)


async def _listen(
    app: CallbackApp, host: str, port: int, task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED
) -> None:
    if port == 0 and host == "localhost":
        host = "127.0.0.1"  # its addresses would each have another free port
    try:
        await serve(app, {}, now=now, port=port, host=host, task_status=task_status)
    except OSError as error:
        where = f"{host}:{port}"
        raise ConnectError(
            f"cannot listen on {where} (oauth2.redirect_uri): {describe(error)}", origin=where
        ) from None
