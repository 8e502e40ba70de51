from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from patchwire.tls.records import RecordCounter


def record(size: int) -> bytes:
    return b"\x17\x03\x03" + size.to_bytes(2, "big") + b"x" * size


@given(st.lists(st.integers(0, 300), max_size=8), st.lists(st.integers(1, 40), min_size=1, max_size=10))
def test_records_are_counted_where_they_end_however_they_are_cut(sizes: list[int], cuts: list[int]) -> None:
    stream, ends, position = b"", [], 0
    for size in sizes:
        stream += record(size)
        ends.append(len(stream))
    counter, turn = RecordCounter(), 0
    while position < len(stream):
        step = cuts[turn % len(cuts)]
        piece = stream[position : position + step]
        assert counter.feed(piece) == sum(position < end <= position + len(piece) for end in ends)
        position, turn = position + len(piece), turn + 1


def test_a_record_that_has_only_begun_is_not_counted() -> None:
    counter = RecordCounter()
    assert counter.feed(record(10) + record(10)[:7]) == 1
    assert counter.feed(record(10)[7:]) == 1
