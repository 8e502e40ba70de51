"""A real browser, Chromium without a window, that a user's part in OAuth is played in: login, consent and device code.

It knows the pages of oidc-provider, reaches nothing but 127.0.0.1, and has a profile of its own for each visit, so
that nobody is logged in at its start.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.support.processes import STOP_SECONDS, text_of

if TYPE_CHECKING:  # selenium is not there on every machine
    from selenium.webdriver import Chrome

CHROMIUM: str | None = shutil.which("chromium")
CHROMEDRIVER: str | None = shutil.which("chromedriver")
_INSTALL = "apt-get install chromium chromium-driver, and pip install 'patchwire[peers]'"
_INSTALLED = None not in (CHROMIUM, CHROMEDRIVER, find_spec("selenium"))
needs_chromium = pytest.mark.skipif(not _INSTALLED, reason=f"Chromium is not installed: {_INSTALL}")

VISIT_SECONDS = 60.0
_OPENER = Path(__file__).with_name("browser_opener.py")
_ENDS = ("Sign-in Success", "oops! something went wrong")  # titles of oidc-provider's last pages; others have p.red
_ARGUMENTS = (
    "--headless=new",
    "--no-sandbox",  # root has none
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-dev-shm-usage",
    "--disable-component-update",
    "--no-first-run",
    "--no-proxy-server",
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",  # its pages name fonts of the Internet
    "--window-size=800,600",
)


@dataclass(frozen=True)
class Visit:
    """The page that a visit ended at."""

    url: str
    title: str
    text: str


def visit(
    url: str,
    *,
    login: str = "ada",
    password: str = "any",
    consent: bool = True,
    user_code: str | None = None,
    screenshot: Path | None = None,
) -> Visit:
    """Open an authorization URL, or a device's verification URI, do what a user does there, and return the last page.

    The last page is the one at the redirect URI, or the one at its origin that this leads to; or oidc-provider's word
    of success or of an error. Without `consent` the user logs in and then cancels. `user_code` is typed where a page
    asks for it. Raises TimeoutError, with the page, where no last page comes.
    """
    with _browser() as browser:
        browser.get(url)
        _play(browser, _redirect_uri(url), login, password, consent, user_code)
        if screenshot is not None:
            assert browser.save_screenshot(str(screenshot)), screenshot
        return _seen(browser)


@dataclass(frozen=True)
class StandIn:
    """What stands in for a user's browser: the variables that make webbrowser.open start it, and what came of it."""

    variables: dict[str, str]
    screenshot: Path
    """The last page as an image (PNG), once the visit has ended."""
    result: Path
    log: Path

    def visit(self, seconds: float = VISIT_SECONDS) -> Visit:
        """Wait for the end of the visit, also that of Chromium, and return the last page.

        Raises RuntimeError with the browser's own words where the visit failed, or was not begun or ended in time.
        """
        deadline = time.monotonic() + seconds
        while not self.result.exists():
            if time.monotonic() > deadline:
                raise RuntimeError(f"the browser was not opened, or is still open:\n{text_of(self.log)}")
            time.sleep(0.05)
        result = json.loads(self.result.read_text(encoding="utf-8"))
        if "error" in result:
            raise RuntimeError(f"the browser failed:\n{result['error']}")
        return Visit(**result)


@contextmanager
def browser_stand_in(
    directory: Path, *, login: str = "ada", password: str = "any", consent: bool = True
) -> Iterator[StandIn]:
    """Yield what to add to a command's environment so that the browser that it opens is Chromium and a user in it.

    webbrowser.open returns at once, as with a user's own browser. What still runs of it is killed on the way out.
    """
    directory.mkdir(parents=True, exist_ok=True)
    screenshot, result = directory / "visit.png", directory / "visit.json"
    variables = {
        "BROWSER": f"{shlex.quote(sys.executable)} {shlex.quote(str(_OPENER))} %s",
        "BROWSER_RESULT": str(result),
        "BROWSER_SCREENSHOT": str(screenshot),
        "BROWSER_USER": json.dumps({"login": login, "password": password, "consent": consent}),
    }
    try:
        yield StandIn(variables, screenshot, result, result.with_suffix(".log"))
    finally:
        if home := text_of(result.with_suffix(".home")):
            _end_those_of(home)
            shutil.rmtree(home, ignore_errors=True)


