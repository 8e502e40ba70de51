"""What holds for every test."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

# Machines are noisy: an example that takes long is no fault of the code.
settings.register_profile("patchwire", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patchwire")

# A shell's background job ignores Ctrl-C, and so would every command that a test starts and interrupts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    """With PATCHWIRE_SKIP_NOTHING set, as it is where everything is installed, a skipped test has failed."""
    report: pytest.TestReport = yield
    if report.skipped and os.environ.get("PATCHWIRE_SKIP_NOTHING"):
        report.outcome = "failed"
        report.longrepr = f"skipped where nothing may be: {report.longrepr}"
    return report
