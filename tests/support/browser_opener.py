"""What BROWSER names so that webbrowser.open opens Chromium with a user in it: BROWSER="python browser_opener.py %s".

It returns at once; the visit is a process of its own. BROWSER_RESULT is the file for the visit's
last page, or its error, as JSON; BROWSER_SCREENSHOT, if any, that for its image; BROWSER_USER, if any, has the user's
login, password and consent as JSON. The result is there only when Chromium has ended. Beside it stand the log and the
directory that all processes of the visit name in their command line or their environment.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


def main(arguments: list[str]) -> None:
    """Start the visit, or make it."""
    result = Path(os.environ["BROWSER_RESULT"])
    if arguments[0] == "--visit":
        _write(result, _visited(arguments[1]))
        return
    home = tempfile.mkdtemp()
    result.with_suffix(".home").write_text(home, encoding="utf-8")
    with result.with_suffix(".log").open("wb") as log:
        subprocess.Popen(
            [sys.executable, str(Path(__file__)), "--visit", arguments[0]],
            env={**os.environ, "TMPDIR": home},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def _visited(url: str) -> dict[str, Any]:
    sys.path.insert(0, str(ROOT))
    try:
        from tests.support.chromium import visit

        screenshot = os.environ.get("BROWSER_SCREENSHOT")
        user: dict[str, Any] = json.loads(os.environ.get("BROWSER_USER", "{}"))
        return dict(vars(visit(url, screenshot=None if screenshot is None else Path(screenshot), **user)))
    except Exception:
        return {"error": traceback.format_exc()}


def _write(result: Path, content: dict[str, Any]) -> None:
    """Write it so that whoever waits for the file never sees a half."""
    part = result.with_suffix(".part")
    part.write_text(json.dumps(content), encoding="utf-8")
    part.replace(result)


if __name__ == "__main__":
    main(sys.argv[1:])
