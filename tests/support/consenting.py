"""A person at the embedded server's pages: reads what stands there, and presses a button. Runs as a browser, too."""

from __future__ import annotations

import os
import re
import sys
import time
from html import unescape
from pathlib import Path

import httpx

BROWSER = f"{sys.executable} {Path(__file__).resolve()} %s"
"""For the environment variable BROWSER; what came of it goes to the file that CONSENTING_RESULT names."""
ASKS_AT_MOST = 300


def consent(url: str, *, button: str = "accept") -> httpx.Response:
    """Open the page, press the button, and go on to where that leads, as long as pages ask to be asked again."""
    with httpx.Client(trust_env=False, timeout=30.0, follow_redirects=True) as browser:
        page = browser.get(url)
        form = dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', page.text))
        form = {name: unescape(value) for name, value in form.items()}
        page = browser.post(page.url, data=form | {"decision": button})
        for _ in range(ASKS_AT_MOST):
            if 'http-equiv="refresh"' not in page.text:
                break
            time.sleep(0.1)
            page = browser.get(page.url)
    return page


if __name__ == "__main__":
    shown = consent(sys.argv[1], button=os.environ.get("CONSENTING_BUTTON", "accept"))
    Path(os.environ["CONSENTING_RESULT"]).write_text(f"{shown.url}\n{shown.text}", "utf-8")