def _redirect_uri(url: str) -> str | None:
    return parse_qs(urlsplit(url).query).get("redirect_uri", [None])[0]


def _play(
    browser: Chrome, redirect_uri: str | None, login: str, password: str, consent: bool, user_code: str | None
) -> None:
    """Return at the last page; a page that was left while it was looked at is looked at again."""
    from selenium.common.exceptions import StaleElementReferenceException, WebDriverException

    deadline = time.monotonic() + VISIT_SECONDS
    while not _is_last(browser, redirect_uri):
        if time.monotonic() > deadline:
            raise TimeoutError(f"no last page, but {_seen(browser)}")
        try:
            _act(browser, login, password, consent, user_code)
        except StaleElementReferenceException:
            continue
        except WebDriverException as error:
            if "not interactable" not in str(error) and "no such" not in str(error):
                raise
        time.sleep(0.05)


def _is_last(browser: Chrome, redirect_uri: str | None) -> bool:
    if browser.execute_script("return document.readyState") != "complete":
        return False
    if redirect_uri is not None and _origin(browser.current_url) == _origin(redirect_uri):
        return not browser.find_elements("css selector", "meta[http-equiv=refresh]")  # it goes on by itself
    return browser.title in _ENDS or bool(browser.find_elements("css selector", "p.red"))


def _origin(url: str) -> str:
    return "{0.scheme}://{0.netloc}".format(urlsplit(url))


def _act(browser: Chrome, login: str, password: str, consent: bool, user_code: str | None) -> None:
    """Do what the page asks for, or nothing where it is none of those that are known."""
    from selenium.webdriver.common.by import By

    def first(selector: str) -> bool:
        return bool(browser.find_elements(By.CSS_SELECTOR, selector))

    def click(selector: str) -> None:
        browser.find_element(By.CSS_SELECTOR, selector).click()

    def fill(name: str, value: str) -> None:
        field = browser.find_element(By.NAME, name)
        field.clear()
        field.send_keys(value)

    if first("input[name=login]"):
        fill("login", login)
        fill("password", password)
        click("button.login-submit")
    elif first("form input[name=prompt][value=consent]"):
        click("button.login-submit" if consent else ".login-help a")
    elif first("input[name=user_code][type=text]") and user_code is not None:
        fill("user_code", user_code)
        click("button[form='op.deviceInputForm']")
    elif first("input[name=confirm]"):
        click("button[form='op.deviceConfirmForm'][autofocus]")


def _seen(browser: Chrome) -> Visit:
    from selenium.webdriver.common.by import By

    return Visit(browser.current_url, browser.title, browser.find_element(By.TAG_NAME, "body").text)


@contextmanager
def _browser() -> Iterator[Chrome]:
    """Chromium with a profile of its own; all of its processes have ended on the way out."""
    from selenium.webdriver import Chrome, ChromeOptions, ChromeService

    assert CHROMIUM is not None and CHROMEDRIVER is not None, f"Chromium is not installed: {_INSTALL}"
    with TemporaryDirectory(ignore_cleanup_errors=True) as home:
        options = ChromeOptions()
        options.binary_location = CHROMIUM
        for argument in (*_ARGUMENTS, f"--user-data-dir={home}/profile"):
            options.add_argument(argument)
        environment = {**os.environ, "HOME": home, "TMPDIR": home, "NO_PROXY": "127.0.0.1,localhost"}
        service = ChromeService(CHROMEDRIVER, env=environment, popen_kw={"start_new_session": True})
        browser: Chrome | None = None
        try:
            browser = Chrome(options=options, service=service)
            browser.set_page_load_timeout(VISIT_SECONDS)
            yield browser
        finally:
            if browser is not None:
                browser.quit()
            service.stop()
            _end_those_of(home)


def _end_those_of(home: str) -> None:
    """Kill by its pid what is left of a browser, all of which names its home, and wait until nothing is."""
    deadline = time.monotonic() + STOP_SECONDS
    while left := [pid for pid in _processes() if home in _about(pid)]:
        assert time.monotonic() < deadline, f"still there: {left}"
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)


def _processes() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal()]


def _about(pid: int) -> str:
    """A process's command line and environment, or nothing where it has ended."""
    with suppress(OSError):
        return "".join(Path(f"/proc/{pid}/{name}").read_bytes().decode("latin-1") for name in ("cmdline", "environ"))
    return ""
