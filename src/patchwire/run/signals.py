"""Which signals end what runs long."""

from __future__ import annotations

import signal


def heeded(*names: str) -> list[int]:
    """Those of the named signals that the system has, but for what nohup or a shell's background job ignores from the
    start: that stays ignored.
    """
    numbers = [getattr(signal, name, None) for name in names]  # Windows has no SIGHUP
    return [number for number in numbers if number is not None and signal.getsignal(number) is not signal.SIG_IGN]
