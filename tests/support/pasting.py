"""Somebody who authorizes without a browser on this machine: opens an address elsewhere, and pastes the last one."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from subprocess import CompletedProcess

from tests.support.commands import running
from tests.support.token_batches import TokenFiles


def authorized_by_pasting(files: TokenFiles, approve: Callable[[str], str], *options: str) -> CompletedProcess[str]:
    """Run `patchwire authorize --no-browser`; `approve` gets the address to open, and gives that to paste."""
    command = ["authorize", str(files.connection), "--no-browser", *options]
    pipe = subprocess.PIPE
    with running(*command, env=files.environment(), stdin=pipe, stdout=pipe, stderr=pipe) as process:
        assert process.stdout is not None
        url = process.stdout.readline().decode()
        pasted = approve(url.strip()) if url else ""
        output, errors = process.communicate(f"{pasted}\n".encode(), timeout=120)
    return CompletedProcess(command, process.returncode, url + output.decode(), errors.decode())
