from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchwire.http.keep_alive import UNTOLD, idle_until


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (b"timeout=5", 4.0),
        (b"timeout=5, max=100", 4.0),
        (b"max=100, timeout=60", 59.0),
        (b"Timeout = 5", 4.0),
        (b'timeout="5"', 4.0),
        (b"timeout=1", 0.5),
        (b"timeout=0", 0.0),
        (b"timeout=5, max=1", 0.0),
        (b"max=0", 0.0),
        (b"max=2", UNTOLD),
        (b"", UNTOLD),
        (b"timeout=x", UNTOLD),
        (b"xtimeout=5", UNTOLD),
        (b"timeout=-1", UNTOLD),
        (b"timeout=99999999999", 999999998.0),
    ],
)
def test_reuse_ends_before_the_server_closes(value: bytes, seconds: float) -> None:
    assert idle_until(((b"Server", b"x"), (b"KEEP-ALIVE", value)), 100.0) == 100.0 + seconds


def test_a_server_that_says_nothing_is_trusted_for_a_while() -> None:
    assert idle_until(((b"Server", b"x"),), 100.0) == 100.0 + UNTOLD


@given(st.binary(max_size=40))
def test_any_value_gives_a_time_that_is_not_past(value: bytes) -> None:
    assert idle_until(((b"Keep-Alive", value),), 100.0) >= 100.0
