"""What holds for every test."""

from __future__ import annotations

import os
import signal
import sys
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

# Machines are noisy: an example that takes long is no fault of the code.
settings.register_profile("patchwire", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patchwire")

# A shell's background job ignores Ctrl-C, and so would every command that a test starts and interrupts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# What a test starts would else keep its keys in the keyring of whoever runs it.
os.environ["PYTHON_KEYRING_BACKEND"] = "keyring.backends.fail.Keyring"

_numbers = count()


@pytest.fixture(autouse=True)
def state(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a test, and each command that it starts, keeps tokens: its own directory, which whoever writes makes."""
    directory = tmp_path_factory.getbasetemp() / "state" / str(next(_numbers))
    monkeypatch.setenv("PATCHWIRE_STATE", str(directory))
    return directory


@pytest.fixture(autouse=True)
def _no_tls_sessions_of_others() -> None:
    """The system gives a port out again: a test's server may have the one of an earlier test's, whose sessions would
    else be offered to it. Who does not use TLS does not wait for OpenSSL to be loaded.
    """
    module = sys.modules.get("patchwire.tls.context")
    if module is not None:
        module.client_context.cache_clear()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    """With PATCHWIRE_SKIP_NOTHING set, as it is where everything is installed, a skipped test has failed."""
    report: pytest.TestReport = yield
    if report.skipped and os.environ.get("PATCHWIRE_SKIP_NOTHING"):
        report.outcome = "failed"
        report.longrepr = f"skipped where nothing may be: {report.longrepr}"
    return report
