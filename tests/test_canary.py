from __future__ import annotations

from base64 import b64encode
from pathlib import Path

import pytest

from tests.support.batches import BatchFiles, people
from tests.support.commands import environment, patchwire, serving

PASSWORD, TOKEN, TEXT = "canary-password-9d1f", "canary-token-52c7", "canary-text-77aa"
CANARIES = [
    PASSWORD.encode(),
    TOKEN.encode(),
    TEXT.encode(),
    b64encode(f"svc:{PASSWORD}".encode()),
    b64encode(f"svc:{PASSWORD}!".encode()),
]
SETTINGS = f"""
authentication = "basic"
user = "svc"
password = "env:CANARY_PASSWORD"
[headers]
X-Token = "file:token"
X-Text = "literal:{TEXT}"
"""


@pytest.mark.parametrize("preemptive", [True, False])
@pytest.mark.parametrize("case", ["accepted", "rejected", "unreachable", "malformed", "unsendable"])
def test_no_planted_secret_is_in_anything_that_a_batch_writes(tmp_path: Path, case: str, preemptive: bool) -> None:
    (tmp_path / "token").write_text(TOKEN, "utf-8")
    password = {"rejected": PASSWORD + "!", "unsendable": PASSWORD + "\x01"}.get(case, PASSWORD)
    with serving("--create-missing", "--auth", "basic", "--user", "svc", "--password", PASSWORD) as url:
        files = BatchFiles(tmp_path, "http://127.0.0.1:1" if case == "unreachable" else url, SETTINGS)
        if preemptive:
            files.connection.write_text(f"preemptive = true\n{files.connection.read_text('utf-8')}", "utf-8")
        files.write(people(30))
        if case == "malformed":
            files.records.write_text(files.records.read_text("utf-8") + '{"path": "/x"', "utf-8")
        done = patchwire(
            "batch", files.connection, files.records, "-v", "--output", files.output, "--failed", files.failed,
            "--unknown", files.unknown, env=environment(CANARY_PASSWORD=password),
        )  # fmt: skip
    assert done.returncode == {"accepted": 0, "malformed": 2, "unsendable": 2}.get(case, 1), done.stderr
    written = {
        path.name: path.read_bytes() for path in tmp_path.iterdir() if path.name not in ("token", "connection.toml")
    }
    written |= {"stdout": done.stdout.encode(), "stderr": done.stderr.encode()}
    assert case != "accepted" or b"X-Token: ***" in written["stderr"]
    for name, content in written.items():
        assert not [canary for canary in CANARIES if canary in content], name
