"""`patchwire batch` with a clock on what keeps journal and outcomes.

Takes the arguments of the command. A last line of JSON says how many seconds of processor time went into that.
"""

import json
import time
from collections.abc import Callable
from typing import Any

from patchwire.cli.main import main
from patchwire.run.journal import Journal
from patchwire.run.reports import Reports

spent = 0.0


def timed(function: Callable[..., None]) -> Callable[..., None]:
    def call(*arguments: Any) -> None:
        global spent
        began = time.thread_time()
        try:
            function(*arguments)
        finally:
            spent += time.thread_time() - began

    return call


Journal.commit = timed(Journal.commit)  # type: ignore[method-assign]
Reports.take = timed(Reports.take)  # type: ignore[method-assign]

if __name__ == "__main__":
    try:
        main()
    finally:
        print(json.dumps({"kept_seconds": spent}))
