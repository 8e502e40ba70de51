"""patchwire authorize: the connector's Generate."""

from __future__ import annotations

import sys
import webbrowser
from typing import Final

import click
import trio
from rich.console import Console
from rich.status import Status

from patchwire.auth.oauth2_device import DeviceAuthorization
from patchwire.auth.oauth2_terms import is_same_scope
from patchwire.auth.token import Token
from patchwire.cli import exits
from patchwire.cli.connection import extension_option
from patchwire.cli.terminal import is_terminal, printable
from patchwire.cli.trio_run import trio_run
from patchwire.errors import CredentialsError, SettingsError
from patchwire.files.connection_file import load_connection
from patchwire.files.token_store import TokenStore
from patchwire.net.wire_log import time_of
from patchwire.run.authorize import Authorize, Person
from patchwire.settings.oauth2 import OAuth2Settings

DEFAULT_TIMEOUT: Final = 600.0


@click.command()
@click.argument("connection")
@extension_option
@click.option("--no-browser", is_flag=True, help="Print the address to open, and take that of the page it ends at.")
@click.option("--forget", is_flag=True, help="Remove the token that is kept.")
@click.option("--timeout", type=click.FloatRange(1, 86_400), default=DEFAULT_TIMEOUT, show_default=True, metavar="S")
@click.option("-v", "--verbose", is_flag=True, help="Log what goes over the wire, secrets redacted.")
def authorize(
    connection: str, extension: str | None, no_browser: bool, forget: bool, timeout: float, verbose: bool
) -> int:
    """Obtain a token of OAuth 2.0 for CONNECTION (a TOML file), and keep it, encrypted, for all who use that.

    For the authorization code a browser opens; a device code is printed; other grants need nobody.
    """
    settings = load_connection(connection, extension)
    exits.warn_of(settings)
    oauth2 = settings.oauth2
    if oauth2 is None:
        problem = f'expected "oauth2", got "{settings.authentication}", which has nothing to authorize'
        raise SettingsError(connection, f"authentication: {problem}")
    if forget:
        exits.say("the kept token is removed" if TokenStore(oauth2.entry).forget() else "there was no kept token")
        return exits.DONE
    exits.warn_of_key_log()
    person = _AtTerminal()
    authorization = Authorize(settings, person, exits.log_line if verbose else None)
    try:
        token = trio_run(_run, authorization, not no_browser, timeout)
    except SettingsError as error:
        raise SettingsError(connection, error.problem) from None
    except trio.TooSlowError:
        raise CredentialsError(f"nobody accepted within {timeout:g} seconds", origin=str(settings.origin)) from None
    finally:
        person.leave()
    _say_kept(token, oauth2)
    return exits.DONE


async def _run(authorization: Authorize, browser: bool, within: float) -> Token:
    return await authorization.run(browser=browser, within=within)


class _AtTerminal(Person):
    """Whoever has typed the command."""

    def __init__(self) -> None:
        self._status: Status | None = None

    async def open(self, url: str) -> None:
        exits.say("if no browser opens, open this address yourself, on this machine:")
        click.echo(url)
        self._wait("waiting for the browser")
        await trio.to_thread.run_sync(webbrowser.open, url, abandon_on_cancel=True)

    async def pasted(self, url: str) -> str:
        exits.say("open this address in any browser, and accept:")
        click.echo(url)
        exits.say("then paste the address of the page that you were sent to, which may not load, and press return:")
        line = "" if sys.stdin is None else await trio.to_thread.run_sync(sys.stdin.readline, abandon_on_cancel=True)
        if not line.strip():
            raise CredentialsError("no address was given", origin="")
        return line

    async def told(self, device: DeviceAuthorization) -> None:
        exits.say("on any device, open this address and type this code:")
        click.echo(printable(f"{device.verification_uri}  {device.user_code}"))
        if device.verification_uri_complete is not None:
            exits.say(f"or open {device.verification_uri_complete}")
        self._wait("waiting for somebody to accept")

    def leave(self) -> None:
        """Nobody is waited for any more."""
        if self._status is not None:
            self._status.stop()

    def _wait(self, text: str) -> None:
        """On a terminal a line that moves; a pipe gets a plain one."""
        if is_terminal(sys.stderr):
            self._status = Console(stderr=True).status(f"{text} (Ctrl-C ends it)")
            self._status.start()
        else:
            exits.say(text)


def _say_kept(token: Token, oauth2: OAuth2Settings) -> None:
    ends = "" if token.expires_at is None else f", until {time_of(token.expires_at)}"
    renewed = ", and renewed from then on" if token.refresh_token is not None else ""
    exits.say(f"access granted: the token is kept{ends}{renewed}")
    wanted = oauth2.terms.scope
    if token.scope is not None and wanted and not is_same_scope(token.scope, wanted):
        exits.say(f"the scope that was granted is {token.scope!r}, where {wanted!r} was asked for")
