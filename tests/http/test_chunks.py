from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchwire.http.chunks import MAX_CHUNK_LINE, ChunkLines

CHUNKS = st.lists(st.binary(min_size=1, max_size=9), max_size=5)
EXTENSIONS = st.sampled_from([b"", b";a", b" ; a = b", b';a="x;y"', b"\t;\t", b" "])


@given(
    CHUNKS, EXTENSIONS, st.sampled_from([b"\r\n", b"X: y\r\n\r\n", b"\n"]), st.binary(max_size=5), st.integers(1, 9)
)
def test_extensions_go_bodies_stay_and_the_end_is_found(
    chunks: list[bytes], extension: bytes, trailer: bytes, surplus: bytes, cut: int
) -> None:
    wire = b"".join(b"%X%b\r\n%b\r\n" % (len(chunk), extension, chunk) for chunk in chunks) + b"0\r\n" + trailer
    plain = b"".join(b"%X\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n" + trailer
    lines = ChunkLines(100)
    passed = b""
    data = wire + surplus
    for at in range(0, len(data), cut):
        piece, fault = lines.feed(data[at : at + cut])
        assert fault is None
        passed += piece
    assert (passed, lines.surplus) == (plain, surplus)


@pytest.mark.parametrize(("size", "passes"), [(1, False), (4, False), (16, True)])
@pytest.mark.parametrize("cut", [1, 10_000])
def test_a_body_in_tiny_chunks_is_given_up_and_one_in_small_chunks_is_not(size: int, passes: bool, cut: int) -> None:
    wire = (b"%x\r\n" % size + b"a" * size + b"\r\n") * 1000
    lines = ChunkLines(1000)
    faults = {lines.feed(wire[at : at + cut])[1] for at in range(0, len(wire), cut)} - {None}
    assert ("more chunk framing than chunk data" in faults) is not passes


def test_a_line_that_never_ends_is_given_up_at_the_limit() -> None:
    lines = ChunkLines(100)
    assert lines.feed(b"1;" + b"a" * (MAX_CHUNK_LINE - 2)) == (b"", None)
    assert lines.feed(b"a") == (b"", f"chunk-size line over {MAX_CHUNK_LINE} bytes")
