"""wrk, one thread: what a load generator in C gets from the same server. Its path is always the same."""

import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from harness import Job, Timing, main, timing
from workload import ANSWER, BODY, MEDIA_TYPE, path

SCRIPT = f"""
wrk.method = "PATCH"
wrk.body = [[{BODY.decode()}]]
wrk.headers["Content-Type"] = "{MEDIA_TYPE}"

function done(summary)
    local e = summary.errors
    io.write(string.format('{{"requests": %d, "microseconds": %d, "errors": %d}}\\n', summary.requests,
        summary.duration, e.connect + e.read + e.write + e.status + e.timeout))
end
"""

CHECK_EACH = f"""
function response(status, headers, body)
    if status ~= 200 or body ~= "{ANSWER.decode()}" then
        io.stderr:write("the server answered " .. status .. "\\n")
        os.exit(1)
    end
end
"""


def run(script: Path, job: Job, seconds: int) -> Timing:
    """Return what wrk counted in that many seconds."""
    command = ["wrk", "-t1", f"-c{job.connections}", f"-d{seconds}s", "-s", str(script), job.url + path(0)]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 60)
    if finished.returncode:
        raise SystemExit(f"wrk: {finished.stderr.strip()}")
    counted: dict[str, Any] = json.loads(finished.stdout.splitlines()[-1])
    if counted["errors"]:
        raise SystemExit(f"wrk counted {counted['errors']} errors")
    return timing(counted["requests"], counted["microseconds"] / 1e6)


def measure(job: Job) -> Timing:
    """Return a timing of about the job's requests: wrk stops by the clock, in whole seconds.

    A Lua function that looks at each answer would slow wrk down, so only the warm-up has one.
    """
    with tempfile.TemporaryDirectory() as directory:
        script = Path(directory) / "patch.lua"
        script.write_text(SCRIPT + CHECK_EACH, encoding="utf-8")
        warm = run(script, job, 1)
        script.write_text(SCRIPT, encoding="utf-8")
        return run(script, job, max(1, round(job.requests / warm.rate)))


if __name__ == "__main__":
    main(measure)
