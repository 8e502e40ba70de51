"""A proxy before a token endpoint that holds back the first refresh: what a kill in the midst of one is tried with."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from tests.support.meddler import meddler

_REFRESH = b"grant_type=refresh_token"
HELD_SECONDS = 60.0


@dataclass(frozen=True)
class Holder:
    """Where the proxy is, whether it holds what it is to hold, and when it lets go of that."""

    base_url: str
    holds: threading.Event
    end: threading.Event


@contextmanager
def holder(port: int, what: Literal["request", "answer"]) -> Iterator[Holder]:
    """Yield a proxy in front of a port of 127.0.0.1, which lets the first refresh no further until `end` is set, as it
    is at the latest on the way out: the request does not arrive, or its answer does not. All else goes through.
    """
    holds, end = threading.Event(), threading.Event()
    refreshes: list[bytes] = []

    def hold(which: str) -> None:
        if which == what and len(refreshes) == 1 and not holds.is_set():
            holds.set()
            end.wait(HELD_SECONDS)

    def request(_target: str, body: bytes) -> bytes:
        if _REFRESH in body:
            refreshes.append(body)
            hold("request")
        return body

    def answer(_target: str, head: bytes) -> bytes:
        hold("answer")
        return head

    with meddler(port, answer, change_body=request) as base_url:
        try:
            yield Holder(base_url, holds, end)
        finally:
            end.set()
